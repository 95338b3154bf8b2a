//! Rate limits, in memory: only one process uses the folder, and limits may start afresh with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::ports::{PortResult, RateLimit, RateLimits};

use crate::Embedded;

/// For each limit whose slot is taken, when the next slot is free.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<HashMap<RateLimit, Timestamp>>);

#[async_trait]
impl RateLimits for Embedded {
    async fn take(
        &self,
        limit: RateLimit,
        now: Timestamp,
        next: Timestamp,
    ) -> PortResult<Result<(), Timestamp>> {
        let mut taken = self.rate_limits.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, free| now < *free);
        if let Some(free) = taken.get(&limit) {
            return Ok(Err(*free));
        }
        taken.insert(limit, next);
        Ok(Ok(()))
    }
}

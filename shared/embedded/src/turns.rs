//! Turns, kept in memory: one process works on the folder, and one that starts may begin anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use statuspulse_core::ports::{PortResult, Turn, Turns};

use crate::Embedded;

/// Which turns are taken, and when the next ones are free.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<HashMap<Turn, Timestamp>>);

#[async_trait]
impl Turns for Embedded {
    async fn take_turn(
        &self,
        turn: Turn,
        now: Timestamp,
        next: Timestamp,
    ) -> PortResult<Result<(), Timestamp>> {
        let mut taken = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, free| now < *free);
        if let Some(free) = taken.get(&turn) {
            return Ok(Err(*free));
        }
        taken.insert(turn, next);
        Ok(Ok(()))
    }
}

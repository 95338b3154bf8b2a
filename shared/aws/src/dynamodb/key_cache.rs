//! A cache of API keys, because every call of the API reads one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use statuspulse_core::access::{ApiKey, KeyHash};

/// A revoked key is refused at once in the environment that revoked it, and after [`crate::limits::KEYS_CACHED_FOR`] at
/// the latest everywhere else.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyCache(Arc<Mutex<HashMap<KeyHash, (ApiKey, Timestamp)>>>);

impl KeyCache {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<KeyHash, (ApiKey, Timestamp)>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self, hash: &KeyHash, now: Timestamp) -> Option<ApiKey> {
        self.with(|keys| keys.get(hash).filter(|(_, until)| now < *until).map(|(key, _)| key.clone()))
    }

    pub(super) fn remember(&self, key: &ApiKey, now: Timestamp) {
        let until = now.checked_add(crate::limits::KEYS_CACHED_FOR).unwrap_or(now);
        self.with(|keys| {
            if keys.len() >= crate::limits::KEYS_CACHED_MAX {
                keys.clear();
            }
            keys.insert(key.hash, (key.clone(), until));
        });
    }

    pub(super) fn forget(&self, hash: &KeyHash) {
        self.with(|keys| keys.remove(hash));
    }
}

//! A cache of API keys, because every call of the API reads one. It also remembers hashes that no key has, so that a flood
//! of wrong keys does not cost a read each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use statuspulse_core::access::{ApiKey, KeyHash};

use crate::limits;

/// A revoked key is refused at once in the environment that revoked it, and after [`limits::KEYS_CACHED_FOR`] at the
/// latest everywhere else. Known and unknown keys are kept apart, so that unknown ones push out no known one.
#[derive(Debug, Default, Clone)]
pub(super) struct KeyCache(Arc<Mutex<Cached>>);

#[derive(Debug, Default)]
struct Cached {
    known: HashMap<KeyHash, (ApiKey, Timestamp)>,
    unknown: HashMap<KeyHash, Timestamp>,
}

impl KeyCache {
    fn with<T>(&self, work: impl FnOnce(&mut Cached) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key with this hash, or `Some(None)` if there was none; `None` if it has to be read.
    pub(super) fn get(&self, hash: &KeyHash, now: Timestamp) -> Option<Option<ApiKey>> {
        self.with(|cached| {
            let known = cached.known.get(hash).filter(|(_, until)| now < *until).map(|(key, _)| key.clone());
            let is_unknown = cached.unknown.get(hash).is_some_and(|until| now < *until);
            known.map(Some).or_else(|| is_unknown.then_some(None))
        })
    }

    /// Remembers what was read.
    pub(super) fn remember(&self, hash: &KeyHash, found: Option<&ApiKey>, now: Timestamp) {
        let until = |wait| now.checked_add(wait).unwrap_or(now);
        self.with(|cached| match found {
            Some(key) => {
                if cached.known.len() >= limits::KEYS_CACHED_MAX {
                    cached.known.clear();
                }
                cached.known.insert(*hash, (key.clone(), until(limits::KEYS_CACHED_FOR)));
            }
            None => {
                if cached.unknown.len() >= limits::KEYS_CACHED_MAX {
                    cached.unknown.clear();
                }
                cached.unknown.insert(*hash, until(limits::UNKNOWN_KEYS_CACHED_FOR));
            }
        });
    }

    /// Remembers that the key was used. This does not extend its time in the cache.
    pub(super) fn used(&self, hash: &KeyHash, now: Timestamp) {
        self.with(|cached| {
            if let Some((key, _)) = cached.known.get_mut(hash) {
                key.last_used_at = Some(now);
            }
        });
    }

    pub(super) fn forget(&self, hash: &KeyHash) {
        self.with(|cached| {
            cached.known.remove(hash);
            cached.unknown.remove(hash);
        });
    }
}

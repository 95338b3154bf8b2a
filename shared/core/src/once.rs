//! Calls that show something once: a secret, a key, a link. Their answer may be lost, so they take an idempotency key.
//!
//! The first call with a key stores what it has drawn: its time, and a seed from which all of its random values are made.
//! The same call again draws the same, so it makes the same webhook, secret or key, finds that it is there, and answers as
//! the first one did. A process may die anywhere in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::limits;
use crate::ports::environment::Random;

/// What the first of several equal calls has drawn. It has no `Debug`: secrets are made from the seed.
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "secrets are made from the seed")]
pub struct Draw {
    /// Digest of the caller, the call and the idempotency key.
    pub id: [u8; 32],
    /// The digest of the body.
    pub fingerprint: [u8; 32],
    /// When the first call was made.
    pub at: Timestamp,
    /// What its random values are made from: the base64 of 32 bytes. A secret.
    pub seed: String,
}

impl Draw {
    /// A new draw for this call of this caller.
    pub(crate) fn new(
        caller: [u8; 16],
        call: &str,
        key: &str,
        body: &[u8],
        (now, random): (Timestamp, &dyn Random),
    ) -> Result<Self> {
        check_key(key)?;
        let mut bytes = [0; 32];
        random.fill(&mut bytes);
        let seed = STANDARD.encode(bytes);
        let id = Sha256::new().chain_update(caller).chain_update(call).chain_update("\n").chain_update(key);
        Ok(Self { id: id.finalize().into(), fingerprint: Sha256::digest(body).into(), at: now, seed })
    }

    /// What its sealed seed is bound to.
    pub fn owner(&self) -> [u8; 16] {
        let mut owner = [0; 16];
        owner.copy_from_slice(&self.id[..16]);
        owner
    }

    /// Whether it is too old at `now` for another call to be a repetition of it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.duration_since(self.at).unsigned_abs() >= limits::SHOWN_AGAIN_FOR
    }
}

/// Refuses an idempotency key that is empty or too long.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.chars().count() > limits::IDEMPOTENCY_KEY_CHARS {
        let detail = format!("must have 1 to {} characters", limits::IDEMPOTENCY_KEY_CHARS);
        return Err(Error::invalid("Idempotency-Key", detail));
    }
    Ok(())
}

/// The error for a key whose first call was another one, or cannot be answered again.
pub(crate) fn reused(detail: &str) -> Error {
    Error::Conflict { code: REUSED, detail: detail.to_owned() }
}

const REUSED: &str = "idempotency_key_reused";

/// Whether it is the error for such a key.
pub(crate) fn is_reused(error: &Error) -> bool {
    matches!(error, Error::Conflict { code: REUSED, .. })
}

/// The detail if the first call had another body.
pub(crate) const OTHER_BODY: &str = "this Idempotency-Key was used before with a different body";

/// What a call draws: afresh, or with an idempotency key as the first call with it did.
#[derive(Clone)]
pub struct Once {
    pub(crate) random: Arc<dyn Random>,
    /// The time of the first call.
    pub(crate) at: Timestamp,
    /// Whether an earlier call may have done it already.
    pub(crate) is_repeated: bool,
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Once {
    /// As this draw says. `is_repeated` if an earlier call has stored it.
    pub(crate) fn drawn(draw: &Draw, is_repeated: bool) -> Self {
        let random = Arc::new(Seeded { seed: draw.seed.clone(), blocks: AtomicU64::new(0) });
        Self { random, at: draw.at, is_repeated }
    }
}

/// Bytes that follow from a seed: the digests of the seed and a counter.
struct Seeded {
    seed: String,
    blocks: AtomicU64,
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(32) {
            let block = self.blocks.fetch_add(1, Ordering::Relaxed);
            let digest = Sha256::new().chain_update(&self.seed).chain_update(block.to_be_bytes()).finalize();
            part.copy_from_slice(&digest[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    struct Same(u8);

    impl Random for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn a_repeated_call_draws_the_same_values_and_another_one_draws_others() {
        let draw = Draw::new([1; 16], "POST /v1/keys", "k", b"{}", (at(7), &Same(3))).unwrap();
        let values = |draw: &Draw| {
            let once = Once::drawn(draw, true);
            let mut drawn = [[0; 40]; 3];
            drawn.iter_mut().for_each(|bytes| once.random.fill(bytes));
            drawn
        };
        assert_eq!(values(&draw), values(&draw.clone()));
        let [first, second, third] = values(&draw);
        assert!(first != second && second != third && first[..8] != first[32..]);
        assert_ne!(values(&Draw { seed: "another".to_owned(), ..draw }), [first, second, third]);
    }

    #[test]
    fn a_draw_is_known_by_caller_call_and_key_and_lasts_a_day() {
        let draw = |caller, call, key| Draw::new([caller; 16], call, key, b"{}", (at(0), &Same(3))).unwrap();
        let first = draw(1, "a", "k");
        assert!(first == draw(1, "a", "k"));
        for other in [draw(2, "a", "k"), draw(1, "b", "k"), draw(1, "a", "l")] {
            assert_ne!(other.id, first.id);
        }
        assert!(!first.is_over(at(86_399)) && first.is_over(at(86_400)));
    }
}

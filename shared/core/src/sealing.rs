//! Secrets at rest: AES-256-GCM under a key that the deployment keeps elsewhere than the records.
//!
//! A copy of the store without that key gives away no secret. What is sealed is bound to its owner: moved to
//! another record, it does not open.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::ports::Random;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Seals and opens.
pub struct Sealer(LessSafeKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// A key that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key has {KEY_BYTES} bytes")]
pub struct NotAKey;

/// A sealed text that does not open: another key, another owner, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret does not open with this key")]
pub struct DoesNotOpen;

impl Sealer {
    /// With this key.
    pub fn new(key: &[u8]) -> Result<Self, NotAKey> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key))).map_err(|_| NotAKey)
    }

    /// Seals a text for the owner of these bytes.
    pub fn seal(&self, owner: [u8; 16], text: &str, random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        // Fails for texts of 64 GiB and more alone.
        #[expect(clippy::expect_used, reason = "secrets are a few kilobytes")]
        self.0.seal_in_place_append_tag(once, Aad::from(owner), &mut sealed).expect("a short text");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens what was sealed for the owner of these bytes.
    pub fn unseal(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut sealed = sealed.to_vec();
        let text = self.0.open_in_place(nonce, Aad::from(owner), &mut sealed).map_err(|_| DoesNotOpen)?;
        String::from_utf8(text.to_vec()).map_err(|_| DoesNotOpen)
    }
}

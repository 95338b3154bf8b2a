//! Encrypts secrets at rest: AES-256-GCM, with a key that the deployment keeps outside of the store.
//!
//! A copy of the store without that key reveals no secret. A sealed secret is bound to its owner: it cannot be opened
//! if it is moved to another record.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::ports::Random;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;

/// Seals and opens secrets.
pub struct Sealer(LessSafeKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// The key has the wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key must have {KEY_BYTES} bytes")]
pub struct NotAKey;

/// A sealed text cannot be opened: it has another key or another owner, or is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret cannot be opened with this key")]
pub struct DoesNotOpen;

impl Sealer {
    /// Creates a sealer with this key.
    pub fn new(key: &[u8]) -> Result<Self, NotAKey> {
        UnboundKey::new(&AES_256_GCM, key).map(|key| Self(LessSafeKey::new(key))).map_err(|_| NotAKey)
    }

    /// Seals a text, and binds it to the owner with this id.
    pub fn seal(&self, owner: [u8; 16], text: &str, random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        // Fails only for texts of 64 GiB and more.
        #[expect(clippy::expect_used, reason = "secrets are a few kilobytes")]
        self.0.seal_in_place_append_tag(once, Aad::from(owner), &mut sealed).expect("a short text");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens a text that was sealed for the owner with this id.
    pub fn unseal(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut sealed = sealed.to_vec();
        let text = self.0.open_in_place(nonce, Aad::from(owner), &mut sealed).map_err(|_| DoesNotOpen)?;
        String::from_utf8(text.to_vec()).map_err(|_| DoesNotOpen)
    }
}

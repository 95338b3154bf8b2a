//! Encrypts secrets at rest: AES-256-GCM, with a key that the deployment keeps outside of the store.
//!
//! A copy of the store without that key reveals no secret. A sealed secret is bound to its owner: it cannot be opened
//! if it is moved to another record.
//!
//! One AES key with random nonces must not seal more than 2^32 texts, and each save of a webhook is one. So each text has
//! a key of its own, which is derived from the deployment's key and 192 random bits (HKDF-SHA256):
//!
//! | bytes | |
//! |---|---|
//! | 1 | [`DERIVED`] |
//! | 8 | which key: the start of a digest of it |
//! | 24 | the random salt |
//! | the rest | the encrypted text, with its tag of 16 bytes |
//!
//! Version 0.1 sealed without derived keys: a nonce of 12 bytes, and the encrypted text. It cannot open anything else, so
//! its stores stay so until their key is replaced.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use sha2::{Digest, Sha256};

use crate::ports::Random;

/// Length of a key in bytes.
pub const KEY_BYTES: usize = 32;
/// The first byte of a text that was sealed with a derived key.
const DERIVED: u8 = 2;
const TAG_BYTES: usize = 8;
const SALT_BYTES: usize = 24;
/// The purpose of derived keys.
const INFO: &[u8] = b"statuspulse sealed secret";

/// How texts are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedFormat {
    /// As version 0.1 did: all with the deployment's key.
    OneKey,
    /// Each with a key of its own.
    DerivedKeys,
}

/// The key of a deployment.
#[derive(Clone)]
pub struct SealingKey {
    bytes: [u8; KEY_BYTES],
    tag: [u8; TAG_BYTES],
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
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

impl SealingKey {
    /// The key with these bytes.
    pub fn new(key: &[u8]) -> Result<Self, NotAKey> {
        let bytes: [u8; KEY_BYTES] = key.try_into().map_err(|_| NotAKey)?;
        let digest = Sha256::new().chain_update(b"statuspulse sealing key").chain_update(bytes).finalize();
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest[..TAG_BYTES]);
        Ok(Self { bytes, tag })
    }

    /// The key itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How each text begins that this key has sealed in the format [`SealedFormat::DerivedKeys`].
    pub fn prefix(&self) -> [u8; 1 + TAG_BYTES] {
        let mut prefix = [DERIVED; 1 + TAG_BYTES];
        prefix[1..].copy_from_slice(&self.tag);
        prefix
    }

    /// The key and the nonce of one text.
    fn derived(&self, salt: &[u8]) -> (LessSafeKey, Nonce) {
        let mut material = [0; KEY_BYTES + NONCE_LEN];
        let key: Prk = Salt::new(HKDF_SHA256, salt).extract(&self.bytes);
        #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
        key.expand(&[INFO], Material).and_then(|made| made.fill(&mut material)).expect("a short output");
        let (key, nonce) = material.split_at(KEY_BYTES);
        #[expect(clippy::expect_used, reason = "the lengths are constants")]
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("the length of a nonce");
        (aes(key), nonce)
    }

    fn open(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        if let Some(sealed) = sealed.strip_prefix(&self.prefix()) {
            let (salt, sealed) = sealed.split_at_checked(SALT_BYTES).ok_or(DoesNotOpen)?;
            let (key, nonce) = self.derived(salt);
            return opened(&key, nonce, owner, sealed);
        }
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        opened(&aes(&self.bytes), nonce, owner, sealed)
    }
}

/// The length of what is derived.
struct Material;

impl KeyType for Material {
    fn len(&self) -> usize {
        KEY_BYTES + NONCE_LEN
    }
}

#[expect(clippy::expect_used, reason = "all keys have KEY_BYTES")]
fn aes(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the length of a key"))
}

fn opened(key: &LessSafeKey, nonce: Nonce, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
    let mut sealed = sealed.to_vec();
    let text = key.open_in_place(nonce, Aad::from(owner), &mut sealed).map_err(|_| DoesNotOpen)?;
    String::from_utf8(text.to_vec()).map_err(|_| DoesNotOpen)
}

/// Seals secrets with one key, and opens what this or another one has sealed.
#[derive(Debug, Clone)]
pub struct Sealer {
    key: SealingKey,
    format: SealedFormat,
    others: Vec<SealingKey>,
}

impl Sealer {
    /// Seals with this key, in this format.
    pub fn new(key: SealingKey, format: SealedFormat) -> Self {
        Self { key, format, others: vec![] }
    }

    /// The same, and also opens what this key has sealed: while a key is replaced, there are two.
    #[must_use]
    pub fn also_opening(mut self, key: SealingKey) -> Self {
        self.others.push(key);
        self
    }

    /// The key that it seals with.
    pub fn key(&self) -> &SealingKey {
        &self.key
    }

    /// Seals a text, and binds it to the owner with this id.
    pub fn seal(&self, owner: [u8; 16], text: &str, random: &dyn Random) -> Vec<u8> {
        let (mut sealed, key, nonce) = match self.format {
            SealedFormat::DerivedKeys => {
                let mut salt = [0; SALT_BYTES];
                random.fill(&mut salt);
                let (key, nonce) = self.key.derived(&salt);
                ([self.key.prefix().as_slice(), &salt].concat(), key, nonce)
            }
            SealedFormat::OneKey => {
                let mut nonce = [0; NONCE_LEN];
                random.fill(&mut nonce);
                (nonce.to_vec(), aes(&self.key.bytes), Nonce::assume_unique_for_key(nonce))
            }
        };
        let mut text = text.as_bytes().to_vec();
        // Fails only for texts of 64 GiB and more.
        #[expect(clippy::expect_used, reason = "secrets are a few kilobytes")]
        key.seal_in_place_append_tag(nonce, Aad::from(owner), &mut text).expect("a short text");
        sealed.append(&mut text);
        sealed
    }

    /// Opens a text that was sealed for the owner with this id.
    pub fn unseal(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        let mut keys = std::iter::once(&self.key).chain(&self.others);
        keys.find_map(|key| key.open(owner, sealed).ok()).ok_or(DoesNotOpen)
    }

    /// Seals again what another key or another format has sealed; `None` if there is nothing to do.
    ///
    /// # Errors
    /// Fails if none of the keys opens it.
    pub fn reseal(
        &self,
        owner: [u8; 16],
        sealed: &[u8],
        random: &dyn Random,
    ) -> Result<Option<Vec<u8>>, DoesNotOpen> {
        if self.format == SealedFormat::DerivedKeys && sealed.starts_with(&self.key.prefix()) {
            return Ok(None);
        }
        Ok(Some(self.seal(owner, &self.unseal(owner, sealed)?, random)))
    }
}

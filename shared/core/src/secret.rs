//! A webhook's secret: `whsec_` and the base64 of 32 random bytes, or of 24 to 64 bytes if its owner brings it.
//!
//! The type has no `Display` and no `Serialize`, and its `Debug` shows nothing. A secret gets into an answer, a record
//! or a signature only through an explicit [`Secret::reveal`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::limits::SECRET_KEY_BYTES;
use crate::ports::environment::Random;

const PREFIX: &str = "whsec_";
const KEY_BYTES: usize = 32;
/// Characters that pages show: enough to tell two secrets apart. Of one of ours about 232 bits stay hidden.
const SHOWN: usize = PREFIX.len() + 4;

/// A secret that signs a webhook's requests.
#[derive(Clone)]
pub struct Secret(SecretString);

/// The text is not a secret. The error does not quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and the base64 of {} to {} bytes", SECRET_KEY_BYTES.start(), SECRET_KEY_BYTES.end())]
pub struct NotASecret;

impl Secret {
    /// A new secret.
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = [0; KEY_BYTES];
        random.fill(&mut key);
        Self(SecretString::from(format!("{PREFIX}{}", STANDARD.encode(key))))
    }

    /// Parses a secret from its owner or from a store.
    pub fn parse(text: &str) -> Result<Self, NotASecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotASecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| NotASecret)?;
        if !SECRET_KEY_BYTES.contains(&key.len()) {
            return Err(NotASecret);
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }

    /// The secret as text.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// The first characters, which pages show.
    pub fn prefix(&self) -> &str {
        &self.reveal()[..SHOWN]
    }

    /// The bytes it encodes: the key of the Standard Webhooks signature.
    pub(crate) fn key_bytes(&self) -> Vec<u8> {
        STANDARD.decode(&self.reveal()[PREFIX.len()..]).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl PartialEq for Secret {
    /// For tests and for comparing records. Verification never compares secrets.
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for Secret {}

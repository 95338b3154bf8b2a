//! Secrets at rest: AES-256-GCM under a key that stands in a file of its own, readable by its owner alone.
//!
//! A copy of the database without the key file gives away no secret. What is sealed is bound to its webhook:
//! moved to another row, it does not open.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

const KEY_BYTES: usize = 32;

/// Seals and opens.
pub(crate) struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// A sealed text that does not open: another key, another webhook, or a damaged file.
#[derive(Debug, thiserror::Error)]
#[error("a sealed secret does not open with this key file")]
pub(crate) struct DoesNotOpen;

/// The machine gives no randomness.
#[derive(Debug, thiserror::Error)]
#[error("a secret could not be sealed")]
pub(crate) struct DoesNotSeal;

impl Sealer {
    /// With the key in this file, which is made if there is none.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let random = SystemRandom::new();
        let key = match File::open(path) {
            Ok(mut file) => {
                let mut key = vec![];
                file.read_to_end(&mut key)?;
                key
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make_key(path, &random)?,
            Err(error) => return Err(error),
        };
        let key = UnboundKey::new(&AES_256_GCM, &key)
            .map_err(|_| std::io::Error::other(format!("the key file must have {KEY_BYTES} bytes")))?;
        Ok(Self { key: LessSafeKey::new(key), random })
    }

    /// Seals a text for the owner of these bytes.
    pub(crate) fn seal(&self, owner: [u8; 16], text: &str) -> Result<Vec<u8>, DoesNotSeal> {
        let mut nonce = [0; NONCE_LEN];
        let mut sealed = text.as_bytes().to_vec();
        self.random.fill(&mut nonce).map_err(|_| DoesNotSeal)?;
        let once = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(once, Aad::from(owner), &mut sealed).map_err(|_| DoesNotSeal)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for the owner of these bytes.
    pub(crate) fn unseal(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut sealed = sealed.to_vec();
        let text = self.key.open_in_place(nonce, Aad::from(owner), &mut sealed).map_err(|_| DoesNotOpen)?;
        String::from_utf8(text.to_vec()).map_err(|_| DoesNotOpen)
    }
}

/// Two programs may start at once: the first to make the file wins, the other reads it.
fn make_key(path: &Path, random: &SystemRandom) -> std::io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    random.fill(&mut key).map_err(|_| std::io::Error::other("the machine gives no randomness"))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = options.open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => std::fs::read(path),
        Err(error) => Err(error),
    }
}

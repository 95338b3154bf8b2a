//! Seals secrets with a key from a separate file, which only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use statuspulse_core::moving::Opener;
use statuspulse_core::ports::Random;
use statuspulse_core::sealing::{self, DoesNotOpen, KEY_BYTES};

/// Seals and unseals with the key of one file.
#[derive(Debug)]
pub(crate) struct Sealer {
    sealer: sealing::Sealer,
    opener: Opener,
    random: Nonces,
}

/// Nonces come from the operating system, even in tests whose `Random` port is scripted.
#[derive(Debug)]
struct Nonces(SystemRandom);

impl Random for Nonces {
    fn fill(&self, bytes: &mut [u8]) {
        // Never fails after the machine has started. A nonce that is not random must never be used.
        #[expect(clippy::expect_used, reason = "there is no going on without randomness")]
        self.0.fill(bytes).expect("the system provides randomness");
    }
}

impl Sealer {
    /// Reads the key from this file, or creates the file with a new key.
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
        let sealer = sealing::Sealer::new(&key)
            .map_err(|_| std::io::Error::other(format!("the key file must have {KEY_BYTES} bytes")))?;
        Ok(Self { sealer, opener: Opener::of_key(&key), random: Nonces(random) })
    }

    /// Opens what was sealed for this folder by an export of another deployment.
    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    /// The randomness of the operating system.
    pub(crate) fn random(&self) -> &dyn Random {
        &self.random
    }

    /// Seals a text, bound to its owner's id.
    pub(crate) fn seal(&self, owner: [u8; 16], text: &str) -> Vec<u8> {
        self.sealer.seal(owner, text, &self.random)
    }

    /// Unseals a text that was sealed for this owner.
    pub(crate) fn unseal(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        self.sealer.unseal(owner, sealed)
    }
}

/// Whether the key opens this.
pub(crate) fn opens(key: &[u8], sealed: Option<&([u8; 16], Vec<u8>)>) -> bool {
    let Ok(sealer) = sealing::Sealer::new(key) else { return false };
    sealed.is_none_or(|(owner, sealed)| sealer.unseal(*owner, sealed).is_ok())
}

/// Creates the key file. Two processes may start at once: the first to create the file wins, and the other reads it.
fn make_key(path: &Path, random: &SystemRandom) -> std::io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_BYTES];
    random.fill(&mut key).map_err(|_| std::io::Error::other("the system provides no randomness"))?;
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

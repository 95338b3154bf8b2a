//! Seals secrets with a key from a separate file, which only its owner can read.
//!
//! While [`rekey`](crate::rekey()) replaces the key, a second file has the next one. From the moment at which that file is
//! there, every process seals with it: [`Sealer::seal`] looks for it within the write transaction. So what a transaction
//! writes is sealed with the next key, or the transaction was over before the replacement began to read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::Connection;
use statuspulse_core::moving::Opener;
use statuspulse_core::ports::Random;
use statuspulse_core::sealing::{self, DoesNotOpen, KEY_BYTES, SealedFormat, SealingKey};

/// Seals and unseals with the keys of a folder.
#[derive(Debug)]
pub(crate) struct Sealer {
    files: KeyFiles,
    loaded: RwLock<Arc<Loaded>>,
}

/// The files with the keys of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFiles {
    /// The key.
    pub(crate) current: PathBuf,
    /// The key that replaces it, while it is replaced.
    pub(crate) next: PathBuf,
}

/// What was read from the files when they looked like this.
#[derive(Debug)]
struct Loaded {
    looks: Looks,
    sealer: sealing::Sealer,
    opener: Opener,
}

/// Enough of both files to find out whether one was replaced.
type Looks = [Option<(u64, Option<SystemTime>, u64)>; 2];

/// Randomness comes from the operating system, even in tests whose `Random` port is scripted.
#[derive(Debug)]
pub(crate) struct SystemRandomness;

impl Random for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        // Never fails after the machine has started. A nonce that is not random must never be used.
        #[expect(clippy::expect_used, reason = "there is no going on without randomness")]
        SystemRandom::new().fill(bytes).expect("the system provides randomness");
    }
}

impl KeyFiles {
    /// Those of this folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { current: crate::key_file_in(folder), next: folder.join("secret.key.next") }
    }

    fn look(&self) -> Looks {
        [&self.current, &self.next].map(|path| std::fs::metadata(path).ok().map(|found| look(&found)))
    }

    /// Whether these keys open this.
    pub(crate) fn open_this(&self, sealed: Option<&([u8; 16], Vec<u8>)>) -> std::io::Result<bool> {
        Ok(does_open(&self.sealer(None)?, sealed))
    }

    /// Seals with the newest key, and opens what either has sealed. A text that the current key has sealed shows in which
    /// format it seals.
    pub(crate) fn sealer(&self, sealed: Option<&[u8]>) -> std::io::Result<sealing::Sealer> {
        let current = read_key(&self.current)?;
        let next = match read_key(&self.next) {
            Ok(next) => Some(next),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_derived = sealed.is_none_or(|sealed| sealed.starts_with(&current.prefix()));
        Ok(match next {
            Some(next) => sealing::Sealer::new(next, SealedFormat::DerivedKeys).also_opening(current),
            None if is_derived => sealing::Sealer::new(current, SealedFormat::DerivedKeys),
            None => sealing::Sealer::new(current, SealedFormat::OneKey),
        })
    }
}

#[cfg(unix)]
fn look(file: &Metadata) -> (u64, Option<SystemTime>, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.len(), file.modified().ok(), file.ino())
}

#[cfg(not(unix))]
fn look(file: &Metadata) -> (u64, Option<SystemTime>, u64) {
    (file.len(), file.modified().ok(), 0)
}

impl Loaded {
    /// Reads the files. One of them may be replaced meanwhile.
    fn read(files: &KeyFiles, sealed: Option<&[u8]>) -> std::io::Result<Self> {
        loop {
            let looks = files.look();
            let sealer = files.sealer(sealed);
            if looks == files.look() {
                let sealer = sealer?;
                let opener = Opener::of_key(sealer.key().bytes());
                return Ok(Self { looks, sealer, opener });
            }
        }
    }
}

impl Sealer {
    /// Reads the keys of these files, or creates the first with a new key. `sealed` is anything that was sealed before.
    pub(crate) fn open(files: KeyFiles, sealed: Option<&[u8]>) -> std::io::Result<Self> {
        if !files.current.exists() {
            make_key(&files.current)?;
        }
        let loaded = RwLock::new(Arc::new(Loaded::read(&files, sealed)?));
        Ok(Self { files, loaded })
    }

    /// Opens what was sealed for this folder by an export of another deployment.
    pub(crate) fn opener(&self) -> Opener {
        self.loaded().opener.clone()
    }

    /// Seals a text within a write transaction of this connection, bound to its owner's id.
    pub(crate) fn seal(&self, _: &Connection, owner: [u8; 16], text: &str) -> Vec<u8> {
        self.reloaded().sealer.seal(owner, text, &SystemRandomness)
    }

    /// Unseals a text that was sealed for this owner.
    pub(crate) fn unseal(&self, owner: [u8; 16], sealed: &[u8]) -> Result<String, DoesNotOpen> {
        // It may be sealed with a key that this process has not seen yet.
        self.loaded().sealer.unseal(owner, sealed).or_else(|_| self.reloaded().sealer.unseal(owner, sealed))
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, read again if the files have changed. A key is only ever replaced by one that seals with derived keys.
    fn reloaded(&self) -> Arc<Loaded> {
        let loaded = self.loaded();
        if loaded.looks == self.files.look() {
            return loaded;
        }
        match Loaded::read(&self.files, None) {
            Ok(new) => {
                let new = Arc::new(new);
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
                new
            }
            Err(error) => {
                tracing::error!(%error, "the key file cannot be read again");
                loaded
            }
        }
    }
}

fn read_key(path: &Path) -> std::io::Result<SealingKey> {
    let mut key = vec![];
    File::open(path)?.read_to_end(&mut key)?;
    SealingKey::new(&key)
        .map_err(|_| std::io::Error::other(format!("the key file must have {KEY_BYTES} bytes")))
}

/// Whether the key opens this.
pub(crate) fn opens(key: &[u8], sealed: Option<&([u8; 16], Vec<u8>)>) -> bool {
    let Ok(key) = SealingKey::new(key) else { return false };
    does_open(&sealing::Sealer::new(key, SealedFormat::DerivedKeys), sealed)
}

fn does_open(sealer: &sealing::Sealer, sealed: Option<&([u8; 16], Vec<u8>)>) -> bool {
    sealed.is_none_or(|(owner, sealed)| sealer.unseal(*owner, sealed).is_ok())
}

/// Creates a file with a new key. Two processes may start at once: the first to create the file wins.
pub(crate) fn make_key(path: &Path) -> std::io::Result<()> {
    let mut key = vec![0; KEY_BYTES];
    SystemRandomness.fill(&mut key);
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
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

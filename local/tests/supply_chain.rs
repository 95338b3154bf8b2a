//! What the project takes from others: no locked crate has a known vulnerability, and each lock file says what the bytes of
//! its packages are. Licences, sources and duplicates are in `deny.toml`, for `make supply-chain`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers may panic")]

use std::path::{Path, PathBuf};

use cargo_metadata::semver::{Version, VersionReq};
use serde::Deserialize;
use serde_json::Value;

/// Facts from the RustSec database: `packaging/advisories.py` writes them.
#[derive(Deserialize)]
struct Snapshot {
    advisories: Vec<Advisory>,
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    package: String,
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
}

impl Advisory {
    fn concerns(&self, package: &str, version: &Version) -> bool {
        let safe = self.patched.iter().chain(&self.unaffected).any(|versions| versions.matches(version));
        self.package == package && !safe
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A crate of `Cargo.lock`.
struct Locked<'a> {
    name: &'a str,
    version: Version,
    /// Not a crate of this workspace.
    is_foreign: bool,
    has_checksum: bool,
}

fn locked(lock: &str) -> Vec<Locked<'_>> {
    lock.split("[[package]]\n").skip(1).map(locked_package).collect()
}

fn locked_package(package: &str) -> Locked<'_> {
    let text = |name: &str| {
        let line = package.lines().find(|line| line.starts_with(&format!("{name} = ")))?;
        line.split('"').nth(1)
    };
    Locked {
        name: text("name").unwrap(),
        version: text("version").unwrap().parse().unwrap(),
        is_foreign: text("source").is_some(),
        has_checksum: text("checksum").is_some(),
    }
}

/// What is known of the crates of a lock file.
fn found(lock: &str) -> Vec<String> {
    let snapshot: Snapshot = serde_json::from_str(&read(&root().join("packaging/advisories.json"))).unwrap();
    let mut found = vec![];
    for package in locked(lock).iter().filter(|package| package.is_foreign) {
        let concern = |advisory: &&Advisory| advisory.concerns(package.name, &package.version);
        for advisory in snapshot.advisories.iter().filter(concern) {
            found.push(format!("{} {}: {}", package.name, package.version, advisory.id));
        }
    }
    found
}

/// The files of the repository with this name, or whose name begins and ends so.
fn files(is_wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            match entry.file_type().unwrap().is_dir() {
                true if ["target", "node_modules", ".git"].contains(&&*name) => {}
                true => folders.push(entry.path()),
                false if is_wanted(&name) => files.push(entry.path()),
                false => {}
            }
        }
    }
    files.sort();
    files
}

#[test]
fn no_locked_crate_has_a_known_vulnerability() {
    assert_eq!(found(&read(&root().join("Cargo.lock"))), [] as [String; 0]);
}

#[test]
fn a_crate_with_a_known_vulnerability_is_found() {
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    let lock = |version: &str| format!("[[package]]\nname = \"h2\"\nversion = \"{version}\"\n{registry}");
    assert_eq!(found(&lock("0.4.15")), ["h2 0.4.15: RUSTSEC-2026-0258"]);
    assert_eq!(found(&lock("0.4.16")), [] as [String; 0]);
    // One of our own that has the same name.
    assert_eq!(found(&lock("0.4.15").replace(registry, "")), [] as [String; 0]);
}

#[test]
fn each_lock_file_says_what_the_bytes_of_its_packages_are() {
    let cargo = read(&root().join("Cargo.lock"));
    for package in locked(&cargo).iter().filter(|package| package.is_foreign) {
        assert!(package.has_checksum, "Cargo.lock: {} has no checksum", package.name);
    }
    let npm = files(&|name| name == "package-lock.json");
    for file in &npm {
        let lock: Value = serde_json::from_str(&read(file)).unwrap();
        // The first one is the project itself.
        for (name, package) in
            lock["packages"].as_object().unwrap().iter().filter(|(name, _)| !name.is_empty())
        {
            let is_sealed = package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-"));
            let is_inside = package["inBundle"] == true;
            assert!(is_sealed || is_inside, "{}: {name} has no hash", file.display());
        }
    }
    let python = files(&|name| name.starts_with("requirements") && name.ends_with(".txt"));
    for file in &python {
        let text = read(file).replace("\\\n", " ");
        let packages =
            text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
        for package in packages {
            assert!(package.contains("--hash=sha256:"), "{}: {package} has no hash", file.display());
        }
    }
    assert!(npm.len() >= 5 && python.len() >= 9, "{} and {} lock files", npm.len(), python.len());
}

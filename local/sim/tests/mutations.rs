//! Can the simulation see? Each defect here is a change of a line of the rules, or of what the ports promise; the
//! simulation has to find every one. A defect that survives is a fault or an invariant that is missing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers may fail it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "mutations/list.rs"]
mod list;

use list::{MUTATIONS, Mutation};

const CORE: &str = "shared/core/src/";
/// Runs of each spoilt program, which ends at the first violation: most defects show in the first few hundred.
const RUNS: &str = "120000";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A workspace of the rules and the simulation alone, to be spoilt.
struct Copy {
    folder: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make(builder: usize) -> Self {
        let target = root().join(format!("target/mutants/{builder}"));
        let folder = target.join("workspace");
        drop(std::fs::remove_dir_all(&folder));
        for part in ["shared/core", "local/sim"] {
            copy_folder(&root().join(part), &folder.join(part));
        }
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let members: Vec<&str> = manifest.lines().filter(|line| line.starts_with("members = ")).collect();
        let members = <[&str; 1]>::try_from(members).unwrap()[0];
        let manifest = manifest.replace(members, r#"members = ["shared/core", "local/sim"]"#);
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        Self { folder, target }
    }

    /// The simulation's program, without what takes the compiler long.
    fn build(&self) -> Result<PathBuf, String> {
        let built = Command::new(env!("CARGO"))
            .current_dir(&self.folder)
            .args(["build", "--offline", "--quiet", "-p", "statuspulse-sim", "--target-dir"])
            .arg(&self.target)
            .env("RUSTFLAGS", "-Awarnings")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .output()
            .unwrap();
        if built.status.success() {
            Ok(self.target.join("debug/statuspulse-sim"))
        } else {
            Err(String::from_utf8_lossy(&built.stderr).into_owned())
        }
    }

    /// What the simulation says of this defect: the seed and what it violates; `None` if it says nothing.
    fn found(&self, mutation: &Mutation) -> Option<String> {
        let file = self.folder.join(CORE).join(mutation.file);
        let whole = std::fs::read_to_string(&file).unwrap();
        let places = whole.matches(mutation.from).count();
        assert_eq!(places, 1, "{}: the line to be spoilt is there {places} times", mutation.name);
        std::fs::write(&file, whole.replace(mutation.from, mutation.to)).unwrap();
        let program = self.build().unwrap_or_else(|error| panic!("{}: {error}", mutation.name));
        std::fs::write(&file, whole).unwrap();
        violation(&program)
    }
}

fn violation(program: &Path) -> Option<String> {
    let output = Command::new(program).args(["--seed", "1", "--runs", RUNS]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let at = said.rfind("\nseed ").filter(|_| !output.status.success())?;
    Some(said[at..].trim().lines().take(2).collect::<Vec<_>>().join(" "))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
}

/// Builds that go on side by side: each has a workspace of its own.
const BUILDERS: usize = 2;

#[test]
fn the_simulation_finds_every_defect() {
    // Where the unspoilt rules fail, nothing was found.
    assert_eq!(violation(&Copy::make(0).build().unwrap()), None);
    // One that is looked into: STATUSPULSE_DEFECT="lost its lease" cargo test -p statuspulse-sim --test mutations
    let only = std::env::var("STATUSPULSE_DEFECT").unwrap_or_default();
    let mutations: Vec<&Mutation> =
        MUTATIONS.iter().filter(|mutation| mutation.name.contains(&only)).collect();
    let (next, survivors) = (AtomicUsize::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for builder in 0..BUILDERS {
            let (next, survivors, mutations) = (&next, &survivors, &mutations);
            scope.spawn(move || {
                let copy = Copy::make(builder);
                while let Some(mutation) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match copy.found(mutation) {
                        Some(violation) => eprintln!("found: {}: {violation}", mutation.name),
                        None => {
                            eprintln!("SURVIVED: {}", mutation.name);
                            survivors.lock().unwrap().push(mutation.name);
                        }
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap();
    assert!(survivors.is_empty(), "the simulation does not see: {survivors:?}");
}

//! Checks that the simulation finds defects. Each defect is a change of a line of the rules, or of the guarantees of
//! the ports. The simulation must find every one. If a defect survives, a fault or an invariant is missing.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "mutations/repairs.rs"]
mod repairs;
#[path = "mutations/rules.rs"]
mod rules;

use repairs::REPAIRS;
use rules::RULES;

/// A defect.
struct Mutation {
    name: &'static str,
    /// Path below `shared/core/src`.
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// Defects that the first runs do not find, each with a seed that finds it. A change of the simulation or of the rules
/// may require another seed: apply the defect, and run `make sim RUNS=1000000`.
const RARE: [(&str, u64); 10] = [
    ("rotation: a signature that there is no time to repeat is a refusal", 192_381),
    ("repair: a delivery that is held too late for a cancel stays held", 341_527_769_934),
    ("repair: a job starts again for a delivery that is finished since", 182_148_535_103),
    ("repair: the message of a replaced job is not handled again", 216_783_522_791),
    ("repair: the message of a successor on a later rung is not sent again", 6_202_300_417_518),
    ("repair: the other deliveries of a burst are not checked again", 952_797_551_950),
    ("repair: the check misses held deliveries of an active webhook", 258_330),
    ("repair: a conflict at a promotion is ignored", 762_258_633_535),
    ("repair: a cancel ends before the calls have ended that read the webhook", 844_536_506_382),
    ("repair: a delivery that a discard promoted is not sent again", 956_797_063_080),
];

const CORE: &str = "shared/core/src/";
/// Runs of each changed program, which stops at the first violation. Most defects show in the first few hundred.
const RUNS: &str = "120000";
/// Runs of the unchanged program. `make sim` runs more.
const UNCHANGED_RUNS: &str = "20000";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A copy of the core and the simulation, in which lines are changed.
struct Copy {
    folder: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make(builder: usize) -> Self {
        let target = root().join(format!("target/mutants/{builder}"));
        let folder = target.join("workspace");
        drop(std::fs::remove_dir_all(&folder));
        for part in ["shared/core", "testing/sim"] {
            copy_folder(&root().join(part), &folder.join(part));
        }
        std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
        let members: Vec<&str> = manifest.lines().filter(|line| line.starts_with("members = ")).collect();
        let members = <[&str; 1]>::try_from(members).unwrap()[0];
        let manifest = manifest.replace(members, r#"members = ["shared/core", "testing/sim"]"#);
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        Self { folder, target }
    }

    /// Builds the simulation's program, with options for a short build.
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

    /// The seed that finds this defect, and the violation.
    ///
    /// # Errors
    /// Says why there is none: the simulation does not find it, or it is no defect of the rules as they are now.
    fn find(&self, mutation: &Mutation) -> Result<String, String> {
        let file = self.folder.join(CORE).join(mutation.file);
        let whole = std::fs::read_to_string(&file).unwrap();
        let places = whole.matches(mutation.from).count();
        if places != 1 {
            return Err(format!("the line to be changed occurs {places} times"));
        }
        std::fs::write(&file, whole.replace(mutation.from, mutation.to)).unwrap();
        let built = self.build();
        std::fs::write(&file, whole).unwrap();
        let seed = RARE.iter().find(|(name, _)| *name == mutation.name).map_or(1, |(_, seed)| *seed);
        violation(&built?, seed, RUNS).ok_or_else(|| format!("no violation in {RUNS} runs from seed {seed}"))
    }
}

fn violation(program: &Path, first_seed: u64, runs: &str) -> Option<String> {
    let output =
        Command::new(program).args(["--seed", &first_seed.to_string(), "--runs", runs]).output().unwrap();
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

/// Number of concurrent builds. Each has its own workspace.
const BUILDERS: usize = 2;

#[test]
fn the_simulation_finds_every_defect() {
    // If the unchanged rules fail, the results say nothing.
    assert_eq!(violation(&Copy::make(0).build().unwrap(), 1, UNCHANGED_RUNS), None);
    // To test one defect: STATUSPULSE_DEFECT="lost its lease" cargo test -p statuspulse-sim --test mutations
    let only = std::env::var("STATUSPULSE_DEFECT").unwrap_or_default();
    let mutations: Vec<&Mutation> =
        RULES.iter().chain(&REPAIRS).filter(|mutation| mutation.name.contains(&only)).collect();
    let (next, not_found) = (AtomicUsize::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for builder in 0..BUILDERS {
            let (next, not_found, mutations) = (&next, &not_found, &mutations);
            scope.spawn(move || {
                let copy = Copy::make(builder);
                while let Some(mutation) = mutations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match copy.find(mutation) {
                        Ok(violation) => eprintln!("found: {}: {violation}", mutation.name),
                        Err(why) => {
                            eprintln!("NOT FOUND: {}: {why}", mutation.name);
                            not_found.lock().unwrap().push(mutation.name);
                        }
                    }
                }
            });
        }
    });
    let not_found = not_found.into_inner().unwrap();
    assert!(not_found.is_empty(), "the simulation does not find these defects: {not_found:?}");
}

/// A seed at which the unchanged program fails would be no find.
#[test]
fn the_unchanged_program_holds_at_the_seeds_of_rare_defects() {
    for (name, seed) in RARE {
        assert_eq!(statuspulse_sim::run(seed, false).violations, Vec::<String>::new(), "{name}: seed {seed}");
    }
}

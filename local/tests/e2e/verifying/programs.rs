//! The programs of `docs/verify`, made ready and run. One whose language is not here is named, never left out silently.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::request::Request;
use crate::support::{Ended, LONG};

const WITH_LIBRARY: [&str; 2] = ["with-library/verify.mjs", "with-library/verify.py"];

/// Where the programs are, and where what is compiled of them goes. It stays for the next run.
pub(super) struct Place {
    pub(super) root: PathBuf,
    built: PathBuf,
}

/// A program that is ready to be fed.
pub(super) struct Program {
    /// Its file, below `docs/verify`.
    pub(super) file: &'static str,
    command: Vec<String>,
}

/// A language: what it needs here, how its file is built (an exit of 0 is expected), how it is run.
struct Language {
    file: &'static str,
    needs: &'static str,
    build: Vec<String>,
    run: Vec<String>,
}

impl Place {
    pub(super) fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify");
        std::fs::create_dir_all(&built).unwrap();
        Self { root, built }
    }

    pub(super) fn docs(&self) -> PathBuf {
        self.root.join("docs/verify")
    }

    /// What there is to test.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let files = self.languages().into_iter().map(|language| language.file).chain(WITH_LIBRARY);
        files.map(str::to_owned).collect()
    }

    /// One of each language that is here.
    pub(super) async fn programs(&self) -> Vec<Program> {
        let mut programs = vec![];
        for Language { file, needs, build, run } in self.languages() {
            if !is_here(needs) {
                say(&format!("docs/verify/{file} was NOT tested: no {needs} here (make test-tools)"));
                continue;
            }
            if let Some((program, arguments)) = build.split_first() {
                let mut command = Command::new(program);
                // Go keeps what it compiled where HOME is, if there is one.
                command.args(arguments).env("GOCACHE", self.built.join("go-cache"));
                let Output { status, stderr, .. } = command.output().await.unwrap();
                assert!(status.success(), "{file}: {}", String::from_utf8_lossy(&stderr));
            }
            programs.push(Program { file, command: run });
        }
        programs
    }

    fn languages(&self) -> Vec<Language> {
        let file = |name: &str| text(&self.docs().join(name));
        let built = |name: &str| text(&self.built.join(name));
        let language = |file, needs, build: &[&str], run: &[&str]| {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            Language { file, needs, build: owned(build), run: owned(run) }
        };
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let (manifest, rust) = (file("Cargo.toml"), built("rust"));
        // Of its own, since the workspace's may be in use.
        let cargo =
            [&*cargo, "build", "--locked", "--quiet", "--manifest-path", &manifest, "--target-dir", &rust];
        let (go, java) = (built("verify-go"), built("java"));
        vec![
            language("verify.mjs", "node", &[], &["node", &file("verify.mjs")]),
            language("verify.py", "python3", &[], &["python3", &file("verify.py")]),
            language("verify.go", "go", &["go", "build", "-o", &go, &file("verify.go")], &[&go]),
            language("verify.rb", "ruby", &[], &["ruby", &file("verify.rb")]),
            language("verify.php", "php", &[], &["php", &file("verify.php")]),
            language(
                "Verify.java",
                "javac",
                &["javac", "-d", &java, &file("Verify.java")],
                &["java", "-cp", &java, "Verify"],
            ),
            language("verify.rs", "cargo", &cargo, &[&built("rust/debug/verify")]),
            language("verify.sh", "openssl", &[], &["sh", &file("verify.sh")]),
        ]
    }

    /// The same with the Standard Webhooks project's own libraries.
    pub(super) async fn with_libraries(&self) -> Vec<Program> {
        let mut programs = vec![];
        let python = text(&self.root.join("target/venv/bin/python"));
        let node = ["node", "--input-type=module", "--eval", "import 'standardwebhooks'"];
        let languages = [
            ("make libraries", "node", node.to_vec()),
            ("make venv", &*python, vec![&*python, "-c", "import standardwebhooks"]),
        ];
        for (file, (how, program, look)) in WITH_LIBRARY.into_iter().zip(languages) {
            let mut look_for = Command::new(look[0]);
            look_for.args(&look[1..]).current_dir(self.docs().join("with-library"));
            look_for.stdout(Stdio::null()).stderr(Stdio::null());
            if look_for.status().await.is_ok_and(|status| status.success()) {
                let command = vec![program.to_owned(), text(&self.docs().join(file))];
                programs.push(Program { file, command });
            } else {
                say(&format!("docs/verify/{file} was NOT tested: its library is not installed ({how})"));
            }
        }
        programs
    }
}

impl Program {
    /// Some lines of Python.
    pub(super) fn python(file: &'static str, lines: String) -> Option<Self> {
        if !is_here("python3") {
            say(&format!("the Python of {file} was NOT tested: no python3 here"));
            return None;
        }
        Some(Self { file, command: vec!["python3".to_owned(), "-c".to_owned(), lines] })
    }

    /// Runs it on a request. Without a secret the setting is not there at all.
    pub(super) async fn judges(&self, request: &Request, secret: &str) -> Ended {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_remove("STATUSPULSE_SECRET").kill_on_drop(true);
        if !secret.is_empty() {
            command.env("STATUSPULSE_SECRET", secret);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It reads all of it before it says anything. The pipe is closed when this is dropped.
        child.stdin.take().unwrap().write_all(&request.bytes()).await.unwrap();
        let output = tokio::time::timeout(LONG, child.wait_with_output()).await.expect("it ends by itself");
        Ended::from(output.unwrap())
    }
}

/// Past what the test runner keeps to itself of a test that passes.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn is_here(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

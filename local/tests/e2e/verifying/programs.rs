//! Builds and runs the programs of `docs/verify`. Prints a line for each program that is skipped because its language
//! is not installed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::request::Request;
use crate::support::{Ended, LONG, say};

const WITH_LIBRARY: [&str; 2] = ["with-library/verify.mjs", "with-library/verify.py"];

/// The folder of the programs, and the folder for compiled ones, which is kept for the next run.
pub(super) struct Place {
    pub(super) root: PathBuf,
    built: PathBuf,
}

/// A program that is ready to run.
pub(super) struct Program {
    /// Its path below `docs/verify`.
    pub(super) file: &'static str,
    command: Vec<String>,
}

/// A program of `docs/verify`: the tool it needs, the command that builds it (if any), and the command that runs it.
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

    /// The paths of all programs, below `docs/verify`.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let files = self.languages().into_iter().map(|language| language.file).chain(WITH_LIBRARY);
        files.map(str::to_owned).collect()
    }

    /// Builds the programs whose languages are installed.
    pub(super) async fn programs(&self) -> Vec<Program> {
        let mut programs = vec![];
        for Language { file, needs, build, run } in self.languages() {
            if !is_here(needs) {
                say(&format!(
                    "docs/verify/{file} was NOT tested: {needs} is not installed (make test-tools)"
                ));
                continue;
            }
            if let Some((program, arguments)) = build.split_first() {
                let mut command = Command::new(program);
                // Otherwise Go needs HOME for its cache.
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
        // Its own target directory, because the workspace's may be locked by another cargo.
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

    /// The programs that use the libraries of the Standard Webhooks project, if these are installed.
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
    /// A program of these lines of Python; `None` if Python is not installed.
    pub(super) fn python(file: &'static str, lines: String) -> Option<Self> {
        if !is_here("python3") {
            say(&format!("the Python of {file} was NOT tested: python3 is not installed"));
            return None;
        }
        Some(Self { file, command: vec!["python3".to_owned(), "-c".to_owned(), lines] })
    }

    /// Runs the program on a request. With an empty secret the variable is not set.
    pub(super) async fn judges(&self, request: &Request, secret: &str) -> Ended {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_remove("STATUSPULSE_SECRET").kill_on_drop(true);
        if !secret.is_empty() {
            command.env("STATUSPULSE_SECRET", secret);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The programs read everything before they write. Dropping the pipe closes it.
        child.stdin.take().unwrap().write_all(&request.bytes()).await.unwrap();
        let output = tokio::time::timeout(LONG, child.wait_with_output()).await.expect("it ends by itself");
        Ended::from(output.unwrap())
    }
}

fn is_here(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

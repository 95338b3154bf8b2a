//! Runs the program as a child process.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

pub(crate) use statuspulse_kit::api::{Api, LONG, eventually, pause, payload, text};
use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The files of one test. The program creates the data folder.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A receiver with TLS, and the file of the authority to trust.
    pub(crate) fn tls_receiver(&self) -> (Receiver, PathBuf) {
        let authority = Authority::fresh().unwrap();
        let certificate = authority.issue(CertificateSpec::Good).unwrap();
        let file = self.path().join("ca.pem");
        std::fs::write(&file, authority.ca_pem()).unwrap();
        (Receiver::start(ReceiverOptions::tls(certificate)).unwrap(), file)
    }

    /// `statuspulse` without the `STATUSPULSE_` variables of this process.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_statuspulse"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STATUSPULSE_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// `statuspulse serve` on a free port, with this home's data folder.
    pub(crate) fn serve_command(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(self.data()).args(more);
        command
    }

    /// Starts a server that may call loopback addresses.
    pub(crate) async fn serve(&self, more: &[&str]) -> Program {
        let mut command = self.serve_command(&["--dev-allow-cidr", "127.0.0.0/8"]);
        command.args(more).env("STATUSPULSE_LOG", "error");
        Program::start(command).await
    }

    /// Starts a server whose files cannot grow beyond this many KiB, to simulate a full disk.
    pub(crate) async fn serve_on_a_full_disk(&self, kib: u32) -> Program {
        self.serve_after(&format!("trap '' XFSZ; ulimit -f {kib}")).await
    }

    /// Starts a server that may have this many open files.
    pub(crate) async fn serve_with_files(&self, files: u32) -> Program {
        self.serve_after(&format!("ulimit -n {files}")).await
    }

    /// Starts a server from a shell that has run this line.
    async fn serve_after(&self, line: &str) -> Program {
        let served = self.serve_command(&["--dev-allow-cidr", "127.0.0.0/8"]);
        let served = served.as_std();
        let script = format!("{line}; exec \"$0\" \"$@\"");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(served.get_program()).args(served.get_args());
        command.current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        Program::start(command).await
    }

    /// Runs `statuspulse keys …` on this home's data folder.
    pub(crate) async fn keys(&self, action: &str, more: &[&str]) -> Ended {
        let mut command = self.command(&["keys", action, "--data"]);
        command.arg(self.data()).args(more);
        Ended::of(command).await
    }

    pub(crate) async fn operator_key(&self) -> String {
        self.keys("create", &["--role", "operator"]).await.succeeded().trim().to_owned()
    }

    /// A client with an admin key of the account Acme, which is created if it is new.
    pub(crate) async fn admin(&self, program: &Program) -> Api {
        let key = self.keys("create", &["--role", "admin", "--account", "Acme"]).await;
        program.api(key.succeeded().trim())
    }
}

/// The result of a program that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Runs a command until it ends.
    pub(crate) async fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::time::timeout(LONG, command.output()).await.expect("it ends by itself");
        Self::from(output.unwrap())
    }

    /// Asserts success and returns its standard output.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// Asserts failure, an empty standard output and no panic, and returns its standard error.
    pub(crate) fn refused(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "it did not fail: {:?}", self.code);
        assert_eq!(self.out, "");
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

impl From<Output> for Ended {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

/// A running `statuspulse serve`. It is killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// `http://127.0.0.1:PORT`
    pub(crate) origin: String,
}

impl Program {
    /// Starts the server and waits for its ready line.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(LONG, lines.next_line()).await.expect("a ready line").unwrap();
        let line = line.expect("the server ended before it was ready");
        let origin = line.strip_prefix("ready ").expect(&line).to_owned();
        Self { child, lines, origin }
    }

    pub(crate) fn api(&self, key: &str) -> Api {
        Api::new(&self.origin, key)
    }

    /// `HOST:PORT` of the API.
    pub(crate) fn address(&self) -> &str {
        self.origin.strip_prefix("http://").expect(&self.origin)
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it is running").to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    /// Waits until it exits. Returns its status and its output after the ready line.
    pub(crate) async fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let end = async {
            let mut rest = vec![];
            while let Some(line) = self.lines.next_line().await.unwrap() {
                rest.push(line);
            }
            (self.child.wait().await.unwrap(), rest)
        };
        tokio::time::timeout(LONG, end).await.expect("it ends")
    }

    /// Stops it with SIGTERM. Asserts success and no further output.
    pub(crate) async fn stop(self) {
        self.signal("-TERM").await;
        let (status, rest) = self.ended().await;
        assert!(status.success(), "{status}");
        assert_eq!(rest, [""; 0]);
    }

    /// Kills it with SIGKILL and waits until it has exited.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Writes to the real standard error, which the test runner does not capture.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

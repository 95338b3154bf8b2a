//! Runs the `statuspulse` program as a child process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use statuspulse_kit::unix_nanos;

const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// A running `statuspulse serve`. It is killed when dropped, so that a failed run leaves no process behind.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    /// From the ready line: `http://127.0.0.1:PORT`.
    pub(crate) origin: String,
    /// Time from before the exec to the ready line.
    pub(crate) ready_after: Duration,
}

/// The files of one run of the program.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Creates the folder, and deletes it first if it exists.
    pub(crate) fn fresh(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
        }
        fs::create_dir_all(&root).with_context(|| root.display().to_string())?;
        Ok(Self { root })
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    fn ca(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    fn log(&self) -> PathBuf {
        self.root.join("stderr.log")
    }

    pub(crate) fn write_ca(&self, pem: &str) -> Result<()> {
        fs::write(self.ca(), pem).context("writing the CA file")
    }

    /// The size of the database and its log.
    pub(crate) fn bytes(&self) -> Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(self.data()).context("reading the data folder")? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }

    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.root).with_context(|| self.root.display().to_string())
    }
}

/// Creates an operator key with `statuspulse keys create`.
pub(crate) fn operator_key(program: &Path, folder: &Folder) -> Result<String> {
    let output = Command::new(program)
        .args(["keys", "create", "--role", "operator", "--data"])
        .arg(folder.data())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    if !output.status.success() {
        bail!("keys create: {}, {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout).context("the key is not UTF-8")?.trim().to_owned())
}

impl Program {
    /// Starts the program and waits for its ready line.
    pub(crate) fn start(program: &Path, folder: &Folder) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--dev-allow-cidr", "127.0.0.0/8", "--data"]);
        command.arg(folder.data());
        if folder.ca().exists() {
            command.arg("--dev-extra-ca").arg(folder.ca());
        }
        let log = File::create(folder.log()).context("creating the log file")?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let started = unix_nanos();
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let stdout = child.stdout.take().context("the child has no stdout")?;
        // From here on the child is killed when an error returns.
        let mut program = Self { child, origin: String::new(), ready_after: Duration::ZERO };

        let (sender, lines) = mpsc::channel();
        // The thread reads on after the ready line, because a full pipe would block the program.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(origin) = line.strip_prefix("ready ") {
                    sender.send((unix_nanos(), origin.trim().trim_end_matches('/').to_owned())).ok();
                }
            }
        });
        let (ready, origin) = lines.recv_timeout(READY_WITHIN).map_err(|_| {
            let log = fs::read_to_string(folder.log()).unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(5).collect();
            anyhow::anyhow!("no ready line; the end of its log, newest line first: {}", last.join(" / "))
        })?;
        program.origin = origin;
        program.ready_after = Duration::from_nanos(ready.saturating_sub(started));
        Ok(program)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits. Returns the exit status and how long it took.
    pub(crate) fn stop(mut self) -> Result<(ExitStatus, Duration)> {
        let asked = unix_nanos();
        let kill = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        if !kill.context("running kill")?.success() {
            bail!("kill -TERM failed: the program has ended already");
        }
        loop {
            let waited = Duration::from_nanos(unix_nanos().saturating_sub(asked));
            if let Some(status) = self.child.try_wait().context("waiting for the program")? {
                return Ok((status, waited));
            }
            if waited > STOPPED_WITHIN {
                bail!("still running {} s after SIGTERM", STOPPED_WITHIN.as_secs());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if the child has ended, which is fine.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

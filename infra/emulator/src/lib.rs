//! Starts the emulator that stands in for AWS in tests, with the resources of the template. It ends with whoever
//! started it, however that ends: it watches its standard input.
//!
//! The emulator is a Python program (`launch.py` beside this crate) in an environment that `make venv` makes.

mod bootstraps;
mod control;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::Deserialize;

pub use bootstraps::{FUNCTIONS, build};
pub use control::{Call, Process, Work};

/// An emulator that runs.
#[derive(Debug)]
pub struct Emulator {
    /// Where AWS's services are.
    pub endpoint: String,
    /// Where the emulator itself is asked and told things.
    pub control: String,
    /// Where the HTTP API is called; none without functions.
    pub api: Option<String>,
    /// The stack's outputs.
    pub outputs: BTreeMap<String, String>,
    /// What the template lets each function do.
    pub granted: Vec<Grant>,
    /// What a client of the emulator needs in its environment.
    pub environment: BTreeMap<String, String>,
    child: Child,
    _until_closed: Option<ChildStdin>,
}

#[derive(Deserialize)]
struct Ready {
    endpoint: String,
    control: String,
    api: Option<String>,
    outputs: BTreeMap<String, String>,
    granted: Vec<Grant>,
    environment: BTreeMap<String, String>,
}

/// A permission: what a function may do with which resource of the template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Grant {
    /// The function.
    pub function: String,
    /// The action, as in IAM.
    pub action: String,
    /// The resource's logical id.
    pub resource: String,
}

/// Which part of the template is deployed, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the functions' binaries are; without them only what keeps data is deployed.
    pub bootstraps: Option<PathBuf>,
    /// Parameters of the template.
    pub parameters: Vec<(String, String)>,
    /// For every function's process, on top of the template.
    pub function_environment: Vec<(String, String)>,
}

impl Emulator {
    /// Starts it, and returns when the stack stands.
    ///
    /// # Errors
    /// In words that say what is missing.
    pub fn start(options: &Options) -> Result<Self, String> {
        let python = root().join("target/venv/bin/python");
        if !python.exists() {
            return Err("the emulator's Python environment is missing: run `make venv`".to_owned());
        }
        let mut command = Command::new(python);
        command.arg(folder().join("launch.py")).arg(root().join("infra/template.yaml"));
        command.arg("--until-stdin-closes");
        match &options.bootstraps {
            None => command.arg("--data-only"),
            Some(folder) => command.arg("--bootstraps").arg(folder),
        };
        for (name, value) in &options.parameters {
            command.arg("--parameter").arg(format!("{name}={value}"));
        }
        for (name, value) in &options.function_environment {
            command.arg("--function-env").arg(format!("{name}={value}"));
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the emulator does not start: {error}"))?;
        let until_closed = child.stdin.take();
        let mut line = String::new();
        let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        if !matches!(read, Some(Ok(1..))) {
            return Err("the emulator ended before it was ready; see above".to_owned());
        }
        let ready: Ready =
            serde_json::from_str(&line).map_err(|error| format!("the emulator says {line:?}: {error}"))?;
        Ok(Self {
            endpoint: ready.endpoint,
            control: ready.control,
            api: ready.api,
            outputs: ready.outputs,
            granted: ready.granted,
            environment: ready.environment,
            child,
            _until_closed: until_closed,
        })
    }

    /// An output of the stack.
    ///
    /// # Panics
    /// If the template has none of this name.
    pub fn output(&self, name: &str) -> &str {
        #[expect(clippy::panic, reason = "a test that asks for what is not in the template has to fail")]
        self.outputs.get(name).map_or_else(|| panic!("the template has no output {name}"), String::as_str)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self._until_closed.take();
        drop(self.child.wait());
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn root() -> PathBuf {
    folder().join("../..")
}

//! Starts the emulator of AWS for tests, with the resources of the template. It watches its standard input, so it ends
//! with the process that started it, even if that is killed.
//!
//! The emulator is a Python program (`launch.py` beside this crate). `make venv` creates its environment.

mod bootstraps;
mod control;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde::Deserialize;

pub use bootstraps::{FUNCTIONS, build, build_package};
pub use control::{Call, Process, Work};

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    /// The URL of the AWS services.
    pub endpoint: String,
    /// The URL of the control endpoint.
    pub control: String,
    /// The URL of the HTTP API; `None` without functions.
    pub api: Option<String>,
    /// The stack's outputs.
    pub outputs: BTreeMap<String, String>,
    /// The permissions that the template grants to each function.
    pub granted: Vec<Grant>,
    /// The environment variables for clients of the emulator.
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

/// A permission of a function: an action on a resource of the template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Grant {
    /// The name of the function.
    pub function: String,
    /// The IAM action.
    pub action: String,
    /// The logical id of the resource.
    pub resource: String,
}

/// What is deployed, and with which settings.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder with the functions' binaries. Without it only resources that store or protect data are deployed.
    pub bootstraps: Option<PathBuf>,
    /// Parameters of the template.
    pub parameters: Vec<(String, String)>,
    /// Environment variables for all functions, in addition to those of the template.
    pub function_environment: Vec<(String, String)>,
}

impl Emulator {
    /// Starts the emulator, and returns when the stack is ready.
    ///
    /// # Errors
    /// Fails if the Python environment is missing, or if the emulator does not start. The text says what to do.
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
            .map_err(|error| format!("the emulator cannot be started: {error}"))?;
        let until_closed = child.stdin.take();
        let mut line = String::new();
        let read = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
        if !matches!(read, Some(Ok(1..))) {
            return Err("the emulator ended before it was ready; see above".to_owned());
        }
        let ready: Ready =
            serde_json::from_str(&line).map_err(|error| format!("the emulator printed {line:?}: {error}"))?;
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

    /// Returns an output of the stack.
    ///
    /// # Panics
    /// Panics if the template has no output with this name.
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

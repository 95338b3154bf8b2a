//! Where an import goes: a folder, or the registration function of a deployment on AWS.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use statuspulse_core::moving::import::{Importer, Part, Taken};
use statuspulse_core::outbox::Outbox;
use statuspulse_embedded::{Embedded, Purpose};
use tokio::process::Command;

use crate::arguments::ImportOptions;
use crate::keys::exists;
use crate::system::SystemClock;

pub(super) enum Destination {
    Folder(Box<Importer>),
    /// The function's name or ARN.
    Lambda(String),
}

impl Destination {
    pub(super) fn open(options: &ImportOptions) -> Result<Self> {
        if let Some(function) = &options.lambda {
            return Ok(Self::Lambda(function.clone()));
        }
        let data = options.data.as_deref().context("--data or --lambda is required")?;
        if !options.new {
            exists(data).context("nothing was imported; --new makes the folder")?;
        }
        let clock = Arc::new(SystemClock::start());
        let store = Embedded::open(data, Purpose::Move, clock.clone())?;
        Ok(Self::Folder(Box::new(Importer {
            arrivals: store.clone(),
            accounts: store.clone(),
            outbox: Outbox::new(store.clone(), store.clone(), store.clone(), store.clone(), clock.clone()),
            opener: store.opener(),
            clock,
        })))
    }

    pub(super) async fn recipient(&self) -> Result<String> {
        match self {
            Self::Folder(importer) => Ok(importer.opener.recipient().to_string()),
            Self::Lambda(function) => {
                let answer = invoke(function, &json!({"recipient": {}})).await?;
                let recipient = answer.get("recipient").and_then(Value::as_str);
                Ok(recipient
                    .with_context(|| format!("{function} is not a registration function"))?
                    .to_owned())
            }
        }
    }

    pub(super) async fn take(&self, part: &Part) -> Result<Taken> {
        match self {
            Self::Folder(importer) => Ok(importer.take(part).await?),
            Self::Lambda(function) => {
                let answer = invoke(function, &json!({ "import": part })).await?;
                serde_json::from_value(answer)
                    .with_context(|| format!("{function} is not a registration function"))
            }
        }
    }
}

/// Calls the function with the AWS command line, which knows the operator's credentials and region.
async fn invoke(function: &str, payload: &Value) -> Result<Value> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (sent, answered) = (folder.path().join("sent"), folder.path().join("answered"));
    std::fs::write(&sent, serde_json::to_vec(payload)?)?;
    let mut command = Command::new("aws");
    command.args(["lambda", "invoke", "--function-name", function, "--output", "json"]);
    command.arg("--payload").arg(format!("fileb://{}", sent.display())).arg(&answered);
    let ran = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let ran = ran.context("cannot run the AWS command line, aws: is it installed?")?;
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    ensure!(ran.status.success(), "aws lambda invoke failed: {said}");
    let about: Value = serde_json::from_slice(&ran.stdout).context("aws printed something else than JSON")?;
    let answer = std::fs::read(&answered).context("aws wrote no answer")?;
    if about.get("FunctionError").is_some() {
        bail!("{function} failed: {}", String::from_utf8_lossy(&answer));
    }
    serde_json::from_slice(&answer).with_context(|| format!("{function} answered something else than JSON"))
}

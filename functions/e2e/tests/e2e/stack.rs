//! A running stack, a receiver, and API clients.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_emulator::{Emulator, Options};
use statuspulse_kit::api::{Api, LONG, eventually};
use statuspulse_kit::{Authority, Behaviour, CertificateSpec, Receiver, ReceiverOptions};
use tempfile::TempDir;

/// The path of the receiver's Slack mock.
pub(crate) const SLACK: &str = "/slack/secret-path";
pub(crate) const PAGERDUTY: &str = "/v2/enqueue";

pub(crate) struct Stack {
    pub(crate) emulator: Emulator,
    pub(crate) receiver: Receiver,
    pub(crate) admin: Api,
    pub(crate) account: String,
    files: TempDir,
}

/// Builds the bootstraps once for all tests.
fn bootstraps() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| statuspulse_emulator::build().unwrap()).clone()
}

impl Stack {
    /// Starts a stack with an account. `ladder` are the waits of the retries in seconds.
    pub(crate) async fn start(ladder: [u32; 4]) -> Self {
        Self::start_with(ladder, &[]).await
    }

    /// The same with more parameters of the template.
    pub(crate) async fn start_with(ladder: [u32; 4], more: &[(&str, &str)]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::fresh().unwrap();
        let certificate = authority.issue(CertificateSpec::Good).unwrap();
        let ca = files.path().join("ca.pem");
        std::fs::write(&ca, authority.ca_pem()).unwrap();
        let receiver = Receiver::start(ReceiverOptions::tls(certificate)).unwrap();
        let mut parameters: Vec<(String, String)> = (1..)
            .zip(ladder)
            .map(|(rung, seconds)| (format!("RetryDelay{rung}"), seconds.to_string()))
            .collect();
        parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        parameters.push(("Architecture".to_owned(), "x86_64".to_owned()));
        parameters.push(("SlackUrl".to_owned(), receiver.url(SLACK)));
        parameters.push(("PagerDutyUrl".to_owned(), receiver.url(PAGERDUTY)));
        receiver.behaviour(PAGERDUTY, Behaviour::PagerDuty);
        let options = Options {
            bootstraps: Some(bootstraps()),
            parameters,
            function_environment: vec![
                ("STATUSPULSE_DEV_ALLOW_CIDR".to_owned(), "127.0.0.0/8,::1/128".to_owned()),
                ("STATUSPULSE_DEV_EXTRA_CA".to_owned(), ca.display().to_string()),
            ],
        };
        let emulator = Emulator::start(&options).unwrap();
        let key = emulator.invoke("Registration", &json!({"operator_key": {}}));
        let operator = Api::new(emulator.api.as_deref().unwrap(), key["key"].as_str().unwrap());
        let made = operator.post("/v1/accounts", &json!({"name": "Acme & Sons"})).await.expect(201);
        let admin = operator.with_key(made["key"].as_str().unwrap());
        let account = made["id"].as_str().unwrap().to_owned();
        Self { emulator, receiver, admin, account, files }
    }

    /// The file of the authority that the receiver's certificate is from.
    pub(crate) fn authority(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// Waits for `n` requests on a path, and returns them.
    pub(crate) async fn arrived(&self, path: &str, n: u64) -> Vec<statuspulse_kit::Received> {
        self.receiver.wait_for(path, n, LONG).await.unwrap()
    }

    /// Waits until nothing is in progress, without advancing the clock.
    pub(crate) async fn quiet(&self) {
        eventually("the stack is idle", async || self.emulator.work().quiet).await;
    }

    /// Advances the clock in steps, and after each step waits until all due work is done.
    pub(crate) async fn pass(&self, step: Duration, steps: u32) {
        for _ in 0..steps {
            self.emulator.advance(step);
            self.quiet().await;
        }
    }

    /// Waits until the webhook meets the condition, and returns it.
    pub(crate) async fn until(&self, webhook: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || is_so(&self.admin.shown(webhook).await)).await;
        self.admin.shown(webhook).await
    }
}

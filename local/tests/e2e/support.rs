//! The program as a child process, a client of its API, and events to publish.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use statuspulse_kit::{Authority, CertificateSpec, Receiver, ReceiverOptions};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Where one test keeps its files. The data folder is made by the program.
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

    /// A receiver that speaks TLS, and the file to trust it by.
    pub(crate) fn tls_receiver(&self) -> (Receiver, PathBuf) {
        let authority = Authority::fresh().unwrap();
        let certificate = authority.issue(CertificateSpec::Good).unwrap();
        let file = self.path().join("ca.pem");
        std::fs::write(&file, authority.ca_pem()).unwrap();
        (Receiver::start(ReceiverOptions::tls(certificate)).unwrap(), file)
    }

    /// `statuspulse`, with nothing of this process's own settings.
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

    /// `statuspulse serve` on a free port and this home's data.
    pub(crate) fn serve_command(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(self.data()).args(more);
        command
    }

    /// Serves, with loopback allowed.
    pub(crate) async fn serve(&self, more: &[&str]) -> Program {
        let mut command = self.serve_command(&["--dev-allow-cidr", "127.0.0.0/8"]);
        command.args(more);
        Program::start(command).await
    }

    /// Runs `statuspulse keys …` on this home's data.
    pub(crate) async fn keys(&self, action: &str, more: &[&str]) -> Ended {
        let mut command = self.command(&["keys", action, "--data"]);
        command.arg(self.data()).args(more);
        Ended::of(command).await
    }

    pub(crate) async fn operator_key(&self) -> String {
        self.keys("create", &["--role", "operator"]).await.succeeded().trim().to_owned()
    }

    /// An account's admin.
    pub(crate) async fn admin(&self, program: &Program) -> Api {
        let key = self.keys("create", &["--role", "admin", "--account", "Acme"]).await;
        program.api(key.succeeded().trim())
    }
}

/// A program that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Runs a command that ends by itself.
    pub(crate) async fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::time::timeout(LONG, command.output()).await.expect("it ends by itself");
        let Output { status, stdout, stderr } = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    /// What it wrote to standard output.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// What it wrote to standard error, when it refused; nothing stands on standard output then.
    pub(crate) fn refused(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "it did not fail: {:?}", self.code);
        assert_eq!(self.out, "");
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

/// A running `statuspulse serve`. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// `http://127.0.0.1:PORT`
    pub(crate) origin: String,
}

impl Program {
    /// Starts it and waits for its ready line.
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(LONG, lines.next_line()).await.expect("it gets ready").unwrap();
        let line = line.expect("it ended before it was ready");
        let origin = line.strip_prefix("ready ").expect(&line).to_owned();
        Self { child, lines, origin }
    }

    pub(crate) fn api(&self, key: &str) -> Api {
        Api::new(&self.origin, key)
    }

    /// `HOST:PORT` of its API.
    pub(crate) fn address(&self) -> &str {
        self.origin.strip_prefix("http://").expect(&self.origin)
    }

    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it is running").to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    /// Waits for its end; what it wrote to standard output after the ready line comes with it.
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

    /// An orderly end.
    pub(crate) async fn stop(self) {
        self.signal("-TERM").await;
        let (status, rest) = self.ended().await;
        assert!(status.success(), "{status}");
        assert_eq!(rest, [""; 0]);
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

/// A client with one key.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    origin: String,
    key: String,
}

impl Api {
    pub(crate) fn new(origin: &str, key: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { client, origin: origin.to_owned(), key: key.to_owned() }
    }

    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The same caller at a server that was started since.
    pub(crate) fn at(&self, origin: &str) -> Self {
        Self::new(origin, &self.key)
    }

    /// One exchange with whatever is there, which need not speak JSON.
    pub(crate) async fn probe(&self, path: &str) {
        let request = Request::get(format!("{}{path}", self.origin)).body(Full::default()).unwrap();
        let answer = tokio::time::timeout(LONG, self.client.request(request)).await.expect("an answer");
        answer.unwrap().into_body().collect().await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, Bytes::new()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, None, Bytes::from(body.to_string())).await.unwrap()
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, None, Bytes::from(body.to_string())).await.unwrap()
    }

    /// Publishes a payload exactly as it stands; the error is that of a connection that broke.
    pub(crate) async fn publish(
        &self,
        groups: &[&str],
        payload: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, String> {
        let envelope = format!("{{\"monitor_groups\":{},\"payload\":{payload}}}", json!(groups));
        self.call("POST", "/v1/events", idempotency_key, Bytes::from(envelope)).await
    }

    /// Publishes and expects it to be accepted, for that many webhooks.
    pub(crate) async fn published(&self, groups: &[&str], payload: &str, deliveries: u64) -> Value {
        let answer = self.publish(groups, payload, None).await.unwrap().expect(202);
        assert_eq!(answer["deliveries"], deliveries, "{payload}");
        answer
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        idempotency_key: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let exchange = async {
            let answer = self.client.request(request.body(Full::from(body)).unwrap()).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
            Ok(Answer { status, body })
        };
        tokio::time::timeout(LONG, exchange).await.expect("an answer")
    }

    /// Registers a webhook for all events of these groups, which passes its handshake. Its id and secret.
    pub(crate) async fn webhook(&self, url: &str, groups: &[&str]) -> (String, String) {
        let body = json!({
            "url": url,
            "events": ["incident_opened", "incident_updated", "incident_resolved"],
            "monitor_groups": groups,
        });
        let made = self.post("/v1/webhooks", &body).await.expect(201);
        assert_eq!(made["status"], "active", "{made}");
        (text(&made, "id"), text(&made, "secret"))
    }

    pub(crate) async fn shown(&self, webhook: &str) -> Value {
        self.get(&format!("/v1/webhooks/{webhook}")).await.expect(200)
    }

    /// All of a webhook's deliveries, newest first.
    pub(crate) async fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let mut all = vec![];
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/webhooks/{webhook}/deliveries?limit=250{cursor}");
            let page = self.get(&path).await.expect(200);
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Returns when no delivery of the webhook is under way.
    pub(crate) async fn all_delivered(&self, webhook: &str) {
        eventually("every delivery is delivered", async || {
            self.deliveries(webhook).await.iter().all(|delivery| delivery["status"] == "delivered")
        })
        .await;
    }
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// An event of that kind (`opened`, `updated`, `resolved`), spelled with its own spacing and digits.
pub(crate) fn payload(kind: &str, incident: &str, n: usize) -> String {
    let (status, time) = match kind {
        "opened" => ("investigating", "triggered_at"),
        "updated" => ("identified", "updated_at"),
        _ => ("resolved", "resolved_at"),
    };
    format!(
        r#"{{ "event_type":"incident_{kind}", "incident_id":"{incident}", "monitor_name":"Chéckout <API>",
  "status":"{status}","{time}":"2026-11-24T12:00:00Z","details":{{"latency_ms":1240.50,"n":{n},"big":9223372036854775809}} }}"#
    )
}

/// Asks again and again, for what no event tells of.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            pause(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, asking).await.is_ok(), "not so: {what}");
}

pub(crate) async fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
    tokio::time::sleep(time).await;
}

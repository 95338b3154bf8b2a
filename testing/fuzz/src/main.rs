//! Sends generated calls to a running program: routes, parameters and bodies from the description of the API, with edits, and
//! forms of the dashboard. No answer may be a 5xx, nothing may panic, and the memory must stay flat.

mod generate;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use generate::{Call, Generator, Ids};

#[derive(Debug, Parser)]
struct Arguments {
    /// The program.
    #[arg(long)]
    program: PathBuf,
    /// How many calls are made. Some cannot be sent.
    #[arg(long, default_value_t = 1_020_000)]
    calls: u64,
    /// The calls of another seed are others.
    #[arg(long, default_value_t = 1105)]
    seed: u64,
}

/// Callers at the same time.
const CALLERS: u64 = 16;
/// How much the memory may grow after the first tenth of the calls, in MB.
const GROWTH_MB: u64 = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // It fails only if it was installed before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let receiver = receiver().await?;
    let folder = tempfile::tempdir()?;
    let operator = operator_key(&arguments, &folder).await?;
    let server = Server::start(&arguments, &folder).await?;
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let api = Api { client, url: server.url.clone() };
    let (key, ids) = furnished(&api, &operator, receiver).await?;
    let description = api.call(Method::GET, "/openapi.json", &key, None).await?;
    let progress = Arc::new(Progress::of(server.process()?, arguments.calls / 10));
    let mut callers = vec![];
    for caller in 0..CALLERS {
        let generator = Generator::new(&description, &ids, receiver, arguments.seed * CALLERS + caller);
        let (api, key, progress) = (api.clone(), key.clone(), progress.clone());
        let each = arguments.calls / CALLERS;
        callers.push(tokio::spawn(async move { calls(api, key, generator, each, &progress).await }));
    }
    for caller in callers {
        caller.await??;
    }
    let late = memory_mb(server.process()?)?;
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (done, refused, early) = (of(&progress.made), of(&progress.refused), of(&progress.early));
    say(&format!(
        "{done} calls, {refused} of them refused with a 4xx; {early} MB after a tenth of them, {late} MB at the end"
    ))?;
    ensure!(late <= early + GROWTH_MB, "the memory grew from {early} to {late} MB");
    ensure!(refused < done * 99 / 100 && refused > done / 100, "the calls are all right or all wrong");
    server.stop().await
}

/// What all callers count.
struct Progress {
    process: u32,
    made: AtomicU64,
    refused: AtomicU64,
    /// The memory when the first part of the calls was made, in MB.
    early: AtomicU64,
    first_part: u64,
}

impl Progress {
    fn of(process: u32, first_part: u64) -> Self {
        Self { process, made: 0.into(), refused: 0.into(), early: 0.into(), first_part }
    }

    fn count(&self, status: StatusCode) -> Result<()> {
        self.refused.fetch_add(u64::from(status.is_client_error()), Ordering::Relaxed);
        let made = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        if made == self.first_part {
            self.early.store(memory_mb(self.process)?, Ordering::Relaxed);
        }
        if made.is_multiple_of(100_000) {
            say(&format!("{made} calls"))?;
        }
        Ok(())
    }
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// The resident memory of a process.
fn memory_mb(process: u32) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).context("the program has ended")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("the program has ended")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024)
}

/// Makes calls, and fails at the first answer that must not be.
async fn calls(
    api: Api,
    key: String,
    mut generator: Generator,
    count: u64,
    progress: &Progress,
) -> Result<()> {
    for _ in 0..count {
        let Call { method, path, body, content_type } = generator.next_call();
        let asked = api.client.request(method.clone(), format!("{}{path}", api.url));
        let asked = asked.header("Content-Type", content_type);
        let asked = if generator.has_key() { asked.bearer_auth(&key) } else { asked };
        // A path or a header that cannot be sent is no call.
        let Ok(request) = asked.body(body.clone()).build() else { continue };
        let answer = api.client.execute(request).await.with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        let text = answer.bytes().await?;
        if status.is_server_error() {
            bail!(
                "{method} {path} answered {status}: {}\n{}",
                String::from_utf8_lossy(&text),
                String::from_utf8_lossy(&body)
            );
        }
        progress.count(status)?;
    }
    Ok(())
}

#[derive(Clone)]
struct Api {
    client: Client,
    url: String,
}

impl Api {
    async fn call(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> Result<Value> {
        let asked = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(key);
        let asked = match body {
            Some(body) => asked.json(&body),
            None => asked,
        };
        let answer = asked.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path} answered {status}: {text}");
        if status == StatusCode::NO_CONTENT { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }
}

/// An account with a webhook, an event and its delivery, and without narrow quotas.
async fn furnished(api: &Api, operator: &str, receiver: u16) -> Result<(String, Ids)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let made = api.call(Method::POST, "/v1/accounts", operator, Some(json!({"name": "Fuzz"}))).await?;
    let (account, key) = (text(&made["id"]), text(&made["key"]));
    let shown = api.call(Method::GET, &format!("/v1/accounts/{account}/quotas"), operator, None).await?;
    let mut wide = shown.as_object().cloned().unwrap_or_default();
    // What is kept stays as bounded as it is: the number of webhooks.
    wide.retain(|name, value| value.is_number() && !name.starts_with("webhooks_"));
    wide.values_mut().for_each(|value| *value = json!(1_000_000_000));
    api.call(Method::PATCH, &format!("/v1/accounts/{account}/quotas"), operator, Some(wide.into())).await?;
    let url = format!("http://127.0.0.1:{receiver}/in");
    let asked = json!({"url": url, "events": ["incident_opened", "incident_updated", "incident_resolved"]});
    let webhook = text(&api.call(Method::POST, "/v1/webhooks", &key, Some(asked)).await?["id"]);
    let payload = json!({
        "event_type": "incident_opened", "incident_id": "INC-1", "monitor_name": "m", "status": "investigating",
        "triggered_at": "2026-11-24T12:00:00Z", "details": {},
    });
    let published = api.call(Method::POST, "/v1/events", &key, Some(json!({ "payload": payload }))).await?;
    let listed = api.call(Method::GET, &format!("/v1/webhooks/{webhook}/deliveries"), &key, None).await?;
    let spare = api.call(Method::POST, "/v1/keys", &key, Some(json!({"role": "viewer"}))).await?;
    let ids = Ids {
        webhook,
        event: text(&published["event_id"]),
        delivery: text(&listed["data"][0]["id"]),
        key: text(&spare["id"]),
    };
    Ok((key, ids))
}

async fn operator_key(arguments: &Arguments, folder: &tempfile::TempDir) -> Result<String> {
    let made = Command::new(&arguments.program)
        .args(["keys", "create", "--role", "operator", "--new", "--data"])
        .arg(folder.path())
        .output()
        .await?;
    let said = String::from_utf8(made.stdout)?;
    let key = said.split_whitespace().find(|word| word.starts_with("spk_"));
    key.map(str::to_owned)
        .with_context(|| format!("no key in: {said}{}", String::from_utf8_lossy(&made.stderr)))
}

/// A receiver on loopback, which answers 200 to everything. Returns its port.
async fn receiver() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 65_536];
                let _read = connection.read(&mut bytes).await?;
                connection
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await
            });
        }
    });
    Ok(port)
}

/// The program under test.
struct Server {
    child: Child,
    url: String,
    log: tokio::task::JoinHandle<Vec<String>>,
}

impl Server {
    async fn start(arguments: &Arguments, folder: &tempfile::TempDir) -> Result<Self> {
        let mut child = Command::new(&arguments.program)
            .args(["serve", "--listen", "127.0.0.1:0", "--dev-allow-cidr", "127.0.0.0/8", "--data"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let url = loop {
            let line = lines.next_line().await?.context("the server has ended")?;
            if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                break url.trim_end_matches('/').to_owned();
            }
        };
        let mut errors = BufReader::new(child.stderr.take().context("its log")?).lines();
        let log = tokio::spawn(async move {
            let mut panics = vec![];
            while let Ok(Some(line)) = errors.next_line().await {
                if line.contains("panicked") {
                    panics.push(line);
                }
            }
            panics
        });
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, url, log })
    }

    fn process(&self) -> Result<u32> {
        self.child.id().context("the program has ended")
    }

    async fn stop(mut self) -> Result<()> {
        self.child.kill().await?;
        let panics = self.log.await?;
        ensure!(panics.is_empty(), "it panicked: {panics:#?}");
        Ok(())
    }
}

//! Asking the emulator what happened, and telling it what to do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Emulator;

/// A call of AWS that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Call {
    /// `dynamodb`, `sqs`, ...
    pub service: String,
    /// The name of the API's operation.
    pub action: String,
    /// The resource in the template, where the call names one.
    pub resource: Option<String>,
    /// The function that made it; `harness` for the test itself.
    pub function: String,
    /// `ok`, `denied`, or an error's code.
    pub outcome: String,
    /// What IAM was asked.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// What DynamoDB counts it as.
    #[serde(default)]
    pub write_units: u64,
    /// What DynamoDB counts it as.
    #[serde(default)]
    pub read_units: u64,
}

/// A function's process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// Which function.
    pub function: String,
    /// Its process id.
    pub pid: u32,
    /// Whether it works on something.
    pub busy: bool,
}

/// What goes on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Work {
    /// Whether nothing goes on unless the clock is moved.
    pub quiet: bool,
}

impl Emulator {
    /// All calls of AWS since the start, or since [`forget_calls`](Self::forget_calls).
    pub fn calls(&self) -> Vec<Call> {
        let text = get(&format!("{}/log?since=0", self.control));
        text.lines().map(read).collect()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        post(&format!("{}/purge-log", self.control), &[], "");
    }

    /// The functions' processes.
    pub fn processes(&self) -> Vec<Process> {
        read(&get(&format!("{}/functions", self.control)))
    }

    /// What goes on.
    pub fn work(&self) -> Work {
        read(&get(&format!("{}/work", self.control)))
    }

    /// Moves the clock of the emulator and of all functions.
    pub fn advance(&self, time: std::time::Duration) {
        let body = json!({"advance_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX)}).to_string();
        post(&format!("{}/clock", self.control), &[], &body);
    }

    /// Invokes a function as its owner may. `function` is its name in the template's outputs, without `FunctionName`.
    pub fn invoke(&self, function: &str, payload: &Value) -> Value {
        let name = self.output(&format!("{function}FunctionName"));
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        read(&post(&url, &[owner("lambda")], &payload.to_string()))
    }

    /// Puts an event on the stack's bus. The detail is text, so that its numbers keep their digits.
    pub fn put_event(&self, source: &str, detail_type: &str, detail: &str) {
        let entry = json!({
            "EventBusName": self.output("EventBusName"),
            "Source": source,
            "DetailType": detail_type,
            "Detail": detail,
        });
        let headers = [
            owner("events"),
            ("x-amz-target", "AWSEvents.PutEvents".to_owned()),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
        ];
        let answer: Value = read(&post(&self.endpoint, &headers, &json!({"Entries": [entry]}).to_string()));
        assert_eq!(answer["FailedEntryCount"], 0, "{answer}");
    }

    /// Sends a text to a queue.
    pub fn send(&self, queue_url: &str, text: &str) {
        let headers = [
            owner("sqs"),
            ("x-amz-target", "AmazonSQS.SendMessage".to_owned()),
            ("content-type", "application/x-amz-json-1.0".to_owned()),
        ];
        let body = json!({"QueueUrl": queue_url, "MessageBody": text}).to_string();
        post(&self.endpoint, &headers, &body);
    }

    /// How many messages stand in a queue, in flight and delayed ones included.
    pub fn messages_in(&self, queue_url: &str) -> u64 {
        let names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let body = json!({"QueueUrl": queue_url, "AttributeNames": names}).to_string();
        let headers = [
            owner("sqs"),
            ("x-amz-target", "AmazonSQS.GetQueueAttributes".to_owned()),
            ("content-type", "application/x-amz-json-1.0".to_owned()),
        ];
        let answer: Value = read(&post(&self.endpoint, &headers, &body));
        let count = |name: &&str| answer["Attributes"][*name].as_str().and_then(|n| n.parse::<u64>().ok());
        names.iter().map(|name| count(name).unwrap_or(0)).sum()
    }
}

/// A test that would hang fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

/// The emulator's root user; it checks who signs, and not the signature.
fn owner(service: &str) -> (&'static str, String) {
    let scope = format!("Credential=test/20261124/us-east-1/{service}/aws4_request");
    ("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
}

fn get(url: &str) -> String {
    exchange("GET", url, &[], "")
}

fn post(url: &str, headers: &[(&str, String)], body: &str) -> String {
    exchange("POST", url, headers, body)
}

/// One exchange on a connection of its own.
#[expect(clippy::expect_used, clippy::panic, reason = "a test's own helper may fail it")]
fn exchange(method: &str, url: &str, headers: &[(&str, String)], body: &str) -> String {
    let rest = url.strip_prefix("http://").expect("the emulator is called by http");
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(address).expect("the emulator listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).expect("the emulator reads");
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("the emulator answers");
    let answer = String::from_utf8(answer).expect("the emulator answers in text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("the emulator speaks HTTP");
    assert!(head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')), "{method} {url}: {answer}");
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        panic!("the emulator answers in chunks");
    }
    body.to_owned()
}

#[expect(clippy::panic, reason = "a test's own helper may fail it")]
fn read<T: for<'de> Deserialize<'de>>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("the emulator says {text:?}: {error}"))
}

//! Observes and controls the emulator.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Emulator;

/// A call to AWS from the request log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Call {
    /// `dynamodb`, `sqs`, ...
    pub service: String,
    /// The name of the API operation.
    pub action: String,
    /// The logical id or the name of the resource, if the call names one.
    pub resource: Option<String>,
    /// The function that made the call; `harness` for the test itself.
    pub function: String,
    /// `ok`, `denied`, or an error code.
    pub outcome: String,
    /// The IAM actions that were checked.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Write request units of DynamoDB.
    #[serde(default)]
    pub write_units: u64,
    /// Read request units of DynamoDB.
    #[serde(default)]
    pub read_units: u64,
}

/// A process of a function.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// The name of the function.
    pub function: String,
    /// The process id.
    pub pid: u32,
    /// Whether it is handling an event.
    pub busy: bool,
}

/// Whether work is in progress.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Work {
    /// Whether nothing will happen unless the clock is moved.
    pub quiet: bool,
}

impl Emulator {
    /// All calls to AWS since the start, or since [`forget_calls`](Self::forget_calls).
    pub fn calls(&self) -> Vec<Call> {
        let text = get(&format!("{}/log?since=0", self.control));
        text.lines().map(read).collect()
    }

    /// Clears the log of calls.
    pub fn forget_calls(&self) {
        post(&format!("{}/purge-log", self.control), &[], "");
    }

    /// The processes of all functions.
    pub fn processes(&self) -> Vec<Process> {
        read(&get(&format!("{}/functions", self.control)))
    }

    /// Whether work is in progress.
    pub fn work(&self) -> Work {
        read(&get(&format!("{}/work", self.control)))
    }

    /// Moves the clock of the emulator and of all functions.
    pub fn advance(&self, time: std::time::Duration) {
        let body = json!({"advance_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX)}).to_string();
        post(&format!("{}/clock", self.control), &[], &body);
    }

    /// Invokes a function directly. `function` is its name in the template's outputs, without `FunctionName`.
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

    /// Puts an event of an AWS service on the default bus, as an entry of `PutEvents`.
    pub fn put_aws_event(&self, event: &Value) {
        post(&format!("{}/aws-event", self.control), &[], &event.to_string());
    }

    /// Sends a text to a queue.
    pub fn send(&self, queue_url: &str, text: &str) {
        self.sqs("SendMessage", &json!({"QueueUrl": queue_url, "MessageBody": text}));
    }

    /// Changes the delay of a queue, as the deployment of another template does.
    pub fn set_delay(&self, queue_url: &str, seconds: u32) {
        let attributes = json!({"DelaySeconds": seconds.to_string()});
        self.sqs("SetQueueAttributes", &json!({"QueueUrl": queue_url, "Attributes": attributes}));
    }

    /// The bodies of all visible messages of a queue, which are deleted.
    pub fn take(&self, queue_url: &str) -> Vec<String> {
        let mut bodies = vec![];
        loop {
            let answer =
                self.sqs("ReceiveMessage", &json!({"QueueUrl": queue_url, "MaxNumberOfMessages": 10}));
            let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let receipt = &message["ReceiptHandle"];
                self.sqs("DeleteMessage", &json!({"QueueUrl": queue_url, "ReceiptHandle": receipt}));
                bodies.extend(message["Body"].as_str().map(str::to_owned));
            }
        }
    }

    /// Moves the messages of a dead-letter queue to the queue that they came from.
    pub fn redrive(&self, dead_letters_arn: &str) {
        self.sqs("StartMessageMoveTask", &json!({"SourceArn": dead_letters_arn}));
    }

    /// The number of messages in a queue, including messages in flight and delayed ones.
    pub fn messages_in(&self, queue_url: &str) -> u64 {
        let names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ];
        let answer = self.sqs("GetQueueAttributes", &json!({"QueueUrl": queue_url, "AttributeNames": names}));
        let count = |name: &&str| answer["Attributes"][*name].as_str().and_then(|n| n.parse::<u64>().ok());
        names.iter().map(|name| count(name).unwrap_or(0)).sum()
    }

    fn sqs(&self, action: &str, body: &Value) -> Value {
        let headers = [
            owner("sqs"),
            ("x-amz-target", format!("AmazonSQS.{action}")),
            ("content-type", "application/x-amz-json-1.0".to_owned()),
        ];
        let answer = post(&self.endpoint, &headers, &body.to_string());
        if answer.is_empty() { Value::Null } else { read(&answer) }
    }

    /// Deletes all schedules of the stack, and returns their inputs.
    pub fn take_schedules(&self) -> Vec<String> {
        let group = self.output("ScheduleGroupName");
        let headers = [owner("scheduler")];
        let call = |method, path: &str| exchange(method, &format!("{}{path}", self.endpoint), &headers, "");
        let list: Value = read(&call("GET", &format!("/schedules?ScheduleGroup={group}")));
        let names =
            list["Schedules"].as_array().into_iter().flatten().filter_map(|known| known["Name"].as_str());
        let take = |name: &str| {
            let path = format!("/schedules/{name}?groupName={group}");
            let schedule: Value = read(&call("GET", &path));
            call("DELETE", &path);
            schedule["Target"]["Input"].as_str().map(str::to_owned)
        };
        names.filter_map(take).collect()
    }
}

/// A timeout, so that a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// Signs as the root user. The emulator checks the key, but not the signature.
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

/// Makes one request on a new connection.
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
    serde_json::from_str(text).unwrap_or_else(|error| panic!("the emulator answered {text:?}: {error}"))
}

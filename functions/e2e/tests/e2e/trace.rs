//! X-Ray: an invocation sends its trace id with every call to AWS, and SQS and EventBridge pass it on with the
//! message. The emulator does not support traces, so a bootstrap runs here against two small servers.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::messages::sample;

const TRACE: &str = "Root=1-67442a5c-3f1f5b2a9d0c4e7b8a6f1234;Parent=53995c3f42cd8ad8;Sampled=1";

/// Starts a server on loopback. `answer` gets the request line and returns header lines and a body. The channel gets
/// the head and the body of each request.
fn serve(
    answer: impl Fn(&str) -> Option<(String, String)> + Send + Sync + 'static,
) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, came) = channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (answer, sender) = (answer.clone(), sender.clone());
            std::thread::spawn(move || talk(connection.unwrap(), &*answer, &sender));
        }
    });
    (address, came)
}

fn talk(
    mut connection: TcpStream,
    answer: &dyn Fn(&str) -> Option<(String, String)>,
    sender: &Sender<(String, String)>,
) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        drop(sender.send((head.clone(), String::from_utf8_lossy(&body).into_owned())));
        // A poll without an event stays open, as in Lambda.
        let Some((more, body)) = answer(head.lines().next().unwrap()) else { continue };
        let length = body.len();
        write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{more}\r\n{body}").unwrap();
    }
}

struct Bootstrap(Child);

impl Drop for Bootstrap {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_trace_of_an_invocation_goes_out_with_its_calls() {
    let binaries = statuspulse_emulator::build().unwrap();
    let (aws, calls) = serve(|_| Some((String::new(), "{}".to_owned())));
    let event = sample("fanout").to_string();
    let events = Mutex::new(VecDeque::from([event]));
    let (lambda, received) = serve(move |first_line| {
        if !first_line.starts_with("get ") {
            return Some((String::new(), String::new()));
        }
        let event = events.lock().unwrap().pop_front()?;
        let head = format!(
            "lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
             lambda-runtime-deadline-ms: 9999999999999\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:123456789012:function:fanout\r\n\
             lambda-runtime-trace-id: {TRACE}\r\n"
        );
        Some((head, event))
    });
    let child = Command::new(binaries.join("functions"))
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", lambda.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "fanout"),
            ("_HANDLER", "fanout"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", &format!("http://{aws}")),
            ("STATUSPULSE_STACK", "stack"),
            ("STATUSPULSE_TABLE", "table"),
            ("STATUSPULSE_FIRST_QUEUE_URL", &format!("http://{aws}/123456789012/first")),
            ("STATUSPULSE_SLOW_QUEUE_URL", &format!("http://{aws}/123456789012/slow")),
            ("STATUSPULSE_RETRY_1M_QUEUE_URL", &format!("http://{aws}/123456789012/retry-1m")),
            ("STATUSPULSE_KMS_KEY_ID", "key"),
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _bootstrap = Bootstrap(child);
    let wait = Duration::from_secs(30);
    let poll = received.recv_timeout(wait).unwrap();
    assert!(poll.0.starts_with("get "), "{poll:?}");
    let answer = received.recv_timeout(wait).unwrap();
    assert!(answer.1.contains("there is no such account"), "it must look up the event's account: {answer:?}");
    let calls: Vec<_> = calls.try_iter().collect();
    let header = format!("x-amzn-trace-id: {}", TRACE.to_ascii_lowercase());
    let traced: Vec<bool> = calls.iter().map(|(head, _)| head.contains(&header)).collect();
    assert_eq!(traced.last(), Some(&true), "{calls:?}");
    assert_eq!(
        traced.first(),
        Some(&false),
        "calls that are made before the first event must have no trace id: {calls:?}"
    );
}

//! Which queue a message goes to, and how it travels.

use statuspulse_core::ids::{AccountId, DeliveryId, EventId, WebhookId};
use statuspulse_core::message::{AttemptKey, JobMessage};

use super::*;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        noon()
    }
}

fn noon() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn messages() -> Messages {
    let queue = |name: &str| format!("https://sqs.us-east-1.amazonaws.com/123456789012/{name}");
    let queues = Queues {
        first: queue("first"),
        slow: queue("slow"),
        retry_1m: queue("retry-1m"),
        retry_5m: queue("retry-5m"),
        retry_15m: queue("retry-15m"),
        retry_60m: queue("retry-60m"),
        job: queue("job"),
        notification: queue("notification"),
    };
    let credentials = aws_sdk_sqs::config::Credentials::new("none", "none", None, None, "no calls");
    let configuration = crate::chosen("us-east-1", credentials, Arc::new(Noon)).build();
    Messages::new(
        aws_sdk_sqs::Client::new(&configuration),
        aws_sdk_scheduler::Client::new(&configuration),
        queues,
        Schedules::default(),
        Ladder::default(),
        Arc::new(Noon),
    )
}

fn attempt(round: u32, number: u8, body: &str) -> Message {
    Message::Attempt(AttemptMessage {
        delivery_id: DeliveryId::from_bytes([1; 16]),
        account_id: AccountId::from_bytes([9; 16]),
        webhook_id: WebhookId::from_bytes([2; 16]),
        event_id: EventId::from_bytes([3; 16]),
        key: AttemptKey { round, number },
        slow: false,
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

/// The queue and the delay in seconds. No queue means Scheduler.
fn way(message: Message, wait_ms: i64) -> (Option<String>, Option<u64>) {
    let due = noon().checked_add(jiff::SignedDuration::from_millis(wait_ms)).unwrap();
    let messages = messages();
    match messages.way(&ScheduledMessage { message, due }, noon()) {
        Way::Queue(url, delay) => {
            (url.rsplit('/').next().map(str::to_owned), delay.map(|delay| delay.as_secs()))
        }
        Way::Schedule => (None, None),
    }
}

#[test]
fn a_batch_has_ten_messages_at_most_and_no_more_bytes_than_one_may_have() {
    let outgoing = |bytes: usize| Outgoing { text: "x".repeat(bytes), group: String::new(), delay: None };
    let sizes = |outgoing: Vec<Outgoing>| -> Vec<Vec<usize>> {
        let batches = super::batches(outgoing);
        batches.iter().map(|batch| batch.iter().map(|message| message.text.len()).collect()).collect()
    };
    assert_eq!(sizes(vec![]), Vec::<Vec<usize>>::new());
    let many = sizes((0..23).map(|_| outgoing(1_000)).collect());
    assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
    let half = crate::limits::SQS_MESSAGE_BYTES / 2;
    let large = [half, half, 1, crate::limits::SQS_MESSAGE_BYTES, 1].map(outgoing);
    assert_eq!(
        sizes(large.into()),
        [vec![half, half], vec![1], vec![crate::limits::SQS_MESSAGE_BYTES], vec![1]]
    );
}

#[test]
fn each_rung_has_its_queue_and_its_wait() {
    let queue = |name: &str, delay| (Some(name.to_owned()), delay);
    assert_eq!(way(attempt(1, 1, "{}"), 0), queue("first", Some(0)));
    let slow = |message| {
        let Message::Attempt(attempt) = message else { panic!("an attempt") };
        Message::Attempt(AttemptMessage { slow: true, ..attempt })
    };
    assert_eq!(way(slow(attempt(1, 1, "{}")), 0), queue("slow", Some(0)));
    assert_eq!(way(slow(attempt(1, 2, "{}")), 60_000), queue("retry-1m", None));
    assert_eq!(way(attempt(1, 2, "{}"), 60_000), queue("retry-1m", None));
    assert_eq!(way(attempt(1, 3, "{}"), 300_000), queue("retry-5m", None));
    assert_eq!(way(attempt(1, 4, "{}"), 899_001), queue("retry-15m", None));
    assert_eq!(way(attempt(1, 5, "{}"), 3_600_000), (None, None));
    // The queue's delay begins later than the wait, so it is enough even when part of the wait is over.
    assert_eq!(way(attempt(1, 2, "{}"), 59_100), queue("retry-1m", None));
    // A receiver can ask for a longer wait. It becomes the message's delay, or a schedule.
    assert_eq!(way(attempt(1, 2, "{}"), 61_001), queue("retry-1m", Some(62)));
    assert_eq!(way(attempt(1, 2, "{}"), 900_001), (None, None));
    // Released attempts never go to the queue of first attempts, and do not wait for a minute.
    assert_eq!(way(attempt(2, 1, "{}"), 0), queue("retry-1m", Some(0)));
    assert_eq!(way(attempt(2, 1, "{}"), 1), queue("retry-1m", Some(1)));
    // Early attempts go at once, whatever the wait of the rung. Scheduler would refuse a time in the past.
    assert_eq!(way(attempt(1, 4, "{}"), 500), queue("retry-1m", Some(1)));
    assert_eq!(way(attempt(1, 5, "{}"), 500), queue("retry-1m", Some(1)));
    assert_eq!(way(attempt(1, 5, "{}"), -5_000), queue("retry-1m", Some(0)));
    let (account_id, webhook_id) = (AccountId::from_bytes([9; 16]), WebhookId::from_bytes([2; 16]));
    let job = JobMessage { account_id, webhook_id, generation: 1, page: 0 };
    assert_eq!(way(Message::Job(job), 3_600_000), queue("job", Some(900)));
}

#[test]
fn a_payload_that_is_too_large_to_travel_stays_at_home() {
    let small = format!("{{\"a\":\"{}\"}}", "x".repeat(1_000));
    assert!(text_of(&attempt(1, 1, &small)).unwrap().contains("xxx"));
    // Escapes double the quotes and backslashes in a message.
    let large = format!("{{\"a\":\"{}\"}}", "\\\"".repeat(60_000));
    let text = text_of(&attempt(1, 1, &large)).unwrap();
    assert!(text.len() < 1_000, "{} bytes", text.len());
    assert_eq!(read_message(&text).unwrap(), attempt(1, 1, ""));
}

#[test]
fn characters_that_sqs_does_not_carry_travel_as_escapes() {
    let body = "{\"a\":\"\u{fffe}\u{ffff}<aws.scheduler.execution-id>\"}";
    let text = text_of(&attempt(1, 1, body)).unwrap();
    assert!(!text.contains('\u{fffe}') && !text.contains('\u{ffff}'), "{text}");
    let input = input_of(&attempt(1, 1, body)).unwrap();
    assert!(!input.contains('<'), "{input}");
    for text in [text, input] {
        assert_eq!(read_message(&text).unwrap(), attempt(1, 1, body));
    }
}

#[test]
fn the_input_of_a_schedule_is_measured_after_it_was_escaped() {
    // Each character becomes six.
    let body = format!("{{\"a\":\"{}\"}}", "<".repeat(50_000));
    assert!(text_of(&attempt(1, 5, &body)).unwrap().len() > 50_000);
    let input = input_of(&attempt(1, 5, &body)).unwrap();
    assert!(input.len() < 1_000, "{} bytes", input.len());
    assert_eq!(read_message(&input).unwrap(), attempt(1, 5, ""));
}

#[test]
fn a_message_is_read_from_the_call_that_scheduler_could_not_make() {
    let message = attempt(1, 5, "{\"a\":\"\\\"\"}");
    let text = input_of(&message).unwrap();
    let call =
        serde_json::json!({"MessageBody": text, "QueueUrl": "https://sqs.us-east-1.amazonaws.com/1/q"});
    assert_eq!(read_message(&call.to_string()).unwrap(), message);
    for wrong in ["", "[]", "{}", "{\"MessageBody\":1}", "{\"MessageBody\":\"{}\"}"] {
        assert!(read_message(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_queue_is_known_by_its_arn() {
    let messages = messages();
    let queue = |name: &str| messages.queue_of(&format!("arn:aws:sqs:us-east-1:123456789012:{name}"));
    assert!(queue("retry-60m").unwrap().ends_with("/retry-60m"));
    assert_eq!(queue("other"), None);
    assert_eq!(messages.queue_of(""), None);
}

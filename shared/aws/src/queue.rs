//! The message queues: SQS, and EventBridge Scheduler for delays that are too long for SQS.
//!
//! ```text
//! first attempt                  first, without a delay
//! 2nd, 3rd, 4th attempt          retry-1m, retry-5m, retry-15m: the queue's default delay is the wait of the rung
//! 5th attempt                    Scheduler -> retry-60m, because SQS delays a message by 15 minutes at most
//! any attempt more than
//!   15 minutes away              Scheduler -> retry-60m
//! released, redelivered,
//!   retried early                retry-1m, with a delay per message
//! pages of jobs                  job, with a delay per message
//! notifications, domain events   notification, with a delay per message
//! ```
//!
//! Delays are rounded up to whole seconds, so an attempt never comes early. A page or a notification that is due later
//! than SQS can delay it does come early, and its handler puts it back.
//!
//! The message group is the account's id, so that the backlog of one account does not delay another's (fair queues).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_scheduler::error::SdkError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use jiff::Timestamp;
use statuspulse_core::message::{AttemptMessage, Message, QueueName, ScheduledMessage};
use statuspulse_core::ports::{Clock, PortResult, Queue, Unavailable};
use statuspulse_core::retry::Ladder;

use crate::error::failed;

/// The URLs of the queues. A function has only those that it sends to.
#[derive(Debug, Clone, Default)]
pub struct Queues {
    /// First attempts.
    pub first: String,
    /// Second attempts; released, redelivered and early ones.
    pub retry_1m: String,
    /// Third attempts.
    pub retry_5m: String,
    /// Fourth attempts.
    pub retry_15m: String,
    /// Fifth attempts, and all others that Scheduler sends.
    pub retry_60m: String,
    /// Pages of jobs.
    pub job: String,
    /// Notifications and domain events.
    pub notification: String,
}

/// Where Scheduler sends attempts, and with which role.
#[derive(Debug, Clone, Default)]
pub struct Schedules {
    /// The group of the schedules.
    pub group: String,
    /// The role that Scheduler assumes.
    pub role_arn: String,
    /// The queue that Scheduler sends to.
    pub queue_arn: String,
    /// The dead-letter queue for messages that Scheduler could not send for a day.
    pub dead_letters_arn: String,
}

/// Sends messages to SQS and Scheduler.
#[derive(Clone)]
pub struct Messages {
    sqs: aws_sdk_sqs::Client,
    scheduler: aws_sdk_scheduler::Client,
    queues: Queues,
    schedules: Schedules,
    ladder: Ladder,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messages").field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// How a message is sent.
#[derive(Debug, PartialEq, Eq)]
enum Way<'a> {
    /// To this queue, with this delay. `None` means the queue's default delay.
    Queue(&'a str, Option<Duration>),
    /// With Scheduler.
    Schedule,
}

#[async_trait]
impl Queue for Messages {
    async fn send(&self, messages: Vec<ScheduledMessage>) -> PortResult<()> {
        let now = self.clock.now();
        let mut by_queue: BTreeMap<&str, Vec<Outgoing>> = BTreeMap::new();
        let mut scheduled = vec![];
        for sent in messages {
            match self.way(&sent, now) {
                Way::Queue(queue, delay) => {
                    by_queue.entry(queue).or_default().push(Outgoing::new(&sent.message, delay)?);
                }
                Way::Schedule => scheduled.push(sent),
            }
        }
        for (queue, outgoing) in by_queue {
            self.send_all(queue, outgoing).await?;
        }
        stream::iter(scheduled.into_iter().map(Ok))
            .try_for_each_concurrent(crate::limits::CONCURRENT_SENDS, |message| self.schedule(message))
            .await
    }
}

impl Messages {
    /// Uses these queues and this group of schedules.
    pub fn new(
        sqs: aws_sdk_sqs::Client,
        scheduler: aws_sdk_scheduler::Client,
        queues: Queues,
        schedules: Schedules,
        ladder: Ladder,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { sqs, scheduler, queues, schedules, ladder, clock }
    }

    /// Opens the connection to SQS with an empty batch, which SQS refuses, so that no event waits for the TLS
    /// handshake.
    pub async fn connect(&self) {
        let nothing = self.sqs.send_message_batch().queue_url(&self.queues.first).set_entries(Some(vec![]));
        if let Err(error) = nothing.send().await
            && error.as_service_error().is_none()
        {
            tracing::warn!(error = %failed("connecting to SQS")(error), "SQS could not be reached at start");
        }
    }

    /// Sends a message to a queue again, to arrive at `due`, or after the longest delay of SQS if that is sooner.
    pub async fn put_back(&self, queue: &str, message: &Message, due: Timestamp) -> PortResult<()> {
        let delay = wait(self.clock.now(), due).min(crate::limits::SQS_DELAY_MAX);
        self.send_all(queue, vec![Outgoing::new(message, Some(delay))?]).await
    }

    /// The URL of the queue with this ARN, if it is one of these queues.
    pub fn queue_of(&self, arn: &str) -> Option<&str> {
        let name = arn.rsplit(':').next().filter(|name| !name.is_empty())?;
        let queues = &self.queues;
        [
            &queues.first,
            &queues.retry_1m,
            &queues.retry_5m,
            &queues.retry_15m,
            &queues.retry_60m,
            &queues.job,
            &queues.notification,
        ]
        .into_iter()
        .find(|url| url.rsplit('/').next() == Some(name))
        .map(String::as_str)
    }

    /// Makes a received message visible again after this number of seconds.
    pub async fn come_back_after(&self, queue: &str, receipt: &str, seconds: i32) -> PortResult<()> {
        let request = self.sqs.change_message_visibility().queue_url(queue).receipt_handle(receipt);
        request.visibility_timeout(seconds).send().await.map(drop).map_err(failed("putting a message back"))
    }

    fn way(&self, scheduled: &ScheduledMessage, now: Timestamp) -> Way<'_> {
        let wait = wait(now, scheduled.due);
        let key = match &scheduled.message {
            Message::Job(_) => {
                return Way::Queue(&self.queues.job, Some(wait.min(crate::limits::SQS_DELAY_MAX)));
            }
            Message::Notify(_) | Message::Event(_) => {
                return Way::Queue(&self.queues.notification, Some(wait.min(crate::limits::SQS_DELAY_MAX)));
            }
            Message::Attempt(message) => message.key,
        };
        let usual = self.ladder.wait_after(key.number.saturating_sub(1), None).unwrap_or_default();
        let rung = match (scheduled.message.queue(), key.number) {
            (QueueName::First, _) => return Way::Queue(&self.queues.first, Some(wait)),
            (_, 1) => return Way::Queue(&self.queues.retry_1m, Some(wait)),
            // An early attempt. The drain function sends those, and has no other retry queue.
            _ if wait <= crate::limits::SENT_AT_ONCE && wait < usual => {
                return Way::Queue(&self.queues.retry_1m, Some(wait));
            }
            (_, 2) => &self.queues.retry_1m,
            (_, 3) => &self.queues.retry_5m,
            (_, 4) => &self.queues.retry_15m,
            _ if wait < crate::limits::SCHEDULE_AHEAD => {
                return Way::Queue(&self.queues.retry_60m, Some(wait));
            }
            _ => return Way::Schedule,
        };
        if wait > crate::limits::SQS_DELAY_MAX {
            Way::Schedule
        } else {
            // The queue's default delay begins now, after the failed attempt, so the message is not early.
            Way::Queue(rung, (wait.abs_diff(usual) > Duration::from_secs(1)).then_some(wait))
        }
    }

    async fn send_all(&self, queue: &str, outgoing: Vec<Outgoing>) -> PortResult<()> {
        stream::iter(batches(outgoing).into_iter().map(Ok))
            .try_for_each_concurrent(crate::limits::CONCURRENT_SENDS, |batch| self.send_batch(queue, batch))
            .await
    }

    /// Sends a batch, and again those of its messages that SQS refused.
    async fn send_batch(&self, queue: &str, batch: Vec<Outgoing>) -> PortResult<()> {
        let doing = "sending messages";
        let mut left: Vec<(usize, Outgoing)> = batch.into_iter().enumerate().collect();
        let mut last_refusal = String::new();
        for _ in 0..crate::limits::SQS_BATCH_TRIES {
            let entries = left.iter().map(|(place, message)| message.entry(*place)).collect::<Result<_, _>>();
            let request = self.sqs.send_message_batch().queue_url(queue);
            let request = request.set_entries(Some(entries.map_err(failed(doing))?));
            let answer = request.send().await.map_err(failed(doing))?;
            let refused: Vec<usize> =
                answer.failed().iter().filter_map(|entry| entry.id.parse().ok()).collect();
            let Some(entry) = answer.failed().first() else { return Ok(()) };
            last_refusal = format!("{}: {}", entry.code, entry.message.as_deref().unwrap_or_default());
            left.retain(|(place, _)| refused.contains(place));
        }
        Err(Unavailable { doing, source: last_refusal.into() })
    }

    /// Creates a one-time schedule that deletes itself. Its name contains the attempt and the time, so it is
    /// idempotent.
    async fn schedule(&self, scheduled: ScheduledMessage) -> PortResult<()> {
        let doing = "scheduling a message";
        let due = whole_seconds_up(scheduled.due);
        let Message::Attempt(message) = &scheduled.message else {
            return Err(Unavailable { doing, source: "only attempts are scheduled".into() });
        };
        let key = message.key;
        let name = format!("{}-{}-{}-{}", message.delivery_id, key.round, key.number, due.as_second());
        let target = Target::builder()
            .arn(&self.schedules.queue_arn)
            .role_arn(&self.schedules.role_arn)
            // Scheduler replaces placeholders in angle brackets. A payload may contain such text.
            .input(text_of(&scheduled.message)?.replace('<', "\\u003c"))
            .retry_policy(
                RetryPolicy::builder()
                    .maximum_event_age_in_seconds(crate::limits::SCHEDULE_TRIED_FOR)
                    .maximum_retry_attempts(crate::limits::SCHEDULE_TRIES)
                    .build(),
            )
            .dead_letter_config(DeadLetterConfig::builder().arn(&self.schedules.dead_letters_arn).build())
            .build()
            .map_err(failed(doing))?;
        let exactly = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let made = self
            .scheduler
            .create_schedule()
            .group_name(&self.schedules.group)
            .name(name)
            .schedule_expression(format!("at({})", due.strftime("%Y-%m-%dT%H:%M:%S")))
            .schedule_expression_timezone("UTC")
            .flexible_time_window(exactly.map_err(failed(doing))?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target)
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.err().is_conflict_exception() => Ok(()),
            Err(error) => Err(failed(doing)(error)),
        }
    }
}

/// A message for SQS.
struct Outgoing {
    text: String,
    group: String,
    delay: Option<i32>,
}

impl Outgoing {
    fn new(message: &Message, delay: Option<Duration>) -> PortResult<Self> {
        let delay = delay.map(|delay| i32::try_from(delay.as_secs()).unwrap_or(i32::MAX));
        Ok(Self { text: text_of(message)?, group: message.account_id().to_string(), delay })
    }

    fn entry(&self, place: usize) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
        SendMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .message_body(&self.text)
            .message_group_id(&self.group)
            .set_delay_seconds(self.delay)
            .build()
    }
}

/// Divides the messages into batches within the limits of SQS.
fn batches(outgoing: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let mut batches: Vec<Vec<Outgoing>> = vec![];
    let mut bytes = 0;
    for message in outgoing {
        bytes += message.text.len();
        match batches.last_mut() {
            Some(batch)
                if batch.len() < crate::limits::SQS_BATCH && bytes <= crate::limits::SQS_MESSAGE_BYTES =>
            {
                batch.push(message)
            }
            _ => {
                bytes = message.text.len();
                batches.push(vec![message]);
            }
        }
    }
    batches
}

/// The body of the SQS message. It includes the payload if it is not too large then.
fn text_of(message: &Message) -> PortResult<String> {
    let write = |message: &Message| {
        serde_json::to_string(message)
            .map_err(|error| Unavailable { doing: "writing a message", source: error.into() })
    };
    let text = write(message)?;
    let text = match message {
        Message::Attempt(attempt) if text.len() > crate::limits::SQS_MESSAGE_BYTES => {
            write(&Message::Attempt(AttemptMessage { body: Bytes::new(), ..attempt.clone() }))?
        }
        _ => text,
    };
    // SQS refuses these two characters. In JSON they occur only in strings, where an escape means the same.
    Ok(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

/// The wait until `due`, in whole seconds, rounded up.
fn wait(now: Timestamp, due: Timestamp) -> Duration {
    let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

fn whole_seconds_up(time: Timestamp) -> Timestamp {
    let up = i64::from(time.subsec_nanosecond() > 0);
    Timestamp::from_second(time.as_second() + up).unwrap_or(time)
}

#[cfg(test)]
mod tests {
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
            retry_1m: queue("retry-1m"),
            retry_5m: queue("retry-5m"),
            retry_15m: queue("retry-15m"),
            retry_60m: queue("retry-60m"),
            job: queue("job"),
            notification: queue("notification"),
        };
        let credentials = aws_sdk_sqs::config::Credentials::new("none", "none", None, None, "no calls");
        let configuration = crate::chosen("us-east-1", credentials).build();
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
        let Message::Attempt(read) = serde_json::from_str(&text).unwrap() else {
            panic!("an attempt was written")
        };
        assert!(read.body.is_empty());
    }

    #[test]
    fn characters_that_sqs_does_not_carry_travel_as_escapes() {
        let body = "{\"a\":\"\u{fffe}\u{ffff}<aws.scheduler.execution-id>\"}";
        let text = text_of(&attempt(1, 1, body)).unwrap();
        assert!(!text.contains('\u{fffe}') && !text.contains('\u{ffff}'), "{text}");
        for text in [text.clone(), text.replace('<', "\\u003c")] {
            let Message::Attempt(read) = serde_json::from_str(&text).unwrap() else {
                panic!("an attempt was written")
            };
            assert_eq!(read.body, body.as_bytes());
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
}

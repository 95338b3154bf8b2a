//! The message queues: SQS, and EventBridge Scheduler for delays that are too long for SQS.
//!
//! ```text
//! first attempt                  first, without a delay; or slow, if its receiver was slow lately
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
    /// First attempts at webhooks that were slow lately.
    pub slow: String,
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
    /// The queue for messages that Scheduler could not send for a day.
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
            &queues.slow,
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
        let (key, slow) = match &scheduled.message {
            Message::Job(_) => {
                return Way::Queue(&self.queues.job, Some(wait.min(crate::limits::SQS_DELAY_MAX)));
            }
            Message::Notify(_) | Message::Event(_) => {
                return Way::Queue(&self.queues.notification, Some(wait.min(crate::limits::SQS_DELAY_MAX)));
            }
            Message::Attempt(message) => (message.key, message.slow),
        };
        let usual = self.ladder.wait_after(key.number.saturating_sub(1), None).unwrap_or_default();
        let rung = match (scheduled.message.queue(), key.number) {
            (QueueName::First, _) if slow => return Way::Queue(&self.queues.slow, Some(wait)),
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
            .input(input_of(&scheduled.message)?)
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
    bounded(message, escaped)
}

/// The input of a schedule, which becomes the body of an SQS message.
fn input_of(message: &Message) -> PortResult<String> {
    // Scheduler replaces placeholders in angle brackets. A payload may contain such text.
    bounded(message, |text| escaped(text).replace('<', "\\u003c"))
}

/// Escapes two characters that SQS refuses. In JSON they occur only in strings, where an escape means the same.
fn escaped(text: &str) -> String {
    text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

/// Writes a message and escapes it. Leaves out the payload if the escaped text is too large.
fn bounded(message: &Message, escape: impl Fn(&str) -> String) -> PortResult<String> {
    let write = |message: &Message| {
        let text = serde_json::to_string(message);
        text.map(|text| escape(&text))
            .map_err(|error| Unavailable { doing: "writing a message", source: error.into() })
    };
    let text = write(message)?;
    match message {
        Message::Attempt(attempt) if text.len() > crate::limits::SQS_MESSAGE_BYTES => {
            write(&Message::Attempt(AttemptMessage { body: Bytes::new(), ..attempt.clone() }))
        }
        _ => Ok(text),
    }
}

/// Reads the body of an SQS message. A dead letter of Scheduler may be the call that Scheduler could not make, of which
/// the message is an argument.
///
/// # Errors
/// Says what is wrong with the text.
pub fn read_message(body: &str) -> serde_json::Result<Message> {
    serde_json::from_str(body).or_else(|error| {
        let call: serde_json::Value = serde_json::from_str(body)?;
        call["MessageBody"].as_str().map_or(Err(error), serde_json::from_str)
    })
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
mod tests;

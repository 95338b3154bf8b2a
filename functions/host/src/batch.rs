//! Handles a batch of messages from SQS, each in its own task. If a message panics, hangs, cannot be read or a call
//! to AWS fails, only that message fails. The others of the batch are done.
//!
//! A message that failed with an error is received again after a growing wait. One that cannot be read, panics or
//! hangs is received again after the queue's visibility timeout. After ten receives (about an hour with growing waits)
//! it goes to the dead-letter queue. A message that is due later is sent again as a new message, so that waiting does
//! not count as failing.

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use lambda_runtime::{Error, LambdaEvent};
use serde::Serialize;
use statuspulse_core::Worker;
use statuspulse_core::limits;
use statuspulse_core::message::Message;
use statuspulse_core::worker::Handled;
use tracing::Instrument;

use crate::Host;

/// The answer to SQS: all messages except these are done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    /// The failed messages.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// A failed message, which SQS will deliver again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// The message's id in SQS.
    pub item_identifier: String,
}

/// Handles a batch.
///
/// # Errors
/// Never; failures are per message.
pub async fn work_batch(
    host: &Host,
    worker: &Worker,
    event: LambdaEvent<SqsEvent>,
) -> Result<BatchResponse, Error> {
    let LambdaEvent { payload, context } = event;
    let left = time_left(context.deadline());
    let work = payload.records.into_iter().map(|record| one(host, worker, record, left));
    let response = each_on_its_own(work).await;
    host.emf.flush(host.clock.now());
    host.store_figures().await;
    Ok(response)
}

/// Runs all work concurrently, each in its own task, so that a panic does not affect the others.
async fn each_on_its_own(
    work: impl Iterator<Item = (String, impl Future<Output = bool> + Send + 'static)>,
) -> BatchResponse {
    let tasks: Vec<_> = work.map(|(id, work)| (id, tokio::spawn(work))).collect();
    let mut response = BatchResponse::default();
    for (id, task) in tasks {
        // A task that panicked or was aborted has failed. Its message can be handled again.
        if !task.await.unwrap_or(false) {
            response.batch_item_failures.push(ItemFailure { item_identifier: id });
        }
    }
    response
}

/// Returns the message's id, and a future that handles the message.
fn one(
    host: &Host,
    worker: &Worker,
    record: SqsMessage,
    left: Duration,
) -> (String, impl Future<Output = bool> + use<>) {
    let id = record.message_id.clone().unwrap_or_default();
    let span = tracing::info_span!(
        "message",
        message.id = %id,
        trace.id = record.attributes.get("AWSTraceHeader").map(String::as_str),
        webhook.id = tracing::field::Empty,
        delivery.id = tracing::field::Empty,
        attempt = tracing::field::Empty,
    );
    let (host, worker) = (host.clone(), worker.clone());
    (id, async move { work(&host, &worker, record, left).await }.instrument(span))
}

/// Handles a message. Returns whether it is done.
async fn work(host: &Host, worker: &Worker, record: SqsMessage, left: Duration) -> bool {
    let text = record.body.as_deref().unwrap_or_default();
    let message = match statuspulse_aws::read_message(text) {
        Ok(message) => message,
        Err(error) => {
            tracing::error!(%error, "message cannot be read; it will go to the dead-letter queue");
            return false;
        }
    };
    name(&message);
    // An attempt that could not finish in time is not begun, because its outcome would not be recorded.
    let needed = match &message {
        Message::Attempt(_) | Message::Notify(_) => limits::ATTEMPT_TIMEOUT + crate::limits::MARGIN,
        Message::Job(_) | Message::Event(_) => crate::limits::MARGIN,
    };
    if left < needed {
        tracing::warn!("too little time is left for this message; it is sent again");
        return put_back(host, &record, message, host.clock.now()).await;
    }
    let bounded =
        tokio::time::timeout(left.saturating_sub(crate::limits::MARGIN / 3), worker.handle(message.clone()));
    match bounded.await {
        Ok(Ok(Handled::Done)) => true,
        Ok(Ok(Handled::Again(at))) => put_back(host, &record, message, at).await,
        Ok(Err(error)) => {
            tracing::error!(%error, "message failed; it will be redelivered");
            come_back_soon(host, &record).await;
            false
        }
        Err(_) => {
            tracing::error!("message took too long; it will be redelivered");
            false
        }
    }
}

/// Sends the message again as a new one, whose receives are counted from zero. Returns whether that succeeded.
async fn put_back(host: &Host, record: &SqsMessage, message: Message, at: jiff::Timestamp) -> bool {
    let Some(queue) = host.messages.queue_of(record.event_source_arn.as_deref().unwrap_or_default()) else {
        tracing::error!("message is from a queue that this function is not configured for");
        return false;
    };
    match host.messages.put_back(queue, &message, at).await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "message cannot be sent again; it will be redelivered");
            false
        }
    }
}

async fn come_back_soon(host: &Host, record: &SqsMessage) {
    let queue = host.messages.queue_of(record.event_source_arn.as_deref().unwrap_or_default());
    let (Some(queue), Some(receipt)) = (queue, &record.receipt_handle) else { return };
    let wait = come_back_after(&record.attributes);
    if let Err(error) = host.messages.come_back_after(queue, receipt, wait).await {
        tracing::warn!(%error, "message stays invisible for the whole visibility timeout");
    }
}

fn come_back_after(attributes: &HashMap<String, String>) -> i32 {
    let received: usize =
        attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
    crate::limits::COME_BACK_AFTER[received.saturating_sub(1).min(crate::limits::COME_BACK_AFTER.len() - 1)]
}

fn name(message: &Message) {
    let span = tracing::Span::current();
    span.record("webhook.id", tracing::field::display(message.webhook_id()));
    if let Message::Attempt(attempt) = message {
        span.record("delivery.id", tracing::field::display(attempt.delivery_id));
        span.record("attempt", attempt.key.number);
    }
}

pub(crate) fn time_left(deadline: std::time::SystemTime) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the deadline is Lambda's, by the machine's clock")]
    let now = std::time::SystemTime::now();
    deadline.duration_since(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_message_that_panics_fails_alone() {
        let work = [
            ("done", async { true }.boxed()),
            ("panics", async { panic!("the test panics on purpose") }.boxed()),
            ("done too", async { true }.boxed()),
            ("fails", async { false }.boxed()),
        ];
        let response = each_on_its_own(work.into_iter().map(|(id, work)| (id.to_owned(), work))).await;
        let failed: Vec<_> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        assert_eq!(failed, ["panics", "fails"]);
    }
}

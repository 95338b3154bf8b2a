//! Events that functions are invoked with: the samples in `events/invoke`, and unreadable messages.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_kit::Behaviour;
use statuspulse_kit::api::payload;

use crate::stack::Stack;

pub(crate) fn sample(function: &str) -> Value {
    let file = format!("{}/../../events/invoke/{function}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_fails_alone_and_samples_are_understood() {
    let stack = Stack::start([1, 1, 1, 1]).await;

    // The samples name records that do not exist. Each function must read them, and answer accordingly.
    let answer = stack.emulator.invoke("Registration", &sample("registration"));
    assert_eq!(answer["statusCode"], 401, "{answer}");
    let answer = stack.emulator.invoke("Dashboard", &sample("dashboard"));
    assert_eq!(answer["statusCode"], 401, "{answer}");
    let answer = stack.emulator.invoke("Fanout", &sample("fanout"));
    assert_eq!(answer, json!({"errorType": "EventRefused", "errorMessage": "there is no such account"}));
    for (function, name) in [("Delivery", "delivery"), ("Pause", "pause"), ("Drain", "drain")] {
        let answer = stack.emulator.invoke(function, &sample(name));
        assert_eq!(answer, json!({"batchItemFailures": []}), "{function}");
    }
    let answer = stack.emulator.invoke("Drain", &json!({"reconcile": {}}));
    assert_eq!(answer, json!({"found": 0}), "no message was lost");

    // Unreadable messages before and after a first attempt do not delay it.
    let path = "/hooks/poison";
    let (webhook, _) = stack.admin.webhook(&stack.receiver.url(path), &[]).await;
    let first = stack.emulator.output("FirstQueueUrl").to_owned();
    stack.emulator.send(&first, "not JSON");
    stack.admin.published(&[], &payload("opened", "INC-1", 1), 1).await;
    stack.emulator.send(&first, r#"{"kind":"unheard of"}"#);
    stack.arrived(path, 2).await;
    stack.admin.all_delivered(&webhook).await;

    // After ten receives, only the unreadable messages are in the dead-letter queue.
    stack.quiet().await;
    stack.pass(Duration::from_secs(121), 12).await;
    assert_eq!(stack.emulator.messages_in(&format!("{first}-dlq")), 2);
    assert_eq!(stack.receiver.count(path), 2, "an unreadable message must not be delivered");

    // A redrive moves them to their queue, where they fail again.
    let letters = stack.emulator.output("Retry60mQueueArn").replace("-retry-60m", "-first-dlq");
    stack.emulator.redrive(&letters);
    assert_eq!(stack.emulator.messages_in(&format!("{first}-dlq")), 0);
    stack.quiet().await;
    stack.pass(Duration::from_secs(121), 12).await;
    assert_eq!(stack.emulator.messages_in(&format!("{first}-dlq")), 2);
}

/// More than Lambda lets a function be invoked in one chain of messages, unless the template allows it.
const CHAINED: usize = 80;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_chains_of_messages_are_not_taken_for_loops() {
    let stack = Stack::start([60, 60, 60, 60]).await;
    let (lane, slack) = ("/hooks/lane", crate::stack::SLACK);
    let (webhook, _) = stack.admin.webhook(&stack.receiver.url(lane), &[]).await;

    // Each delivery of an incident is sent by the attempt before it. They wait until the first one is retried.
    stack.receiver.behaviour(lane, Behaviour::first(1, Behaviour::status(503), Behaviour::ok()));
    for n in 0..CHAINED {
        stack.admin.published(&[], &payload("updated", "INC-1", n), 1).await;
    }
    stack.quiet().await;
    stack.pass(Duration::from_secs(61), 1).await;
    stack.admin.all_delivered(&webhook).await;

    // Each page of a resume sends the next, and each of its deliveries the next of its lane.
    stack.admin.post(&format!("/v1/webhooks/{webhook}/pause"), &json!({})).await.expect(200);
    for n in 0..CHAINED {
        stack.admin.published(&[], &payload("updated", &format!("INC-{}", n % 3), n), 1).await;
    }
    stack.until(&webhook, "all are held", |webhook| webhook["held_deliveries"] == CHAINED).await;
    stack.admin.post(&format!("/v1/webhooks/{webhook}/resume"), &json!({})).await.expect(200);
    stack.pass(Duration::from_secs(1), 30).await;
    stack.admin.all_delivered(&webhook).await;

    // A notification is sent again until Slack takes it.
    stack.receiver.behaviour(slack, Behaviour::first(20, Behaviour::status(500), Behaviour::Slack));
    let before = stack.receiver.count(slack);
    stack.receiver.behaviour(lane, Behaviour::status(410));
    stack.admin.published(&[], &payload("opened", "INC-9", 1), 1).await;
    stack.until(&webhook, "it is paused", |webhook| webhook["status"] == "paused").await;
    stack.pass(Duration::from_secs(3_600), 40).await;
    assert!(stack.receiver.count(slack) > before + 20, "the notification was not sent again often enough");
}

/// While a template with another ladder is deployed, functions and queues have different delays. No attempt comes before its
/// time, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ladder_can_be_changed_under_way() {
    let stack = Stack::start([60, 60, 60, 60]).await;
    let path = "/hooks/ladder";
    let (webhook, _) = stack.admin.webhook(&stack.receiver.url(path), &[]).await;
    stack.receiver.behaviour(path, Behaviour::first(2, Behaviour::status(503), Behaviour::ok()));
    stack.emulator.set_delay(stack.emulator.output("Retry1mQueueUrl"), 1);
    stack.emulator.set_delay(stack.emulator.output("Retry5mQueueUrl"), 300);

    stack.admin.published(&[], &payload("opened", "INC-1", 1), 1).await;
    stack.arrived(path, 2).await;
    stack.quiet().await;
    stack.pass(Duration::from_secs(10), 5).await;
    assert_eq!(
        stack.receiver.count(path),
        2,
        "the message came after a second, and the attempt is due after 60"
    );
    stack.pass(Duration::from_secs(11), 1).await;
    stack.arrived(path, 3).await;

    stack.quiet().await;
    stack.pass(Duration::from_secs(301), 1).await;
    stack.arrived(path, 4).await;
    stack.admin.all_delivered(&webhook).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_sent_again() {
    let stack = Stack::start([1, 1, 1, 3_600]).await;
    let path = "/hooks/late";
    let (webhook, _) = stack.admin.webhook(&stack.receiver.url(path), &[]).await;
    stack.receiver.behaviour(path, Behaviour::status(503));
    stack.admin.published(&[], &payload("opened", "INC-1", 1), 1).await;
    stack.arrived(path, 5).await;
    stack.quiet().await;

    // Scheduler could not send the last attempt: its dead letter is the message itself, or the call with the message.
    let inputs = stack.emulator.take_schedules();
    assert_eq!(inputs.len(), 1, "the fifth attempt has a schedule");
    let letters = stack.emulator.output("ScheduleDlqUrl").to_owned();
    stack.emulator.send(&letters, &inputs[0]);
    let late = stack.emulator.output("Retry60mQueueUrl").to_owned();
    stack.emulator.send(&letters, &json!({"MessageBody": inputs[0], "QueueUrl": late}).to_string());
    stack.pass(Duration::from_secs(86_400), 1).await;
    assert_eq!(stack.receiver.count(path), 5);
    for letter in stack.emulator.take(&letters) {
        stack.emulator.send(&late, &letter);
    }
    stack.until(&webhook, "it is paused", |webhook| webhook["status"] == "paused").await;
    assert_eq!(stack.receiver.count(path), 6, "one attempt, though there were two letters");
}

//! Events that functions are invoked with: the samples in `events/invoke`, and unreadable messages.

use std::time::Duration;

use serde_json::{Value, json};
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
}

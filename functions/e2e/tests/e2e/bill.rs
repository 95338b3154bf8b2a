//! The bill: the AWS calls for 1,000 events that are delivered at the first attempt, and for deliveries that fail on every
//! rung until their webhook is paused, counted from the emulator's log.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use statuspulse_emulator::{Call, FUNCTIONS};
use statuspulse_kit::Behaviour;
use statuspulse_kit::api::{Api, payload};

use crate::stack::Stack;

const EVENTS: usize = 1_000;
/// Concurrent calls of the API. They lead to batches of messages, as a burst of incidents does.
const PUBLISHERS: usize = 16;

/// List prices in us-east-1, on demand, in dollars per million. `docs/cost.md` names the sources.
const WRITE_UNIT: f64 = 0.625;
const READ_UNIT: f64 = 0.125;
const SQS_REQUEST: f64 = 0.40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_delivered_events_cost_what_the_documentation_says() {
    let stack = Stack::start([60, 300, 900, 3600]).await;
    let path = "/hooks/bill";
    let (webhook, _) = stack.admin.webhook(&stack.receiver.url(path), &[]).await;
    stack.quiet().await;
    stack.emulator.forget_calls();
    let publishers: Vec<_> =
        (0..PUBLISHERS).map(|publisher| tokio::spawn(publish(stack.admin.clone(), publisher))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    stack.arrived(path, 1 + u64::try_from(EVENTS).unwrap()).await;
    stack.quiet().await;
    let calls = stack.emulator.calls();
    stack.admin.all_delivered(&webhook).await;

    let bill = Bill::of(&calls, EVENTS);
    eprintln!("{}", bill.table());
    // A query of the account's webhooks; the webhook before and after the attempt. Keys and quotas by the second, so a
    // slow machine reads them for more events.
    assert!(bill.reads() < 3.3, "{:.2} reads per event", bill.reads());
    // Event, delivery, lane, claim, record; and two for the figures, at most once a second in each environment. The emulator
    // is slow, so that is nearly once per attempt.
    assert!(bill.writes() < 7.2, "{:.2} writes per event", bill.writes());
    // One per event, and one per execution environment, to connect.
    assert!(bill.sends() <= 1.05, "{:.2} sends to SQS per event", bill.sends());
    let documented = documentation();
    for call in bill.per_event.keys() {
        assert!(documented.contains(call.as_str()), "docs/cost.md does not name {call}");
    }
}

fn documentation() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cost.md")).unwrap()
}

/// Webhooks that fail, with one event each.
const FAILING: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ladder_that_fails_costs_what_the_documentation_says() {
    let ladder = [60, 300, 900, 3600];
    let stack = Stack::start(ladder).await;
    let mut webhooks = vec![];
    for n in 0..FAILING {
        let path = format!("/hooks/failing-{n}");
        webhooks.push(stack.admin.webhook(&stack.receiver.url(&path), &[]).await.0);
        stack.receiver.behaviour(&path, Behaviour::status(503));
    }
    stack.quiet().await;
    stack.emulator.forget_calls();
    stack.admin.published(&[], &payload("opened", "INC-1", 1), u64::try_from(FAILING).unwrap()).await;
    stack.quiet().await;
    for seconds in ladder {
        stack.pass(Duration::from_secs(u64::from(seconds) + 1), 1).await;
    }
    for webhook in &webhooks {
        stack.until(webhook, "it is paused", |webhook| webhook["held_deliveries"] == 1).await;
    }
    stack.quiet().await;

    // Without what this test has asked for.
    let calls: Vec<Call> =
        stack.emulator.calls().into_iter().filter(|call| call.function != "registration").collect();
    let bill = Bill::of(&calls, FAILING);
    eprintln!("{}", bill.table());
    assert!(bill.write_units < 95.0, "{:.1} write units", bill.write_units);
    assert!(documentation().contains("five failed attempts and a pause"), "docs/cost.md says what it costs");
}

async fn publish(api: Api, publisher: usize) {
    for n in (publisher..EVENTS).step_by(PUBLISHERS) {
        api.published(&[], &payload("opened", &format!("INC-{n}"), n), 1).await;
    }
}

struct Bill {
    /// Calls per event, by `function service:Action`.
    per_event: BTreeMap<String, f64>,
    write_units: f64,
    read_units: f64,
}

impl Bill {
    /// The calls for each of `count` events or deliveries.
    fn of(calls: &[Call], count: usize) -> Self {
        let events = f64::from(u32::try_from(count).unwrap());
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let (mut writes, mut reads) = (0, 0);
        for call in calls.iter().filter(|call| FUNCTIONS.contains(&call.function.as_str())) {
            *counts.entry(format!("{} {}:{}", call.function, call.service, call.action)).or_default() += 1;
            writes += call.write_units;
            reads += call.read_units;
        }
        let number = |count: u64| f64::from(u32::try_from(count).unwrap());
        let per_event = counts.into_iter().map(|(call, count)| (call, number(count) / events)).collect();
        Self { per_event, write_units: number(writes) / events, read_units: number(reads) / events }
    }

    fn sum(&self, actions: &[&str]) -> f64 {
        let counts = |call: &str| actions.iter().any(|action| call.ends_with(&format!(":{action}")));
        self.per_event.iter().filter(|(call, _)| counts(call)).map(|(_, count)| count).sum()
    }

    fn reads(&self) -> f64 {
        self.sum(&["GetItem", "BatchGetItem", "Query"])
    }

    fn writes(&self) -> f64 {
        self.sum(&["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"])
    }

    fn sends(&self) -> f64 {
        self.sum(&["SendMessage", "SendMessageBatch"])
    }

    fn table(&self) -> String {
        let mut table = String::from("| call | per event |\n|---|---|\n");
        for (call, count) in &self.per_event {
            writeln!(table, "| {call} | {count:.2} |").unwrap();
        }
        let dynamodb = self.write_units * WRITE_UNIT + self.read_units * READ_UNIT;
        writeln!(
            table,
            "\nDynamoDB: {:.2} write units, {:.2} read units: ${dynamodb:.2} per million",
            self.write_units, self.read_units
        )
        .unwrap();
        writeln!(
            table,
            "SQS: {:.2} requests to send: ${:.2} per million",
            self.sends(),
            self.sends() * SQS_REQUEST
        )
        .unwrap();
        table
    }
}

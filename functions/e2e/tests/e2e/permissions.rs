//! IAM: compares what the template grants to each function with the calls that it made in the tests.

use std::collections::BTreeSet;

use statuspulse_emulator::{Call, Emulator, FUNCTIONS, Grant};

/// Permissions that the code needs only after failures or in races that the tests do not produce.
const UNSEEN: [(&str, &str, &[&str]); 12] = [
    // To redeliver a failed message soon.
    (
        "delivery",
        "sqs:ChangeMessageVisibility",
        &["FirstQueue", "SlowQueue", "Retry1mQueue", "Retry5mQueue", "Retry15mQueue", "Retry60mQueue"],
    ),
    ("drain", "sqs:ChangeMessageVisibility", &["JobQueue"]),
    ("pause", "sqs:ChangeMessageVisibility", &["NotificationQueue"]),
    // For a fifth attempt that another worker has claimed, or that is due too soon for a schedule.
    ("delivery", "sqs:SendMessage", &["Retry60mQueue"]),
    // For a delivery that was accepted while the deliveries ahead of it in its lane were discarded.
    ("drain", "sqs:SendMessage", &["FirstQueue", "SlowQueue"]),
    // For an event that is published again after its deliveries were held and released.
    ("fanout", "sqs:SendMessage", &["Retry1mQueue"]),
    // The same, if the lane becomes free after the delivery was saved as waiting.
    ("fanout", "dynamodb:DeleteItem", &["Table"]),
    // For a redelivery that finds the next delivery of its lane waiting although the lane is free.
    ("registration", "sqs:SendMessage", &["FirstQueue", "SlowQueue"]),
    ("dashboard", "sqs:SendMessage", &["FirstQueue", "SlowQueue"]),
    // For the next delivery of a lane, after a slow one.
    ("delivery", "sqs:SendMessage", &["SlowQueue"]),
    // To redeliver all failed deliveries. The tests see the same code use it in registration.
    ("dashboard", "dynamodb:BatchGetItem", &["Table"]),
    // Lambda itself uses the function's role for events of the bus that failed for good.
    ("fanout", "sqs:SendMessage", &["EventsDlq"]),
];

/// Checks that no call was denied, and that every permission was needed.
pub(crate) fn are_used_and_enough(emulator: &Emulator) {
    let mut needed = BTreeSet::new();
    let mut denied = BTreeSet::new();
    for call in emulator.calls().into_iter().filter(|call| FUNCTIONS.contains(&call.function.as_str())) {
        for action in &call.permissions {
            let needs = Grant {
                function: call.function.clone(),
                action: action.clone(),
                resource: resource(&call, action),
            };
            if call.outcome == "denied" {
                denied.insert(needs)
            } else {
                needed.insert(needs)
            };
        }
    }
    let unseen: BTreeSet<Grant> = UNSEEN
        .iter()
        .flat_map(|(function, action, resources)| {
            resources.iter().map(|resource| Grant {
                function: (*function).to_owned(),
                action: (*action).to_owned(),
                resource: (*resource).to_owned(),
            })
        })
        .collect();
    let granted: BTreeSet<Grant> = emulator.granted.iter().cloned().collect();
    let expected: BTreeSet<Grant> = needed.union(&unseen).cloned().collect();
    let unused: Vec<_> = granted.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&granted).collect();
    assert!(
        denied.is_empty() && unused.is_empty() && missing.is_empty(),
        "denied: {denied:#?}\ngranted but never needed: {unused:#?}\nneeded but not granted: {missing:#?}"
    );
}

/// The logical id of the resource in the template. The emulator has checked the call against the real resource, whose
/// name does not always contain the logical id.
fn resource(call: &Call, action: &str) -> String {
    match action {
        "iam:PassRole" => "ScheduleRole".to_owned(),
        "scheduler:CreateSchedule" => "ScheduleGroup".to_owned(),
        "events:PutEvents" => "EventBus".to_owned(),
        "secretsmanager:GetSecretValue" => "SlackSecret".to_owned(),
        _ => call.resource.clone().unwrap_or_default(),
    }
}

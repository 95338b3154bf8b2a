//! IAM: what the template grants each function, against what its code was seen to call.

use std::collections::BTreeSet;

use statuspulse_emulator::{Call, Emulator, FUNCTIONS, Grant};

/// What the code calls only where something goes wrong, or two things meet, that the stories do not stage. Each is a
/// permission that would be missed on the worst day.
const UNSEEN: [(&str, &str, &[&str]); 11] = [
    // A message that failed because AWS did not answer comes again soon.
    (
        "delivery",
        "sqs:ChangeMessageVisibility",
        &["FirstQueue", "Retry1mQueue", "Retry5mQueue", "Retry15mQueue", "Retry60mQueue"],
    ),
    ("drain", "sqs:ChangeMessageVisibility", &["SweepQueue"]),
    ("pause", "sqs:ChangeMessageVisibility", &["NoticeQueue"]),
    // A fifth attempt that another worker has in hand, or whose schedule would be for the past.
    ("delivery", "sqs:SendMessage", &["Retry60mQueue"]),
    // A delivery that was accepted while what is before it in its lane was being dropped.
    ("drain", "sqs:SendMessage", &["FirstQueue"]),
    // An event published again after its deliveries were held and let go.
    ("fanout", "sqs:SendMessage", &["Retry1mQueue"]),
    // The same, where the way is free by the time it is recorded that it waits.
    ("fanout", "dynamodb:DeleteItem", &["Table"]),
    // A redelivered one that finds the next of its lane waiting for nobody.
    ("registration", "sqs:SendMessage", &["FirstQueue"]),
    ("dashboard", "sqs:SendMessage", &["FirstQueue"]),
    // Failed deliveries that are made again, by the same use case as registration's, which is seen to need it.
    ("dashboard", "dynamodb:BatchGetItem", &["Table"]),
    // Lambda's own, in the function's role: events of the bus that failed for good.
    ("fanout", "sqs:SendMessage", &["EventsDlq"]),
];

/// A permission too few is a call that was denied; one too many is one that no call needed.
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
        "denied: {denied:#?}\ngranted, and never needed: {unused:#?}\nneeded, and not granted: {missing:#?}"
    );
}

/// The resource's logical id. The emulator has checked the call against the real one; some of those have names that say
/// nothing of their place in the template.
fn resource(call: &Call, action: &str) -> String {
    match action {
        "iam:PassRole" => "ScheduleRole".to_owned(),
        "scheduler:CreateSchedule" => "ScheduleGroup".to_owned(),
        "events:PutEvents" => "EventBus".to_owned(),
        "secretsmanager:GetSecretValue" => "SlackSecret".to_owned(),
        _ => call.resource.clone().unwrap_or_default(),
    }
}

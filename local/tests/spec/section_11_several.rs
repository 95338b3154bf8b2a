//! Section 11 of docs/behaviour.md: what the dashboard does with several webhooks or deliveries at once.

use serde_json::{Value, json};

use crate::support::*;

fn incident(seen: &Seen) -> String {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    text(&body["incident_id"]).to_owned()
}

#[tokio::test]
async fn several_webhooks_are_paused_and_resumed_after_a_question_that_names_them() {
    let world = World::new().await;
    let first = world.register_with(URL, json!({"description": "On-call bot"})).await;
    let second = world.register_with(OTHER, json!({"description": "Archive"})).await;
    let neighbour = world.another_account().await;
    let foreign = neighbour.register(OTHER).await;
    let browser = world.browser().await;
    let chosen =
        |act: &'static str| [("id", first.id.clone()), ("id", second.id.clone()), ("act", act.to_owned())];
    let fields = |act| chosen(act).map(|(name, value)| format!("{name}={value}")).join("&");
    const SEVERAL: &str = "/dashboard/webhooks/several";
    browser.open(&format!("{SEVERAL}?act=pause")).await.says("Select the webhooks first");
    let question = browser.open(&format!("{SEVERAL}?{}", fields("pause"))).await;
    question.says("Pause 2 webhooks?").says("On-call bot").says("Archive");
    let act = async |act| {
        let chosen = chosen(act);
        let fields: Vec<_> = chosen.iter().map(|(name, value)| (*name, &**value)).collect();
        browser.submit(SEVERAL, &fields).await
    };
    act("pause").await.says("2 webhooks paused.");
    world.publish(&opened("A")).await;
    world.run_until_idle().await;
    browser.open(&format!("{SEVERAL}?{}", fields("resume"))).await.says("2 held deliveries are delivered");
    act("resume").await.says("2 webhooks resumed.");
    world.run_until_idle().await;
    assert_eq!((world.attempts(URL).len(), world.attempts(OTHER).len()), (1, 1));
    // What belongs to another account is not touched, and the rest is done.
    let mixed = [("id", &*foreign.id), ("id", &*first.id), ("act", "pause")];
    browser.submit(SEVERAL, &mixed).await.says("1 webhook paused. 1 refused.");
    assert_eq!(neighbour.webhook(&foreign).await["status"], "active");
}

#[tokio::test]
async fn selected_deliveries_are_sent_again_after_a_question_with_their_number() {
    let world = World::new().await;
    let hook = world.register_with(URL, json!({"description": "On-call bot"})).await;
    let mut chosen = vec![];
    for incident in ["A", "B", "C"] {
        let event = world.publish(&opened(incident)).await;
        world.run_until_idle().await;
        chosen.push(format!("{}/{}", hook.id, text(&world.delivery(&hook, &event).await["id"])));
    }
    let browser = world.browser().await;
    const REDELIVER: &str = "/dashboard/deliveries/redeliver";
    browser.open("/dashboard/deliveries").await.says("Send now");
    browser.open(REDELIVER).await.says("Select the deliveries first");
    let question = browser.open(&format!("{REDELIVER}?delivery={}&delivery={}", chosen[0], chosen[2])).await;
    question.says("Send 2 deliveries now?").says("incident_opened of A to On-call bot").does_not_say("of B");
    let fields = [("delivery", &*chosen[0]), ("delivery", &*chosen[2])];
    browser.submit(REDELIVER, &fields).await.says("2 selected deliveries are being sent now.");
    world.run_until_idle().await;
    let again: Vec<_> = world.attempts(URL)[3..].iter().map(incident).collect();
    assert_eq!(again, ["A", "C"]);
}

//! Section 14 of docs/behaviour.md: alerts of other systems.

use serde_json::{Value, json};

use crate::support::*;

const ALERTMANAGER: &str = "/v1/events/alertmanager";

fn alert(fingerprint: &str, status: &str, summary: &str) -> Value {
    json!({
        "status": status, "fingerprint": fingerprint,
        "startsAt": "2024-03-15T15:22:01+01:00", "endsAt": "2024-03-15T15:05:44Z",
        "labels": {"alertname": "HighErrorRate", "instance": "checkout-1:9090", "team": "payments"},
        "annotations": {"summary": summary},
    })
}

async fn notify(world: &World, path: &str, alerts: &[Value]) -> Answer {
    world.call("POST", path, &[], json!({"version": "4", "alerts": alerts}).to_string()).await
}

fn events(world: &World) -> Vec<(String, String)> {
    let shown = |attempt: &Seen| {
        let payload: Value = serde_json::from_str(attempt.text()).unwrap();
        (attempt.event().to_owned(), payload["details"]["message"].as_str().unwrap().to_owned())
    };
    world.attempts(URL).iter().map(shown).collect()
}

#[tokio::test]
async fn each_alert_is_one_event_however_often_it_comes() {
    for path in [ALERTMANAGER, "/v1/events/grafana"] {
        let world = World::new().await;
        let hook = world.register_with(URL, json!({"monitor_groups": ["payments"]})).await;
        let two = [alert("aa", "firing", "12 %"), alert("bb", "firing", "3 %")];
        let answer = notify(&world, path, &two).await.expect(202);
        assert_eq!(answer["events"].as_array().unwrap().len(), 2);
        assert_eq!(notify(&world, path, &two).await.expect(202), answer);
        world.run_until_idle().await;
        let opened = |text: &str| ("incident_opened".to_owned(), text.to_owned());
        assert_eq!(events(&world), [opened("12 %"), opened("3 %")], "{path}");
        for sent in world.attempts(URL) {
            verify_all(&sent, &hook.secret);
        }
    }
}

#[tokio::test]
async fn an_alert_that_changes_is_an_update_and_its_end_a_resolution() {
    let world = World::new().await;
    world.register(URL).await;
    for (status, summary) in
        [("firing", "a"), ("firing", "b"), ("firing", "b"), ("firing", "a"), ("resolved", "c")]
    {
        notify(&world, ALERTMANAGER, &[alert("aa", status, summary)]).await.expect(202);
        world.run_until_idle().await;
    }
    notify(&world, ALERTMANAGER, &[alert("aa", "resolved", "d")]).await.expect(202);
    world.run_until_idle().await;
    let expected = [("incident_opened", "a"), ("incident_updated", "b"), ("incident_resolved", "c")];
    assert_eq!(events(&world), expected.map(|(event, text)| (event.to_owned(), text.to_owned())));
    let incidents: Vec<String> = world
        .attempts(URL)
        .iter()
        .map(|attempt| {
            let payload: Value = serde_json::from_str(attempt.text()).unwrap();
            payload["incident_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(incidents, vec!["alertmanager-aa-20240315T142201Z"; 3]);
}

#[tokio::test]
async fn an_invalid_alert_is_named_and_nothing_is_published() {
    let world = World::new().await;
    world.register(URL).await;
    let broken = json!({"status": "pending", "fingerprint": "a/b", "startsAt": "now"});
    let refused = notify(&world, ALERTMANAGER, &[alert("aa", "firing", "x"), broken]).await;
    let expected = ["/alerts/1/status", "/alerts/1/fingerprint", "/alerts/1/startsAt"];
    assert_eq!(refused.refused(), expected);
    world.run_until_idle().await;
    assert_eq!(world.attempts(URL).len(), 0);
    assert_eq!(world.call("POST", ALERTMANAGER, &[], "alerts").await.status, 400);
    let many = vec![alert("aa", "firing", &"x".repeat(3_000)); 400];
    assert_eq!(notify(&world, ALERTMANAGER, &many).await.status, 413);
}

#[tokio::test]
async fn an_operators_key_belongs_to_no_account() {
    let world = World::new().await;
    let body = json!({"alerts": [alert("aa", "firing", "x")]}).to_string();
    let answer = world.operator.call("POST", ALERTMANAGER, &[], body).await;
    assert_eq!(answer.status, 403);
}

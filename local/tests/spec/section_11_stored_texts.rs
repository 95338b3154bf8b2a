//! Every text that anyone can store, on every page of the dashboard: it is shown as plain text, whatever it contains. A field
//! of the API without a row here fails the test, and so does a field that is not shown where its row says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::*;

/// What becomes of markup in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Markup {
    /// It is stored, and some page shows it.
    Shown,
    /// It is stored, and no page shows it.
    Stored,
    /// The field is refused, or what is stored cannot contain it.
    Refused,
}

use Markup::{Refused, Shown, Stored};

/// Each field of a request that is text of any form.
const ROWS: &[(&str, &str, Markup)] = &[
    ("PATCH /v1/account", "/allowed_domains/-", Refused),
    ("PATCH /v1/account", "/slack_url", Refused),
    ("POST /v1/accounts", "/allowed_domains/-", Refused),
    ("POST /v1/accounts", "/name", Shown),
    ("POST /v1/accounts/{id}/keys", "/name", Shown),
    ("POST /v1/events", "/monitor_groups/-", Stored),
    ("POST /v1/events", "/payload/details/endpoint", Shown),
    ("POST /v1/events", "/payload/details/engineer_notes", Shown),
    ("POST /v1/events", "/payload/details/message", Shown),
    ("POST /v1/events", "/payload/details/previous_status", Shown),
    ("POST /v1/events", "/payload/details/region", Shown),
    ("POST /v1/events", "/payload/event_type", Refused),
    ("POST /v1/events", "/payload/incident_id", Shown),
    ("POST /v1/events", "/payload/monitor_name", Shown),
    ("POST /v1/events/alertmanager", "/alerts/-/dashboardURL", Stored),
    ("POST /v1/events/alertmanager", "/alerts/-/endsAt", Refused),
    ("POST /v1/events/alertmanager", "/alerts/-/generatorURL", Stored),
    ("POST /v1/events/alertmanager", "/alerts/-/panelURL", Stored),
    ("POST /v1/events/alertmanager", "/alerts/-/silenceURL", Stored),
    ("POST /v1/events/grafana", "/alerts/-/dashboardURL", Stored),
    ("POST /v1/events/grafana", "/alerts/-/endsAt", Refused),
    ("POST /v1/events/grafana", "/alerts/-/generatorURL", Stored),
    ("POST /v1/events/grafana", "/alerts/-/panelURL", Stored),
    ("POST /v1/events/grafana", "/alerts/-/silenceURL", Stored),
    ("POST /v1/keys", "/name", Shown),
    ("POST /v1/webhooks", "/description", Shown),
    ("POST /v1/webhooks", "/headers/*", Stored),
    ("POST /v1/webhooks", "/monitor_groups/-", Shown),
    ("POST /v1/webhooks", "/url", Refused),
    ("PATCH /v1/webhooks/{id}", "/description", Shown),
    ("PATCH /v1/webhooks/{id}", "/headers/*", Stored),
    ("PATCH /v1/webhooks/{id}", "/monitor_groups/-", Shown),
    ("PATCH /v1/webhooks/{id}", "/url", Refused),
    ("POST /v1/webhooks/{id}/preview", "/payload/details/endpoint", Stored),
    ("POST /v1/webhooks/{id}/preview", "/payload/details/engineer_notes", Stored),
    ("POST /v1/webhooks/{id}/preview", "/payload/details/message", Stored),
    ("POST /v1/webhooks/{id}/preview", "/payload/details/previous_status", Stored),
    ("POST /v1/webhooks/{id}/preview", "/payload/details/region", Stored),
    ("POST /v1/webhooks/{id}/preview", "/payload/event_type", Refused),
    ("POST /v1/webhooks/{id}/preview", "/payload/incident_id", Stored),
    ("POST /v1/webhooks/{id}/preview", "/payload/monitor_name", Stored),
];

/// What no field has, but others send.
const OF_OTHERS: [&str; 5] =
    ["answer header", "answer body", "handshake header", "handshake body", "failure of a connection"];

fn mark(of: &str) -> String {
    let place =
        ROWS.iter().map(|(route, field, _)| format!("{route}{field}")).chain(OF_OTHERS.map(str::to_owned));
    let n = place.into_iter().position(|one| one == of).unwrap_or_else(|| panic!("{of} has no row"));
    format!("<i>mark-{n}</i>\"'&")
}

/// The fields of a schema that are texts without a pattern or a list of values.
fn texts(schema: &Value, at: &str, depth: usize, found: &mut BTreeSet<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(to) => routes::DESCRIPTION.pointer(&to[1..]).unwrap(),
        None => schema,
    };
    if depth > 8 {
        return;
    }
    for kind in ["oneOf", "anyOf", "allOf"] {
        for one in schema[kind].as_array().into_iter().flatten() {
            texts(one, at, depth + 1, found);
        }
    }
    let is_text = schema["type"] == "string"
        || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!("string")));
    if is_text && schema["enum"].is_null() && schema["pattern"].is_null() {
        found.insert(at.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        texts(property, &format!("{at}/{name}"), depth + 1, found);
    }
    if schema["additionalProperties"].is_object() {
        texts(&schema["additionalProperties"], &format!("{at}/*"), depth + 1, found);
    }
    if schema["items"].is_object() {
        texts(&schema["items"], &format!("{at}/-"), depth + 1, found);
    }
}

#[test]
fn every_text_of_a_request_has_a_row() {
    let mut described = BTreeSet::new();
    for route in routes::of_api() {
        let operation = &routes::DESCRIPTION["paths"][&route.path][route.method.to_lowercase()];
        for content in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            let mut found = BTreeSet::new();
            texts(&content.1["schema"], "", 0, &mut found);
            described
                .extend(found.into_iter().map(|field| (format!("{} {}", route.method, route.path), field)));
        }
    }
    let rows: BTreeSet<_> = ROWS.iter().map(|(route, field, _)| ((*route).into(), (*field).into())).collect();
    assert_eq!(described, rows);
}

/// An account in which every text is markup.
struct Stage {
    world: World,
    admin: Api,
    viewer: Api,
    pages: Vec<String>,
}

fn payload(route: &str) -> Value {
    let text = |field: &str| mark(&format!("{route}/payload{field}"));
    json!({
        "event_type": "incident_opened", "incident_id": text("/incident_id"), "monitor_name": text("/monitor_name"),
        "status": "investigating", "triggered_at": "2024-03-15T14:22:00Z",
        "details": {
            "endpoint": text("/details/endpoint"), "engineer_notes": text("/details/engineer_notes"),
            "message": text("/details/message"), "previous_status": text("/details/previous_status"),
            "region": text("/details/region"),
        },
    })
}

async fn alerts(admin: &Api, route: &str) {
    let text = |field: &str| mark(&format!("POST {route}/alerts/-/{field}"));
    let alert = json!({
        "status": "firing", "fingerprint": "aa", "startsAt": "2024-03-15T14:22:00Z",
        "labels": {"alertname": text("generatorURL")}, "annotations": {"summary": text("silenceURL")},
        "dashboardURL": text("dashboardURL"), "generatorURL": text("generatorURL"),
        "panelURL": text("panelURL"), "silenceURL": text("silenceURL"),
    });
    admin.post(route, &json!({"alerts": [alert]})).await.expect(202);
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let made = world
            .operator
            .post("/v1/accounts", &json!({"name": mark("POST /v1/accounts/name")}))
            .await
            .expect(201);
        let admin = world.with_key(text(&made["key"]));
        let keys = format!("/v1/accounts/{}/keys", text(&made["id"]));
        let key = json!({"role": "viewer", "name": mark("POST /v1/accounts/{id}/keys/name")});
        let key = world.operator.post(&keys, &key).await.expect(201);
        let viewer = world.with_key(text(&key["key"]));
        let own = json!({"role": "publisher", "name": mark("POST /v1/keys/name")});
        let own = text(&admin.post("/v1/keys", &own).await.expect(201)["id"]).to_owned();

        // One that answers with markup, one whose handshake does, and one whose connection fails with it.
        let failing = Reply::from(503).header("x-id", &mark("answer header")).body(mark("answer body"));
        world.receivers.answers(URL, failing);
        world.receivers.answers_handshakes(URL, 200);
        let refusing =
            Reply::from(401).header("x-id", &mark("handshake header")).body(mark("handshake body"));
        world.receivers.answers_handshakes(OTHER, refusing);
        let unreached = "https://third.example/in";
        let fails = Reply::fails(statuspulse_core::attempt::Class::Tls, &mark("failure of a connection"));
        world.receivers.answers(unreached, fails);
        world.receivers.answers_handshakes(unreached, 200);
        let of = |route: &str| {
            json!({
                "description": mark(&format!("{route}/description")),
                "headers": {"X-Own": mark(&format!("{route}/headers/*")).replace('\'', "")},
                "monitor_groups": [mark(&format!("{route}/monitor_groups/-")), mark("POST /v1/events/monitor_groups/-")],
            })
        };
        let mut hooks = vec![];
        for url in [URL, OTHER, unreached] {
            hooks.push(admin.register_with(url, of("POST /v1/webhooks")).await);
        }
        admin
            .patch(&format!("/v1/webhooks/{}", hooks[2].id), of("PATCH /v1/webhooks/{id}"))
            .await
            .expect(200);
        let groups = [mark("POST /v1/events/monitor_groups/-")];
        let event = json!({"monitor_groups": groups, "payload": payload("POST /v1/events")});
        admin.post("/v1/events", &event).await.expect(202);
        for route in ["/v1/events/alertmanager", "/v1/events/grafana"] {
            alerts(&admin, route).await;
        }
        let preview = json!({"payload": payload("POST /v1/webhooks/{id}/preview")});
        admin.post(&format!("/v1/webhooks/{}/preview", hooks[0].id), &preview).await.expect(200);
        world.advance(HOUR * 3).await;

        let mut pages = vec![];
        for page in routes::of_dashboard()
            .pages
            .into_iter()
            .filter(|page| !page.contains("{file}") && !page.contains("{*"))
        {
            if page.contains("/keys/") {
                pages.push(page.replace("{id}", &own));
                continue;
            }
            for hook in &hooks {
                let page = page.replace("{id}", &hook.id);
                match admin.deliveries(hook).await {
                    deliveries if page.contains("{delivery}") => {
                        pages.extend(
                            deliveries.iter().map(|one| page.replace("{delivery}", text(&one["id"]))),
                        );
                    }
                    _ => pages.push(page),
                }
            }
        }
        // Filters show what was asked for, and mistakes are repeated.
        let asked = "%3Ci%3Emark-999%3C%2Fi%3E%22";
        pages.extend(
            ["webhooks?q=", "deliveries?incident=", "deliveries?id=", "audit-log?webhook=", "search?q="]
                .map(|page| format!("/dashboard/{page}{asked}")),
        );
        pages.sort();
        pages.dedup();
        Self { world, admin, viewer, pages }
    }
}

#[tokio::test]
async fn every_stored_text_is_shown_as_text_on_every_page() {
    let stage = Stage::new().await;
    let mut shown = BTreeSet::new();
    for reader in [&stage.admin, &stage.viewer] {
        let browser = Browser::signed_in(reader).await;
        for page in &stage.pages {
            let html = browser.open(page).await.html;
            assert!(!html.contains("<i>mark") && !html.contains("</i>\"'&"), "{page}: {html}");
            for (n, _) in html.match_indices("mark-") {
                let rest = &html[n + 5..];
                let digits = rest.chars().take_while(char::is_ascii_digit).count();
                shown.insert(rest[..digits].parse::<usize>().unwrap());
                // In an attribute a quote would end the value, in JSON for a script as well.
                let after = &rest[digits..];
                assert!(
                    ["&#60;/i&#62;&#34;", "\\u003c"].iter().any(|safe| after.starts_with(safe))
                        || !after.starts_with('<'),
                    "{page}"
                );
            }
        }
    }
    let places = ROWS.iter().map(|(route, field, markup)| (format!("{route}{field}"), *markup));
    let places = places.chain(OF_OTHERS.map(|place| (place.to_owned(), Shown)));
    let wrong: Vec<_> = places
        .enumerate()
        .filter(|(n, (_, markup))| (*markup == Shown) != shown.contains(n) && *markup != Stored)
        .map(|(_, place)| place)
        .collect();
    assert_eq!(wrong, [], "shown where it was not expected, or not shown");
}

/// Markup in fields that cannot have it.
#[tokio::test]
async fn fields_of_a_fixed_form_refuse_markup() {
    let stage = Stage::new().await;
    let (admin, operator) = (&stage.admin, &stage.world.operator);
    let markup = "https://x.example/<i>mark</i>";
    admin.patch("/v1/account", json!({"allowed_domains": ["<i>x</i>.example"]})).await.refused();
    let slack = json!({"slack_url": "https://hooks.slack.com/<i>mark</i>"});
    let hidden = admin.patch("/v1/account", slack).await.expect(200)["slack_url"].clone();
    assert_eq!(hidden, "https://hooks.slack.com/[hidden]");
    let domains = json!({"name": "A", "allowed_domains": ["<i>x</i>.example"]});
    operator.post("/v1/accounts", &domains).await.refused();
    let made = admin.register_with(markup, json!({})).await;
    assert_eq!(made.url, "https://x.example/%3Ci%3Emark%3C/i%3E");
}

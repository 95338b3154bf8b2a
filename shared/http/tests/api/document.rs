//! The OpenAPI document is correct: types, routes, roles, request bodies and examples.

use std::collections::BTreeSet;
use std::path::Path;

use http::StatusCode;
use serde_json::{Value, json};
use statuspulse_core::admin::commands::NewWebhook;
use statuspulse_core::delivery::State;

use crate::support::{Answer, Client, DOCUMENT, Described, World, assert_fits};

/// What the examples need: a webhook registered with the documented example, and a failed delivery.
struct Stage {
    world: World,
    webhook: String,
    delivery: String,
    key: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let create = Described::all().into_iter().find(|one| one.id() == "createWebhook").unwrap();
        let body = &create.body().unwrap()["example"];
        let made = world.admin().post("/v1/webhooks", body).await.expect(StatusCode::CREATED);
        let webhook = made["id"].as_str().unwrap().to_owned();
        world.admin().patch(&format!("/v1/webhooks/{webhook}"), &json!({ "monitor_groups": [] })).await;
        let delivery = world.delivery(&webhook, "INC-8842-ALPHA", State::Failed).await.id.to_string();
        let key =
            world.admin().post("/v1/keys", &json!({ "role": "viewer" })).await.expect(StatusCode::CREATED);
        Self { world, webhook, delivery, key: key["id"].as_str().unwrap().to_owned() }
    }

    /// Makes the calls that the operation needs before it can succeed.
    async fn prepare(&self, operation: Described) {
        let prepared = match operation.id() {
            "testSlack" => {
                let slack = json!({ "slack_url": "https://hooks.slack.com/services/T0/B0/x" });
                self.world.admin().patch("/v1/account", &slack).await
            }
            "finishRotation" | "cancelRotation" => {
                self.world.admin().post_nothing(&format!("/v1/webhooks/{}/rotate-secret", self.webhook)).await
            }
            _ => return,
        };
        prepared.expect(StatusCode::OK);
    }

    fn client(&self, role: &str) -> Client<'_> {
        match role {
            "admin" => self.world.admin(),
            "viewer" => self.world.viewer(),
            "publisher" => self.world.publisher(),
            "operator" => self.world.operator(),
            _ => self.world.nobody(),
        }
    }

    /// The documented path, with the ids of this stage and the documented examples of query parameters.
    fn path(&self, operation: Described) -> String {
        let account = self.world.account.to_string();
        let id = match operation.path {
            path if path.starts_with("/v1/keys") => &self.key,
            path if path.starts_with("/v1/accounts") => &account,
            _ => &self.webhook,
        };
        let mut path = operation
            .path
            .replace("{id}", id)
            .replace("{key_id}", &self.key)
            .replace("{delivery_id}", &self.delivery)
            .replace("{page}", "errors");
        for parameter in operation.parameters().iter().filter(|one| one["in"] == "query") {
            if let Some(example) = parameter["example"].as_str() {
                let separator = if path.contains('?') { '&' } else { '?' };
                path.push_str(&format!("{separator}{}={example}", parameter["name"].as_str().unwrap()));
            }
        }
        path
    }

    async fn call(&self, role: &str, operation: Described, body: Option<Value>) -> Answer {
        let client = self.client(role);
        let mut request = client.request(&operation.method.to_uppercase(), &self.path(operation));
        for parameter in operation.parameters().iter().filter(|one| one["in"] == "header") {
            request =
                request.header(parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap());
        }
        self.world
            .send(request.body(body.map(|body| body.to_string()).unwrap_or_default().into()).unwrap())
            .await
    }

    /// The documented example of the body. An operator's event also gets its required account.
    fn example(&self, role: &str, operation: Described) -> Option<Value> {
        let mut body = operation.body()?["example"].clone();
        if operation.id() == "publishEvent" && role == "operator" {
            body["account_id"] = self.world.account.to_string().into();
        }
        Some(body)
    }
}

#[test]
fn the_committed_document_is_the_one_the_types_give() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let now = statuspulse_http::openapi();
    if std::env::var_os("STATUSPULSE_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == now, "docs/openapi.json is out of date: run `make openapi`");
}

/// API Gateway decodes a path, and logs have it: it must not contain what a customer chose.
#[test]
fn paths_contain_ids_and_never_free_text() {
    let document: Value = serde_json::from_str(&statuspulse_http::openapi()).unwrap();
    let mut ids = 0;
    // The names of the pages of the reference are ours.
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| *path != "/docs/{page}");
    for (path, operations) in paths {
        let operations = operations.as_object().unwrap().values();
        let parameters =
            operations.flat_map(|operation| operation["parameters"].as_array().into_iter().flatten());
        for parameter in parameters.filter(|parameter| parameter["in"] == "path") {
            let schema = parameter["schema"]["$ref"].as_str().unwrap_or_default();
            assert!(schema.ends_with("Id"), "{path}: {} is {}", parameter["name"], parameter["schema"]);
            ids += 1;
        }
    }
    assert!(ids > 20, "{ids} of them");
}

/// axum shows the paths of a router only in its `Debug` output. If its format changes, this test fails.
#[tokio::test]
async fn the_router_has_exactly_the_described_routes() {
    let world = World::new().await;
    let shown = format!("{:?}", world.router);
    let (_, after) = shown.split_once("Node { paths: {").unwrap();
    let (paths, _) = after.split_once("} }").unwrap_or((after, ""));
    let routed: BTreeSet<_> = paths.split('"').filter(|text| text.starts_with('/')).collect();
    let described: BTreeSet<_> = Described::all().iter().map(|one| one.path).collect();
    assert_eq!(routed, described);
    for path in described {
        let answer = world.nobody().call("TRACE", path, "").await;
        answer.refused(405, "method_not_allowed");
        let allowed: BTreeSet<_> = answer
            .header("allow")
            .split(',')
            .filter(|method| *method != "HEAD")
            .map(str::to_lowercase)
            .collect();
        let of_path = Described::all().into_iter().filter(|one| one.path == path);
        assert_eq!(allowed, of_path.map(|one| one.method.to_owned()).collect(), "{path}");
    }
}

#[tokio::test]
async fn each_example_succeeds_for_the_described_roles_and_for_no_others() {
    for operation in Described::all() {
        for role in ["admin", "viewer", "publisher", "operator", "nobody"] {
            let stage = Stage::set().await;
            stage.prepare(operation).await;
            let answer = stage.call(role, operation, stage.example(role, operation)).await;
            let roles = operation.roles();
            let expected = match role {
                _ if roles.is_empty() || roles.contains(&role) => operation.success().0,
                "nobody" => 401,
                _ => 403,
            };
            assert_eq!(answer.status.as_u16(), expected, "{} as {role}: {}", operation.id(), answer.text);
        }
    }
}

#[tokio::test]
async fn a_field_that_is_not_described_is_refused() {
    let mut tried = 0;
    for operation in Described::all() {
        let Some(body) = operation.body() else { continue };
        let reference = body["schema"]["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        let schema = DOCUMENT.pointer(reference).unwrap();
        if reference.ends_with("/Notification") {
            assert_eq!(schema["additionalProperties"], true, "others send it, and may add to it");
            continue;
        }
        assert_eq!(schema["additionalProperties"], false, "{}", operation.id());
        let stage = Stage::set().await;
        stage.prepare(operation).await;
        let role = operation.roles()[0];
        let mut example = stage.example(role, operation).unwrap();
        example["surprise"] = json!(1);
        stage.call(role, operation, Some(example)).await.names(&["/surprise"]);
        tried += 1;
    }
    assert!(tried > 10, "no request bodies were found");
}

/// The body of a registration, the body of a change and the webhook in the answers. The destination cannot be changed, and a
/// secret is rotated, and never shown.
#[test]
fn every_setting_of_a_webhook_is_described() {
    let schemas: [(&str, &[&str]); 3] =
        [("NewWebhook", &[]), ("WebhookChange", &["destination", "secret"]), ("Webhook", &["secret"])];
    for (schema, except) in schemas {
        let described = &DOCUMENT["components"]["schemas"][schema]["properties"];
        for name in NewWebhook::FIELDS.into_iter().filter(|name| !except.contains(name)) {
            assert!(described[name].is_object(), "{schema} has no description of {name}");
        }
    }
}

#[tokio::test]
async fn a_body_is_optional_exactly_where_the_document_says_so() {
    for operation in Described::all().into_iter().filter(|one| one.body().is_some()) {
        let stage = Stage::set().await;
        stage.prepare(operation).await;
        let answer = stage.call(operation.roles()[0], operation, None).await;
        if operation.value["requestBody"]["required"] == true {
            answer.refused(400, "malformed_body");
        } else {
            assert_eq!(answer.status.as_u16(), operation.success().0, "{}", operation.id());
        }
    }
}

#[test]
fn each_example_fits_its_schema() {
    for operation in Described::all() {
        if let Some(body) = operation.body() {
            assert_fits(&body["schema"], &body["example"], operation.id());
        }
        if let Some(content) = operation.success().1["content"].get("application/json") {
            assert_fits(&content["schema"], &content["example"], operation.id());
        }
        for parameter in operation.parameters().iter().filter(|one| one["example"].is_string()) {
            let example = match parameter["schema"]["type"].as_str() {
                Some("integer") => parameter["example"].as_str().unwrap().parse::<u64>().unwrap().into(),
                _ => parameter["example"].clone(),
            };
            assert_fits(&parameter["schema"], &example, operation.id());
        }
    }
}

#[test]
fn every_reference_refers_to_something() {
    let text = DOCUMENT.to_string();
    let references: BTreeSet<_> =
        text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        assert!(DOCUMENT.pointer(reference).is_some(), "{reference} refers to nothing");
    }
}

#[test]
fn each_operation_has_an_id_a_summary_a_tag_and_its_path_parameters() {
    let mut ids = BTreeSet::new();
    for operation in Described::all() {
        assert!(ids.insert(operation.id()), "{} appears more than once", operation.id());
        assert!(
            operation.value["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{}",
            operation.id()
        );
        let tag = &operation.value["tags"][0];
        assert!(
            DOCUMENT["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag),
            "{}",
            operation.id()
        );
        for name in operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let described =
                operation.parameters().iter().any(|one| one["in"] == "path" && one["name"] == name);
            assert!(described, "{} does not describe {name}", operation.id());
        }
    }
}

/// The `webhooks` section and the guide for receivers describe what is sent: bodies and headers.
#[tokio::test]
async fn what_endpoints_receive_is_described() {
    let world = World::new().await;
    let create = json!({ "url": "https://hooks.yourcompany.com/statuspulse", "events": ["incident_opened"] });
    let made = world.admin().post("/v1/webhooks", &create).await.expect(StatusCode::CREATED);
    let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
    let mut sent = vec![world.receiver.latest()];
    let asked =
        ["incident_opened", "incident_updated", "incident_resolved"].map(|event| json!({ "event": event }));
    for asked in asked.into_iter().chain([json!({})]) {
        world.admin().post(&format!("{path}/test"), &asked).await.expect(StatusCode::OK);
        sent.push(world.receiver.latest());
    }
    let rotate = json!({ "style": "split" });
    world.admin().post(&format!("{path}/rotate-secret"), &rotate).await.expect(StatusCode::OK);
    world.admin().post(&format!("{path}/test"), &json!({})).await.expect(StatusCode::OK);
    sent.push(world.receiver.latest());

    let mut seen = BTreeSet::new();
    for call in sent {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let event = body["event_type"].as_str().unwrap();
        let described = &DOCUMENT["webhooks"][event]["post"];
        assert_fits(&described["requestBody"]["content"]["application/json"]["schema"], &body, event);
        let own = |(name, _): &&(String, String)| !["Content-Type", "User-Agent"].contains(&name.as_str());
        let headers: Vec<_> = call.headers.iter().filter(own).collect();
        for parameter in described["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let found = headers.iter().find(|(header, _)| header == name);
            assert!(found.is_some() || parameter["required"] == false, "{event} has no {name}");
            let Some((_, value)) = found else { continue };
            let value = match parameter["schema"]["type"].as_str() {
                Some("integer") => json!(value.parse::<u64>().unwrap()),
                _ => json!(value),
            };
            assert_fits(&parameter["schema"], &value, &format!("{name} of {event}"));
            seen.insert(name.to_owned());
        }
        for (name, _) in headers {
            let is_described =
                described["parameters"].as_array().unwrap().iter().any(|one| one["name"] == **name);
            assert!(is_described, "{name} of {event} is not described");
        }
    }
    let guide =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/receiving.md"))
            .unwrap();
    let table = guide.split("| Header | Value |").nth(1).unwrap().split("\n\n").next().unwrap();
    let in_guide: BTreeSet<_> =
        table.split("\n| `").skip(1).map(|row| row.split('`').next().unwrap().to_owned()).collect();
    assert_eq!(seen, in_guide);
}

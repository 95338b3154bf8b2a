//! Every call that changes something, made twice: once the answer is read, and once the caller closes its connection
//! as soon as the request is sent. Both worlds must end up the same.
//!
//! The calls come from `docs/openapi.json` and from the dashboard's router, so a new route fails the test until it has
//! a case here.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_kit::{Behaviour, Receiver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Api, Home, Program, eventually, pause, payload, text};

/// What the webhook of a case looks like before the call.
#[derive(Debug, Clone, Copy)]
enum Before {
    /// Active, with one delivered event.
    Delivered,
    /// Paused, with one held event.
    Paused,
    /// Active, with one event whose first attempt failed.
    Failing,
    /// A rotation of its secret is open.
    Rotating,
}

use Before::{Delivered, Failing, Paused, Rotating};

/// A route, its body, and the state before the call. Placeholders in braces are replaced by the values of the account
/// that makes the call.
type Case = (&'static str, &'static str, Before);

const ALERT: &str =
    r#"{"alerts":[{"status":"firing","fingerprint":"aa","startsAt":"2026-01-01T00:00:00Z"}]}"#;

const API: [Case; 27] = [
    ("POST /v1/accounts", r#"{"name":"Made by {url}"}"#, Delivered),
    ("PATCH /v1/account", r#"{"slack_url":null}"#, Delivered),
    ("PATCH /v1/accounts/{id}/quotas", r#"{"webhooks_per_host":7}"#, Delivered),
    ("POST /v1/accounts/{id}/keys", r#"{"role":"viewer"}"#, Delivered),
    ("DELETE /v1/accounts/{id}/keys/{key_id}", "", Delivered),
    ("POST /v1/account/slack/test", "{}", Delivered),
    ("POST /v1/dashboard-sessions", "{}", Delivered),
    ("POST /v1/keys", r#"{"role":"viewer"}"#, Delivered),
    ("DELETE /v1/keys/{id}", "", Delivered),
    ("POST /v1/events", r#"{"payload":{payload}}"#, Delivered),
    ("POST /v1/events/alertmanager", ALERT, Delivered),
    ("POST /v1/events/grafana", ALERT, Delivered),
    ("POST /v1/webhooks", r#"{"url":"{url}/second","events":["incident_opened"]}"#, Delivered),
    ("PATCH /v1/webhooks/{id}", r#"{"url":"{url}/moved"}"#, Delivered),
    ("DELETE /v1/webhooks/{id}", "", Delivered),
    ("POST /v1/webhooks/{id}/verify", "{}", Delivered),
    ("POST /v1/webhooks/{id}/pause", "{}", Delivered),
    ("POST /v1/webhooks/{id}/resume", "{}", Paused),
    ("POST /v1/webhooks/{id}/retry", "{}", Failing),
    ("POST /v1/webhooks/{id}/rotate-secret", "{}", Delivered),
    ("POST /v1/webhooks/{id}/rotate-secret/finish", "{}", Rotating),
    ("POST /v1/webhooks/{id}/rotate-secret/cancel", "{}", Rotating),
    ("POST /v1/webhooks/{id}/test", "{}", Delivered),
    ("POST /v1/webhooks/{id}/preview", r#"{"event":"incident_opened"}"#, Delivered),
    ("POST /v1/webhooks/{id}/redeliver", r#"{"since":"2026-01-01T00:00:00Z"}"#, Delivered),
    ("POST /v1/webhooks/{id}/deliveries/{delivery_id}/redeliver", "{}", Delivered),
    ("POST /v1/deliveries/{delivery_id}/redeliver", "{}", Delivered),
];

const DASHBOARD: [Case; 23] = [
    ("POST /dashboard/sign-in", "link={link}", Delivered),
    ("POST /dashboard/sign-out", "", Delivered),
    ("POST /dashboard/keys", "role=viewer", Delivered),
    ("POST /dashboard/keys/{id}/revoke", "", Delivered),
    ("POST /dashboard/account/slack", "slack_url={url}/slack", Delivered),
    ("POST /dashboard/account/slack/test", "", Delivered),
    ("POST /dashboard/account/slack/remove", "", Delivered),
    ("POST /dashboard/webhooks", "destination=json&url={url}/second&events=incident_opened", Delivered),
    ("POST /dashboard/webhooks/several", "act=pause&id={id}", Delivered),
    ("POST /dashboard/deliveries/redeliver", "delivery={id}/{delivery}", Delivered),
    ("POST /dashboard/webhooks/{id}/edit", "url={url}/moved&events=incident_opened", Delivered),
    ("POST /dashboard/webhooks/{id}/verify", "", Delivered),
    ("POST /dashboard/webhooks/{id}/pause", "", Delivered),
    ("POST /dashboard/webhooks/{id}/resume", "", Paused),
    ("POST /dashboard/webhooks/{id}/retry", "", Failing),
    ("POST /dashboard/webhooks/{id}/discard", "", Paused),
    ("POST /dashboard/webhooks/{id}/test", "", Delivered),
    ("POST /dashboard/webhooks/{id}/rotate", "", Delivered),
    ("POST /dashboard/webhooks/{id}/rotate/finish", "", Rotating),
    ("POST /dashboard/webhooks/{id}/rotate/cancel", "", Rotating),
    ("POST /dashboard/webhooks/{id}/delete", "", Delivered),
    ("POST /dashboard/webhooks/{id}/redeliver", "", Delivered),
    ("POST /dashboard/webhooks/{id}/deliveries/{delivery}/redeliver", "", Delivered),
];

/// The caller reads the answer, or closes its connection this long after it has sent the request.
#[derive(Debug, Clone, Copy)]
enum Caller {
    Reads,
    HangsUp(Duration),
}

const CALLERS: [(&str, Caller); 3] = [
    ("reads", Caller::Reads),
    ("leaves", Caller::HangsUp(Duration::ZERO)),
    ("waits", Caller::HangsUp(Duration::from_millis(20))),
];

/// How long the receiver takes, so that a caller that hangs up does it in the middle of the call.
const SLOW: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_has_the_same_effect_whether_or_not_its_answer_is_read() {
    let home = Home::new();
    let (receiver, ca) = home.tls_receiver();
    let program = home.serve(&["--dev-extra-ca", ca.to_str().unwrap()]).await;
    let operator = home.operator_key().await;
    let stage = Stage { program: &program, receiver: &receiver, operator: &operator };
    let mut differ = vec![];
    for (n, case) in API.into_iter().chain(DASHBOARD).enumerate() {
        let mut made = vec![];
        for (who, caller) in CALLERS {
            let account = Account::new(&stage, &format!("{who}-{n}"), case.2).await;
            account.call(&stage, case, caller).await;
            made.push(account);
        }
        let [read, others @ ..] = &made[..] else { unreachable!() };
        for other in others {
            let same = async || read.state(&stage).await == other.state(&stage).await;
            if !soon(same).await {
                differ.push(format!(
                    "{} ({})\n  read:   {}\n  unread: {}",
                    case.0,
                    other.name,
                    read.state(&stage).await,
                    other.state(&stage).await
                ));
            }
        }
    }
    assert!(differ.is_empty(), "{} of the calls differ:\n{}", differ.len(), differ.join("\n"));
    program.stop().await;
}

/// Whether it becomes true within a few seconds, which is long for these calls.
async fn soon(is_so: impl AsyncFn() -> bool) -> bool {
    for _ in 0..100 {
        if is_so().await {
            return true;
        }
        pause(Duration::from_millis(50)).await;
    }
    false
}

struct Stage<'a> {
    program: &'a Program,
    receiver: &'a Receiver,
    /// The operator's key.
    operator: &'a str,
}

/// An account with one webhook, for one case and one caller.
struct Account {
    name: String,
    api: Api,
    key: String,
    account: String,
    /// The id of a second key.
    spare: String,
    webhook: String,
    delivery: String,
    link: String,
    cookie: String,
    url: String,
}

impl Account {
    async fn new(stage: &Stage<'_>, name: &str, before: Before) -> Self {
        let account = json!({"name": name});
        let made = stage.program.api(stage.operator).post("/v1/accounts", &account).await.expect(201);
        let key = text(&made, "key");
        let api = stage.program.api(&key);
        let url = stage.receiver.url(&format!("/{name}"));
        let slack = json!({"slack_url": format!("{url}/slack")});
        api.patch("/v1/account", &slack).await.expect(200);
        let spare = api.post("/v1/keys", &json!({"role": "viewer"})).await.expect(201);
        let (webhook, _) = api.webhook(&url, &[]).await;
        let path = format!("/v1/webhooks/{webhook}");
        match before {
            Before::Delivered => {}
            Before::Failing => stage.receiver.behaviour(&format!("/{name}"), Behaviour::status(503)),
            Before::Paused => drop(api.post(&format!("{path}/pause"), &json!({})).await.expect(200)),
            Before::Rotating => {
                drop(api.post(&format!("{path}/rotate-secret"), &json!({})).await.expect(200))
            }
        }
        api.published(&[], &payload("opened", "INC-1", 1), 1).await;
        let settled = match before {
            Before::Delivered | Before::Rotating => ("delivered", 1),
            Before::Paused => ("held", 0),
            Before::Failing => ("retrying", 1),
        };
        eventually("its delivery has settled", async || {
            let delivery = &api.deliveries(&webhook).await[0];
            delivery["status"] == settled.0 && delivery["attempts"].as_array().unwrap().len() == settled.1
        })
        .await;
        let delivery = text(&api.deliveries(&webhook).await[0], "id");
        let (link, cookie) = (link(&api).await, session(&api).await);
        for path in ["", "/second", "/moved", "/slack"] {
            let then = Behaviour::delayed(SLOW, Behaviour::ok());
            stage.receiver.behaviour(&format!("/{name}{path}"), then);
        }
        Self {
            name: name.to_owned(),
            api,
            key,
            account: text(&made, "id"),
            spare: text(&spare, "id"),
            webhook,
            delivery,
            link,
            cookie,
            url,
        }
    }

    async fn call(&self, stage: &Stage<'_>, (route, body, _): Case, caller: Caller) {
        let (method, path) = route.split_once(' ').unwrap();
        let id = match path {
            path if path.contains("/accounts/") => &self.account,
            path if path.contains("/keys/") => &self.spare,
            _ => &self.webhook,
        };
        let path = path
            .replace("{id}", id)
            .replace("{key_id}", &self.spare)
            .replace("{delivery_id}", &self.delivery)
            .replace("{delivery}", &self.delivery);
        let is_page = path.starts_with("/dashboard/");
        let encoded =
            |text: &str| if is_page { text.replace(':', "%3A").replace('/', "%2F") } else { text.to_owned() };
        let body = body
            .replace("{url}", &encoded(&self.url))
            .replace("{link}", &self.link)
            .replace("{payload}", &payload("opened", "INC-2", 2));
        let key = if path.starts_with("/v1/accounts") { stage.operator } else { &self.key };
        let authority = if is_page {
            format!("Cookie: {}\r\nSec-Fetch-Site: same-origin", self.cookie)
        } else {
            format!("Authorization: Bearer {key}")
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authority}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(stage.program.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        match caller {
            Caller::HangsUp(moment) => pause(moment).await,
            Caller::Reads => {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                let status: u16 = answer[9..12].parse().unwrap();
                assert!((200..400).contains(&status), "{route}: {answer}");
            }
        }
    }

    /// What the account's owner can see, without ids and times.
    async fn state(&self, stage: &Stage<'_>) -> Value {
        let account = self.api.get("/v1/account").await.expect(200);
        let keys = self.api.get("/v1/keys?limit=250").await.expect(200);
        let keys = keys["data"].as_array().unwrap().iter();
        let mut keys: Vec<_> = keys.map(|key| json!([key["role"], key["revoked_at"].is_null()])).collect();
        keys.sort_by_key(Value::to_string);
        let list = self.api.get("/v1/webhooks?limit=250").await.expect(200);
        let mut webhooks = vec![];
        for webhook in list["data"].as_array().unwrap() {
            let path = format!("/v1/webhooks/{}", text(webhook, "id"));
            let audit = self.api.get(&format!("{path}/audit-log")).await.expect(200);
            let changes: Vec<_> =
                audit["data"].as_array().unwrap().iter().map(|entry| &entry["change"]).collect();
            let deliveries = self.api.deliveries(&text(webhook, "id")).await;
            let deliveries: Vec<_> =
                deliveries.iter().map(|delivery| json!([delivery["status"], attempts(delivery)])).collect();
            webhooks.push(json!({
                "url": webhook["url"], "status": webhook["status"], "changes": changes,
                "rotating": webhook["secret_window_ends_at"].is_string(), "deliveries": deliveries,
            }));
        }
        let paths = ["", "/second", "/moved", "/slack"];
        let calls: Vec<_> =
            paths.iter().map(|path| stage.receiver.count(&format!("/{}{path}", self.name))).collect();
        let page = self.api.page("/dashboard/webhooks", None, &self.cookie).await.status;
        let state = json!({
            "name": account["name"], "slack": account["slack_url"], "quotas": account["quotas"], "keys": keys, "webhooks": webhooks,
            "calls": calls, "page": page,
        });
        serde_json::from_str(&state.to_string().replace(&self.name, "NAME")).unwrap()
    }
}

fn attempts(delivery: &Value) -> Vec<&Value> {
    delivery["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["trigger"]).collect()
}

async fn link(api: &Api) -> String {
    let made = api.post("/v1/dashboard-sessions", &json!({})).await.expect(201);
    text(&made, "url").split_once("link=").unwrap().1.to_owned()
}

/// The cookie of a signed-in browser.
async fn session(api: &Api) -> String {
    let form = format!("link={}", link(api).await);
    let page = api.page("/dashboard/sign-in", Some(&form), "").await;
    page.cookie.unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn every_route_that_changes_something_has_a_case() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = std::fs::read_to_string(root.join("docs/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys().map(|method| method.to_uppercase());
        let changing = methods.filter(|method| ["POST", "PATCH", "PUT", "DELETE"].contains(&method.as_str()));
        routes.extend(changing.map(|method| format!("{method} {path}")));
    }
    let pages = std::fs::read_to_string(root.join("shared/dashboard/src/pages/mod.rs")).unwrap();
    for line in pages.lines().filter(|line| line.contains(".route(") && line.contains("post(")) {
        routes.insert(format!("POST {}", line.split('"').nth(1).unwrap()));
    }
    let cases = API.iter().chain(&DASHBOARD).map(|(route, ..)| (*route).to_owned());
    assert_eq!(cases.collect::<BTreeSet<_>>(), routes);
}

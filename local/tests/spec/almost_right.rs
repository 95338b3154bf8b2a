//! Fuzz targets for what only the routers read: cursors, headers, queries and forms. Each input is one that they accept, with
//! a few edits.

use std::cell::{Cell, RefCell};

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use serde_json::json;
use statuspulse_fuzz::{Edited, each};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use url::form_urlencoded::byte_serialize;

use crate::support::*;

/// Fewer than a parser's, as each is a call.
const INPUTS: u64 = 2_000;
/// Then there is a new stage: a form may have deleted what the next one needs.
const INPUTS_OF_A_STAGE: u32 = 50;

/// An account with one of everything, and a browser that is signed in.
struct Stage {
    world: World,
    hook: Hook,
    delivery: String,
    spare_key: String,
    browser: Browser,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let hook = world.register(URL).await;
        world
            .patch(&format!("/v1/webhooks/{}", hook.id), json!({"description": "On-call"}))
            .await
            .expect(200);
        for incident in ["A", "B", "C"] {
            world.publish(&opened(incident)).await;
        }
        world.run_until_idle().await;
        let delivery = text(&world.deliveries(&hook).await[0]["id"]).to_owned();
        let spare = world.post("/v1/keys", &json!({"role": "viewer", "name": "spare"})).await.expect(201);
        let browser = world.browser().await;
        Self { hook, delivery, spare_key: text(&spare["id"]).to_owned(), browser, world }
    }

    fn filled(&self, path: &str) -> String {
        let id = if path.contains("/keys/") { &self.spare_key } else { &self.hook.id };
        path.replace("{id}", id).replace("{delivery}", &self.delivery)
    }

    /// What follows from the call happens, too.
    async fn goes_on(&self) {
        self.world.advance(MINUTE).await;
        assert_eq!(self.world.dead_letters().await, 0);
    }
}

/// A stage that is replaced after some inputs.
struct Stages {
    runtime: Runtime,
    stage: RefCell<Stage>,
    each: u32,
    left: Cell<u32>,
}

impl Stages {
    /// Replaced after each of these many inputs.
    fn new(each: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stage = RefCell::new(runtime.block_on(Stage::new()));
        Self { runtime, stage, each, left: Cell::new(each) }
    }

    fn with(&self, target: impl AsyncFnOnce(&Stage)) {
        if self.left.replace(self.left.get().saturating_sub(1)) == 0 {
            self.left.set(self.each);
            self.stage.replace(self.runtime.block_on(Stage::new()));
        }
        self.runtime.block_on(target(&self.stage.borrow()));
    }
}

fn escaped(bytes: &[u8]) -> String {
    byte_serialize(bytes).collect()
}

/// A list takes the cursors that it gave, and refuses all others with the name of the parameter.
#[test]
fn almost_right_cursors() {
    // Another stage has other cursors.
    let stages = Stages::new(u32::MAX);
    let lists = [
        "/v1/deliveries?",
        "/v1/webhooks/{id}/deliveries?",
        "/v1/audit-log?",
        "/v1/audit-log?webhook_id={id}&",
    ];
    let mut given: Vec<String> = vec![];
    stages.with(async |stage| {
        for list in lists {
            let page = stage.world.get(&format!("{}limit=1", stage.filled(list))).await.expect(200);
            given.push(text(&page["next_cursor"]).to_owned());
        }
    });
    each(INPUTS, |(list, input): &(u8, Edited)| {
        let (list, cursor) = (usize::from(*list) % lists.len(), input.of(&given));
        stages.with(async |stage| {
            let path = stage.filled(lists[list]);
            let answer = stage.world.get(&format!("{path}cursor={}", escaped(&cursor))).await;
            if cursor == given[list].as_bytes() {
                answer.expect(200);
            } else {
                assert_eq!(answer.refused(), ["cursor"], "{path}: {}", String::from_utf8_lossy(&cursor));
            }
            // The account has a quota of calls.
            stage.world.advance(SECOND).await;
        });
    });
}

/// Whatever a header says, a call is answered, and only the key and the session's cookie open anything.
#[test]
fn almost_right_headers() {
    let names = [
        "authorization",
        "cookie",
        "idempotency-key",
        "content-type",
        "origin",
        "host",
        "sec-fetch-site",
        "x-forwarded-for",
        "forwarded",
        "x-forwarded-proto",
        "accept",
        "content-encoding",
        "traceparent",
        "expect",
    ];
    let others = [
        "application/json; charset=utf-8",
        "https://webhooks.statuspulse.io",
        "same-origin",
        "INC-8842-opened",
        "203.0.113.7, 10.0.0.1",
        "for=203.0.113.7;proto=https",
        "gzip",
        "100-continue",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let stages = Stages::new(INPUTS_OF_A_STAGE);
    each(INPUTS, |(name, input): &(u8, Edited)| {
        stages.with(async |stage| {
            let name = names[usize::from(*name) % names.len()];
            let (key, cookie) = (format!("Bearer {}", stage.world.key), stage.browser.cookie());
            let seeds: Vec<&str> = match name {
                "authorization" => vec![&key],
                "cookie" => vec![&cookie],
                _ => others.to_vec(),
            };
            let sent = input.of(&seeds);
            let Ok(value) = HeaderValue::from_bytes(&sent) else { return };
            let request = match name {
                "authorization" => Request::get("/v1/webhooks"),
                "cookie" => Request::get("/dashboard/webhooks"),
                _ => Request::post("/v1/events").header("authorization", &key),
            };
            let body = format!(r#"{{"payload": {}}}"#, opened("D"));
            let request = request.header(name, value).body(Body::from(body)).unwrap();
            let status = stage.world.router.clone().oneshot(request).await.unwrap().status();
            let said = String::from_utf8_lossy(&sent);
            assert!(!status.is_server_error(), "{name}: {said}: {status}");
            let opens = match name {
                "authorization" => said.contains(&stage.world.key),
                "cookie" => cookie.split("; ").all(|pair| said.contains(pair)),
                _ => true,
            };
            assert!(opens || !status.is_success(), "{name}: {said}: {status}");
            let may_close = ["authorization", "cookie"].contains(&name);
            assert!(may_close || status != StatusCode::UNAUTHORIZED, "{name}: {said}");
            stage.goes_on().await;
        });
    });
}

/// Whatever a form or the query of a page contains, there is a page, and everything goes on.
#[test]
fn almost_right_forms() {
    let (stages, routes) = (Stages::new(INPUTS_OF_A_STAGE), routes::of_dashboard());
    each(INPUTS, |(route, input): &(u8, Edited)| {
        stages.with(async |stage| {
            let (hook, delivery) = (&stage.hook.id, &stage.delivery);
            let sent = input.of(&[
                "name=Terraform&role=publisher".to_owned(),
                "slack_url=https%3A%2F%2Fhooks.slack.com%2Fservices%2FT0%2FB0%2Fx".to_owned(),
                "url=https%3A%2F%2Fnew.example.com%2Fin&destination=json&events=incident_opened&\
                 events=incident_resolved&groups=Payments%0ADatabase&description=On-call&headers=X-Env%3A+prod"
                    .to_owned(),
                "url=https%3A%2F%2Fother.example.com%2Fin&destination=slack&events=incident_opened&\
                 remove_headers=X-Env&secret="
                    .to_owned(),
                format!("act=pause&webhook={hook}&webhook={hook}&id={hook}"),
                format!("act=redeliver&delivery={delivery}&delivery={delivery}&id={delivery}"),
                "secrets=auto&secret=spws_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmU".to_owned(),
                "since=2024-03-15T14%3A00&until=2024-03-15T15%3A00&range=last_hour&status=failed".to_owned(),
                "q=INC-8842&event=incident_opened&incident=A&code=503&failure=timeout&after=&from=webhook".to_owned(),
            ]);
            let all = routes.forms.len() + routes.pages.len();
            let route = usize::from(*route) % all;
            let status = match routes.forms.get(route) {
                Some(form) => {
                    let form = stage.filled(form);
                    stage.browser.send_bytes(&form, sent.clone(), SAME).await.status()
                }
                None => {
                    let page = stage.filled(&routes.pages[route - routes.forms.len()]);
                    let query = String::from_utf8_lossy(&sent);
                    let url = format!("{page}?{}", query.replace(|c: char| !c.is_ascii_graphic() || c == '#', "%20"));
                    if url.parse::<http::Uri>().is_err() {
                        return;
                    }
                    stage.browser.open(&url).await.status
                }
            };
            assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(&sent));
            stage.goes_on().await;
        });
    });
}

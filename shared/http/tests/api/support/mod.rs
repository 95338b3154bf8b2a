//! An in-memory deployment with two accounts, and a client of its router for each role.

mod described;
mod fakes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use statuspulse_core::access::{Account, ApiKey, Role};
use statuspulse_core::admin::accounts::created_account;
use statuspulse_core::attempt::{Attempt, Class, Failure, Trigger};
use statuspulse_core::audit::Actor;
use statuspulse_core::delivery::{Delivery, State};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::limiter::Limiter;
use statuspulse_core::outbox::Outbox;
use statuspulse_core::ports::{Accounts, Clock, Random, Records, Webhooks};
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::TargetPolicy;
use statuspulse_core::webhook::Webhook;
use statuspulse_core::{Admin, Deployment, Publisher};
use statuspulse_http::CursorKey;
use tower::ServiceExt;

pub(crate) use described::{DOCUMENT, Described, assert_fits};
use fakes::{Dice, Watch};
pub(crate) use fakes::{Fault, Receiver, Store};

/// The time at which every world starts.
pub(crate) const START: &str = "2026-11-24T12:00:00Z";

pub(crate) struct World {
    pub(crate) api: Arc<Admin>,
    pub(crate) publishing: Arc<Publisher>,
    pub(crate) store: Arc<Store>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) router: Router,
    pub(crate) account: AccountId,
    admin: String,
    viewer: String,
    publisher: String,
    operator: String,
    stranger: String,
    clock: Arc<Watch>,
}

impl World {
    pub(crate) async fn new() -> Self {
        print_log();
        let (store, receiver) = (Arc::new(Store::default()), Arc::new(Receiver::default()));
        let clock = Arc::new(Watch::at(START.parse().unwrap()));
        let (api, publishing) = services(&store, &receiver, &clock);
        let (now, random) = (clock.now(), &*api.random);
        let issue = async |account: Option<AccountId>, role| {
            let (key, text) = ApiKey::generate(account, role, None, now, random);
            store.create_key(&key, None).await.unwrap();
            text.reveal().to_owned()
        };
        let open = async |name: &str| {
            let account = Account::new(name, now, random).unwrap();
            let (key, text) = ApiKey::generate(Some(account.id), Role::Admin, None, now, random);
            store
                .create_account(&account, &key, &created_account(&account, &key, Actor::OWNER))
                .await
                .unwrap();
            (account.id, text.reveal().to_owned())
        };
        let (account, admin) = open("Acme").await;
        let (_, stranger) = open("Someone else").await;
        Self {
            account,
            admin,
            stranger,
            viewer: issue(Some(account), Role::Viewer).await,
            publisher: issue(Some(account), Role::Publisher).await,
            operator: issue(None, Role::Operator).await,
            router: statuspulse_http::all(Arc::clone(&api), Arc::clone(&publishing), CursorKey::new([7; 32])),
            api,
            publishing,
            store,
            receiver,
            clock,
        }
    }

    pub(crate) fn admin(&self) -> Client<'_> {
        self.with_key(&self.admin)
    }

    pub(crate) fn viewer(&self) -> Client<'_> {
        self.with_key(&self.viewer)
    }

    pub(crate) fn publisher(&self) -> Client<'_> {
        self.with_key(&self.publisher)
    }

    pub(crate) fn operator(&self) -> Client<'_> {
        self.with_key(&self.operator)
    }

    /// Another account's admin.
    pub(crate) fn stranger(&self) -> Client<'_> {
        self.with_key(&self.stranger)
    }

    pub(crate) fn nobody(&self) -> Client<'_> {
        Client { world: self, key: None }
    }

    pub(crate) fn with_key(&self, key: &str) -> Client<'_> {
        Client { world: self, key: Some(key.to_owned()) }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.pass(time);
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let answer = Answer::of(self.router.clone().oneshot(request).await.unwrap()).await;
        described::check(&method, &path, &answer);
        answer
    }

    /// Creates a webhook of the account, and returns the answer.
    pub(crate) async fn webhook(&self) -> Value {
        let body = json!({ "url": "https://hooks.example.com/in", "events": ["incident_opened",
        "incident_resolved"] });
        self.admin().post("/v1/webhooks", &body).await.expect(StatusCode::CREATED)
    }

    /// Creates a webhook of the account, and returns its path.
    pub(crate) async fn webhook_path(&self) -> String {
        format!("/v1/webhooks/{}", self.webhook().await["id"].as_str().unwrap())
    }

    /// Changes a webhook directly in the store.
    pub(crate) async fn change_webhook(&self, id: &str, change: impl FnOnce(&mut Webhook)) {
        let kept = self.store.webhook(id.parse().unwrap()).await.unwrap().unwrap();
        let mut webhook = Webhook::clone(&kept);
        change(&mut webhook);
        self.store.save_webhook(&webhook).await.unwrap().unwrap();
    }

    /// Publishes an event of the incident, and puts its delivery to the webhook into this state.
    pub(crate) async fn delivery(&self, webhook: &str, incident: &str, state: State) -> Delivery {
        let published =
            self.publisher().post("/v1/events", &opened(incident)).await.expect(StatusCode::ACCEPTED);
        let event = published["event_id"].as_str().unwrap().parse().unwrap();
        let webhook: WebhookId = webhook.parse().unwrap();
        self.store.change_delivery(event, webhook, |delivery| delivery.state = state)
    }

    /// The number of API keys of the account.
    pub(crate) async fn key_count(&self) -> usize {
        self.store.keys(self.account).await.unwrap().len()
    }
}

/// Prints the log of the code under test with the output of a failing test. A problem document does not contain the
/// cause of a 503; the log does.
fn print_log() {
    static LOG: std::sync::Once = std::sync::Once::new();
    LOG.call_once(|| {
        let log = tracing_subscriber::fmt().with_test_writer().without_time();
        log.with_max_level(tracing::Level::WARN).init();
    });
}

fn services(
    store: &Arc<Store>,
    receiver: &Arc<Receiver>,
    clock: &Arc<Watch>,
) -> (Arc<Admin>, Arc<Publisher>) {
    let random: Arc<dyn Random> = Arc::new(Dice::default());
    let outbox = Outbox::new(store.clone(), store.clone(), store.clone(), store.clone(), clock.clone());
    let limiter = Arc::new(Limiter::new(store.clone()));
    let publisher = Publisher {
        accounts: store.clone(),
        webhooks: store.clone(),
        deliveries: store.clone(),
        outbox: outbox.clone(),
        limiter: limiter.clone(),
        in_progress: Arc::new(()),
        clock: clock.clone(),
        random: random.clone(),
    };
    let admin = Admin {
        accounts: store.clone(),
        sessions: store.clone(),
        webhooks: store.clone(),
        deliveries: store.clone(),
        outbox,
        figures: Arc::new(statuspulse_core::figures::Pending::default()),
        limiter,
        sender: receiver.clone(),
        clock: clock.clone(),
        random,
        events: None,
        deployment: Deployment {
            ladder: Ladder::default(),
            policy: TargetPolicy::deployed(),
            slack: None,
            retry_early: true,
            pagerduty: statuspulse_core::target::EndpointUrl::restore(
                statuspulse_core::destination::PAGERDUTY_EVENTS,
            )
            .unwrap(),
            public_url: "https://webhooks.example.com".to_owned(),
            egress_ips: vec!["104.21.45.112".to_owned(), "172.67.188.94".to_owned()],
        },
    };
    (Arc::new(admin), Arc::new(publisher))
}

/// An attempt that failed with 503.
pub(crate) fn failed_attempt(at: &str) -> Attempt {
    Attempt {
        number: 1,
        trigger: Trigger::Event,
        at: at.parse::<Timestamp>().unwrap(),
        signed_at: at.parse::<Timestamp>().unwrap(),
        status_code: Some(503),
        failure: Some(Failure::new(Class::Http5xx, "The endpoint answered 503.")),
        duration: Duration::from_millis(312),
        response_headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        response: Some("try later".to_owned()),
    }
}

/// An envelope with an `incident_opened` event.
pub(crate) fn opened(incident: &str) -> Value {
    json!({ "monitor_groups": ["Core"], "payload": {
        "event_type": "incident_opened", "incident_id": incident, "monitor_name": "API",
        "status": "investigating",
        "triggered_at": "2026-11-24T11:59:58Z", "details": { "region": "eu-west-1",
        "response_code": 503 } } })
}

/// A caller with an API key, or without one.
pub(crate) struct Client<'a> {
    world: &'a World,
    key: Option<String>,
}

impl Client<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, body.to_string()).await
    }

    pub(crate) async fn post_nothing(&self, path: &str) -> Answer {
        self.call("POST", path, Body::empty()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, body.to_string()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.world.send(self.request(method, path).body(body.into()).unwrap()).await
    }

    /// A request with the key as its only header.
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) async fn of(response: axum::response::Response) -> Self {
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The JSON of an answer with this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text).unwrap() }
    }

    /// The problem document of a refusal with this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(StatusCode::from_u16(status).unwrap());
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/docs#problem-{code}"));
        assert_eq!(problem["instance"], self.header("x-request-id"));
        assert!(
            problem["title"].is_string() && problem["detail"].is_string() && problem["errors"].is_array()
        );
        problem
    }

    /// A 422 whose errors name exactly these fields.
    #[track_caller]
    pub(crate) fn names(&self, pointers: &[&str]) {
        let problem = self.refused(422, "invalid_fields");
        let named: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
        assert_eq!(named, pointers, "{problem}");
    }
}

/// The field names of an object, sorted.
#[track_caller]
pub(crate) fn field_names(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

//! A client of the API and events to publish, for tests. Unexpected results panic with a message.

#![expect(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "test helpers may panic")]

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// A time limit for any wait; generous, because the machine may be busy.
pub const LONG: Duration = Duration::from_secs(60);

/// A response of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// Returns the body. Panics if the status is another one.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

/// A page of the dashboard.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub location: Option<String>,
    pub cookie: Option<String>,
    pub html: String,
}

/// A client with one API key.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    origin: String,
    key: String,
}

impl Api {
    pub fn new(origin: &str, key: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { client, origin: origin.to_owned(), key: key.to_owned() }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// A client with the same key for another server, such as the next start.
    pub fn at(&self, origin: &str) -> Self {
        Self::new(origin, &self.key)
    }

    /// Sends a GET without a key and ignores the response, which need not be JSON.
    pub async fn probe(&self, path: &str) {
        let request = Request::get(format!("{}{path}", self.origin)).body(Full::default()).unwrap();
        let answer = tokio::time::timeout(LONG, self.client.request(request)).await.expect("an answer");
        answer.unwrap().into_body().collect().await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, Bytes::new()).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, None, Bytes::from(body.to_string())).await.unwrap()
    }

    /// Like [`post`](Self::post), but returns `None` if there is no valid response, such as when the connection breaks.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.call("POST", path, None, Bytes::from(body.to_string())).await.ok()
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, None, Bytes::from(body.to_string())).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None, Bytes::new()).await.unwrap()
    }

    /// Publishes a payload without changing its bytes.
    ///
    /// # Errors
    /// If the connection breaks, or the response is not JSON.
    pub async fn publish(
        &self,
        groups: &[&str],
        payload: &str,
        idempotency_key: Option<&str>,
    ) -> Result<Answer, String> {
        let envelope = format!("{{\"monitor_groups\":{},\"payload\":{payload}}}", json!(groups));
        self.call("POST", "/v1/events", idempotency_key, Bytes::from(envelope)).await
    }

    /// Publishes a payload, and expects a 202 with this number of deliveries.
    pub async fn published(&self, groups: &[&str], payload: &str, deliveries: u64) -> Value {
        let answer = self.publish(groups, payload, None).await.unwrap().expect(202);
        assert_eq!(answer["deliveries"], deliveries, "{payload}");
        answer
    }

    /// Requests a page of the dashboard with the session's cookie: a GET, or a POST of `form`.
    pub async fn page(&self, path: &str, form: Option<&str>, cookie: &str) -> Page {
        let request = Request::builder()
            .method(if form.is_some() { "POST" } else { "GET" })
            .uri(format!("{}{path}", self.origin))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookie)
            .body(Full::from(form.unwrap_or_default().to_owned()))
            .unwrap();
        let answer =
            tokio::time::timeout(LONG, self.client.request(request)).await.expect("an answer").unwrap();
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, location, cookie) = (answer.status().as_u16(), header("location"), header("set-cookie"));
        let html = answer.into_body().collect().await.unwrap().to_bytes();
        Page { status, location, cookie, html: String::from_utf8(html.to_vec()).unwrap() }
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        idempotency_key: Option<&str>,
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let exchange = async {
            let answer = self.client.request(request.body(Full::from(body)).unwrap()).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).map_err(|error| format!("{status}: {error}"))?
            };
            Ok(Answer { status, body })
        };
        tokio::time::timeout(LONG, exchange).await.expect("an answer")
    }

    /// Registers a webhook for all event types of these groups, which must pass its handshake. Returns id and secret.
    pub async fn webhook(&self, url: &str, groups: &[&str]) -> (String, String) {
        let body = json!({
            "url": url,
            "events": ["incident_opened", "incident_updated", "incident_resolved"],
            "monitor_groups": groups,
        });
        let made = self.post("/v1/webhooks", &body).await.expect(201);
        assert_eq!(made["status"], "active", "{made}");
        (text(&made, "id"), text(&made, "secret"))
    }

    pub async fn shown(&self, webhook: &str) -> Value {
        self.get(&format!("/v1/webhooks/{webhook}")).await.expect(200)
    }

    /// All deliveries of a webhook, newest first.
    pub async fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let mut all = vec![];
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/webhooks/{webhook}/deliveries?limit=250{cursor}");
            let page = self.get(&path).await.expect(200);
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Waits until every delivery of the webhook is delivered.
    pub async fn all_delivered(&self, webhook: &str) {
        eventually("every delivery is delivered", async || {
            self.deliveries(webhook).await.iter().all(|delivery| delivery["status"] == "delivered")
        })
        .await;
    }
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

/// A payload of this kind (`opened`, `updated` or `resolved`), with unusual spacing, numbers and characters that must
/// reach the endpoint unchanged.
pub fn payload(kind: &str, incident: &str, n: usize) -> String {
    let (status, time) = match kind {
        "opened" => ("investigating", "triggered_at"),
        "updated" => ("identified", "updated_at"),
        _ => ("resolved", "resolved_at"),
    };
    format!(
        r#"{{ "event_type":"incident_{kind}", "incident_id":"{incident}", "monitor_name":"Chéckout <API>",
  "status":"{status}","{time}":"2026-11-24T12:00:00Z","details":{{"latency_ms":1240.50,"n":{n},"big":9223372036854775809}} }}"#
    )
}

/// Polls until `is_so` returns `true`. Panics after [`LONG`].
pub async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let asking = async {
        while !is_so().await {
            pause(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, asking).await.is_ok(), "timed out waiting until {what}");
}

pub async fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
    tokio::time::sleep(time).await;
}

//! A client of the API and events to publish, for tests. Unexpected results panic with a message.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers may panic")]

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Error, Method, RequestBuilder};
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

/// A client for plain HTTP on loopback. It trusts no certificate authority.
pub fn client() -> Client {
    // reqwest asks for it even if no call uses TLS. It fails if it was installed before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = Client::builder().tls_certs_only([]).no_proxy().redirect(Policy::none());
    builder.timeout(LONG).build().unwrap()
}

/// A client with one API key.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    origin: String,
    key: String,
}

impl Api {
    pub fn new(origin: &str, key: &str) -> Self {
        Self { client: client(), origin: origin.to_owned(), key: key.to_owned() }
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
        self.request(Method::GET, path).send().await.unwrap().bytes().await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(self.request(Method::GET, path)).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(self.request(Method::POST, path).json(body)).await.unwrap()
    }

    /// Like [`post`](Self::post), but returns `None` if there is no valid response, such as when the connection breaks.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.call(self.request(Method::POST, path).json(body)).await.ok()
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(self.request(Method::PATCH, path).json(body)).await.unwrap()
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(self.request(Method::DELETE, path)).await.unwrap()
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
    ) -> Result<Answer, Error> {
        let envelope = format!("{{\"monitor_groups\":{},\"payload\":{payload}}}", json!(groups));
        let mut request =
            self.request(Method::POST, "/v1/events").header(CONTENT_TYPE, "application/json").body(envelope);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.call(request).await
    }

    /// Publishes a payload, and expects a 202 with this number of deliveries.
    pub async fn published(&self, groups: &[&str], payload: &str, deliveries: u64) -> Value {
        let answer = self.publish(groups, payload, None).await.unwrap().expect(202);
        assert_eq!(answer["deliveries"], deliveries, "{payload}");
        answer
    }

    /// Requests a page of the dashboard with the session's cookie: a GET, or a POST of `form`.
    pub async fn page(&self, path: &str, form: Option<&str>, cookie: &str) -> Page {
        let method = if form.is_some() { Method::POST } else { Method::GET };
        let request = self
            .request(method, path)
            .header("sec-fetch-site", "same-origin")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(COOKIE, cookie)
            .body(form.unwrap_or_default().to_owned());
        let answer = request.send().await.unwrap();
        let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, location, cookie) = (answer.status().as_u16(), header(LOCATION), header(SET_COOKIE));
        let html = answer.bytes().await.unwrap();
        Page { status, location, cookie, html: String::from_utf8(html.into()).unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin))
    }

    /// Calls the API with the key. Panics if there is no response in time.
    async fn call(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let exchange = async {
            let answer = request.bearer_auth(&self.key).send().await?;
            let status = answer.status().as_u16();
            let body = if status == 204 { Value::Null } else { answer.json().await? };
            Ok(Answer { status, body })
        };
        exchange.await.inspect_err(|error: &Error| assert!(!error.is_timeout(), "{error}"))
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

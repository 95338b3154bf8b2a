//! A client of the API, over the real router.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// A response of the API.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Asserts the status and returns the body.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts that this is a problem document with this status, and returns its `code`.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        let problem = self.expect(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        text(&problem["code"]).to_owned()
    }

    /// Asserts that the status is 422 and returns the pointers of the refused fields.
    #[track_caller]
    pub(crate) fn refused(&self) -> Vec<String> {
        let problem = self.expect(422);
        problem["errors"].as_array().unwrap().iter().map(|e| text(&e["pointer"]).to_owned()).collect()
    }
}

/// The content of a JSON string.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

/// A client with one API key.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) key: String,
}

/// A webhook with its secret, which is shown only once.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) secret: String,
}

impl Api {
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { router: self.router.clone(), key: key.to_owned() }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !self.key.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call("POST", path, &[], body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, &[], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], Body::empty()).await
    }

    /// Registers an endpoint for all event types.
    pub(crate) async fn register(&self, url: &str) -> Hook {
        self.register_with(url, json!({})).await
    }

    /// Like [`register`](Self::register), with additional or changed fields.
    pub(crate) async fn register_with(&self, url: &str, more: Value) -> Hook {
        let mut body =
            json!({"url": url, "events": ["incident_opened", "incident_updated", "incident_resolved"]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let created = self.post("/v1/webhooks", &body).await.expect(201);
        Hook {
            id: text(&created["id"]).to_owned(),
            url: text(&created["url"]).to_owned(),
            secret: text(&created["secret"]).to_owned(),
        }
    }

    pub(crate) async fn webhook(&self, hook: &Hook) -> Value {
        self.get(&format!("/v1/webhooks/{}", hook.id)).await.expect(200)
    }

    pub(crate) async fn status(&self, hook: &Hook) -> String {
        text(&self.webhook(hook).await["status"]).to_owned()
    }

    /// `POST /v1/webhooks/{id}/{action}` without a body, which must be answered with 200.
    pub(crate) async fn act(&self, hook: &Hook, action: &str) -> Value {
        self.act_with(hook, action, Value::Null).await.expect(200)
    }

    pub(crate) async fn act_with(&self, hook: &Hook, action: &str, body: Value) -> Answer {
        self.post(&format!("/v1/webhooks/{}/{action}", hook.id), &body).await
    }

    /// Publishes a payload without changing its bytes, and returns the event's id.
    pub(crate) async fn publish(&self, payload: &str) -> String {
        let published = self.publish_with(payload, &[], None).await.expect(202);
        text(&published["event_id"]).to_owned()
    }

    pub(crate) async fn publish_with(
        &self,
        payload: &str,
        groups: &[&str],
        idempotency_key: Option<&str>,
    ) -> Answer {
        let envelope = format!(r#"{{"monitor_groups": {}, "payload": {payload}}}"#, json!(groups));
        let headers: Vec<_> = idempotency_key.map(|key| ("Idempotency-Key", key)).into_iter().collect();
        self.call("POST", "/v1/events", &headers, envelope).await
    }

    /// All entries of a list, from all pages.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut all = vec![];
        let mut cursor = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let next = cursor.map(|cursor| format!("{joint}cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("{path}{next}")).await.expect(200);
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return all,
            }
        }
    }

    /// All deliveries of a webhook, oldest first.
    pub(crate) async fn deliveries(&self, hook: &Hook) -> Vec<Value> {
        let mut all = self.all(&format!("/v1/webhooks/{}/deliveries", hook.id)).await;
        all.reverse();
        all
    }

    /// The statuses of a webhook's deliveries, oldest first.
    pub(crate) async fn statuses(&self, hook: &Hook) -> Vec<String> {
        self.deliveries(hook).await.iter().map(|delivery| text(&delivery["status"]).to_owned()).collect()
    }

    /// The delivery of this event.
    pub(crate) async fn delivery(&self, hook: &Hook, event_id: &str) -> Value {
        let all = self.deliveries(hook).await;
        all.into_iter().find(|delivery| delivery["event_id"] == event_id).expect("a delivery of this event")
    }
}

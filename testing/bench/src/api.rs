//! The calls of the public API that the bench needs.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use statuspulse_kit::verify;

/// A call that takes longer fails, so that the generator ends.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    origin: String,
}

/// Where a customer's events are published, and with which key.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    uri: hyper::Uri,
    key: HeaderValue,
    /// The customer's index in the rig.
    pub(crate) customer: usize,
    /// The secret to sign with, only for publishing directly to the receiver.
    signs_with: Option<String>,
}

impl Api {
    pub(crate) fn new(origin: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1024).build(connector);
        Self { client, origin: origin.to_owned() }
    }

    /// Creates an account and returns its admin key.
    pub(crate) async fn create_account(&self, operator_key: &str, name: &str) -> Result<String> {
        let answer = self.create("/v1/accounts", operator_key, &json!({ "name": name })).await?;
        text(&answer, "key")
    }

    /// Lets an account publish as many events as the machine can take.
    pub(crate) async fn lift_quotas(&self, operator_key: &str, admin_key: &str) -> Result<()> {
        let (_, account) = self.call("GET", "/v1/account", admin_key, String::new()).await?;
        let path = format!("/v1/accounts/{}/quotas", text(&account, "id")?);
        let quotas = json!({ "events_per_minute": 1_000_000_000_u64 });
        let (status, answer) = self.call("PATCH", &path, operator_key, quotas.to_string()).await?;
        if status == 200 { Ok(()) } else { bail!("PATCH {path}: {status} {answer}") }
    }

    /// Creates a webhook, which must pass its handshake, and returns its secret.
    pub(crate) async fn create_webhook(&self, admin_key: &str, url: &str) -> Result<String> {
        let events = ["incident_opened", "incident_updated", "incident_resolved"];
        let answer = self.create("/v1/webhooks", admin_key, &json!({ "url": url, "events": events })).await?;
        if answer["status"] != "active" {
            bail!("a webhook did not pass its handshake: {}", answer["handshake"]);
        }
        text(&answer, "secret")
    }

    /// Makes a call. Returns the status and the body.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: String,
    ) -> Result<(u16, Value)> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        let request = request.header(AUTHORIZATION, bearer(key)?).body(Full::from(body))?;
        let (status, body) = self.send(request).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    pub(crate) fn publisher(&self, admin_key: &str, customer: usize) -> Result<Publisher> {
        let uri = format!("{}/v1/events", self.origin).parse()?;
        Ok(Publisher { uri, key: bearer(admin_key)?, customer, signs_with: None })
    }

    /// Publishes one event. Returns the status and, for a 202, the number of deliveries.
    pub(crate) async fn publish(&self, by: &Publisher, event: String) -> Result<(u16, u64)> {
        let mut request = Request::post(by.uri.clone())
            .header(AUTHORIZATION, by.key.clone())
            .header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &by.signs_with {
            let digest = verify::statuspulse_digest(secret, event.as_bytes());
            request = request.header("x-statuspulse-signature", digest);
        }
        let (status, body) = self.send(request.body(Full::from(event))?).await?;
        if status != 202 {
            return Ok((status, 0));
        }
        let answer: Value = serde_json::from_slice(&body).context("the body of a 202 is not JSON")?;
        Ok((status, answer["deliveries"].as_u64().context("a 202 without the field deliveries")?))
    }

    async fn create(&self, path: &str, key: &str, body: &Value) -> Result<Value> {
        let request = Request::post(format!("{}{path}", self.origin))
            .header(AUTHORIZATION, bearer(key)?)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))?;
        let (status, body) = self.send(request).await?;
        if status != 201 {
            bail!("POST {path}: {status} {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).with_context(|| format!("POST {path}: not JSON"))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
        let exchange = async {
            let answer = self.client.request(request).await?;
            let status = answer.status().as_u16();
            Ok::<_, anyhow::Error>((status, answer.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(ANSWER_WITHIN, exchange).await.context("no answer within 30 s")?
    }
}

impl Publisher {
    /// A publisher that sends to a URL of the receiver, without the program.
    pub(crate) fn direct(url: &str, secret: &str, customer: usize) -> Result<Self> {
        Ok(Self { uri: url.parse()?, key: bearer("none")?, customer, signs_with: Some(secret.to_owned()) })
    }
}

fn bearer(key: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(&format!("Bearer {key}")).context("the key is not valid in a header")
}

fn text(answer: &Value, field: &str) -> Result<String> {
    let value = answer[field].as_str().with_context(|| format!("a response without the field {field}"))?;
    Ok(value.to_owned())
}

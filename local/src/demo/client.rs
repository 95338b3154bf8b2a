//! A client of the API that uses plain HTTP, as any program would.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A client with one API key.
#[derive(Debug, Clone)]
pub(super) struct Api {
    base: String,
    key: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    pub(super) fn new(base: &str, key: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.to_owned(), key: key.to_owned(), http }
    }

    /// The same client with another key.
    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, String::new(), StatusCode::OK).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        body: impl Into<String>,
        expected: StatusCode,
    ) -> Result<Value> {
        self.call(Method::POST, path, body.into(), expected).await
    }

    async fn call(&self, method: Method, path: &str, body: String, expected: StatusCode) -> Result<Value> {
        let request = Request::builder()
            .method(&method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .body(Full::new(Bytes::from(body)))?;
        let response = self.http.request(request).await.with_context(|| format!("{method} {path}"))?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        ensure!(status == expected, "{method} {path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

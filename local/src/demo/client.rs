//! A client of the API that uses plain HTTP, as any program would.

use anyhow::{Result, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// A client with one API key.
#[derive(Debug, Clone)]
pub(super) struct Api {
    base: String,
    key: String,
    http: Client,
}

impl Api {
    pub(super) fn new(base: &str, key: &str) -> Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { base: base.to_owned(), key: key.to_owned(), http })
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
        let request = self.http.request(method.clone(), format!("{}{path}", self.base));
        let response = request.bearer_auth(&self.key).body(body).send().await?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status == expected, "{method} {path} answered {status}: {body}");
        Ok(serde_json::from_str(&body).unwrap_or(Value::Null))
    }
}

//! Calls of the API over HTTP or HTTPS.

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode, Url};
use serde_json::Value;
use statuspulse_embedded::is_open_to_others;

use super::arguments::ServerOptions;
use super::operations::Operation;
use super::problem;
use super::views::View;
use crate::environment::variable;
use crate::limits::CALL_WITHIN;

const KEY_VARIABLE: &str = "STATUSPULSE_KEY";

/// A server, and the key to call it with.
pub(super) struct Client {
    http: reqwest::Client,
    server: Url,
    key: Key,
}

/// An API key.
struct Key {
    text: String,
    /// Where it was found, for errors.
    source: String,
}

/// A call of an operation.
pub(super) struct Call<'a> {
    operation: &'static Operation,
    ids: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
    idempotency_key: Option<&'a str>,
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The body as it came.
    pub(super) text: String,
    /// The body. Null if it is empty.
    pub(super) value: Value,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server has no such webhook, delivery or key.
    #[error("{0}")]
    NotFound(String),
    /// There is no answer, or the same call may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// Another refusal.
    #[error("{0}")]
    Refused(String),
}

impl<'a> Call<'a> {
    pub(super) fn to(operation: &'static Operation) -> Self {
        Self { operation, ids: vec![], query: vec![], body: None, idempotency_key: None }
    }

    /// With an id in its path.
    pub(super) fn of(mut self, id: &'a str) -> Self {
        self.ids.push(id);
        self
    }

    /// With a parameter, if it has a value.
    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// With a JSON body.
    pub(super) fn body(mut self, json: String) -> Self {
        self.body = Some(json);
        self
    }

    /// With an idempotency key, if there is one.
    pub(super) fn once(mut self, idempotency_key: Option<&'a str>) -> Self {
        self.idempotency_key = idempotency_key;
        self
    }

    /// What is shown of the answer.
    pub(super) fn view(&self) -> Option<&'static View> {
        self.operation.view
    }

    fn url(&self, server: &Url) -> Url {
        let mut url = server.clone();
        let mut ids = self.ids.iter();
        let segments = self.operation.path.split('/').skip(1);
        let filled = segments.map(|segment| match segment.starts_with('{') {
            true => ids.next().copied().unwrap_or(segment),
            false => segment,
        });
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(filled);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

impl Client {
    /// The server and the key that the options and the environment name.
    ///
    /// # Errors
    /// Fails if one is missing or has an invalid form.
    pub(super) fn new(options: &ServerOptions) -> Result<Self> {
        let server = server(options)?;
        let key = Key::find(options)?;
        let agent = concat!("statuspulse/", env!("CARGO_PKG_VERSION"));
        // A redirect would send the key to another place.
        let http = reqwest::Client::builder().redirect(Policy::none()).user_agent(agent).timeout(CALL_WITHIN);
        Ok(Self { http: http.build()?, server, key })
    }

    /// Makes the call.
    ///
    /// # Errors
    /// Fails if there is no answer, or if it is no success. Then the error is a [`Failure`].
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let (status, text) = exchange(self.request(&call)).await.map_err(|error| self.no_answer(error))?;
        if !status.is_success() {
            return Err(self.failure(status, &text, &call).into());
        }
        let value = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text)
                .with_context(|| format!("{} answered {status}, but not with JSON", self.server))?,
        };
        Ok(Answer { text, value })
    }

    fn request(&self, call: &Call<'_>) -> RequestBuilder {
        let mut request = self.http.request(call.operation.method.clone(), call.url(&self.server));
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        request.bearer_auth(&self.key.text)
    }

    fn no_answer(&self, error: reqwest::Error) -> Failure {
        let why = anyhow::Error::from(error.without_url());
        Failure::Unavailable(format!("no answer from {}: {why:#}", self.server))
    }

    fn failure(&self, status: StatusCode, text: &str, call: &Call<'_>) -> Failure {
        let said = problem::text(status, text).unwrap_or_else(|| {
            format!("{} {} answered {status}", call.operation.method, call.url(&self.server))
        });
        match status {
            StatusCode::NOT_FOUND => Failure::NotFound(said),
            StatusCode::UNAUTHORIZED => {
                Failure::Refused(format!("{said}\nThe key is from {}.", self.key.source))
            }
            StatusCode::TOO_MANY_REQUESTS => Failure::Unavailable(said),
            _ if status.is_server_error() => Failure::Unavailable(said),
            _ => Failure::Refused(said),
        }
    }
}

async fn exchange(request: RequestBuilder) -> reqwest::Result<(StatusCode, String)> {
    let response = request.send().await?;
    Ok((response.status(), response.text().await?))
}

fn server(options: &ServerOptions) -> Result<Url> {
    let Some(text) = &options.url else {
        bail!("no server: set STATUSPULSE_URL, for example to https://webhooks.example.com, or use --url");
    };
    let url =
        Url::parse(text).with_context(|| format!("{text:?}, from STATUSPULSE_URL or --url, is not a URL"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "{text:?}, from STATUSPULSE_URL or --url, is not the URL of a server: it must start with https:// or http://"
    );
    Ok(url)
}

impl Key {
    fn find(options: &ServerOptions) -> Result<Self> {
        let (text, source) = match &options.key_file {
            Some(file) => {
                let source = file.display().to_string();
                let text = std::fs::read_to_string(file).with_context(|| format!("--key-file {source}"))?;
                ensure!(
                    !is_open_to_others(file),
                    "others can read the key file {source}: run chmod 600 {source}, and revoke the key if somebody may \
                     have read it"
                );
                (text.trim().to_owned(), source)
            }
            None => match variable(KEY_VARIABLE) {
                Some(text) => (text, KEY_VARIABLE.to_owned()),
                None => {
                    bail!("no API key: set {KEY_VARIABLE}, or name a file that contains it with --key-file")
                }
            },
        };
        let is_key = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        ensure!(is_key, "{source} does not contain an API key: one starts with spk_");
        Ok(Self { text, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::operations::{LIST_DELIVERIES, SHOW_WEBHOOK};

    #[test]
    fn ids_and_parameters_are_encoded_and_the_path_of_the_server_is_kept() {
        let at = |server: &str, call: &Call<'_>| call.url(&Url::parse(server).unwrap()).to_string();
        let shown = Call::to(&SHOW_WEBHOOK).of("a/b?c");
        assert_eq!(at("https://a.example", &shown), "https://a.example/v1/webhooks/a%2Fb%3Fc");
        assert_eq!(at("https://a.example/below/", &shown), "https://a.example/below/v1/webhooks/a%2Fb%3Fc");
        let listed =
            Call::to(&LIST_DELIVERIES).query("incident_id", Some("é &")).query("status", None::<&str>);
        assert_eq!(
            at("http://a.example:81", &listed),
            "http://a.example:81/v1/deliveries?incident_id=%C3%A9+%26"
        );
        let all = Call::to(&LIST_DELIVERIES).query("status", None::<&str>);
        assert_eq!(at("http://a.example/", &all), "http://a.example/v1/deliveries");
    }
}

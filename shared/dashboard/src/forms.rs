//! Reads what browsers send: ids in paths, queries and forms.

use axum::body::Body;
use axum::extract::FromRequestParts;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use statuspulse_core::limits;
use url::form_urlencoded;

use crate::refused::Refused;

/// The parameters of a path. A path that is not text is a 404, like an unknown one.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        read.map(|axum::extract::Path(parameters)| Self(parameters)).map_err(|_| Refused::NotFound("page"))
    }
}

/// Parses an id in a path. A malformed id is a 404, like an unknown one.
pub(crate) fn id<T: std::str::FromStr>(Path(text): &Path<String>, what: &'static str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::NotFound(what))
}

/// The fields of a form or query, as received.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    pub(crate) async fn read(body: Body) -> Result<Self, Refused> {
        match Limited::new(body, limits::REQUEST_BYTES).collect().await {
            Ok(whole) => Ok(Self::parse(&whole.to_bytes())),
            Err(_) => Err(Refused::Wrong(format!(
                "The form could not be read. It may have at most {} bytes.",
                limits::REQUEST_BYTES
            ))),
        }
    }

    pub(crate) fn of_query(query: Option<&str>) -> Self {
        Self::parse(query.unwrap_or_default().as_bytes())
    }

    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The first value of the field, trimmed; empty if the field is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// All values of the field, for checkboxes.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The lines of a text area, trimmed, without empty ones.
    pub(crate) fn lines(&self, name: &str) -> Vec<&str> {
        self.text(name).lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    /// The fields as a query string, with `name` set to `value`. Empty fields are left out.
    pub(crate) fn query_with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(known, value)| known != name && !value.is_empty());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(others).append_pair(name, value);
        query.finish()
    }
}

//! Ids in a path. One that has not an id's form names nothing: 404, as for an id that is not known.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use statuspulse_core::error::{Error, Result};
use statuspulse_core::ids::{DeliveryId, KeyId, WebhookId};

use crate::problem::Refusal;

/// The one id of a path.
pub(crate) struct Id<T>(pub(crate) T);

/// A webhook's id, and a delivery's below it.
pub(crate) struct Ids(pub(crate) WebhookId, pub(crate) DeliveryId);

/// What an id is the id of, in words.
pub(crate) trait Named: FromStr {
    const NAME: &'static str;
}

impl Named for WebhookId {
    const NAME: &'static str = "webhook";
}

impl Named for DeliveryId {
    const NAME: &'static str = "delivery";
}

impl Named for KeyId {
    const NAME: &'static str = "key";
}

impl<S: Sync + Send, T: Named> FromRequestParts<S> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown::<T>())?;
        Ok(Self(parse(&text)?))
    }
}

impl<S: Sync + Send> FromRequestParts<S> for Ids {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((webhook, delivery)) = path.map_err(|_| unknown::<WebhookId>())?;
        Ok(Self(parse(&webhook)?, parse(&delivery)?))
    }
}

fn parse<T: Named>(text: &str) -> Result<T> {
    text.parse().map_err(|_| unknown::<T>())
}

fn unknown<T: Named>() -> Error {
    Error::NotFound(T::NAME)
}

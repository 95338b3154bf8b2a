//! Reads ids from the path. A malformed id is a 404, like an unknown one.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use statuspulse_core::error::{Error, Result};
use statuspulse_core::ids::{AccountId, DeliveryId, KeyId, WebhookId};

use crate::problem::Refusal;

/// The id in a path with one id.
pub(crate) struct Id<T>(pub(crate) T);

/// The ids in a path with two, such as a webhook and a delivery.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

/// The name of the object that an id identifies, for error texts.
pub(crate) trait Named: FromStr {
    const NAME: &'static str;
}

impl Named for AccountId {
    const NAME: &'static str = "account";
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

impl<S: Sync + Send, A: Named, B: Named> FromRequestParts<S> for Ids<A, B> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) = path.map_err(|_| unknown::<A>())?;
        Ok(Self(parse(&first)?, parse(&second)?))
    }
}

fn parse<T: Named>(text: &str) -> Result<T> {
    text.parse().map_err(|_| unknown::<T>())
}

fn unknown<T: Named>() -> Error {
    Error::NotFound(T::NAME)
}

//! Who calls, and whether their role may do it.
//!
//! Each handler names what it does by the extractor it takes first, so that 401 and 403 come before anything
//! else is looked at, and a handler without an extractor is seen to be public.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use statuspulse_core::access::{Action, Caller, Manager};
use statuspulse_core::error::{Error, Result};
use statuspulse_core::ids::AccountId;
use statuspulse_core::{Admin, Publisher};

use crate::problem::Refusal;

/// The account of a caller who may read it.
pub(crate) struct Reads(pub(crate) AccountId);

/// A caller who may change their account.
pub(crate) struct Manages(pub(crate) Manager);

/// A caller who may publish.
pub(crate) struct Publishes(pub(crate) Caller);

/// A caller who may make accounts.
pub(crate) struct CreatesAccounts(pub(crate) Caller);

/// The text of a caller's key, which the use case looks at.
pub(crate) struct KeyOf(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for KeyOf {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Refusal> {
        Ok(Self(needed_bearer(parts)?.to_owned()))
    }
}

impl<S: Sync> FromRequestParts<S> for Reads
where
    Arc<Admin>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        Ok(Self(caller(parts, state).await?.account_for(Action::Read)?))
    }
}

impl<S: Sync> FromRequestParts<S> for Manages
where
    Arc<Admin>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        Ok(Self(caller(parts, state).await?.manager()?))
    }
}

impl FromRequestParts<Arc<Publisher>> for Publishes {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        publisher: &Arc<Publisher>,
    ) -> std::result::Result<Self, Refusal> {
        let caller = publisher.authenticate(needed_bearer(parts)?).await?;
        caller.may(Action::Publish)?;
        Ok(Self(caller))
    }
}

impl<S: Sync> FromRequestParts<S> for CreatesAccounts
where
    Arc<Admin>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        let caller = caller(parts, state).await?;
        caller.may(Action::CreateAccount)?;
        Ok(Self(caller))
    }
}

async fn caller<S>(parts: &Parts, state: &S) -> Result<Caller>
where
    Arc<Admin>: FromRef<S>,
{
    Arc::<Admin>::from_ref(state).authenticate(needed_bearer(parts)?).await
}

fn needed_bearer(parts: &Parts) -> Result<&str> {
    bearer(parts).ok_or(Error::Unauthenticated("an API key is needed: Authorization: Bearer <key>"))
}

/// The key of the one `Authorization` header. Of two, who could say which one was meant?
fn bearer(parts: &Parts) -> Option<&str> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return None };
    let (scheme, key) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

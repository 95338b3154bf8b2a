//! Authenticates the caller and checks the role.
//!
//! A handler declares the right that it needs by its extractor, which runs before the path, the parameters and the body
//! are read. So 401 and 403 come before all other errors, and a handler without one of these extractors is public.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::header::AUTHORIZATION;
use http::request::Parts;
use statuspulse_core::access::{Action, Caller, ClientAddress, Manager, Urls};
use statuspulse_core::error::{Error, Result};
use statuspulse_core::ids::AccountId;
use statuspulse_core::quota::calls_charged;
use statuspulse_core::{Admin, Publisher};

use crate::problem::Refusal;

/// The account of a caller with the right to read it, and how they are shown URLs.
pub(crate) struct Reads(pub(crate) AccountId, pub(crate) Urls);

/// A caller with the right to change the account.
pub(crate) struct Manages(pub(crate) Manager);

/// A caller with the right to publish events.
pub(crate) struct Publishes(pub(crate) Caller);

/// A caller with the right to create accounts.
pub(crate) struct CreatesAccounts(pub(crate) Caller);

/// A caller with the right to set what accounts may use.
pub(crate) struct SetsQuotas(pub(crate) Caller);

/// A caller with the right to manage the keys of any account.
pub(crate) struct ManagesKeys(pub(crate) Caller);

/// The caller's key as text, not yet checked; the use case checks it.
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
        let caller = caller(parts, state).await?;
        Ok(Self(caller.account_for(Action::Read)?, caller.urls()))
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
        Ok(Self(caller_who_may(Action::CreateAccount, parts, state).await?))
    }
}

impl<S: Sync> FromRequestParts<S> for SetsQuotas
where
    Arc<Admin>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        Ok(Self(caller_who_may(Action::SetQuotas, parts, state).await?))
    }
}

impl<S: Sync> FromRequestParts<S> for ManagesKeys
where
    Arc<Admin>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> std::result::Result<Self, Refusal> {
        Ok(Self(caller_who_may(Action::ManageKeys, parts, state).await?))
    }
}

async fn caller_who_may<S>(action: Action, parts: &Parts, state: &S) -> Result<Caller>
where
    Arc<Admin>: FromRef<S>,
{
    let caller = caller(parts, state).await?;
    caller.may(action)?;
    Ok(caller)
}

async fn caller<S>(parts: &Parts, state: &S) -> Result<Caller>
where
    Arc<Admin>: FromRef<S>,
{
    let admin = Arc::<Admin>::from_ref(state);
    let calls = calls_charged(|name| Some(parts.headers.get(name)?.as_bytes()));
    let caller = admin.authenticate(needed_bearer(parts)?, calls).await?;
    let address = parts.extensions.get::<ClientAddress>().map(|client| client.0);
    Ok(Caller { address, ..caller })
}

fn needed_bearer(parts: &Parts) -> Result<&str> {
    bearer(parts).ok_or(Error::Unauthenticated("an API key is required: Authorization: Bearer <key>"))
}

/// The key in the `Authorization` header. More than one such header is ambiguous and counts as none.
fn bearer(parts: &Parts) -> Option<&str> {
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (headers.next(), headers.next()) else { return None };
    let (scheme, key) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

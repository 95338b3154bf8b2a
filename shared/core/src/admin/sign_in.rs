//! A browser signs in: an API key buys a link, the link is exchanged for a cookie, once. Neither is the key, and both end with
//! it.

use jiff::Timestamp;

use super::Admin;
use crate::access::{Action, Caller, KeyHash, KeyText, Session, SessionKind};
use crate::error::{Error, Result};
use crate::limits;
use crate::time::later;

/// A link that signs in whoever opens it first. No `Debug`: it would show it.
#[expect(missing_debug_implementations, reason = "it is a secret")]
pub struct SignInLink {
    /// Where to.
    pub url: String,
    /// When it is too late.
    pub expires_at: Timestamp,
}

impl Admin {
    /// Makes a link for whoever has this API key, which may read an account at the least.
    pub async fn buy_link(&self, key: &str) -> Result<SignInLink> {
        self.authenticate(key).await?.account_for(Action::Read)?;
        let until = later(self.clock.now(), limits::DASHBOARD_LINK);
        let (text, expires_at) = self.begin_session(SessionKind::Link, KeyHash::of(key), until).await?;
        let page = self.deployment.dashboard("sign-in");
        Ok(SignInLink { url: format!("{page}?link={}", text.reveal()), expires_at })
    }

    /// Exchanges a link for a browser's own session. Nobody can do so again.
    pub async fn use_link(&self, link: &str) -> Result<(KeyText, Timestamp)> {
        let now = self.clock.now();
        let taken = self.sessions.take_session(&KeyHash::of(link)).await?;
        let link = taken.filter(|session| session.kind == SessionKind::Link && now < session.expires_at);
        let link = link.ok_or(Error::Unauthenticated("the link was used before, or is too old"))?;
        self.caller_of_key(&link.key).await?;
        self.begin_session(SessionKind::Browser, link.key, later(now, limits::DASHBOARD_SESSION)).await
    }

    /// Who shows this session.
    pub async fn signed_in(&self, session: &str) -> Result<Caller> {
        let now = self.clock.now();
        let found = self.sessions.session(&KeyHash::of(session)).await?;
        let found = found.filter(|session| session.kind == SessionKind::Browser && now < session.expires_at);
        let found = found.ok_or(Error::Unauthenticated("the session has ended"))?;
        self.caller_of_key(&found.key).await
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: &str) -> Result<()> {
        self.sessions.take_session(&KeyHash::of(session)).await?;
        Ok(())
    }

    async fn begin_session(
        &self,
        kind: SessionKind,
        key: KeyHash,
        until: Timestamp,
    ) -> Result<(KeyText, Timestamp)> {
        let (session, text) = Session::generate(kind, key, until, &*self.random);
        self.sessions.create_session(&session).await?;
        Ok((text, until))
    }
}

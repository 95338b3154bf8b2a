//! Signs a browser in: an API key creates a link, and the link is exchanged once for a cookie. Neither contains the
//! key, and both stop working when the key does.

use std::net::IpAddr;

use jiff::Timestamp;

use super::Admin;
use crate::access::{Action, Caller, KeyHash, KeyText, Session, SessionKind};
use crate::audit::{self, AccountEntry};
use crate::error::{Error, Result};
use crate::ids::AuditId;
use crate::limits;
use crate::once::Once;
use crate::time::later;

/// A link that signs in the first person who opens it. It has no `Debug`, because it is a secret.
#[expect(missing_debug_implementations, reason = "it is a secret")]
pub struct SignInLink {
    /// The link.
    pub url: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl Admin {
    /// Creates a link for the holder of this API key, whose role must be able to read an account.
    pub async fn buy_link(&self, key: &str, once: Option<Once>) -> Result<SignInLink> {
        self.authenticate(key, 1).await?.account_for(Action::Read)?;
        let drawn = self.drawn(once);
        let until = later(drawn.at, limits::DASHBOARD_LINK);
        let (session, text) = Session::generate(SessionKind::Link, KeyHash::of(key), until, &*drawn.random);
        if !drawn.is_repeated || self.sessions.session(&session.hash).await?.is_none() {
            self.sessions.create_session(&session, None).await?;
        }
        let expires_at = until;
        let page = self.deployment.dashboard("sign-in");
        Ok(SignInLink { url: format!("{page}?link={}", text.reveal()), expires_at })
    }

    /// Signs in a browser with an API key, whose role must be able to read an account.
    pub async fn sign_in(&self, key: &str, address: Option<IpAddr>) -> Result<(KeyText, Timestamp)> {
        let caller = Caller { address, ..self.authenticate(key, 1).await? };
        self.begin_session(caller, KeyHash::of(key)).await
    }

    /// Exchanges a link for a browser's session. A link can be used once.
    pub async fn use_link(&self, link: &str, address: Option<IpAddr>) -> Result<(KeyText, Timestamp)> {
        let now = self.clock.now();
        let taken = self.sessions.take_session(&KeyHash::of(link)).await?;
        let link = taken.filter(|session| session.kind == SessionKind::Link && now < session.expires_at);
        let link = link.ok_or(Error::Unauthenticated("the link was used before, or is too old"))?;
        let caller = Caller { address, ..self.caller_of_key(&link.key, 1).await? };
        self.begin_session(caller, link.key).await
    }

    /// The name of the account that this link opens. `None` if it can no longer be used.
    pub async fn account_of_link(&self, link: &str) -> Result<Option<String>> {
        let found = self.sessions.session(&KeyHash::of(link)).await?;
        let is_open =
            |session: &Session| session.kind == SessionKind::Link && self.clock.now() < session.expires_at;
        let Some(session) = found.filter(is_open) else { return Ok(None) };
        let account = self.caller_of_key(&session.key, 1).await?.account_for(Action::Read)?;
        Ok(Some(self.account(account).await?.name))
    }

    /// The caller that this session belongs to, whose call is counted ([`calls_charged`](crate::quota::calls_charged)).
    pub async fn signed_in(&self, session: &str, calls: u64) -> Result<Caller> {
        let now = self.clock.now();
        let found = self.sessions.session(&KeyHash::of(session)).await?;
        let found = found.filter(|session| session.kind == SessionKind::Browser && now < session.expires_at);
        let found = found.ok_or(Error::Unauthenticated("the session has ended"))?;
        self.caller_of_key(&found.key, calls).await
    }

    /// Ends a session.
    pub async fn sign_out(&self, session: &str) -> Result<()> {
        self.sessions.take_session(&KeyHash::of(session)).await?;
        Ok(())
    }

    /// Begins the session of a browser.
    async fn begin_session(&self, caller: Caller, key: KeyHash) -> Result<(KeyText, Timestamp)> {
        let account = caller.account_for(Action::Read)?;
        let now = self.clock.now();
        let until = later(now, limits::DASHBOARD_SESSION);
        let (session, text) = Session::generate(SessionKind::Browser, key, until, &*self.random);
        let used = caller.key_id.map(|id| id.to_string()).unwrap_or_default();
        let made = (now, caller.actor());
        let entry = AccountEntry::new(account, made, audit::Action::SessionCreated, &used, vec![]);
        let entry = AccountEntry { id: AuditId::derive(now, &[&session.hash.0]), ..entry };
        self.sessions.create_session(&session, Some(&entry)).await?;
        self.tell(&entry).await;
        Ok((text, until))
    }
}

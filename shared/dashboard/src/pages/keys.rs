//! The account's API keys: list, create, revoke.

use askama::Template;
use axum::body::Body;
use jiff::Timestamp;
use statuspulse_core::access::{ApiKey, Role};
use statuspulse_core::admin::commands::NewKey;
use statuspulse_core::error::Error;
use statuspulse_core::ids::KeyId;

use super::confirm::ConfirmPage;
use crate::Answer;
use crate::flash::Flash;
use crate::forms::{Form, Path, id};
use crate::guard::{html, see};
use crate::refused::in_words;
use crate::session::{Manager, Viewer};
use crate::show::{Frame, Markup, Pill, time};

/// The choices for the end of a key: name, words, and days.
const ENDS: [(&str, &str, Option<i64>); 4] = [
    ("never", "never", None),
    ("7d", "in 7 days", Some(7)),
    ("90d", "in 90 days", Some(90)),
    ("365d", "in a year", Some(365)),
];

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<Row>,
    ends: Vec<(&'static str, &'static str)>,
}

struct Row {
    id: String,
    prefix: String,
    name: Option<String>,
    role: &'static str,
    pill: Pill,
    created: Markup,
    expires: Option<Markup>,
    used: Option<Markup>,
    is_valid: bool,
    /// Whether it is the key of this session.
    is_own: bool,
}

impl Row {
    fn of(key: &ApiKey, own: Option<KeyId>, now: Timestamp) -> Self {
        let (class, word) = match key {
            _ if key.is_valid(now) => ("good", "Valid"),
            ApiKey { revoked_at: Some(_), .. } => ("off", "Revoked"),
            _ => ("off", "Expired"),
        };
        Self {
            id: key.id.to_string(),
            prefix: key.prefix.clone(),
            name: key.name.clone(),
            role: key.role.name(),
            pill: Pill { class, word },
            created: time(key.created_at),
            expires: key.expires_at.map(time),
            used: key.last_used_at.map(time),
            is_valid: key.is_valid(now),
            is_own: own == Some(key.id),
        }
    }
}

pub(super) async fn list(viewer: Viewer) -> Answer {
    let now = viewer.admin.clock.now();
    let mut keys = viewer.admin.keys(viewer.account).await?;
    // The valid ones first, each kind newest first.
    keys.sort_by_key(|key| (!key.is_valid(now), std::cmp::Reverse(key.created_at)));
    let own = viewer.manages.map(|by| by.key_id);
    let page = KeysPage {
        frame: viewer.frame().await?,
        rows: keys.iter().map(|key| Row::of(key, own, now)).collect(),
        ends: ENDS.map(|(name, words, _)| (name, words)).to_vec(),
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn create(Manager(viewer, by): Manager, body: Body) -> Answer {
    let form = Form::read(body).await?;
    let days = ENDS.iter().find(|(name, ..)| *name == form.text("ends")).and_then(|(.., days)| *days);
    let now = viewer.admin.clock.now();
    let expires_at = days.and_then(|days| Timestamp::from_second(now.as_second() + days * 24 * 3600).ok());
    let name = Some(form.text("name")).filter(|name| !name.is_empty()).map(str::to_owned);
    let asked = NewKey { role: Some(form.text("role").to_owned()), name, expires_at, ..NewKey::default() };
    let flash = match viewer.admin.create_key(by, asked).await {
        Ok((key, text)) => Flash::secret(
            format!("This is the new {} key. It is shown only once.", key.role.name()),
            text.reveal(),
        ),
        Err(refused @ (Error::Conflict { .. } | Error::Invalid(_))) => Flash::bad(in_words(&refused)),
        Err(error) => return Err(error.into()),
    };
    Ok(flash.on(see("keys")))
}

pub(super) async fn ask_revoke(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id: KeyId = id(&path, "key")?;
    let now = viewer.admin.clock.now();
    let keys = viewer.admin.keys(viewer.account).await?;
    let key = keys.iter().find(|key| key.id == id).ok_or(Error::NotFound("key"))?;
    let is_admin = |key: &&ApiKey| key.role == Role::Admin && key.is_valid(now);
    let is_last_admin = is_admin(&key) && keys.iter().filter(is_admin).count() == 1;
    let mut warnings = vec![];
    if by.key_id == id {
        warnings.push("You are signed in with this key, so you will be signed out.");
    }
    if is_last_admin {
        warnings.push("This is the last valid admin key. Without it, no one can make changes.");
    }
    let title = match &key.name {
        Some(name) => format!("Revoke the {} key “{name}” ({}…)?", key.role.name(), key.prefix),
        None => format!("Revoke the {} key {}…?", key.role.name(), key.prefix),
    };
    let action = format!("/dashboard/keys/{id}/revoke");
    let page = ConfirmPage {
        detail: "Every call with it is refused from then on. This cannot be undone.".to_owned(),
        warnings,
        ..ConfirmPage::new(
            viewer.frame().await?,
            title,
            (&action, "Revoke this key"),
            &[("/dashboard/keys", "API keys")],
        )
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn revoke(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id: KeyId = id(&path, "key")?;
    viewer.admin.revoke_key(by, id).await?;
    Ok(Flash::good("The key was revoked. It is refused from now on.").on(see("keys")))
}

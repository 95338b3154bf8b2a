//! Questions before an action that cannot be undone, with the name of the webhook.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use statuspulse_core::error::Error;
use statuspulse_core::ids::WebhookId;

use crate::Answer;
use crate::forms::id;
use crate::guard::html;
use crate::session::{Manager, Viewer};
use crate::show::{Frame, name_of};

/// The question.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct ConfirmPage {
    pub(super) frame: Frame,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) action: &'static str,
    pub(super) button: &'static str,
    pub(super) chooses_style: bool,
    /// What was chosen before, as a field of the form.
    pub(super) chosen: Option<(&'static str, String)>,
}

pub(super) async fn confirm(
    Manager(viewer, _): Manager,
    path: &Path<String>,
    about: impl FnOnce(&str, u64) -> (String, String),
    (action, button): (&'static str, &'static str),
) -> Answer {
    let id: WebhookId = id(path, "webhook")?;
    let name = name_even_if_unreadable(&viewer, id).await?;
    let (title, detail) = about(&name, viewer.admin.held(id).await?);
    let frame = viewer.frame().await?;
    let chooses_style = action == "rotate";
    let id = id.to_string();
    let chosen = None;
    let page: Response =
        html(&ConfirmPage { frame, name, id, title, detail, action, button, chooses_style, chosen });
    Ok(viewer.said(page))
}

/// The name of a webhook that may be deleted. One that cannot be read has only its id.
pub(super) async fn name_even_if_unreadable(viewer: &Viewer, id: WebhookId) -> Result<String, Error> {
    match viewer.admin.webhook(viewer.account, id).await {
        Ok(webhook) => Ok(name_of(&webhook)),
        Err(Error::Unreadable(_)) => Ok(id.to_string()),
        Err(error) => Err(error),
    }
}

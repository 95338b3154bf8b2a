//! Questions before an action that cannot be undone, or that concerns many things. They name what it concerns.

use askama::Template;
use statuspulse_core::error::Error;
use statuspulse_core::ids::WebhookId;

use crate::Answer;
use crate::forms::{Path, id};
use crate::guard::html;
use crate::session::{Manager, Viewer};
use crate::show::{Frame, name_of};

/// The question.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct ConfirmPage {
    pub(super) frame: Frame,
    /// The pages above this one: path and name.
    pub(super) trail: Vec<(String, String)>,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) warnings: Vec<&'static str>,
    /// The names of what it concerns, if there are several.
    pub(super) concerns: Vec<String>,
    /// Where the form is sent.
    pub(super) action: String,
    pub(super) button: String,
    /// What was chosen before, as fields of the form.
    pub(super) chosen: Vec<(&'static str, String)>,
}

impl ConfirmPage {
    /// A question with a title only. "Cancel" leads to the last page of the trail.
    pub(super) fn new(
        frame: Frame,
        title: String,
        (action, button): (&str, &str),
        trail: &[(&str, &str)],
    ) -> Self {
        let owned = |(path, name): &(&str, &str)| ((*path).to_owned(), (*name).to_owned());
        Self {
            frame,
            trail: trail.iter().map(owned).collect(),
            title,
            detail: String::new(),
            warnings: vec![],
            concerns: vec![],
            action: action.to_owned(),
            button: button.to_owned(),
            chosen: vec![],
        }
    }

    /// A question about one webhook.
    pub(super) fn of_webhook(
        frame: Frame,
        (id, name): (WebhookId, &str),
        title: String,
        (action, button): (&str, &str),
    ) -> Self {
        let own = format!("/dashboard/webhooks/{id}");
        let trail = [("/dashboard/webhooks", "Webhooks"), (&*own, name)];
        Self::new(frame, title, (&format!("{own}/{action}"), button), &trail)
    }

    fn cancels_to(&self) -> &str {
        self.trail.last().map_or("/dashboard", |(path, _)| path)
    }
}

/// Asks about one webhook. `about` makes title and detail from its name and the number of its held deliveries.
pub(super) async fn confirm(
    Manager(viewer, _): Manager,
    path: &Path<String>,
    about: impl FnOnce(&str, u64) -> (String, String),
    (action, button): (&'static str, &'static str),
) -> Answer {
    let id: WebhookId = id(path, "webhook")?;
    let name = name_even_if_unreadable(&viewer, id).await?;
    let (title, detail) = about(&name, viewer.admin.held(id).await?);
    let page = ConfirmPage {
        detail,
        ..ConfirmPage::of_webhook(viewer.frame().await?, (id, &name), title, (action, button))
    };
    Ok(viewer.said(html(&page)))
}

/// The name of a webhook that may be deleted. One that cannot be read has only its id.
pub(super) async fn name_even_if_unreadable(viewer: &Viewer, id: WebhookId) -> Result<String, Error> {
    match viewer.admin.webhook(viewer.account, id).await {
        Ok(webhook) => Ok(name_of(&webhook, viewer.urls)),
        Err(Error::Unreadable(_)) => Ok(id.to_string()),
        Err(error) => Err(error),
    }
}

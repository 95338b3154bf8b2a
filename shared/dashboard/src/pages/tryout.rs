//! Shows whether an event would reach the webhook, and the request that would be sent.

use askama::Template;
use axum::extract::RawQuery;
use statuspulse_core::admin::preview::{Preview, PreviewOf};
use statuspulse_core::event::EventType;
use statuspulse_core::ids::WebhookId;

use crate::Answer;
use crate::forms::{Form, Path, id};
use crate::guard::html;
use crate::refused::in_words;
use crate::session::Viewer;
use crate::show::{Frame, name_of};

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    frame: Frame,
    id: String,
    name: String,
    types: Vec<&'static str>,
    event: String,
    groups: String,
    answer: Option<Explained>,
    preview: Option<Preview>,
}

struct Explained {
    reaches: bool,
    reason: String,
}

pub(super) async fn show(viewer: Viewer, path: Path<String>, RawQuery(query): RawQuery) -> Answer {
    let id: WebhookId = id(&path, "webhook")?;
    let webhook = viewer.admin.webhook(viewer.account, id).await?;
    let form = Form::of_query(query.as_deref());
    let event = form.text("event").to_owned();
    let groups: Vec<String> = form.lines("groups").into_iter().map(str::to_owned).collect();
    let (mut answer, mut preview) = (None, None);
    if !event.is_empty() {
        answer = Some(match viewer.admin.explain(viewer.account, id, &event, groups).await {
            Ok(said) => Explained { reaches: said.rule.is_none(), reason: said.reason },
            Err(error) => Explained { reaches: false, reason: in_words(&error) },
        });
    }
    if let Some(event_type) = EventType::from_name(&event) {
        preview =
            viewer.admin.preview((viewer.account, viewer.urls), id, PreviewOf::Type(event_type)).await.ok();
    }
    let page = TryPage {
        frame: viewer.frame().await?,
        id: id.to_string(),
        name: name_of(&webhook, viewer.urls),
        types: EventType::ALL.iter().map(|each| each.name()).collect(),
        event,
        groups: form.text("groups").to_owned(),
        answer,
        preview,
    };
    Ok(viewer.said(html(&page)))
}

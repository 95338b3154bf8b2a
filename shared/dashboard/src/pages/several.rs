//! Actions on what was selected in a list: webhooks are paused or resumed, and deliveries are delivered again. First a
//! question names them and their number.

use axum::body::Body;
use axum::extract::RawQuery;
use statuspulse_core::admin::pause::HeldDeliveries;
use statuspulse_core::error::Error;
use statuspulse_core::ids::{DeliveryId, WebhookId};

use super::confirm::ConfirmPage;
use crate::Answer;
use crate::flash::Flash;
use crate::forms::Form;
use crate::guard::{html, see};
use crate::limits::{DELIVERIES_PAGE, WEBHOOKS_PAGE};
use crate::refused::in_words;
use crate::session::Manager;
use crate::show::{counted, deliveries_are, name_of};

/// What is done to several webhooks.
#[derive(Clone, Copy)]
enum Act {
    Pause,
    Resume,
}

impl Act {
    fn of(form: &Form) -> Option<Self> {
        match form.text("act") {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            _ => None,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
        }
    }
}

/// The selected webhooks and what is to be done, if both were chosen.
fn webhooks_of(form: &Form) -> Option<(Act, Vec<WebhookId>)> {
    let ids: Vec<_> = form.all("id").iter().filter_map(|id| id.parse().ok()).take(WEBHOOKS_PAGE).collect();
    Act::of(form).filter(|_| !ids.is_empty()).map(|act| (act, ids))
}

pub(super) async fn ask_webhooks(Manager(viewer, _): Manager, RawQuery(query): RawQuery) -> Answer {
    let Some((act, ids)) = webhooks_of(&Form::of_query(query.as_deref())) else {
        return Ok(Flash::bad("Select the webhooks first.").on(see("webhooks")));
    };
    let (mut concerns, mut held) = (vec![], 0);
    for id in &ids {
        concerns.push(name_of(&*viewer.admin.webhook(viewer.account, *id).await?, viewer.urls));
        held += viewer.admin.held(*id).await?;
    }
    let what = format!("{} {}", act.verb(), counted(ids.len() as u64, "webhook"));
    let detail = match act {
        Act::Pause => "New deliveries to them are held until they are resumed.".to_owned(),
        Act::Resume => {
            format!("{} delivered, oldest first, at a bounded rate.", deliveries_are(held, "held"))
        }
    };
    let chosen = ids.iter().map(|id| ("id", id.to_string()));
    let page = ConfirmPage {
        detail,
        concerns,
        chosen: chosen.chain([("act", act.verb().to_lowercase())]).collect(),
        ..ConfirmPage::new(
            viewer.frame().await?,
            format!("{what}?"),
            ("/dashboard/webhooks/several", &what),
            &[("/dashboard/webhooks", "Webhooks")],
        )
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn act_on_webhooks(Manager(viewer, by): Manager, body: Body) -> Answer {
    let Some((act, ids)) = webhooks_of(&Form::read(body).await?) else {
        return Ok(Flash::bad("Select the webhooks first.").on(see("webhooks")));
    };
    let mut done = 0;
    let mut refused = vec![];
    for id in ids {
        let result = match act {
            Act::Pause => viewer.admin.pause(by, id).await.map(drop),
            Act::Resume => viewer.admin.resume(by, id, HeldDeliveries::Deliver).await.map(drop),
        };
        match result {
            Ok(()) => done += 1,
            Err(error @ (Error::Conflict { .. } | Error::NotFound(_))) => {
                let name = viewer
                    .admin
                    .webhook(viewer.account, id)
                    .await
                    .map(|webhook| name_of(&webhook, viewer.urls));
                refused.push(format!("{}: {}", name.unwrap_or_else(|_| id.to_string()), in_words(&error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let verb = format!("{}d", act.verb().to_lowercase());
    Ok(reported(&format!("{} {verb}.", counted(done, "webhook")), &refused).on(see("webhooks")))
}

/// The selected deliveries. Each value of the form is a webhook's id and a delivery's, separated by a slash.
fn deliveries_of(form: &Form) -> Vec<(WebhookId, DeliveryId)> {
    let parsed = form.all("delivery").into_iter().filter_map(|both| {
        let (webhook, delivery) = both.split_once('/')?;
        Some((webhook.parse().ok()?, delivery.parse().ok()?))
    });
    parsed.take(DELIVERIES_PAGE).collect()
}

pub(super) async fn ask_deliveries(Manager(viewer, _): Manager, RawQuery(query): RawQuery) -> Answer {
    let selected = deliveries_of(&Form::of_query(query.as_deref()));
    if selected.is_empty() {
        return Ok(Flash::bad("Select the deliveries first.").on(see("deliveries")));
    }
    let mut concerns = vec![];
    for (webhook, delivery) in &selected {
        let found = viewer.admin.delivery(viewer.account, *webhook, *delivery).await?;
        let to = name_of(&*viewer.admin.webhook(viewer.account, *webhook).await?, viewer.urls);
        concerns.push(format!("{} of {} to {to}", found.event_type.name(), found.incident_id));
    }
    let count = counted(selected.len() as u64, "delivery");
    let page = ConfirmPage {
        detail: "Those that wait for a retry are retried now. Those that have ended are delivered again."
            .to_owned(),
        concerns,
        chosen: selected
            .iter()
            .map(|(webhook, delivery)| ("delivery", format!("{webhook}/{delivery}")))
            .collect(),
        ..ConfirmPage::new(
            viewer.frame().await?,
            format!("Send {count} now?"),
            ("/dashboard/deliveries/redeliver", &format!("Send {count} now")),
            &[("/dashboard/deliveries", "Deliveries")],
        )
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn redeliver(Manager(viewer, by): Manager, body: Body) -> Answer {
    let mut done = 0;
    let mut refused = vec![];
    for (webhook, delivery) in deliveries_of(&Form::read(body).await?) {
        match viewer.admin.redeliver(by, webhook, delivery).await {
            Ok(_) => done += 1,
            Err(error @ (Error::Conflict { .. } | Error::NotFound(_))) => {
                refused.push(format!("{delivery}: {}", in_words(&error)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(reported(&format!("{} being sent now.", deliveries_are(done, "selected")), &refused)
        .on(see("deliveries")))
}

/// What was done, and what was refused.
fn reported(done: &str, refused: &[String]) -> Flash {
    if refused.is_empty() {
        return Flash::good(done);
    }
    Flash::bad(format!("{done} {} refused.", refused.len())).showing("Refused", &refused.join("\n"))
}

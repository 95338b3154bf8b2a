//! The search box of every page: an id, an incident, or words of a webhook.

use axum::extract::RawQuery;
use statuspulse_core::admin::query::DeliverySearch;
use statuspulse_core::delivery::DeliveryFilter;
use statuspulse_core::ids::{DeliveryId, EventId, WebhookId};
use url::form_urlencoded;

use crate::Answer;
use crate::forms::Form;
use crate::guard::see;
use crate::session::Viewer;

/// Leads to the page that shows what was searched for.
pub(super) async fn find(viewer: Viewer, RawQuery(query): RawQuery) -> Answer {
    let form = Form::of_query(query.as_deref());
    let text = form.text("q");
    if let Ok(id) = text.parse::<DeliveryId>() {
        let delivery = viewer.admin.delivery_by_id(viewer.account, id).await?;
        return Ok(see(&format!("webhooks/{}/deliveries/{id}", delivery.webhook_id)));
    }
    if let Ok(id) = text.parse::<WebhookId>() {
        return Ok(see(&format!("webhooks/{id}")));
    }
    if text.parse::<EventId>().is_ok() {
        return Ok(see(&page("deliveries", "id", text)));
    }
    let filter = DeliveryFilter { incident_id: Some(text.to_owned()), ..DeliveryFilter::default() };
    let search = DeliverySearch { filter, ..DeliverySearch::default() };
    let of_incident = viewer.admin.search_deliveries(viewer.account, &search, None, 1).await?;
    // A page without entries that is not the last means that there may be some.
    if of_incident.items.is_empty() && of_incident.next.is_none() {
        return Ok(see(&page("webhooks", "q", text)));
    }
    Ok(see(&page("deliveries", "incident", text)))
}

fn page(path: &str, name: &str, value: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
    format!("{path}?{query}")
}

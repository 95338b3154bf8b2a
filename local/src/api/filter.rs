//! Which deliveries to list.

use super::arguments::ListDeliveriesOptions;
use super::client::Call;
use super::operations::LIST_DELIVERIES;

/// Which deliveries to list.
#[derive(Debug)]
pub(super) struct Filter {
    webhook: Option<String>,
    event: Option<String>,
    incident: Option<String>,
    status: Option<String>,
}

impl Filter {
    pub(super) fn of(options: &ListDeliveriesOptions) -> Self {
        Self {
            webhook: options.webhook.clone(),
            event: options.event.clone(),
            incident: options.incident.clone(),
            status: options.status.clone(),
        }
    }

    /// The call of a list with this filter.
    pub(super) fn call(&self) -> Call<'static> {
        Call::to(&LIST_DELIVERIES)
            .query("webhook_id", self.webhook.as_deref())
            .query("event_id", self.event.as_deref())
            .query("incident_id", self.incident.as_deref())
            .query("status", self.status.as_deref())
    }
}

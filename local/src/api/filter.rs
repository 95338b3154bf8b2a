//! Which deliveries to list.

use serde_json::Value;

use super::arguments::ListDeliveriesOptions;
use super::client::Call;
use super::operations::LIST_DELIVERIES;

/// Which deliveries to list.
#[derive(Debug, Clone)]
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

    /// The same filter with another status.
    pub(super) fn with_status(&self, status: Option<&str>) -> Self {
        Self { status: status.map(str::to_owned), ..self.clone() }
    }

    /// Whether a delivery that passes the rest of the filter also has its status.
    pub(super) fn wants(&self, delivery: &Value) -> bool {
        self.status.as_ref().is_none_or(|status| delivery["status"] == **status)
    }
}

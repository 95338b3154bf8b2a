//! The settings of a deployment.

use crate::ids::WebhookId;
use crate::retry::Ladder;
use crate::target::{EndpointUrl, TargetPolicy};

/// The settings of a deployment.
#[derive(Clone)]
pub struct Deployment {
    /// The waits between attempts.
    pub ladder: Ladder,
    /// Which targets may be called.
    pub policy: TargetPolicy,
    /// The Slack channel for notifications of accounts without their own. Its URL is a secret.
    pub slack: Option<EndpointUrl>,
    /// Whether the end of an outage starts a job that retries early what waits on the ladder.
    pub retry_early: bool,
    /// PagerDuty's URL for events.
    pub pagerduty: EndpointUrl,
    /// The URL of the API, for links.
    pub public_url: String,
    /// The addresses that requests come from.
    pub egress_ips: Vec<String>,
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("ladder", &self.ladder)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The path of the dashboard, below the public URL.
pub const DASHBOARD: &str = "/dashboard";

impl Deployment {
    /// The URL of a page of the dashboard.
    pub fn dashboard(&self, page: &str) -> String {
        format!("{}{DASHBOARD}/{page}", self.public_url)
    }

    /// The URL of a webhook's page.
    pub fn page_of(&self, webhook: WebhookId) -> String {
        self.dashboard(&format!("webhooks/{webhook}"))
    }
}

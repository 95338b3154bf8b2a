//! What a deployment decides.

use crate::ids::WebhookId;
use crate::retry::Ladder;
use crate::target::{EndpointUrl, TargetPolicy};

/// What the deployment decides. Its defaults are those of the product.
#[derive(Clone)]
pub struct Deployment {
    /// The waits between attempts.
    pub ladder: Ladder,
    /// Who may be called.
    pub policy: TargetPolicy,
    /// The Slack channel that is told of the webhooks of accounts without one of their own. Its URL is a secret.
    pub slack: Option<EndpointUrl>,
    /// Whether the end of a webhook's outage retries early what waits on the ladder, or leaves it for up to an hour.
    pub bring_forward: bool,
    /// Where PagerDuty takes events.
    pub pagerduty: EndpointUrl,
    /// Where the API is reached, for links.
    pub public_url: String,
    /// The addresses attempts leave from.
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

/// Where the dashboard's pages are, below the public URL.
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

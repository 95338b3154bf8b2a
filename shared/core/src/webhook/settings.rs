//! The settings of a webhook, and what follows from them alone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::access::Urls;
use crate::audit::FieldChange;
use crate::deployment::Deployment;
use crate::destination::{Address, Destination, Outgoing};
use crate::event::EventType;
use crate::ids::WebhookId;
use crate::target::{AllowedDomains, EndpointUrl};

/// What an owner can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The URL that deliveries are sent to.
    pub url: EndpointUrl,
    /// The form they are sent in.
    pub destination: Destination,
    /// The event types it receives: at least one.
    pub events: Vec<EventType>,
    /// The monitor groups it receives; empty for all.
    pub monitor_groups: Vec<String>,
    /// Free text from its owner.
    pub description: Option<String>,
    /// Headers sent with every request. They often contain credentials, so their values are never shown again.
    pub headers: Headers,
}

/// Custom headers by name. `Debug` shows the names only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(pub BTreeMap<String, String>);

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Settings {
    /// The description, if it has any words: what the owner calls the webhook.
    pub fn described(&self) -> Option<&str> {
        self.description.as_deref().filter(|text| !text.trim().is_empty())
    }

    /// The body of a delivery of this payload: the same bytes at every attempt, as long as the settings are the same.
    /// (If the destination limits its messages, the delivery may be sent as part of a burst instead.)
    pub fn render(
        &self,
        event_type: EventType,
        payload: &Bytes,
        webhook: WebhookId,
        deployment: &Deployment,
    ) -> Bytes {
        self.destination.format().event(&Outgoing {
            event_type,
            payload,
            routing_key: self.destination.revealed_key(),
            monitor_groups: &self.monitor_groups,
            webhook,
            deployment,
        })
    }

    /// The fields that differ from these settings, or all that are set, for the audit log. Secrets are hidden: the values
    /// of headers, routing keys and what a URL has after its host.
    pub(crate) fn changes_from(&self, before: Option<&Settings>) -> Vec<FieldChange> {
        let list = |texts: &[String]| (!texts.is_empty()).then(|| texts.join(", "));
        let events = |settings: &Settings| {
            list(&settings.events.iter().map(|event| event.name().to_owned()).collect::<Vec<_>>())
        };
        let of = |read: &dyn Fn(&Settings) -> Option<String>| (before.and_then(read), read(self));
        let changed = |field: &str, (old, new)| FieldChange::of(field, old, new);
        let url = of(&|settings| Some(settings.url.redacted()));
        // Only its path may have changed.
        let path = before.is_some_and(|before| before.url != self.url) && url.0 == url.1;
        let fields = [
            if path {
                FieldChange::of_secret("url", before.map(|before| &before.url), Some(&self.url))
            } else {
                changed("url", url)
            },
            changed("destination", of(&|settings| Some(settings.destination.name().to_owned()))),
            FieldChange::of_secret(
                "routing_key",
                before.and_then(|before| before.destination.routing_key()),
                self.destination.routing_key(),
            ),
            changed("events", of(&events)),
            changed("monitor_groups", of(&|settings| list(&settings.monitor_groups))),
            changed("description", of(&|settings| settings.description.clone())),
        ];
        let none = BTreeMap::new();
        let (old, new) = (before.map_or(&none, |before| &before.headers.0), &self.headers.0);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let headers = names
            .into_iter()
            .map(|name| FieldChange::of_secret(&format!("headers/{name}"), old.get(name), new.get(name)));
        fields.into_iter().chain(headers).flatten().collect()
    }

    /// Whether a handshake with one endpoint also proves the other.
    pub(crate) fn same_endpoint(&self, other: &Settings) -> bool {
        self.url == other.url && self.destination == other.destination
    }

    /// Whether these settings keep to an account's allowed domains. A URL of the deployment always does.
    pub(crate) fn keeps_to(&self, domains: &AllowedDomains) -> bool {
        match self.destination.format().address() {
            Address::RoutingKey => true,
            Address::Url | Address::SecretUrl => domains.admits(self.url.host_text()),
        }
    }

    /// The URL as it may be shown. One that is the customer's only secret is shown to nobody.
    pub fn shown_url(&self, urls: Urls) -> String {
        match (self.destination.format().address(), urls) {
            (Address::RoutingKey, _) | (Address::Url, Urls::Whole) => self.url.as_str().to_owned(),
            (Address::Url, Urls::ByHost) | (Address::SecretUrl, _) => self.url.redacted(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::format;
    use crate::fixtures::active_webhook;

    fn settings(url: &str, format_name: &str) -> Settings {
        let format = format(format_name).unwrap();
        let destination =
            Destination::samples().into_iter().find(|sample| sample.name() == format.name()).unwrap();
        Settings { url: EndpointUrl::restore(url).unwrap(), destination, ..active_webhook().settings }
    }

    #[test]
    fn a_handshake_proves_one_url_with_one_destination() {
        let proved = settings("https://hooks.example.com/in", "json");
        let described = Settings { description: Some("the same endpoint".to_owned()), ..proved.clone() };
        assert!(proved.same_endpoint(&described));
        assert!(!proved.same_endpoint(&settings("https://hooks.example.com/other", "json")));
        assert!(!proved.same_endpoint(&settings("https://hooks.example.com/in", "slack")));
    }

    #[test]
    fn a_url_of_the_deployment_always_keeps_to_the_allowed_domains() {
        let domains = AllowedDomains::parse(["hooks.example.com"]).unwrap();
        // Format, URL, whether it keeps to the domains.
        let table = [
            ("json", "https://hooks.example.com/in", true),
            ("json", "https://hooks.example.net/in", false),
            ("slack", "https://hooks.slack.com/services/T0/B0/abc", false),
            ("pagerduty", "https://events.pagerduty.com/v2/enqueue", true),
        ];
        for (format, url, keeps) in table {
            assert_eq!(settings(url, format).keeps_to(&domains), keeps, "{format} {url}");
        }
    }

    #[test]
    fn a_path_that_is_a_secret_is_not_shown() {
        // Format, URL, what admins and others are shown of it.
        let table = [
            (
                "json",
                "https://hooks.example.com:8443/in?token=1",
                ["https://hooks.example.com:8443/in?token=1", "https://hooks.example.com:8443/[hidden]"],
            ),
            ("slack", "https://hooks.slack.com/services/T0/B0/abc", ["https://hooks.slack.com/[hidden]"; 2]),
            (
                "pagerduty",
                "https://events.pagerduty.com/v2/enqueue",
                ["https://events.pagerduty.com/v2/enqueue"; 2],
            ),
        ];
        for (format, url, shown) in table {
            let settings = settings(url, format);
            assert_eq!([Urls::Whole, Urls::ByHost].map(|urls| settings.shown_url(urls)), shown);
        }
    }
}

//! An account's list of allowed domains (rule 9.3).

use super::host;
use crate::limits::ALLOWED_DOMAINS;

/// Always allowed: the product's own subdomains, without the apex. Being on a list exempts no host from the checks of
/// addresses.
pub const ALWAYS_ALLOWED: &str = "*.statuspulse.io";

/// Why a domain cannot be on the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("domain {index}: {detail}")]
pub struct DomainRefused {
    /// Index of the entry, from 0.
    pub index: usize,
    /// What to fix.
    pub detail: String,
}

/// The domains that an account restricts its webhooks to. An empty list is no restriction.
///
/// `example.com` is only that host. `*.example.com` is every host below it, at any depth, but not `example.com` itself.
/// An IP address cannot be on the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedDomains {
    /// Lower case, punycode, no duplicates, in the account's order.
    patterns: Vec<String>,
}

impl AllowedDomains {
    /// Parses a list.
    ///
    /// # Errors
    /// Returns the first entry that is not a domain, or that exceeds the limit.
    pub fn parse(entries: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, DomainRefused> {
        let mut patterns = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            if index >= ALLOWED_DOMAINS {
                let detail = format!("The list can have at most {ALLOWED_DOMAINS} domains.");
                return Err(DomainRefused { index, detail });
            }
            let pattern = parse_pattern(entry.as_ref()).map_err(|detail| DomainRefused { index, detail })?;
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        Ok(Self { patterns })
    }

    /// A list that was parsed before. An entry that this version would refuse admits no host, and is kept.
    pub fn restore(entries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { patterns: entries.into_iter().map(Into::into).collect() }
    }

    /// Whether the account's webhooks may use this host (see [`EndpointUrl::host_text`]).
    ///
    /// [`EndpointUrl::host_text`]: super::EndpointUrl::host_text
    pub fn admits(&self, host: &str) -> bool {
        self.patterns.is_empty()
            || matches(ALWAYS_ALLOWED, host)
            || self.patterns.iter().any(|pattern| matches(pattern, host))
    }

    /// Whether there is no restriction.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The account's own entries, in a form that [`parse`](Self::parse) accepts. [`ALWAYS_ALLOWED`] is not among them.
    pub fn as_strings(&self) -> &[String] {
        &self.patterns
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        // The suffix begins with a dot, so `evilexample.com` does not match.
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

fn parse_pattern(entry: &str) -> Result<String, String> {
    let (prefix, domain) = match entry.strip_prefix("*.") {
        Some(domain) => ("*.", domain),
        None => ("", entry),
    };
    if domain.chars().any(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-._".contains(c)) {
        return Err("Write a domain such as example.com, or *.example.com for all its subdomains.".to_owned());
    }
    let Ok(url::Host::Domain(name)) = url::Host::parse(domain) else {
        return Err("This is not a domain name.".to_owned());
    };
    host::check_name(domain, &name).map_err(|refused| refused.detail)?;
    if !name.contains('.') {
        return Err("A domain has at least two parts, as in example.com.".to_owned());
    }
    Ok(format!("{prefix}{name}"))
}

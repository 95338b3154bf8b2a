//! An account's own list of domains its webhooks may go to (rule 9.3).

use super::host;
use crate::limits::ALLOWED_DOMAINS;

/// Always on the list, whatever the account restricts itself to: the product's own subdomains. The bare apex
/// is not, and nothing is exempt from the checks of addresses by being on a list.
pub const ALWAYS_ALLOWED: &str = "*.statuspulse.io";

/// A domain that cannot be on the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("domain {index}: {detail}")]
pub struct DomainRefused {
    /// Which entry of the list, counted from 0.
    pub index: usize,
    /// What to fix.
    pub detail: String,
}

/// The domains an account restricts its webhooks to. No entry, no restriction.
///
/// `example.com` is that host and no other; `*.example.com` is every host below it, at any depth, but not
/// `example.com` itself. A literal address is on no list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedDomains {
    /// In lower case and punycode, without repeats, in the account's order.
    patterns: Vec<String>,
}

impl AllowedDomains {
    /// Reads a list.
    ///
    /// # Errors
    /// With the first entry that is not a domain, or the first too many.
    pub fn parse(entries: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, DomainRefused> {
        let mut patterns = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            if index >= ALLOWED_DOMAINS {
                let detail = format!("The list may have {ALLOWED_DOMAINS} domains.");
                return Err(DomainRefused { index, detail });
            }
            let pattern = parse_pattern(entry.as_ref()).map_err(|detail| DomainRefused { index, detail })?;
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        Ok(Self { patterns })
    }

    /// Whether the account's webhooks may go to this host (as of [`EndpointUrl::host_text`]).
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

    /// The account's own entries, as [`parse`](Self::parse) takes them back. [`ALWAYS_ALLOWED`] goes without
    /// saying.
    pub fn as_strings(&self) -> &[String] {
        &self.patterns
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        // What is left begins with the dot, so that evilexample.com does not end in it.
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
        return Err("Write a domain such as example.com, or *.example.com for all below it.".to_owned());
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

//! The host of a URL, and which names are allowed.

use std::net::IpAddr;

use super::refused::UrlRefused;
use crate::limits;

/// The host of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// A name in lower case, with punycode for an internationalised one. It has to be looked up.
    Name(&'a str),
    /// An IP address.
    Address(IpAddr),
}

/// Names that mean "this machine" or "this network" wherever they are looked up. Single-label names are refused too,
/// because a resolver's search list decides what they mean.
const PRIVATE_SUFFIXES: &[&str] = &[
    "localhost",   // RFC 6761
    "localdomain", // the default of many a distribution's /etc/hosts
    "local",       // RFC 6762, multicast DNS
    "internal",    // reserved by ICANN for private use (2024); metadata.google.internal
    "home.arpa",   // RFC 8375
    "intranet",    // RFC 6762, appendix G: private names seen in the wild ...
    "private",
    "corp",
    "home",
    "lan",
    "onion", // RFC 7686: must not be looked up
];

/// Checks the parsed name, also against the text that was entered.
pub(super) fn check_name(typed: &str, name: &str) -> Result<(), UrlRefused> {
    let refuse = |detail: &str| Err(UrlRefused::new("url_host", detail));
    if name.len() > limits::HOST_NAME_BYTES {
        return refuse("The host's name is longer than 253 characters.");
    }
    if name.ends_with('.') {
        return refuse("The host ends in a dot. Remove it.");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return refuse("The host has two dots in a row, or begins with one.");
        }
        if label.len() > limits::HOST_LABEL_BYTES {
            return refuse("A part of the host's name is longer than 63 characters.");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return refuse("A part of the host's name begins or ends with a hyphen.");
        }
    }
    // RFC 952 does not allow underscores, but such names resolve and wildcard certificates cover them: accepted.
    check_typed(typed, name)
}

/// Refuses a name that looks different from the name that would be called: one with characters that are dropped (soft
/// hyphen, zero width) or replaced (full width, circled) on the way to punycode. Only letter case may change.
fn check_typed(typed: &str, name: &str) -> Result<(), UrlRefused> {
    let unicode = in_unicode(name);
    let shown = unicode.as_deref().unwrap_or(name);
    let lowered = || typed.chars().flat_map(char::to_lowercase);
    let as_typed = lowered().eq(shown.chars()) || lowered().eq(name.chars());
    if as_typed && !shown.chars().any(is_invisible) {
        return Ok(());
    }
    Err(UrlRefused::new(
        "url_host",
        "The host contains invisible characters, or characters that are replaced (soft hyphen, zero-width, \
         full-width). Type it in plain letters, or as punycode.",
    ))
}

/// Invisible characters. U+200C and U+200D are legal within some scripts, but a webhook can do without them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// The name in Unicode, if it differs from the ASCII form.
pub(super) fn in_unicode(name: &str) -> Option<String> {
    if !name.contains("xn--") {
        return None;
    }
    Some(url::quirks::domain_to_unicode(name)).filter(|unicode| unicode != name && !unicode.is_empty())
}

/// Whether the name itself means a host that is not on the public internet.
pub(super) fn is_private_name(name: &str) -> bool {
    !name.contains('.')
        || PRIVATE_SUFFIXES.iter().any(|suffix| {
            name.strip_suffix(suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
}

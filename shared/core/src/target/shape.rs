//! The strict shape that a URL's text must have before a parser reads it.

use super::host::Host;
use super::refused::UrlRefused;
use crate::limits::URL_BYTES;

/// The parts of the text, read literally.
pub(super) struct Shape<'a> {
    pub(super) https: bool,
    /// Without the port; an IPv6 address has its brackets.
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

/// Reads `scheme://host[:port]`, and checks the characters of the rest.
pub(super) fn read(text: &str) -> Result<Shape<'_>, UrlRefused> {
    if text.len() > URL_BYTES {
        return Err(UrlRefused::new("url_too_long", format!("The URL is longer than {URL_BYTES} bytes.")));
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UrlRefused::new(
            "url_shape",
            "The URL contains a space, a line break or a control character.",
        ));
    }
    if text.contains('\\') {
        return Err(UrlRefused::new("url_shape", "The URL contains a backslash. Use forward slashes."));
    }
    let (https, rest) = scheme(text)?;
    if rest.contains('#') {
        return Err(UrlRefused::new(
            "url_fragment",
            "The URL has a fragment (#...), which is never sent. Remove it.",
        ));
    }
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Err(UrlRefused::new(
            "url_userinfo",
            "The URL contains a user name or password before an @. Use a custom header instead.",
        ));
    }
    let (host, port) = split_port(authority)?;
    check_characters(host)?;
    Ok(Shape { https, host, port })
}

fn scheme(text: &str) -> Result<(bool, &str), UrlRefused> {
    let after = |prefix: &str| {
        let head = text.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
    };
    if let Some(rest) = after("https://") {
        return Ok((true, rest));
    }
    if let Some(rest) = after("http://") {
        return Ok((false, rest));
    }
    if after("https:").is_some() {
        return Err(UrlRefused::new(
            "url_shape",
            "Write two slashes after https: as in https://example.com/hook.",
        ));
    }
    Err(UrlRefused::new("url_scheme", "The URL must begin with https://."))
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlRefused> {
    // Colons inside the brackets belong to the IPv6 address.
    let host_end = match (authority.starts_with('['), authority.find(']')) {
        (true, Some(bracket)) => bracket + 1,
        (true, None) => return Err(UrlRefused::new("url_host", "The IPv6 address has no closing bracket.")),
        (false, _) => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if host.is_empty() {
        return Err(no_host());
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.strip_prefix(':').filter(|digits| {
        (1..=5).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    });
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(port) => Ok((host, Some(port))),
        None => Err(UrlRefused::new(
            "url_port",
            "Only a port, a number from 1 to 65535, may follow the host. (An IPv6 address needs brackets.)",
        )),
    }
}

fn check_characters(host: &str) -> Result<(), UrlRefused> {
    if host.starts_with('[') {
        return Ok(()); // Nothing but an address parses between brackets.
    }
    if host.contains('*') {
        return Err(UrlRefused::new(
            "url_host",
            "The host contains a *. A webhook has one host: enter its name.",
        ));
    }
    if let Some(c) = host.chars().find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-._".contains(*c))
    {
        return Err(UrlRefused::new(
            "url_host",
            format!("The host contains the character {c}, which is not allowed."),
        ));
    }
    Ok(())
}

/// Refuses an address in an unusual form: 134744072 for 8.8.8.8 is only written to evade a check. (Private addresses
/// are refused before this, with a better text.)
pub(super) fn check_spelling(shape: &Shape<'_>, host: Host<'_>) -> Result<(), UrlRefused> {
    match host {
        Host::Address(std::net::IpAddr::V4(address)) if address.to_string() != shape.host => {
            Err(UrlRefused::new(
                "url_host",
                "The host is an IPv4 address in an unusual form. Write four decimal numbers with dots.",
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn no_host() -> UrlRefused {
    UrlRefused::new("url_host", "The URL has no host.")
}

pub(super) fn refused_by_parser(error: &url::ParseError) -> UrlRefused {
    use url::ParseError as P;
    match error {
        P::EmptyHost => no_host(),
        P::InvalidPort => UrlRefused::new("url_port", "The port is not a number from 1 to 65535."),
        P::InvalidIpv4Address | P::InvalidIpv6Address => {
            UrlRefused::new("url_host", "The host looks like an IP address, but is not a valid one.")
        }
        P::IdnaError | P::InvalidDomainCharacter => {
            UrlRefused::new("url_host", "The host is not a valid (internationalised) domain name.")
        }
        _ => UrlRefused::new("url_shape", "The URL is not valid."),
    }
}

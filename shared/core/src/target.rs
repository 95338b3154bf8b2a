//! Which targets may be called: the check between a URL that a stranger entered and our network.
//!
//! An [`EndpointUrl`] is a URL in the only shape that is accepted. [`TargetPolicy`] says which addresses may be called.
//! [`AllowedDomains`] is an account's own, narrower list. All of this is pure: `shared/outbound` looks names up and
//! passes the addresses in.
//!
//! # Why the raw text is checked before it is parsed
//!
//! A URL parser written for browsers repairs its input: `https:host`, `https:\\host`, a tab inside the host, leading
//! spaces and percent-encoded dots all become a URL that looks well-formed and names a host that the reader did not
//! see. So the text must have a strict shape *before* the `url` crate parses it. Then the *parsed* host is checked,
//! because `127.1`, `0x7f.1`, `２１３０７０６４３３` and `①②⑦.⓪.⓪.①` all parse to 127.0.0.1.
//!
//! # Guarantees
//!
//! - An [`EndpointUrl`] from [`parse`](EndpointUrl::parse) has no user info and no fragment, and a port that the policy
//!   allows. Its host is a plain name, or an address that may be called.
//! - A *name* proves nothing, because what it resolves to may change. Every address is checked at every attempt with
//!   [`TargetPolicy::vet`], and the connection goes to an address that was checked (rule 9.2).
//! - No error contains an address that a name resolved to.

mod address;
mod domains;
mod host;
mod policy;
mod refused;
mod shape;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use url::Url;

pub use address::{Cidr, CidrRefused, is_public};
pub use domains::{ALWAYS_ALLOWED, AllowedDomains, DomainRefused};
pub use host::Host;
pub use policy::{REFUSED_PORTS, Refused, TargetPolicy};
pub use refused::UrlRefused;

/// Shown in place of a secret.
pub const HIDDEN: &str = "[hidden]";

/// An endpoint's URL in the strict shape. Cheap to clone.
///
/// `Display` shows the whole URL. `Debug` omits the path, which is the secret with Slack and many other services.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointUrl {
    text: Arc<str>,
    https: bool,
    host: Range<usize>,
    address: Option<IpAddr>,
    port: u16,
}

impl EndpointUrl {
    /// Parses a URL for registration.
    ///
    /// # Errors
    /// Returns what to fix, if the URL does not have the strict shape or the policy does not allow it.
    pub fn parse(text: &str, policy: &TargetPolicy) -> Result<Self, UrlRefused> {
        let shape = shape::read(text)?;
        policy.check_scheme(shape.https)?;
        let url = Self::from_shape(text, &shape)?;
        policy.check_host(url.host())?;
        shape::check_spelling(&shape, url.host())?;
        TargetPolicy::check_port(url.https, url.port)?;
        Ok(url)
    }

    /// Parses a registered URL from a store. Only its shape is checked: the policy is applied again at each attempt,
    /// and a stricter policy must not make a store unreadable.
    ///
    /// # Errors
    /// Returns an error if it does not have the strict shape.
    pub fn restore(text: &str) -> Result<Self, UrlRefused> {
        let shape = shape::read(text)?;
        Self::from_shape(text, &shape)
    }

    fn from_shape(text: &str, shape: &shape::Shape<'_>) -> Result<Self, UrlRefused> {
        let url = Url::parse(text).map_err(|error| shape::refused_by_parser(&error))?;
        let address = match url.host() {
            None => return Err(shape::no_host()),
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(url::Host::Domain(name)) => {
                host::check_name(shape.host, name)?;
                None
            }
        };
        let port = shape.port.unwrap_or(if shape.https { 443 } else { 80 });
        // The crate and our own parser must agree. If they ever differ, the URL is refused.
        let same = url.scheme() == if shape.https { "https" } else { "http" }
            && url.port_or_known_default() == Some(port)
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        let host_length = url.host_str().map(str::len);
        let (true, Some(host_length)) = (same, host_length) else {
            return Err(UrlRefused::new("url_shape", "The URL can be read in more than one way."));
        };
        let start = url.scheme().len() + "://".len();
        Ok(Self {
            text: Arc::from(url.as_str()),
            https: shape.https,
            host: start..start + host_length,
            address,
            port,
        })
    }

    /// The normalised URL, with punycode for an internationalised host.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the scheme is https. Otherwise it is http, which only a development policy allows.
    pub fn scheme_is_https(&self) -> bool {
        self.https
    }

    /// The host.
    pub fn host(&self) -> Host<'_> {
        match self.address {
            Some(address) => Host::Address(address),
            None => Host::Name(self.host_text()),
        }
    }

    /// Whether both lead to the same host and port.
    pub fn has_host_of(&self, other: &Self) -> bool {
        self.host_text() == other.host_text() && self.port() == other.port()
    }

    /// The host as it appears in the URL: a name, or an address (IPv6 in brackets).
    pub fn host_text(&self) -> &str {
        &self.text[self.host.clone()]
    }

    /// The host in Unicode, if that differs: `bücher.example` for `xn--bcher-kva.example`. Show it *beside* the
    /// punycode, never instead, because letters of different scripts can look alike.
    pub fn host_in_unicode(&self) -> Option<String> {
        match self.host() {
            Host::Name(name) => host::in_unicode(name),
            Host::Address(_) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `scheme://host`, with the port if it is not the scheme's default. Connections are kept per origin. Slack texts
    /// and logs show only this, because with many services the path is a secret.
    pub fn origin(&self) -> &str {
        &self.text[..self.path_start()]
    }

    /// The path, and the query if there is one.
    pub fn path_and_query(&self) -> &str {
        &self.text[self.path_start()..]
    }

    /// The URL with its path hidden, for URLs whose path is a secret.
    pub fn redacted(&self) -> String {
        format!("{}/{HIDDEN}", self.origin())
    }

    fn path_start(&self) -> usize {
        // A parsed https or http URL always has a path, at least "/".
        self.text[self.host.end..].find('/').map_or(self.text.len(), |at| self.host.end + at)
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({}/…)", self.origin())
    }
}

impl TargetPolicy {
    /// Decides, at registration and at every attempt, whether the URL may be called at these addresses: its literal
    /// address, or *all* that its name resolved to. One address that is not allowed refuses the name. Otherwise the
    /// owner of a name could hide a private address among public ones and wait until it is picked.
    ///
    /// # Errors
    /// Returns why it may not be called.
    pub fn vet(&self, url: &EndpointUrl, addresses: &[IpAddr]) -> Result<(), Refused> {
        if addresses.is_empty() {
            return Err(Refused::NoAddress);
        }
        if !addresses.iter().all(|address| self.admits(*address)) {
            return Err(Refused::NotPublic);
        }
        if !url.scheme_is_https() && !addresses.iter().all(|address| self.is_for_development(*address)) {
            return Err(Refused::PlainHttp);
        }
        Ok(())
    }
}

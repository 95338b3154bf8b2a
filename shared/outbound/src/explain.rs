//! Turns network errors into a class for programs and a sentence for people.
//!
//! Errors are recognised by type, never by their text. No sentence contains an address.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage, PeerIncompatible};
use statuspulse_core::attempt::{Class, Failure};
use statuspulse_core::ports::Unavailable;

use crate::meter::Flood;
use crate::tls::{SelfSigned, unnamed};

/// Why a call has no reply.
#[derive(Debug)]
pub(crate) enum NoReply {
    /// The receiver failed.
    Failed(Failure),
    /// We could not make the call. This says nothing about the receiver.
    NotMade(Unavailable),
}

impl From<Failure> for NoReply {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl NoReply {
    pub(crate) fn not_made(doing: &'static str, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::NotMade(Unavailable { doing, source: error.into() })
    }
}

/// Whether the operating system refused because something of ours ran out: files, memory, buffers or local ports.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::ADDRNOTAVAIL,
        Errno::AGAIN,
        Errno::PERM,
    ];
    Errno::from_io_error(error).is_some_and(|error| ours.contains(&error))
}

/// TCP could not connect: because of the receiver, or for a reason on our side.
pub(crate) fn not_connected(error: io::Error) -> NoReply {
    if is_ours(&error) {
        NoReply::not_made("connecting to an endpoint", error)
    } else {
        connect(&error).into()
    }
}

/// TCP could not connect.
pub(crate) fn connect(error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "The connection was refused. Check that a server listens on this host and port."
        }
        io::ErrorKind::TimedOut => return connect_timeout(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "The host is unreachable.",
        _ => "The connection to the host failed.",
    };
    Failure::new(Class::Connect, reason)
}

/// TCP did not connect in time.
pub(crate) fn connect_timeout() -> Failure {
    Failure::new(
        Class::Timeout,
        "The connection timed out: the host does not answer on this port. Check its firewall.",
    )
}

/// TCP connected, but TLS was not established in time.
pub(crate) fn tls_timeout() -> Failure {
    Failure::new(Class::Timeout, "The connection was accepted, but TLS was not established in time.")
}

/// The request was not answered in time.
pub(crate) fn answer_timeout(allowed: Duration) -> Failure {
    Failure::new(Class::Timeout, format!("The endpoint did not answer within {} s.", allowed.as_secs_f64()))
}

/// The request could not be built. The cause is on our side, so the text does not blame the receiver.
pub(crate) fn our_fault() -> Failure {
    Failure::new(
        Class::BadResponse,
        "The request could not be built. This is an error on our side; please report it.",
    )
}

/// An informational status such as `101` that is not followed by a final one.
pub(crate) fn not_final(status: u16) -> Failure {
    Failure::new(Class::BadResponse, format!("The endpoint answered {status}, which is not a final status."))
}

pub(crate) fn closed() -> Failure {
    Failure::new(Class::Connect, "The connection was closed before the endpoint answered.")
}

/// The exchange failed before the head of a response was complete.
pub(crate) fn exchange(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        // hyper distinguishes the two only if its server feature is enabled.
        let reason = "The endpoint did not send a valid HTTP response, or its headers are too large.";
        return Failure::new(Class::BadResponse, reason);
    }
    match source::<io::Error>(error) {
        Some(error) => io(error),
        None => closed(),
    }
}

/// Whether the connection broke because what we sent was not acknowledged.
pub(crate) fn is_unacknowledged(error: &hyper::Error) -> bool {
    let kinds = [io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable, io::ErrorKind::NetworkUnreachable];
    source::<io::Error>(error).is_some_and(|error| kinds.contains(&error.kind()))
}

/// The connection failed during the TLS handshake or later.
pub(crate) fn io(error: &io::Error) -> Failure {
    if inner::<Flood>(error).is_some() {
        return Failure::new(Class::BadResponse, "The endpoint sent too much data before a final response.");
    }
    match inner::<TlsError>(error) {
        Some(error) => Failure::new(Class::Tls, tls(error)),
        None => closed(),
    }
}

fn tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(error) => certificate(error),
        TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )
        | TlsError::AlertReceived(AlertDescription::ProtocolVersion)
        | TlsError::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            "The endpoint supports only TLS versions older than 1.2. Enable TLS 1.2 or 1.3."
        }
        // With TLS 1.2, this alert also answers a client that sends no certificate.
        TlsError::AlertReceived(AlertDescription::HandshakeFailure) => {
            "The endpoint refused the TLS handshake. Either it requires a client certificate, which we do not send, or it \
             and we have no modern cipher suite or signature algorithm in common (P-521 is not among ours)."
        }
        TlsError::AlertReceived(AlertDescription::InsufficientSecurity) | TlsError::PeerIncompatible(_) => {
            "The endpoint and we have no modern cipher suite or signature algorithm in common."
        }
        TlsError::AlertReceived(AlertDescription::UnrecognisedName) => {
            "The endpoint's TLS server does not know this host name."
        }
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA,
        ) => "The endpoint requires a client certificate. We do not send one.",
        TlsError::AlertReceived(AlertDescription::NoApplicationProtocol)
        | TlsError::NoApplicationProtocol => "The endpoint does not support HTTP/1.1 over TLS.",
        TlsError::InvalidMessage(_) => "The endpoint does not speak TLS on this port. Is it plain HTTP?",
        TlsError::AlertReceived(_) => "The endpoint ended the TLS connection with an alert.",
        _ => "The TLS connection to the endpoint failed.",
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => "The endpoint's certificate has expired.",
        C::NotValidYet | C::NotValidYetContext { .. } => "The endpoint's certificate is not valid yet.",
        C::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "The endpoint's certificate has no subject alternative name. A common name alone is not enough."
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            "The endpoint's certificate was issued for another name than the URL's host."
        }
        C::Other(other) if other.0.downcast_ref::<SelfSigned>().is_some() => {
            "The endpoint's certificate is self-signed. Use one from a public certificate authority."
        }
        C::UnknownIssuer => {
            "The issuer of the endpoint's certificate is not trusted. Use a public certificate authority, \
             and send the intermediate certificates, too."
        }
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "The endpoint's certificate is signed with an algorithm that we do not know, such as P-521. Use RSA, P-256, \
             P-384 or Ed25519."
        }
        other if matches!(unnamed(other), Some(webpki::Error::UnsupportedCriticalExtension)) => {
            "The endpoint's certificate has an extension that is marked as critical, and that we do not know."
        }
        C::Revoked => "The endpoint's certificate has been revoked.",
        _ => "The endpoint's certificate is not valid.",
    }
}

/// Finds an error of type `T` inside an `io::Error`. `source()` cannot: it skips the error that is wrapped directly.
fn inner<T: StdError + 'static>(error: &io::Error) -> Option<&T> {
    let mut error: &(dyn StdError + 'static) = error.get_ref()?;
    loop {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        error = match error.downcast_ref::<io::Error>() {
            Some(wrapped) => wrapped.get_ref()?,
            None => error.source()?,
        };
    }
}

fn source<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_out_on_our_side_is_ours_and_what_the_other_side_did_is_not() {
        for ours in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::ADDRNOTAVAIL,
            Errno::AGAIN,
            Errno::PERM,
        ] {
            assert!(is_ours(&ours.into()), "{ours}");
        }
        let theirs =
            [Errno::CONNREFUSED, Errno::CONNRESET, Errno::TIMEDOUT, Errno::HOSTUNREACH, Errno::NETUNREACH];
        for theirs in theirs {
            assert!(!is_ours(&theirs.into()), "{theirs}");
        }
        assert!(!is_ours(&io::Error::other("no such name")));
    }
}

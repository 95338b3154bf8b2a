//! From an error of the network to a class for programs and a sentence for a person.
//!
//! Errors are recognised by their types, never by their text. No sentence names an address.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage, PeerIncompatible};
use statuspulse_core::attempt::{Class, Failure};

use crate::meter::Flood;
use crate::tls::SelfSigned;

/// No TCP connection.
pub(crate) fn connect(error: &io::Error) -> Failure {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "The connection was refused: nothing listens at this host and port."
        }
        io::ErrorKind::TimedOut => return connect_timeout(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "The host cannot be reached.",
        _ => "No connection could be made.",
    };
    Failure::new(Class::Connect, reason)
}

/// No TCP connection in time.
pub(crate) fn connect_timeout() -> Failure {
    Failure::new(
        Class::Timeout,
        "No connection in time: the host does not answer at this port. Check its firewall.",
    )
}

/// TCP, but no TLS in time.
pub(crate) fn tls_timeout() -> Failure {
    Failure::new(Class::Timeout, "The connection was taken, but TLS was not established in time.")
}

/// A connection, but no answer in time.
pub(crate) fn answer_timeout(allowed: Duration) -> Failure {
    Failure::new(Class::Timeout, format!("No complete answer within {} s.", allowed.as_secs_f64()))
}

/// The request could not be made of what we were given: our fault, so the receiver is not blamed.
pub(crate) fn our_fault() -> Failure {
    Failure::new(
        Class::BadResponse,
        "The request could not be built. That is a fault of ours; please tell us.",
    )
}

/// `101`, or another final word that is none.
pub(crate) fn not_final(status: u16) -> Failure {
    Failure::new(Class::BadResponse, format!("The endpoint answered {status}, which is no final answer."))
}

pub(crate) fn closed() -> Failure {
    Failure::new(Class::Connect, "The connection was closed before an answer came.")
}

/// The exchange broke before the head of an answer was complete.
pub(crate) fn exchange(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        // hyper tells the two apart only where it is built as a server too.
        let reason = "What came back is not an HTTP answer, or its head is too large.";
        return Failure::new(Class::BadResponse, reason);
    }
    match source::<io::Error>(error) {
        Some(error) => io(error),
        None => closed(),
    }
}

/// The connection broke, while TLS was established or later.
pub(crate) fn io(error: &io::Error) -> Failure {
    if inner::<Flood>(error).is_some() {
        return Failure::new(Class::BadResponse, "The endpoint sent too much before a final answer.");
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
            "The endpoint speaks only TLS versions older than 1.2. Allow 1.2 or 1.3."
        }
        TlsError::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )
        | TlsError::PeerIncompatible(_) => {
            "The endpoint has no modern cipher or signature in common with us."
        }
        TlsError::AlertReceived(AlertDescription::UnrecognisedName) => {
            "The endpoint's TLS does not know the host's name."
        }
        TlsError::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA,
        ) => "The endpoint asks for a client certificate, which we do not have.",
        TlsError::AlertReceived(AlertDescription::NoApplicationProtocol)
        | TlsError::NoApplicationProtocol => "The endpoint does not offer HTTP/1.1 over TLS.",
        TlsError::InvalidMessage(_) => "The endpoint does not speak TLS at this port. Is it plain HTTP?",
        TlsError::AlertReceived(_) => "The endpoint broke TLS off with an alert.",
        _ => "TLS with the endpoint failed.",
    }
}

fn certificate(error: &CertificateError) -> &'static str {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => "The endpoint's certificate has expired.",
        C::NotValidYet | C::NotValidYetContext { .. } => "The endpoint's certificate is not valid yet.",
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            "The endpoint's certificate is for another name than the URL's host."
        }
        C::Other(other) if other.0.downcast_ref::<SelfSigned>().is_some() => {
            "The endpoint's certificate is self-signed. Use one of a public certificate authority."
        }
        C::UnknownIssuer => {
            "The issuer of the endpoint's certificate is not known. Use a public certificate authority, and send \
             the intermediate certificates too."
        }
        C::Revoked => "The endpoint's certificate is revoked.",
        _ => "The endpoint's certificate does not hold.",
    }
}

/// What an `io::Error` was made of. (`source()` skips one level: it is the source *of* what it was made of.)
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

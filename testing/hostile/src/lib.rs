//! Misbehaviours of receivers: what they do, and what a good sender of webhooks does then. The table in README.md is made of
//! these, and of what our own sender does.

use std::time::Duration;

use bytes::Bytes;
use statuspulse_kit::{Answer, Authority, Behaviour, CertificateSpec, HeaderFlood, ServerCertificate};

/// One misbehaviour.
#[derive(Debug)]
pub struct Misbehaviour {
    /// Where it is served.
    pub at: At,
    /// What it does.
    pub what: &'static str,
    /// What a good sender does.
    pub good: &'static str,
}

/// Where a misbehaviour is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// At this path of the first port.
    Path(&'static str, Behaviour),
    /// At a port of its own, because it is one of TLS. The name stands for the path.
    Port(&'static str, Certificate),
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// One fault.
    Of(CertificateSpec),
    /// It is good, and sent with many others.
    GiantChain,
}

impl Certificate {
    /// The certificate with this fault.
    ///
    /// # Errors
    /// Fails if it cannot be issued.
    pub fn issued_by(self, authority: &Authority) -> std::io::Result<ServerCertificate> {
        match self {
            Self::Of(spec) => authority.issue(spec),
            Self::GiantChain => Ok(authority.issue(CertificateSpec::Good)?.with_chain_of(authority, 500)),
        }
    }
}

impl At {
    /// The path, or the name that stands for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Path(path, _) => path,
            Self::Port(name, _) => name,
        }
    }
}

const SLOWLY: Duration = Duration::from_millis(500);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn raw(text: impl Into<Vec<u8>>) -> Behaviour {
    Behaviour::Raw(Bytes::from(text.into()))
}

/// All of them.
pub fn all() -> Vec<Misbehaviour> {
    let path = |path, behaviour, what, good| Misbehaviour { at: At::Path(path, behaviour), what, good };
    let tls = |name, certificate, what| Misbehaviour {
        at: At::Port(name, certificate),
        what,
        good: "sends nothing, and says what is wrong with the certificate",
    };
    let total = "ends the attempt when its total time is over, and tries again later";
    let bounded = "reads a bounded number of bytes, and ends the attempt";
    let mut many_controls =
        b"HTTP/1.1 200 OK\r\nx-note: a\xc2\x85\xc2\x9b31mb\r\ncontent-length: 8\r\n\r\n".to_vec();
    many_controls.extend(b"\x1b[2J\xc2\x9b\x07\x00");
    let large_head =
        format!("HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(390 * 1024));
    vec![
        path("/hang", Behaviour::Hang, "reads the request and never answers", total),
        path("/close", Behaviour::Close, "closes the connection instead of answering", "tries again later"),
        path("/reset", Behaviour::Reset, "resets the connection", "tries again later"),
        path(
            "/drip-head",
            Behaviour::DripHeader { status: 200, every: SLOWLY },
            "sends its head a byte at a time",
            total,
        ),
        path(
            "/drip-body",
            Behaviour::DripBody { status: 200, every: SLOWLY },
            "sends its body a byte at a time",
            "has the answer with its head; reads no more than it keeps",
        ),
        path(
            "/endless-body",
            Behaviour::EndlessBody { status: 200 },
            "sends a body without end",
            "has the answer with its head; reads no more than it keeps",
        ),
        path(
            "/short-body",
            Behaviour::CloseMidBody { status: 200 },
            "announces 1,000 bytes and sends 5",
            "has the answer with its head",
        ),
        path(
            "/huge-length",
            Behaviour::HugeContentLength { status: 200, length: u64::MAX },
            "announces 16 EiB",
            "reserves nothing for it",
        ),
        path("/garbage", Behaviour::Garbage, "does not speak HTTP", "tries again later, and says so"),
        path(
            "/large-header",
            Behaviour::HeaderFlood(HeaderFlood::OneLarge),
            "sends a header of 1 MB",
            bounded,
        ),
        path("/many-headers", Behaviour::HeaderFlood(HeaderFlood::Many), "sends 10,000 headers", bounded),
        path("/large-head", raw(large_head), "sends a head of 390 KB", bounded),
        path("/early-hints", Behaviour::InformationalFlood, "sends 103 without end", bounded),
        path(
            "/switching",
            Behaviour::SwitchingProtocols,
            "answers 101, which nobody asked for",
            "takes it for no answer",
        ),
        path(
            "/gzip",
            Behaviour::Gzip { status: 200 },
            "compresses an answer that was asked for as it is",
            "decompresses nothing",
        ),
        path(
            "/redirect",
            Answer::status(302).header("location", "http://169.254.169.254/").into(),
            "redirects into the sender's own network",
            "follows no redirect",
        ),
        path(
            "/surplus",
            raw(format!("{OK}HTTP/1.1 500 Poison\r\ncontent-length: 0\r\n\r\n")),
            "sends a second answer after the first",
            "never takes it for the answer to another request",
        ),
        path(
            "/two-lengths",
            raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nok"),
            "announces two different lengths",
            "trusts neither, and does not use the connection again",
        ),
        path(
            "/length-and-chunks",
            raw(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ),
            "announces a length and chunks",
            "does not use the connection again",
        ),
        path(
            "/controls",
            raw(many_controls),
            "has control characters in headers and body (C0 and C1)",
            "shows them to nobody as they are",
        ),
        path(
            "/retry-after",
            Answer::status(503).header("retry-after", "99999999999").into(),
            "asks for a retry in 3,000 years",
            "bounds the wait",
        ),
        path("/http-0.9", raw("ok"), "answers as HTTP/0.9 did", "takes it for no answer"),
        path(
            "/lower-version",
            raw("HTTP/1.0 200 OK\r\n\r\nok"),
            "answers with HTTP/1.0",
            "takes the answer, and does not use the connection again",
        ),
        path(
            "/status-999",
            raw("HTTP/1.1 999 Nobody Knows\r\ncontent-length: 0\r\n\r\n"),
            "answers with a status that does not exist",
            "takes it for no success",
        ),
        tls("expired", Certificate::Of(CertificateSpec::Expired), "its certificate has expired"),
        tls(
            "not-yet-valid",
            Certificate::Of(CertificateSpec::NotYetValid),
            "its certificate is not valid yet",
        ),
        tls("wrong-host", Certificate::Of(CertificateSpec::WrongHost), "its certificate is for another host"),
        tls(
            "self-signed",
            Certificate::Of(CertificateSpec::SelfSigned),
            "its certificate is signed by itself",
        ),
        tls(
            "common-name",
            Certificate::Of(CertificateSpec::CommonNameAlone),
            "its certificate has a common name alone",
        ),
        tls("giant-chain", Certificate::GiantChain, "sends 500 certificates"),
    ]
}

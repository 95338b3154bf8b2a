//! One HTTP POST of a delivery, and what came of it.
//!
//! "The receiver failed" is data, never an `Err`: it is recorded, shown to the customer in a plain sentence,
//! and decides what happens next. The table of what counts as what is [`judge`].

use std::time::Duration;

use jiff::Timestamp;

/// Why an attempt failed, as a program reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The name could not be looked up.
    Dns,
    /// No connection, or it was cut before an answer came.
    Connect,
    /// No TLS 1.2 or higher, or a certificate that does not hold.
    Tls,
    /// No answer in time.
    Timeout,
    /// A 3xx: redirects are never followed.
    Redirect,
    /// A 4xx.
    Http4xx,
    /// A 5xx.
    Http5xx,
    /// The target is not a public address.
    TargetNotPublic,
    /// Something that is not an HTTP answer, or no final one.
    BadResponse,
}

impl Class {
    /// Every class there is.
    pub const ALL: [Class; 9] = [
        Class::Dns,
        Class::Connect,
        Class::Tls,
        Class::Timeout,
        Class::Redirect,
        Class::Http4xx,
        Class::Http5xx,
        Class::TargetNotPublic,
        Class::BadResponse,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Class::Dns => "dns",
            Class::Connect => "connect",
            Class::Tls => "tls",
            Class::Timeout => "timeout",
            Class::Redirect => "redirect",
            Class::Http4xx => "http_4xx",
            Class::Http5xx => "http_5xx",
            Class::TargetNotPublic => "target_not_public",
            Class::BadResponse => "bad_response",
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// A failed attempt: its class, and a sentence that tells the customer what happened. The sentence names no
/// address: what a name resolves to inside somebody's network is not ours to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub class: Class,
    /// For people.
    pub reason: String,
}

impl Failure {
    /// A failure of this class, in these words.
    pub fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }
}

/// Names and values, as they came; one name may stand there more than once.
pub type ResponseHeaders = Vec<(String, String)>;

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The `Retry-After` header, as it came.
    pub retry_after: Option<String>,
    /// Those of its headers that fit into
    /// [`RESPONSE_HEADERS_KEPT_BYTES`](crate::limits::RESPONSE_HEADERS_KEPT_BYTES).
    pub headers: ResponseHeaders,
    /// The first [`RESPONSE_KEPT_BYTES`](crate::limits::RESPONSE_KEPT_BYTES) of the body.
    pub body: Vec<u8>,
}

/// Why a delivery's attempts were begun: the ladder may be climbed more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its event was published.
    Event,
    /// Its webhook was resumed.
    Resume,
    /// Its owner asked for it, once it was finished.
    Redelivery,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Trigger; 3] = [Trigger::Event, Trigger::Resume, Trigger::Redelivery];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Trigger::Event => "event",
            Trigger::Resume => "resume",
            Trigger::Redelivery => "redelivery",
        }
    }

    /// The trigger of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.name() == name)
    }
}

/// An attempt as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Which step of the ladder it was: 1 to 5.
    pub number: u8,
    /// Why that ladder was begun.
    pub trigger: Trigger,
    /// When it started: our connect, or our write on a kept connection.
    pub at: Timestamp,
    /// When it was signed: before the name was looked up.
    pub signed_at: Timestamp,
    /// What was answered, if anything was.
    pub status_code: Option<u16>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// How long it took, to the last byte read.
    pub duration: Duration,
    /// The response's headers, as far as they are kept.
    pub response_headers: ResponseHeaders,
    /// The start of the response's body, as text.
    pub response: Option<String>,
}

impl Attempt {
    /// Whether the receiver took the delivery.
    pub fn succeeded(&self) -> bool {
        self.failure.is_none()
    }
}

/// What an answer with this status means: 2xx is success, all else a failure with its class and sentence.
pub fn judge(status: u16) -> Option<Failure> {
    let failure =
        |class, text: &str| Some(Failure::new(class, format!("The endpoint answered {status}: {text}")));
    match status {
        200..=299 => None,
        300..=399 => {
            failure(Class::Redirect, "redirects are not followed. Register the address it points to.")
        }
        401 | 403 => failure(Class::Http4xx, "it refused us. Check its authentication and its firewall."),
        404 => failure(Class::Http4xx, "nothing is served at this path. Check the URL."),
        405 => failure(Class::Http4xx, "it does not take POST at this path."),
        408 => failure(Class::Http4xx, "it waited too long for our request."),
        410 => failure(Class::Http4xx, "the endpoint is gone for good."),
        413 => failure(Class::Http4xx, "the body is too large for it."),
        429 => failure(Class::Http4xx, "it asks us to slow down."),
        400..=499 => failure(Class::Http4xx, "it did not accept the request."),
        502..=504 => failure(Class::Http5xx, "the service behind it is not available."),
        500..=599 => failure(Class::Http5xx, "it failed while handling the request."),
        _ => failure(Class::BadResponse, "that is not a final HTTP status."),
    }
}

/// The start of a body as text that is safe to keep: bytes that are not UTF-8 become U+FFFD, control
/// characters other than line breaks and tabs too.
pub(crate) fn response_text(body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(crate::limits::RESPONSE_KEPT_BYTES)]);
    Some(
        text.chars()
            .map(|c| {
                if c.is_control() && !matches!(c, '\n' | '\r' | '\t') {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            })
            .collect(),
    )
}

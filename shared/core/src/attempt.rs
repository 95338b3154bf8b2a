//! An attempt: one HTTP POST of a delivery, and its outcome.
//!
//! A failure of the receiver is data and never an `Err`. It is recorded, shown to the customer as a sentence, and
//! decides what happens next. [`judge`] says what each status means.

use std::time::Duration;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// How an attempt began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Began {
    /// A first attempt that had nothing to wait for, this long after its event was accepted.
    First(Duration),
    /// A first attempt whose delivery waited for an earlier one of its incident, or was held or finished, this long after
    /// it became due.
    FirstAfterWait(Duration),
    /// A retry.
    Retry,
}

/// Why an attempt failed, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// The name could not be looked up.
    Dns,
    /// No connection, or it was closed before an answer came.
    Connect,
    /// No TLS 1.2 or later, or an invalid certificate.
    Tls,
    /// No answer in time.
    Timeout,
    /// A 3xx: redirects are never followed.
    Redirect,
    /// A 4xx.
    #[strum(serialize = "http_4xx")]
    Http4xx,
    /// A channel refused a message that several deliveries shared. Each of them is sent alone then.
    RefusedTogether,
    /// A 5xx.
    #[strum(serialize = "http_5xx")]
    Http5xx,
    /// The target is not a public address.
    TargetNotPublic,
    /// Not an HTTP response, or not a final one.
    BadResponse,
    /// A later version recorded it, with a class that this one does not know.
    Unknown,
}

impl Class {
    /// All classes.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// Why an attempt failed: a class for programs, and a sentence for the customer. The sentence contains no address,
/// because that could reveal what a name resolves to inside a private network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub class: Class,
    /// For people.
    pub reason: String,
}

impl Failure {
    /// A failure of this class, with this sentence.
    pub fn new(class: Class, reason: impl Into<String>) -> Self {
        Self { class, reason: reason.into() }
    }
}

/// Names and values as received. A name may appear more than once.
pub type ResponseHeaders = Vec<(String, String)>;

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The `Retry-After` header as received.
    pub retry_after: Option<String>,
    /// Its headers, as far as they fit into
    /// [`RESPONSE_HEADERS_KEPT_BYTES`](crate::limits::RESPONSE_HEADERS_KEPT_BYTES).
    pub headers: ResponseHeaders,
    /// The first [`RESPONSE_KEPT_BYTES`](crate::limits::RESPONSE_KEPT_BYTES) of the body.
    pub body: Vec<u8>,
}

/// Why a round of a delivery began. The ladder can be climbed more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Trigger {
    /// Its event was published.
    Event,
    /// Its webhook was resumed.
    Resume,
    /// Its owner asked for a redelivery after it was finished.
    Redelivery,
    /// A later version began it, for a reason that this one does not know.
    Unknown,
}

impl Trigger {
    /// All of them.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The trigger with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// An attempt as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Place on the ladder, 1 to 5.
    pub number: u8,
    /// Why its round began.
    pub trigger: Trigger,
    /// When the connect began, or the write on a kept connection.
    pub at: Timestamp,
    /// When it was signed, which is before the name was looked up, in wall-clock time.
    pub signed_at: Timestamp,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// Why it failed; `None` if it succeeded.
    pub failure: Option<Failure>,
    /// From `at` to the last byte read.
    pub duration: Duration,
    /// The stored headers of the response.
    pub response_headers: ResponseHeaders,
    /// The start of the response's body, as text.
    pub response: Option<String>,
}

impl Attempt {
    /// Whether the receiver accepted the delivery.
    pub fn succeeded(&self) -> bool {
        self.failure.is_none()
    }

    /// Bytes of the stored headers and body of the response.
    pub(crate) fn answer_bytes(&self) -> usize {
        let headers: usize = self.response_headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        headers + self.response.as_ref().map_or(0, String::len)
    }

    /// Drops the stored headers and body of the response.
    pub(crate) fn drop_answer(&mut self) {
        self.response_headers.clear();
        self.response = None;
    }
}

/// What an answer with this status means: `None` for success (2xx), otherwise the class and sentence of the failure.
pub fn judge(status: u16) -> Option<Failure> {
    let failure =
        |class, text: &str| Some(Failure::new(class, format!("The endpoint answered {status}: {text}")));
    match status {
        200..=299 => None,
        300..=399 => {
            failure(Class::Redirect, "redirects are not followed. Register the URL that it redirects to.")
        }
        401 | 403 => failure(Class::Http4xx, "access was refused. Check its authentication and firewall."),
        404 => failure(Class::Http4xx, "nothing was found at this path. Check the URL."),
        405 => failure(Class::Http4xx, "it does not accept POST at this path. Check the URL."),
        408 => failure(Class::Http4xx, "it timed out while it waited for the request."),
        410 => failure(Class::Http4xx, "it is permanently gone."),
        413 => failure(Class::Http4xx, "the request body is too large for it."),
        429 => failure(Class::Http4xx, "it received too many requests."),
        400..=499 => failure(Class::Http4xx, "it did not accept the request."),
        502..=504 => failure(Class::Http5xx, "the service behind it is not available."),
        500..=599 => failure(Class::Http5xx, "it failed while handling the request."),
        _ => failure(Class::BadResponse, "this is not a final HTTP status."),
    }
}

/// The start of a body as text that is safe to store: bytes that are not UTF-8, and control characters other than line
/// breaks and tabs, become U+FFFD.
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

//! What a receiver or a mock answers.

use bytes::Bytes;

/// A complete, well-formed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    /// An answer with this status. The body is `ok` for 200, otherwise empty.
    pub fn status(status: u16) -> Self {
        let body = if status == 200 { Bytes::from_static(b"ok") } else { Bytes::new() };
        Self { status, headers: Vec::new(), body }
    }

    /// Adds a header, such as `retry-after` or `location`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

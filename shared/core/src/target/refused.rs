//! Why a URL is refused.

/// Why a URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct UrlRefused {
    /// For programs: `url_too_long`, `url_shape`, `url_scheme`, `url_userinfo`, `url_fragment`, `url_port`,
    /// `url_host` or `target_not_public`.
    pub code: &'static str,
    /// For people: what to fix.
    pub detail: String,
}

impl UrlRefused {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

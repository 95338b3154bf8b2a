//! What came of a call that somebody asked for to see whether it works.

use serde::Serialize;
use statuspulse_core::admin::probe::TestResult;
use utoipa::ToSchema;

use crate::millis;

#[derive(Serialize, ToSchema)]
#[schema(as = TestResult)]
pub(crate) struct TestView<'a> {
    ok: bool,
    /// What was answered; null without an answer.
    #[schema(required = true)]
    status_code: Option<u16>,
    /// What went wrong, in words.
    #[schema(required = true)]
    reason: Option<&'a str>,
    duration_ms: u64,
    /// How the answer's body began, as text.
    #[schema(required = true)]
    response: Option<&'a str>,
}

impl<'a> TestView<'a> {
    pub(crate) fn of(result: &'a TestResult) -> Self {
        Self {
            ok: result.ok,
            status_code: result.status_code,
            reason: result.reason.as_deref(),
            duration_ms: millis(result.duration),
            response: result.response.as_deref(),
        }
    }
}

//! The result of a test call, of a webhook or of a Slack channel.

use serde::Serialize;
use statuspulse_core::admin::probe::TestResult;
use utoipa::ToSchema;

use crate::millis;

#[derive(Serialize, ToSchema)]
#[schema(as = TestResult)]
pub(crate) struct TestView<'a> {
    ok: bool,
    /// The status of the response; null if there was none.
    #[schema(required = true)]
    status_code: Option<u16>,
    /// Why the test failed, as a sentence; null for a success.
    #[schema(required = true)]
    reason: Option<&'a str>,
    duration_ms: u64,
    /// The start of the response body, as text.
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

//! Turns AWS errors into [`Unavailable`], with the operation and AWS's own code and message.

use std::error::Error;

use statuspulse_core::ports::Unavailable;
use statuspulse_core::record::Unreadable;

/// A call failed, after the SDK's own retries.
pub(crate) fn failed<E: Error>(doing: &'static str) -> impl Fn(E) -> Unavailable {
    move |error| Unavailable { doing, source: chain(&error).into() }
}

/// A record cannot be read.
pub(crate) fn unreadable(doing: &'static str) -> impl Fn(Unreadable) -> Unavailable {
    move |error| Unavailable { doing, source: error.into() }
}

/// Joins an error with its sources, because the SDK's errors have the details in their sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

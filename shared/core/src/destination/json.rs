//! A customer's own endpoint: the payload unchanged, signed.

use bytes::Bytes;

use super::format::{Address, Consequence, Format, Outgoing, Probe, ProbeTarget, RateLimited, Verdict};
use crate::attempt::{Reply, judge};
use crate::webhook::pause::PauseReason;

#[derive(Debug)]
pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn label(&self) -> &'static str {
        "Your endpoint: signed JSON"
    }

    fn address(&self) -> Address {
        Address::Url
    }

    fn handshake_status(&self) -> u16 {
        200
    }

    fn limit(&self) -> Option<RateLimited> {
        None
    }

    fn event(&self, event: &Outgoing<'_>) -> Bytes {
        event.payload.clone()
    }

    fn probe(&self, probe: Probe, to: &ProbeTarget<'_>) -> Bytes {
        let (name, webhook, now) = (probe.name(), to.webhook, to.now);
        Bytes::from(format!(r#"{{"event_type":"{name}","webhook_id":"{webhook}","sent_at":"{now}"}}"#))
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        match judge(reply.status) {
            None => Verdict::Accepted,
            Some(failure) if reply.status == 410 => {
                Verdict::Failed(failure, Consequence::Pause(PauseReason::Gone))
            }
            Some(failure) => Verdict::Failed(failure, Consequence::Retry),
        }
    }

    fn handshake_hint(&self, status: u16) -> Option<String> {
        let needed = format!("A handshake needs exactly {}.", self.handshake_status());
        // What receivers answer that check signatures, or the body against a schema, and do not know either yet.
        let checks = matches!(status, 400 | 401 | 403 | 406 | 415 | 422 | 500);
        let what_to_do = " If the endpoint checks signatures, install the webhook's secret in it. If it checks the body \
                          against a schema, let it accept the event_type handshake. Then verify the webhook again.";
        Some(if checks { needed + what_to_do } else { needed })
    }
}

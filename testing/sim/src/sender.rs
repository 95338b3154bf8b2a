//! The port that calls receivers.

use std::time::Duration;

use async_trait::async_trait;
use statuspulse_core::attempt::{Failure, Reply};
use statuspulse_core::ids::DeliveryId;
use statuspulse_core::ports::{Call, PortResult, Sender, Sent};

use crate::history::short;
use crate::ports::Ports;
use crate::receivers::Post;
use crate::world::Inner;

#[async_trait]
impl Sender for Ports {
    async fn send(&self, call: Call) -> PortResult<Sent> {
        let cannot = self.world.with(|inner| {
            let task = inner.current;
            inner.last_call.insert(task, "post");
            let cannot = inner.faults && inner.is_short_of_files && inner.dice.once_in(8);
            if cannot {
                inner.struck("cannot be made");
            }
            cannot
        });
        if cannot {
            return self.fails("post", "cannot be made");
        }
        let header = |name: &str| {
            call.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
        };
        let (event, host) = (header("webhook-id"), call.url.host_text().to_owned());
        let delivery: Option<DeliveryId> = header("X-StatusPulse-Delivery-Id").parse().ok();
        let probe = matches!(header("X-StatusPulse-Event"), "handshake" | "test");
        let (takes, result) = self.world.with(|inner| {
            let mut text = vec![];
            if let Some(delivery) = delivery.filter(|_| !probe) {
                let number = header("X-StatusPulse-Attempt").parse().unwrap_or_default();
                let post = Post { delivery, event, number, body: call.body.clone() };
                text = inner.ledger.posts(inner.current, &post, &inner.store, inner.now);
            }
            let mut answer = inner.receivers.answer(&host, event, &mut inner.dice);
            let is_refused = refuse_signature(inner, &call, (delivery, probe), &mut answer.1);
            if let Ok(reply) = &answer.1 {
                let sent = text.iter().filter_map(|id| inner.store.deliveries.get(id));
                let verifiers = &inner.receivers.verifiers;
                for kept in sent.filter(|kept| verifiers.contains_key(&kept.delivery.webhook_id)) {
                    let at = (inner.current, inner.now);
                    let wrong = inner.ledger.signatures.answered(at, &kept.delivery, reply, is_refused);
                    inner.ledger.violations.extend(wrong);
                }
            }
            if is_refused {
                // That is no failure of the receiver.
                text.clear();
            }
            let at = inner.now.checked_add(answer.0).unwrap_or(inner.now);
            for kept in text.iter().filter_map(|id| inner.store.deliveries.get(id)) {
                match &answer.1 {
                    Ok(reply) => inner.ledger.answered(&kept.delivery, reply, at),
                    Err(_) => inner.ledger.failed(kept.delivery.webhook_id, at),
                }
            }
            let taken = answer.1.as_ref().is_ok_and(|reply| reply.status < 300);
            if delivery.is_none() && taken {
                inner.ledger.notifies(inner.current);
            }
            inner.history.note(inner.now, &self.name, || {
                let what = delivery.map_or_else(|| "notification".to_owned(), short);
                let came = answer.1.as_ref().map(|reply| reply.status);
                format!("POST {what} number {} to {host}: {came:?}", header("X-StatusPulse-Attempt"))
            });
            answer
        });
        self.world.sleep(takes).await;
        Ok(Sent { result, began_after: Duration::ZERO, duration: takes })
    }
}

/// Changes a success to a refusal if the receiver of this call does not accept its signature. Returns whether it did.
fn refuse_signature(
    inner: &Inner,
    call: &Call,
    (delivery, probe): (Option<DeliveryId>, bool),
    answer: &mut Result<Reply, Failure>,
) -> bool {
    let webhook = if probe {
        // A handshake and a test name their webhook in the body.
        let body = String::from_utf8_lossy(&call.body);
        inner.store.webhooks.keys().copied().find(|id| body.contains(&id.to_string()))
    } else {
        let kept = delivery.and_then(|id| inner.store.deliveries.get(&id));
        kept.map(|kept| kept.delivery.webhook_id)
    };
    let verifier = webhook.and_then(|webhook| inner.receivers.verifiers.get(&webhook));
    match (verifier.and_then(|verifier| verifier.refusal(call, probe)), answer) {
        (Some(status), Ok(reply)) if reply.status < 300 => {
            reply.status = status;
            true
        }
        _ => false,
    }
}

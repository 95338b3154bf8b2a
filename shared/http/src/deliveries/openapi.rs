//! Deliveries, described.

use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::limits;

use super::{DeliveryView, RedeliveredView};
use crate::openapi::wire::{self, DELIVERY, EVENT, WEBHOOK, closed, described};
use crate::openapi::{Operation, reference};

const UNFINISHED: &str =
    "It is not finished: it will be delivered by itself, or is held until the webhook is resumed.";

const AGAIN: &str = "It is delivered once more, now; on a paused webhook it is held instead.";

pub(crate) fn operations() -> Vec<Operation> {
    [shown(), made_again()].concat()
}

fn operation(method: &'static str, path: &'static str, id: &str, summary: &str) -> Operation {
    Operation::new("deliveries", method, path, id, summary)
}

fn of_webhook(method: &'static str, path: &'static str, id: &str, summary: &str) -> Operation {
    operation(method, path, id, summary).id::<wire::WebhookId>("id", WEBHOOK)
}

fn shown() -> Vec<Operation> {
    let kept = format!("With all its attempts. Kept for {} days.", limits::RETENTION.as_secs() / 86_400);
    vec![
        filters(of_webhook(
            "get",
            "/v1/webhooks/{id}/deliveries",
            "listDeliveries",
            "List a webhook's deliveries",
        ))
        .describe("Newest first. A page of long deliveries may hold fewer than `limit`; `next_cursor` goes on behind it.")
        .by(Action::Read)
        .paged()
        .lists::<DeliveryView<'_>>("A page of deliveries.", &delivered()),
        of_webhook("get", "/v1/webhooks/{id}/deliveries/{delivery_id}", "getDelivery", "Show a delivery")
            .id::<wire::DeliveryId>("delivery_id", DELIVERY)
            .describe(kept.clone())
            .by(Action::Read)
            .answers::<DeliveryView<'_>>(200, "The delivery.", &delivered()),
        operation(
            "get",
            "/v1/deliveries/{delivery_id}",
            "getDeliveryById",
            "Show a delivery by its id alone",
        )
        .id::<wire::DeliveryId>("delivery_id", DELIVERY)
        .describe(format!("For who has only the `X-StatusPulse-Delivery-Id` of a request. {kept}"))
        .by(Action::Read)
        .answers::<DeliveryView<'_>>(200, "The delivery.", &delivered()),
    ]
}

fn made_again() -> Vec<Operation> {
    vec![
        of_webhook(
            "post",
            "/v1/webhooks/{id}/deliveries/{delivery_id}/redeliver",
            "redeliver",
            "Deliver once more",
        )
        .id::<wire::DeliveryId>("delivery_id", DELIVERY)
        .describe(AGAIN)
        .by(Action::Manage)
        .no_fields()
        .answers::<DeliveryView<'_>>(202, "The delivery, which is under way again.", &retried())
        .conflicts(&["delivery_unfinished"], UNFINISHED),
        of_webhook(
            "post",
            "/v1/webhooks/{id}/redeliver",
            "redeliverFailed",
            "Deliver all failed ones once more",
        )
        .describe("They are held and let go at a bounded rate, like those of a resume.")
        .by(Action::Manage)
        .body("RedeliverFailed", since(), limits::REQUEST_BYTES, &json!({ "since": "2026-11-24T00:00:00Z" }))
        .answers::<RedeliveredView>(202, "How many there are.", &json!({ "deliveries": 12 }))
        .conflicts(
            &["discard_in_progress"],
            "Held deliveries are being discarded; ask again when that is done.",
        ),
        operation(
            "post",
            "/v1/deliveries/{delivery_id}/redeliver",
            "redeliverById",
            "Deliver once more, by the id alone",
        )
        .id::<wire::DeliveryId>("delivery_id", DELIVERY)
        .describe(AGAIN)
        .by(Action::Manage)
        .no_fields()
        .answers::<DeliveryView<'_>>(202, "The delivery, which is under way again.", &retried())
        .conflicts(&["delivery_unfinished"], UNFINISHED),
    ]
}

fn filters(operation: Operation) -> Operation {
    operation
        .query("status", &reference::<wire::DeliveryStatus>(), "Those in this state.", Some("delivered"))
        .query("event_type", &reference::<wire::EventType>(), "Those of this type.", Some("incident_opened"))
        .query("incident_id", &json!({ "type": "string" }), "Those of this incident.", Some("INC-8842-ALPHA"))
        .query("since", &reference::<wire::Time>(), "Accepted then or later.", Some("2026-11-24T00:00:00Z"))
        .query("until", &reference::<wire::Time>(), "Accepted before then.", Some("2099-12-31T00:00:00Z"))
}

fn since() -> Value {
    closed(
        &["since"],
        [("since", described::<wire::Time>("Those whose events were accepted then or later."))],
    )
}

fn delivered() -> Value {
    json!({
        "id": DELIVERY, "event_id": EVENT, "event_type": "incident_opened", "incident_id": "INC-8842-ALPHA",
        "webhook_id": WEBHOOK, "status": "delivered", "accepted_at": "2026-11-24T12:00:00Z",
        "trigger": "event", "next_attempt_at": null,
        "attempts": [
            {
                "number": 1, "trigger": "event", "at": "2026-11-24T12:00:00.012Z", "status_code": 503, "class": "http_5xx",
                "reason": "The endpoint answered 503.", "duration_ms": 312,
                "response_headers": [{ "name": "content-type", "value": "text/plain" }], "response": "try later",
            },
            {
                "number": 2, "trigger": "event", "at": "2026-11-24T12:01:00.340Z", "status_code": 200, "class": null, "reason": null,
                "duration_ms": 87,
                "response_headers": [{ "name": "content-type", "value": "text/plain" }], "response": "ok",
            },
        ],
    })
}

fn retried() -> Value {
    let mut delivery = delivered();
    delivery["status"] = "retrying".into();
    delivery["next_attempt_at"] = "2026-11-24T14:00:00Z".into();
    delivery
}

//! The OpenAPI description of deliveries.

use serde_json::{Value, json};
use statuspulse_core::access::Action;
use statuspulse_core::delivery::{AttemptFilter, DeliveryFilter};
use statuspulse_core::limits;

use super::{DeliveryView, RedeliveredView};
use crate::openapi::operation::Operation;
use crate::openapi::wire::{self, DELIVERY, EVENT, WEBHOOK, closed, described, reference};

const UNFINISHED: &str = "The delivery waits for an earlier event, or is held, or is being attempted.";

const AGAIN: &str = "Sends a finished delivery again, immediately. On a paused webhook it is held instead. If a retry is \
     scheduled for later, the delivery is also attempted right away.";

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
    let kept = format!(
        "With all its attempts. Kept for {} days after it is finished.",
        limits::RETENTION.as_secs() / 86_400
    );
    vec![
        filters(of_webhook(
            "get",
            "/v1/webhooks/{id}/deliveries",
            "listDeliveries",
            "List a webhook's deliveries",
        ))
        .describe(
            "Newest first. If entries are long, a page can have fewer than `limit`; `next_cursor` leads to \
             the rest.",
        )
        .by(Action::Read)
        .paged()
        .lists::<DeliveryView<'_>>("A page of deliveries.", &delivered()),
        of_webhook("get", "/v1/webhooks/{id}/deliveries/{delivery_id}", "getDelivery", "Show a delivery")
            .id::<wire::DeliveryId>("delivery_id", DELIVERY)
            .describe(kept.clone())
            .by(Action::Read)
            .answers::<DeliveryView<'_>>(200, "The delivery.", &delivered()),
        filters(
            operation("get", "/v1/deliveries", "searchDeliveries", "List the deliveries of all webhooks")
                .query("webhook_id", &reference::<wire::WebhookId>(), "Deliveries to this webhook.", None)
                .query("event_id", &reference::<wire::EventId>(), "Deliveries of this event.", None)
                .query("delivery_id", &reference::<wire::DeliveryId>(), "This delivery.", None),
        )
        .describe(
            "Newest first. One call reads a bounded number of deliveries, so a page can have fewer than `limit`, or \
             even none, and not be the last; `next_cursor` leads to the rest.",
        )
        .by(Action::Read)
        .paged()
        .refuses("NotFound")
        .lists::<DeliveryView<'_>>("A page of deliveries.", &delivered()),
        operation("get", "/v1/deliveries/{delivery_id}", "getDeliveryById", "Show a delivery by its id")
            .id::<wire::DeliveryId>("delivery_id", DELIVERY)
            .describe(format!("If you only know the `X-StatusPulse-Delivery-Id` of a request. {kept}"))
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
            "Redeliver a delivery",
        )
        .id::<wire::DeliveryId>("delivery_id", DELIVERY)
        .describe(AGAIN)
        .by(Action::Manage)
        .no_fields()
        .answers::<DeliveryView<'_>>(202, "The delivery, with its new status.", &retried())
        .conflicts(&["delivery_unfinished"], UNFINISHED),
        of_webhook(
            "post",
            "/v1/webhooks/{id}/redeliver",
            "redeliverFailed",
            "Redeliver all failed deliveries",
        )
        .describe("The deliveries are held first and then sent at a bounded rate, as after a resume.")
        .by(Action::Manage)
        .body("RedeliverFailed", since(), limits::REQUEST_BYTES, &json!({ "since": "2026-11-24T00:00:00Z" }))
        .answers::<RedeliveredView>(202, "The number of deliveries.", &json!({ "deliveries": 12 }))
        .conflicts(
            &["discard_in_progress"],
            "Held deliveries are being discarded; repeat the call when that is finished.",
        ),
        operation(
            "post",
            "/v1/deliveries/{delivery_id}/redeliver",
            "redeliverById",
            "Redeliver a delivery by its id",
        )
        .id::<wire::DeliveryId>("delivery_id", DELIVERY)
        .describe(AGAIN)
        .by(Action::Manage)
        .no_fields()
        .answers::<DeliveryView<'_>>(202, "The delivery, with its new status.", &retried())
        .conflicts(&["delivery_unfinished"], UNFINISHED),
    ]
}

fn filters(operation: Operation) -> Operation {
    // Each field of the filter is a parameter below.
    let DeliveryFilter { status: _, event_type: _, incident_id: _, since: _, until: _, attempts } =
        DeliveryFilter::default();
    let AttemptFilter { failed: _, class: _, status_code: _ } = attempts;
    operation
        .query(
            "status",
            &reference::<wire::DeliveryStatus>(),
            "Deliveries with this status.",
            Some("delivered"),
        )
        .query(
            "event_type",
            &reference::<wire::EventType>(),
            "Deliveries of this event type.",
            Some("incident_opened"),
        )
        .query(
            "incident_id",
            &json!({ "type": "string" }),
            "Deliveries of this incident.",
            Some("INC-8842-ALPHA"),
        )
        .query(
            "since",
            &reference::<wire::AnyTime>(),
            "Accepted at this time or later.",
            Some("2026-11-24T00:00:00Z"),
        )
        .query(
            "until",
            &reference::<wire::AnyTime>(),
            "Accepted before this time.",
            Some("2099-12-31T00:00:00Z"),
        )
        .query(
            "has_failed_attempt",
            &json!({ "type": "boolean" }),
            "Deliveries with a failed attempt, or without one. They may have been delivered since.",
            None,
        )
        .query(
            "class",
            &reference::<wire::FailureClass>(),
            "Deliveries with an attempt that failed with this class.",
            None,
        )
        .query(
            "status_code",
            &json!({ "type": "integer", "minimum": 100, "maximum": 999 }),
            "Deliveries with an attempt that was answered with this status code.",
            None,
        )
}

fn since() -> Value {
    closed(
        &["since"],
        [("since", described::<wire::AnyTime>("Redeliver only events accepted at this time or later."))],
    )
}

fn delivered() -> Value {
    json!({
        "id": DELIVERY, "event_id": EVENT, "event_type": "incident_opened", "incident_id": "INC-8842-ALPHA",
        "webhook_id": WEBHOOK, "status": "delivered", "accepted_at": "2026-11-24T12:00:00Z",
        "trigger": "event", "next_attempt_at": null, "delayed": false,
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

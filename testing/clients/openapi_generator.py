"""The story with the client of openapi-generator."""

from collections.abc import Callable

from setting import key, receiver, secret_was_replaced, show, url
from statuspulse_pydantic import (
    ApiClient,
    ApiException,
    Configuration,
    DeliveriesApi,
    Envelope,
    EventsApi,
    EventType,
    HeldDeliveries,
    IncidentOpened,
    IncidentOpenedDetails,
    IncidentResolved,
    IncidentResolvedDetails,
    NewWebhook,
    Payload,
    Problem,
    Resume,
    RotateSecret,
    AskedStyle,
    WebhooksApi,
)

client = ApiClient(Configuration(host=url, access_token=key))
webhooks, deliveries, events = WebhooksApi(client), DeliveriesApi(client), EventsApi(client)

webhook = webhooks.create_webhook(
    NewWebhook(
        url=receiver,
        events=[EventType.INCIDENT_OPENED, EventType.INCIDENT_RESOLVED],
        monitor_groups=["payments"],
    )
)
show("registered", webhook.status.value, webhook.handshake.status_code)

event = events.publish_event(
    Envelope(
        monitor_groups=["payments"],
        payload=Payload(
            IncidentOpened(
                event_type="incident_opened",
                incident_id="INC-1",
                monitor_name="checkout",
                status="investigating",
                triggered_at="2026-11-24T12:00:00Z",
                details=IncidentOpenedDetails(latency_ms=1240),
            )
        ),
    ),
    idempotency_key="INC-1-opened",
)
listed = deliveries.list_deliveries(webhook.id, event_type=EventType.INCIDENT_OPENED, limit=20)
show("published", event.deliveries)
show("listed", len(listed.data), listed.data[0].incident_id, listed.data[0].event_id == event.event_id)

paused = webhooks.pause_webhook(webhook.id)
assert paused.paused
show("paused", paused.status.value, paused.paused.reason.value)
events.publish_event(
    Envelope(
        monitor_groups=["payments"],
        payload=Payload(
            IncidentResolved(
                event_type="incident_resolved",
                incident_id="INC-1",
                monitor_name="checkout",
                status="resolved",
                resolved_at="2026-11-24T12:05:00Z",
                details=IncidentResolvedDetails(),
            )
        ),
    )
)
resumed = webhooks.resume_webhook(webhook.id, resume=Resume(held=HeldDeliveries.DELIVER))
show("resumed", resumed.status.value, resumed.held)

rotated = webhooks.rotate_secret(webhook.id, rotate_secret=RotateSecret(style=AskedStyle.SPLIT))
show("rotated", secret_was_replaced(webhook.secret, rotated.secret))


def problem(call: Callable[[], object]) -> object:
    try:
        call()
    except ApiException as refused:
        return refused.data
    raise AssertionError("it was not refused")


unreachable = NewWebhook(url="ftp://example.com", events=[EventType.INCIDENT_OPENED])
invalid = problem(lambda: webhooks.create_webhook(unreachable))
assert isinstance(invalid, Problem)
show("refused", invalid.status, invalid.code, invalid.errors[0].pointer)
again = problem(lambda: webhooks.rotate_secret(webhook.id))
assert isinstance(again, Problem)
show("refused", again.status, again.code, len(again.errors))

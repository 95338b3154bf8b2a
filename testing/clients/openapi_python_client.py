"""The story with the client of openapi-python-client."""

from setting import key, receiver, secret_was_replaced, show, url
from statuspulse_attrs import AuthenticatedClient
from statuspulse_attrs.api.deliveries import list_deliveries
from statuspulse_attrs.api.events import publish_event
from statuspulse_attrs.api.webhooks import create_webhook, pause_webhook, resume_webhook, rotate_secret
from statuspulse_attrs.models import (
    CreatedWebhook,
    DeliveryList,
    Envelope,
    EventType,
    HeldDeliveries,
    IncidentOpened,
    IncidentOpenedDetails,
    IncidentOpenedStatus,
    IncidentResolved,
    IncidentResolvedDetails,
    IncidentResolvedStatus,
    NewWebhook,
    Pause,
    Problem,
    Published,
    Resume,
    Resumed,
    Rotated,
    RotateSecret,
    AskedStyle,
    Webhook,
)

client = AuthenticatedClient(base_url=url, token=key)

webhook = create_webhook.sync(
    client=client,
    body=NewWebhook(
        url=receiver,
        events=[EventType.INCIDENT_OPENED, EventType.INCIDENT_RESOLVED],
        monitor_groups=["payments"],
    ),
)
assert isinstance(webhook, CreatedWebhook)
show("registered", webhook.status.value, webhook.handshake.status_code)

event = publish_event.sync(
    client=client,
    idempotency_key="INC-1-opened",
    body=Envelope(
        monitor_groups=["payments"],
        payload=IncidentOpened(
            event_type="incident_opened",
            incident_id="INC-1",
            monitor_name="checkout",
            status=IncidentOpenedStatus.INVESTIGATING,
            triggered_at="2026-11-24T12:00:00Z",
            details=IncidentOpenedDetails(latency_ms=1240),
        ),
    ),
)
assert isinstance(event, Published)
listed = list_deliveries.sync(webhook.id, client=client, event_type=EventType.INCIDENT_OPENED, limit=20)
assert isinstance(listed, DeliveryList)
show("published", event.deliveries)
show("listed", len(listed.data), listed.data[0].incident_id, listed.data[0].event_id == event.event_id)

paused = pause_webhook.sync(webhook.id, client=client)
assert isinstance(paused, Webhook) and isinstance(paused.paused, Pause)
show("paused", paused.status.value, paused.paused.reason.value)
publish_event.sync(
    client=client,
    body=Envelope(
        monitor_groups=["payments"],
        payload=IncidentResolved(
            event_type="incident_resolved",
            incident_id="INC-1",
            monitor_name="checkout",
            status=IncidentResolvedStatus.RESOLVED,
            resolved_at="2026-11-24T12:05:00Z",
            details=IncidentResolvedDetails(),
        ),
    ),
)
resumed = resume_webhook.sync(webhook.id, client=client, body=Resume(held=HeldDeliveries.DELIVER))
assert isinstance(resumed, Resumed)
show("resumed", resumed.status.value, resumed.held)

rotated = rotate_secret.sync(webhook.id, client=client, body=RotateSecret(style=AskedStyle.SPLIT))
assert isinstance(rotated, Rotated)
show("rotated", secret_was_replaced(webhook.secret, rotated.secret))

unreachable = NewWebhook(url="ftp://example.com", events=[EventType.INCIDENT_OPENED])
invalid = create_webhook.sync(client=client, body=unreachable)
assert isinstance(invalid, Problem)
show("refused", invalid.status, invalid.code, invalid.errors[0].pointer)
again = rotate_secret.sync(webhook.id, client=client)
assert isinstance(again, Problem)
show("refused", again.status, again.code, len(again.errors))

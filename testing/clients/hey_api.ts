// The story with the client of @hey-api/openapi-ts.
import {
  createWebhook,
  listDeliveries,
  pauseWebhook,
  publishEvent,
  resumeWebhook,
  rotateSecret,
} from "../../target/clients/hey-api";
import type { Problem } from "../../target/clients/hey-api";
import { client } from "../../target/clients/hey-api/client.gen";
import { key, receiver, secretWasReplaced, show, url } from "./setting";

client.setConfig({ baseUrl: url, auth: key });

/** The body of an answer; an error ends the story. */
function ok<Body>(answer: { data?: Body; error?: Problem }): Body {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const webhook = ok(await createWebhook({
  body: { url: receiver, events: ["incident_opened", "incident_resolved"], monitor_groups: ["payments"] },
}));
show("registered", webhook.status, webhook.handshake.status_code);
const path = { id: webhook.id };

const event = ok(await publishEvent({
  headers: { "Idempotency-Key": "INC-1-opened" },
  body: {
    monitor_groups: ["payments"],
    payload: {
      event_type: "incident_opened",
      incident_id: "INC-1",
      monitor_name: "checkout",
      status: "investigating",
      triggered_at: "2026-11-24T12:00:00Z",
      details: { latency_ms: 1240 },
    },
  },
}));
const listed = ok(await listDeliveries({ path, query: { event_type: "incident_opened", limit: 20 } }));
show("published", event.deliveries);
show("listed", listed.data.length, listed.data[0]?.incident_id, listed.data[0]?.event_id === event.event_id);

const paused = ok(await pauseWebhook({ path }));
show("paused", paused.status, paused.paused?.reason);
ok(await publishEvent({
  body: {
    monitor_groups: ["payments"],
    payload: {
      event_type: "incident_resolved",
      incident_id: "INC-1",
      monitor_name: "checkout",
      status: "resolved",
      resolved_at: "2026-11-24T12:05:00Z",
      details: {},
    },
  },
}));
const resumed = ok(await resumeWebhook({ path, body: { held: "deliver" } }));
show("resumed", resumed.status, resumed.held);

const rotated = ok(await rotateSecret({ path, body: { style: "split" } }));
show("rotated", secretWasReplaced(webhook.secret, rotated.secret));

const { error: invalid } = await createWebhook({
  body: { url: "ftp://example.com", events: ["incident_opened"] },
});
show("refused", invalid?.status, invalid?.code, invalid?.errors[0]?.pointer);
const { error: again } = await rotateSecret({ path });
show("refused", again?.status, again?.code, again?.errors.length);

// The story with the types of openapi-typescript and the client of openapi-fetch.
import createClient from "openapi-fetch";
import type { components, paths } from "../../target/clients/openapi-typescript/schema";
import { receiver, secretWasReplaced, show, url, withKey } from "./setting";

type Problem = components["schemas"]["Problem"];
const api = createClient<paths>({ baseUrl: url, headers: withKey });

/** The body of an answer; an error ends the story. */
function ok<Body>(answer: { data?: Body; error?: Problem }): Body {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const webhook = ok(await api.POST("/v1/webhooks", {
  body: { url: receiver, events: ["incident_opened", "incident_resolved"], monitor_groups: ["payments"] },
}));
show("registered", webhook.status, webhook.handshake.status_code);
const params = { path: { id: webhook.id } };

const event = ok(await api.POST("/v1/events", {
  params: { header: { "Idempotency-Key": "INC-1-opened" } },
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
const listed = ok(await api.GET("/v1/webhooks/{id}/deliveries", {
  params: { ...params, query: { event_type: "incident_opened", limit: 20 } },
}));
show("published", event.deliveries);
show("listed", listed.data.length, listed.data[0]?.incident_id, listed.data[0]?.event_id === event.event_id);

const paused = ok(await api.POST("/v1/webhooks/{id}/pause", { params }));
show("paused", paused.status, paused.paused?.reason);
ok(await api.POST("/v1/events", {
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
const resumed = ok(await api.POST("/v1/webhooks/{id}/resume", { params, body: { held: "deliver" } }));
show("resumed", resumed.status, resumed.held);

const rotated = ok(await api.POST("/v1/webhooks/{id}/rotate-secret", { params, body: { style: "split" } }));
show("rotated", secretWasReplaced(webhook.secret, rotated.secret));

const { error: invalid } = await api.POST("/v1/webhooks", {
  body: { url: "ftp://example.com", events: ["incident_opened"] },
});
show("refused", invalid?.status, invalid?.code, invalid?.errors[0]?.pointer);
const { error: again } = await api.POST("/v1/webhooks/{id}/rotate-secret", { params });
show("refused", again?.status, again?.code, again?.errors.length);

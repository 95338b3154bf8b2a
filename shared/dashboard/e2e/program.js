// Starts the real program, a receiver and mocks of Slack and PagerDuty.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run = promisify(execFile);

const PROGRAM =
  process.env.STATUSPULSE_PROGRAM ?? fileURLToPath(new URL("../../../target/debug/statuspulse", import.meta.url));

/** The options of the browser. */
export const chromium = {
  browserName: "chromium",
  launchOptions: {
    executablePath: process.env.STATUSPULSE_CHROMIUM ?? "/usr/bin/chromium",
    // It must also run in containers, and it must call only the program.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      "--disable-quic",
    ],
  },
};

/** Starts the program with its own folder and a ladder in seconds. `api` uses an admin key by default. */
export async function startProgram({ ladder = "1s,1s,2s,2s", pagerduty } = {}) {
  const data = await mkdtemp(join(tmpdir(), "statuspulse-"));
  const { stdout } = await run(PROGRAM, ["keys", "create", "--new", "--data", data, "--account", "Acme", "--role", "admin"]);
  const key = stdout.trim();
  const flags = ["--listen", "127.0.0.1:0", "--data", data, "--ladder", ladder];
  if (pagerduty) flags.push("--pagerduty-url", pagerduty);
  const network = ["--dev-allow-cidr", "127.0.0.0/8", "--egress-ips", "203.0.113.10,203.0.113.11"];
  const child = spawn(PROGRAM, ["serve", ...flags, ...network], { stdio: ["ignore", "pipe", "pipe"] });
  // Stops the program if the tests end early.
  const kill = () => child.kill();
  process.once("exit", kill);
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  const ended = new Promise((resolve) => child.once("close", resolve));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(line.replace("ready ", "")));
    ended.then((code) => reject(new Error(`the program ended with ${code}: ${log}`)));
  });

  async function api(method, path, body, as = key) {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${as}` },
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.status === 204 ? null : answer.json();
  }

  return {
    url,
    api,
    /** A sign-in link for the dashboard, which works once. */
    link: async (as) => (await api("POST", "/v1/dashboard-sessions", undefined, as)).url,
    keyOf: async (role) => (await api("POST", "/v1/keys", { role })).key,
    /** Creates a webhook for all events. */
    webhook: (hookUrl, more = {}) =>
      api("POST", "/v1/webhooks", { url: hookUrl, events: EVENTS, ...more }),
    publish: (incident, type = "incident_opened", groups = ["payments"]) =>
      api("POST", "/v1/events", { monitor_groups: groups, payload: payload(type, incident) }),
    async stop() {
      kill();
      await ended;
      process.off("exit", kill);
      await rm(data, { recursive: true });
    },
  };
}

export const EVENTS = ["incident_opened", "incident_updated", "incident_resolved"];

function payload(type, incident) {
  const common = { event_type: type, incident_id: incident, monitor_name: "checkout-api-prod" };
  const at = "2024-03-15T14:22:01Z";
  switch (type) {
    case "incident_opened":
      return { ...common, status: "investigating", triggered_at: at, details: { region: "us-east-1", latency_ms: 1240 } };
    case "incident_updated":
      return { ...common, status: "identified", updated_at: at, details: { message: "It's being replaced" } };
    default:
      return { ...common, status: "resolved", resolved_at: at, details: { auto_resolved: true } };
  }
}

/** The program's mocks of Slack and PagerDuty, which are as strict as the real services. */
export async function startStandIns() {
  const [slack, pagerduty] = ["/services/T1/B1/s3cret", "/v2/enqueue"];
  const flags = ["--port", "0", "--slack", slack, "--pagerduty", pagerduty];
  const child = spawn(PROGRAM, ["receive", ...flags], { stdio: ["ignore", "pipe", "ignore"] });
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise((resolve) => lines.once("line", (line) => resolve(line.replace("ready ", ""))));
  return { slack: new URL(slack, url).href, pagerduty: new URL(pagerduty, url).href, stop: () => child.kill() };
}

/** A receiver that records all requests. It answers 200 unless set otherwise. */
export async function startReceiver() {
  const requests = [];
  const set = new Map();
  const waiting = new Set();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    requests.push({ path: request.url, method: request.method, headers: request.headers, body });
    const { status = 200, body: text = "ok", delay = 0 } = set.get(request.url) ?? {};
    const timer = setTimeout(() => {
      waiting.delete(timer);
      response.writeHead(status, { "content-type": "text/plain" }).end(text);
    }, delay);
    waiting.add(timer);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    url: (path) => origin + path,
    /** Sets the answer for this path: `{ status, body, delay }`, `delay` in milliseconds. */
    answers: (path, answer) => set.set(path, answer),
    /** The requests to this path, without the handshake. */
    came: (path) => requests.filter((request) => request.path === path && request.headers["x-statuspulse-event"] !== "handshake"),
    close() {
      waiting.forEach(clearTimeout);
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

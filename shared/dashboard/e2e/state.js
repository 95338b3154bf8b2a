// Fills an account with webhooks in every state, for the checks of every page and for the pictures.

/** A description of forty words, and twenty monitor groups. */
const WORDS = Array.from({ length: 10 }, () => "checkout and payment alerts").join(" ");
const GROUPS = Array.from({ length: 20 }, (_, n) => `payment-processing-region-${n}`);

/**
 * Sets a Slack channel, and creates webhooks in every state with deliveries. The first webhook is paused by the answer
 * `pausing`. A 410 pauses it at once, so the ladder can be long enough for the failing webhook not to be paused.
 */
export async function tellingState(program, receiver, pausing = { status: 410, body: "<h1>Gone</h1> This hook was moved." }) {
  await program.api("PATCH", "/v1/account", { slack_url: receiver.url("/services/T024/B024/engineers") });
  receiver.answers("/staging", { status: 404, body: "not found" });
  const make = (path, more) => program.webhook(receiver.url(path), more);
  const webhooks = {
    paused: await make("/hooks/statuspulse", {
      description: "On-call bot",
      monitor_groups: ["payment-processing"],
      headers: { "X-Team": "payments" },
    }),
    failing: await make("/pager/in", { description: "Pager", monitor_groups: ["api-gateway"] }),
    active: await make("/archive", { description: "Archive" }),
    unverified: await make("/staging", { description: "Staging", events: ["incident_opened"] }),
  };
  // Long and foreign names. They receive nothing.
  const nobody = ["nobody"];
  await make("/long", { description: WORDS, monitor_groups: [...nobody, ...GROUPS], headers: { "X-Long": "v" } });
  await make("/rtl", { description: "الفريق المناوب — التنبيهات", monitor_groups: nobody });
  await make(`/${"unbroken".repeat(40)}`, { monitor_groups: nobody });
  const { paused, failing, active } = webhooks;
  const [payments, gateway] = [["payment-processing"], ["api-gateway"]];

  for (let n = 30; n < 40; n++) await program.publish(`INC-88${n}-ALPHA`, "incident_opened", [...payments, ...gateway]);
  for (const webhook of [paused, failing]) {
    await until(program, webhook, (deliveries) => deliveries.every(({ status }) => status === "delivered"));
  }
  receiver.answers("/hooks/statuspulse", pausing);
  await program.publish("INC-8842-ALPHA", "incident_opened", payments);
  await until(program, paused, (deliveries) => deliveries.some(({ status }) => status === "held"));
  for (let n = 43; n < 50; n++) await program.publish(`INC-88${n}-ALPHA`, "incident_opened", payments);
  await program.publish("INC-8842-ALPHA", "incident_updated", payments);
  await until(program, paused, (deliveries) => deliveries.filter(({ status }) => status === "held").length === 9);

  receiver.answers("/pager/in", { status: 500, body: '{"error": "out of memory"}' });
  await program.publish("INC-8850-ALPHA", "incident_opened", gateway);
  await until(program, failing, (deliveries) => deliveries.some(({ status }) => status === "retrying"));
  await program.api("POST", `/v1/webhooks/${active.id}/rotate-secret`, { style: "joined" });
  return webhooks;
}

/** The paths of all pages, by their content. */
export async function everyPage(program, webhooks) {
  const list = "/dashboard/webhooks";
  const own = Object.fromEntries(Object.entries(webhooks).map(([name, { id }]) => [name, `${list}/${id}`]));
  const deliveries = (await program.api("GET", `/v1/webhooks/${webhooks.failing.id}/deliveries`)).data;
  const delivery = deliveries.find(({ status }) => status === "retrying");
  return {
    "the list": list,
    "a search that finds nothing": `${list}?q=nothing+like+it`,
    "a new webhook": `${list}/new`,
    "a paused webhook": own.paused,
    "a failing webhook": own.failing,
    "an active webhook": own.active,
    "an unverified webhook": own.unverified,
    "an edit": `${own.paused}/edit`,
    "a question": `${own.paused}/try`,
    "its answer": `${own.paused}/try?event=incident_opened&groups=payment-processing`,
    "a rotation": `${own.paused}/rotate`,
    "the end of a rotation": `${own.active}/rotate/finish`,
    "the undoing of a rotation": `${own.active}/rotate/cancel`,
    "a discard": `${own.paused}/discard`,
    "a deletion": `${own.paused}/delete`,
    deliveries: `${own.paused}/deliveries`,
    "deliveries of a wrong time": `${own.paused}/deliveries?since=yesterday`,
    "a delivery": `${own.failing}/deliveries/${delivery.id}`,
    "all deliveries": "/dashboard/deliveries",
    "all that failed": "/dashboard/deliveries?failure=any&range=24h",
    "a redelivery of all": `${own.failing}/redeliver?range=24h`,
    "the keys": "/dashboard/keys",
    "the audit log": "/dashboard/audit-log",
    "the account": "/dashboard/account",
    "the removal of the channel": "/dashboard/account/slack/remove",
    "a resume of two webhooks": `${list}/several?act=resume&id=${webhooks.paused.id}&id=${webhooks.failing.id}`,
    "a redelivery of one": `/dashboard/deliveries/redeliver?delivery=${webhooks.failing.id}/${delivery.id}`,
  };
}

/** Waits until the deliveries of a webhook satisfy `isSo`, for at most 20 seconds. */
export async function until(program, webhook, isSo) {
  const end = Date.now() + 20_000;
  while (!isSo((await program.api("GET", `/v1/webhooks/${webhook.id}/deliveries`)).data)) {
    if (Date.now() > end) throw new Error("the deliveries of a webhook did not reach the expected state");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

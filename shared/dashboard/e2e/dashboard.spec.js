// What users can do on the pages. The texts of each page are tested in local/tests/spec, without a browser.
import { expect } from "@playwright/test";
import { BOT, LIST, button, copied, delivery, heading, opened, said, standing } from "./pages.js";
import { run } from "./program.js";
import { signIn, test } from "./world.js";

// --- Signing in and out ----------------------------------------------------------------------------------

test("a link signs in once, and a used one is refused", async ({ page, program, browser }) => {
  await page.goto(LIST);
  await expect(heading(page, "Sign in")).toBeVisible();
  const link = await program.link();
  await page.goto(link);
  await button(page, "Open the dashboard").click();
  await expect(heading(page, "Webhooks")).toBeVisible();
  await expect(page.getByRole("banner")).toContainText("Acme");

  const another = await (await browser.newContext()).newPage();
  await another.goto(link);
  await expect(another.getByRole("alert")).toContainText("Not signed in: the link was used before");
});

test("after signing out, no page is shown", async ({ page, program }) => {
  await signIn(page, program);
  await button(page, "Sign out").click();
  await expect(heading(page, "Sign in")).toBeVisible();
  await page.goto(LIST);
  await expect(heading(page, "Sign in")).toBeVisible();
  await expect(page.getByRole("navigation")).toHaveCount(0);
});

test("a viewer sees all pages, without buttons that make changes", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await program.publish("INC-1");
  const { page: ofDelivery } = await delivery(program, webhook, "INC-1");
  await program.api("POST", `/v1/webhooks/${webhook.id}/pause`);
  await signIn(page, program, await program.keyOf("viewer"));
  const own = `${LIST}/${webhook.id}`;
  const harmless = /^(Sign out|Show|Check|Copy.*)$/;
  for (const path of [LIST, own, `${own}/deliveries`, ofDelivery, `${own}/try`, "/dashboard/account"]) {
    await page.goto(path);
    await expect(page.getByRole("banner"), path).toContainText("viewer");
    const others = page.getByRole("button").filter({ hasNotText: harmless });
    await expect(others, path).toHaveCount(0);
  }
  await page.goto(own);
  await expect(standing(page)).toContainText("it was paused by hand");
  await expect(page.getByRole("link", { name: /Create Webhook|Edit|Delete|Rotate|Resume/ })).toHaveCount(0);
});

// --- Creating a webhook ----------------------------------------------------------------------------------

test("an account without webhooks sees how to create the first one", async ({ page, program }) => {
  await signIn(page, program);
  await expect(page.getByRole("heading", { name: "Get started" })).toBeVisible();
  await page.getByRole("link", { name: "Create your first webhook" }).click();
  await expect(heading(page, "Create a webhook")).toBeVisible();
});

test("a webhook is created although its handshake fails, and is verified when it passes", async ({ page, program, receiver }) => {
  receiver.answers("/in", { status: 404 });
  await signIn(page, program);
  await page.goto(`${LIST}/new`);
  await page.getByLabel("URL", { exact: true }).fill(receiver.url("/in"));
  await page.getByLabel("Description").fill("On-call bot");
  await page.getByRole("checkbox", { name: /incident_updated/ }).uncheck();
  await page.getByLabel("Monitor groups").fill("payments\ncore");
  await button(page, "Create Webhook").click();

  await expect(heading(page, "On-call bot")).toBeVisible();
  await expect(said(page)).toContainText("The handshake failed. See below. This is its secret; it is shown only once.");
  expect(await copied(page, "Copy", said(page))).toMatch(/^whsec_/);
  await expect(standing(page)).toContainText("The handshake has not passed");
  await expect(standing(page)).toContainText("404");
  await button(page, "Try the handshake again").click();
  await expect(said(page)).toContainText("The handshake failed.");
  await expect(page.getByText(/whsec_\S{20,}/)).toHaveCount(0);

  receiver.answers("/in", { status: 200 });
  await button(page, "Try the handshake again").click();
  await expect(said(page)).toHaveText("The handshake passed.");
  await expect(standing(page)).toContainText("Healthy. New events are delivered immediately.");
  const [webhook] = (await program.api("GET", "/v1/webhooks")).data;
  expect(webhook.events).toEqual(["incident_opened", "incident_resolved"]);
  expect(webhook.monitor_groups).toEqual(["payments", "core"]);
});

test("each error is shown at its field, and the input is kept", async ({ page, program, receiver }) => {
  await signIn(page, program);
  await page.goto(`${LIST}/new`);
  const url = page.getByLabel("URL", { exact: true });
  await url.fill("https://10.0.0.1/in");
  await page.getByLabel("Description").fill("On-call \"bot\" <1>");
  await page.getByLabel("Custom headers").fill("Host: elsewhere");
  for (const box of await page.getByRole("checkbox").all()) await box.uncheck();
  await button(page, "Create Webhook").click();

  await expect(page.getByRole("alert")).toContainText("Nothing was created.");
  await expect(url).toHaveAttribute("aria-invalid", "true");
  await expect(url).toHaveAccessibleDescription(/private|public/);
  await expect(url).toHaveValue("https://10.0.0.1/in");
  await expect(page.getByLabel("Description")).toHaveValue("On-call \"bot\" <1>");
  await expect(page.getByLabel("Custom headers")).toHaveAccessibleDescription(/cannot be replaced/);
  await expect(page.getByLabel("Custom headers")).toHaveValue("Host: elsewhere");
  await expect(page.getByRole("group", { name: "Events" })).toContainText("must name at least one of");

  await url.fill(receiver.url("/in"));
  await page.getByLabel("Custom headers").fill("");
  await page.getByRole("checkbox", { name: /incident_opened/ }).check();
  await button(page, "Create Webhook").click();
  await expect(heading(page, "On-call \"bot\" <1>")).toBeVisible();
});

test("only the field of the chosen destination is shown", async ({ page, program }) => {
  await signIn(page, program);
  await page.goto(`${LIST}/new`);
  const [url, key] = [page.getByLabel("URL", { exact: true }), page.getByLabel("PagerDuty routing key")];
  for (const [choice, asked, other] of [[/endpoint/, url, key], [/PagerDuty/, key, url], [/Slack/, url, key]]) {
    await page.getByRole("radio", { name: choice }).check();
    await expect(asked).toBeVisible();
    await expect(other).toBeHidden();
  }
});

test("an edit is shown at once", async ({ page, program, receiver }) => {
  await opened(page, program, await program.webhook(receiver.url("/in"), BOT));
  await page.getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("Description").fill("Pager bot");
  await page.getByLabel("Monitor groups").fill("core");
  await button(page, "Save").click();
  await expect(said(page)).toHaveText("Changes saved.");
  await expect(heading(page, "Pager bot")).toBeVisible();
  await expect(page.getByRole("definition").filter({ hasText: /^core$/ })).toBeVisible();
});

// --- The list --------------------------------------------------------------------------------------------

test("the list is searched and filtered by state", async ({ page, program, receiver }) => {
  const first = await program.webhook(receiver.url("/first"), BOT);
  await program.webhook(receiver.url("/second"), { description: "Archive" });
  await program.api("POST", `/v1/webhooks/${first.id}/pause`);
  await signIn(page, program);
  const [bot, archive] = ["On-call bot", "Archive"].map((name) => page.getByRole("row", { name }));
  await expect(bot).toContainText("Paused");
  await expect(archive).toContainText("Active");

  await page.getByLabel("Search").fill("on-CALL");
  await page.getByLabel("Search").press("Enter");
  await expect(archive).toHaveCount(0);
  await expect(bot).toBeVisible();
  await expect(page.getByLabel("Search")).toHaveValue("on-CALL");

  await page.getByLabel("Search").fill("");
  await page.getByLabel("State").selectOption("active");
  await button(page, "Show").click();
  await expect(bot).toHaveCount(0);
  await expect(archive).toBeVisible();

  await page.getByLabel("Search").fill("nothing like it");
  await button(page, "Show").click();
  await page.getByRole("link", { name: "Show all" }).click();
  await expect(bot).toBeVisible();
  await bot.getByRole("link").click();
  await expect(heading(page, "On-call bot")).toBeVisible();
});

// --- An outage -------------------------------------------------------------------------------------------

test("a test event shows its result at once", async ({ page, program, receiver }) => {
  await opened(page, program, await program.webhook(receiver.url("/in"), BOT));
  await button(page, "Send a test event").click();
  await expect(said(page)).toContainText("The test event was accepted: 200 after");
  receiver.answers("/in", { status: 500 });
  await button(page, "Send a test event").click();
  await expect(said(page)).toContainText("The test event failed");
  await expect(said(page)).toContainText("The endpoint answered 500");
  receiver.answers("/in", { status: 200, body: "<i>noted</i>" });
  await page.getByRole("combobox", { name: "Event type" }).selectOption("sample incident_resolved");
  await button(page, "Send a test event").click();
  await expect(said(page).getByText('"event_type": "incident_resolved"')).toBeVisible();
  await expect(said(page).getByText("<i>noted</i>")).toBeVisible();
  expect(receiver.came("/in").map((request) => request.headers["x-statuspulse-event"])).toEqual(["test", "test", "incident_resolved"]);
});

test("held deliveries can be discarded after a confirmation", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await opened(page, program, webhook);
  await button(page, "Pause").click();
  await expect(standing(page)).toContainText("it was paused by hand");
  await program.publish("INC-1");
  await expect(standing(page)).toContainText("1 delivery");
  await page.getByRole("link", { name: "Resume and discard" }).click();
  await expect(heading(page, "Resume On-call bot and discard held deliveries?")).toBeVisible();
  await button(page, "Discard and resume").click();
  await expect(standing(page)).toContainText("Healthy. New events are delivered immediately.");
  await expect(page.getByRole("row", { name: /INC-1/ })).toContainText("Discarded");
  expect(receiver.came("/in")).toHaveLength(0);
});

// --- The secret ------------------------------------------------------------------------------------------

test("a new secret is shown once and copied, and the old one is ended", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await opened(page, program, webhook);
  await page.getByRole("link", { name: "Rotate" }).click();
  await expect(heading(page, "Rotate the secret of On-call bot?")).toBeVisible();
  await button(page, "Create new secret").click();
  const shown = await said(page).getByText(/^whsec_/).textContent();
  expect(shown).not.toBe(webhook.secret);
  expect(await copied(page, "Copy", said(page))).toBe(shown);
  await expect(page.getByText("Two secrets sign until")).toBeVisible();
  await page.reload();
  await expect(page.getByText(shown)).toHaveCount(0);

  await page.getByRole("link", { name: "End the old secret now" }).click();
  await button(page, "End the old secret now").click();
  await expect(said(page)).toHaveText("The old secret no longer signs requests.");
  await expect(page.getByText("One secret signs")).toBeVisible();
  // Its first characters identify it, and the audit log shows who changed it.
  await expect(page.getByText(`${shown.slice(0, 10)}…`, { exact: true })).toBeVisible();
  for (const change of ["Old secret ended early", "Secret rotated", "Created"]) {
    await expect(page.getByRole("row", { name: change })).toContainText(/ago.*API key spk_[\w-]+…/);
  }
});

// --- Deliveries ------------------------------------------------------------------------------------------

test("a delivery shows its attempts and the exact request", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  receiver.answers("/in", { status: 503 });
  await program.publish("INC-1");
  await delivery(program, webhook, "INC-1");
  receiver.answers("/in", { status: 200 });
  const { page: own } = await delivery(program, webhook, "INC-1", 2);
  await signIn(page, program);
  await page.goto(own);
  await expect(heading(page, "incident_opened of INC-1")).toBeVisible();
  await expect(page.getByRole("img", { name: /attempt 1: 503 after .* attempt 2: 200 after/ })).toBeVisible();
  await expect(page.getByRole("group").filter({ hasText: "Attempt 2" })).toContainText("Succeeded");
  await expect(page.getByRole("group").filter({ hasText: "Attempt 1" })).toContainText("Failed");
  await expect(page.getByRole("group").filter({ hasText: "Attempt 2" })).toContainText("content-type: text/plain");

  const [, sent] = receiver.came("/in");
  const ours = ["X-StatusPulse-Signature", "X-StatusPulse-Attempt"];
  for (const name of [...ours, "webhook-id", "webhook-timestamp", "webhook-signature"]) {
    const value = sent.headers[name.toLowerCase()];
    expect(value, name).toBeTruthy();
    await expect(page.getByRole("main")).toContainText(`${name}: ${value}`);
  }
  await expect(page.getByText(sent.body, { exact: true })).toBeVisible();
});

test("the curl command sends the same request again", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await program.publish("it's $HOME", "incident_updated");
  const { page: own } = await delivery(program, webhook, encodeURIComponent("it's $HOME"));
  await signIn(page, program);
  await page.goto(own);
  await page.getByText("As a curl command").click();
  const command = await copied(page, "Copy as curl");
  await run("bash", ["-c", command]);
  const [first, again] = receiver.came("/in");
  expect(again.body).toBe(first.body);
  expect(again.headers["x-statuspulse-signature"]).toBe(first.headers["x-statuspulse-signature"]);
  expect(again.headers["content-type"]).toBe(first.headers["content-type"]);
});

test("a delivery is redelivered", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await program.publish("INC-1");
  const { page: own } = await delivery(program, webhook, "INC-1");
  await signIn(page, program);
  await page.goto(own);
  await button(page, "Deliver again").click();
  await expect(said(page)).toHaveText("It is being sent now.");
  await expect.poll(() => receiver.came("/in").length).toBe(2);
  await page.reload();
  // The delivery and its second attempt; the first attempt was triggered by the event.
  await expect(page.getByText("a redelivery request")).toHaveCount(2);
  await expect(page.getByText("its event")).toHaveCount(1);
});

test("the response of an endpoint is shown as text", async ({ page, program, receiver }) => {
  const answer = '<script>alert(1)</script><img src=x onerror="alert(2)"></code></pre><b>bold</b>';
  const dialogs = [];
  page.on("dialog", (dialog) => dialogs.push(dialog.message()) && dialog.dismiss());
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  receiver.answers("/in", { status: 500, body: answer });
  await program.publish("<i>INC</i>");
  const { page: own } = await delivery(program, webhook, encodeURIComponent("<i>INC</i>"));
  await signIn(page, program);
  await page.goto(own);
  await expect(page.getByText(answer, { exact: true }).first()).toBeVisible();
  await expect(heading(page, "incident_opened of <i>INC</i>")).toBeVisible();
  await expect(page.locator("main").locator("script, img, b, i")).toHaveCount(0);
  expect(dialogs).toEqual([]);
});

test("deliveries are filtered", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await program.publish("INC-1");
  await program.publish("INC-2");
  await delivery(program, webhook, "INC-1");
  await delivery(program, webhook, "INC-2");
  await program.api("POST", `/v1/webhooks/${webhook.id}/pause`);
  await program.publish("INC-1", "incident_resolved");
  await opened(page, program, webhook);
  await page.getByRole("link", { name: "All deliveries" }).click();
  await expect(heading(page, "Deliveries")).toBeVisible();
  const rows = page.getByRole("row").filter({ has: page.getByRole("rowheader") });
  const filter = page.getByRole("search");
  await expect(rows).toHaveCount(3);

  await filter.getByLabel("State").selectOption("held");
  await button(filter, "Show").click();
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText("incident_resolved");
  await expect(filter.getByLabel("State")).toHaveValue("held");

  await filter.getByLabel("State").selectOption("any");
  await filter.getByRole("textbox", { name: "Incident" }).fill("INC-1");
  await filter.locator("select[name=range]").selectOption("last hour");
  await button(filter, "Show").click();
  await expect(rows).toHaveCount(2);

  await filter.getByLabel("Event").selectOption("incident_updated");
  await button(filter, "Show").click();
  await expect(page.getByText("No deliveries match.")).toBeVisible();
  await page.getByRole("link", { name: "Show all" }).click();
  await expect(rows).toHaveCount(3);

  await filter.getByText("Exact time").click();
  await filter.getByLabel("Until").fill("yesterday");
  await button(filter, "Show").click();
  await expect(page.getByRole("alert")).toContainText("until must be");
  await expect(filter.getByLabel("Until")).toHaveValue("yesterday");
});

test("the page shows whether an event would reach a webhook, and the request", async ({ page, program, receiver }) => {
  await opened(page, program, await program.webhook(receiver.url("/in"), { ...BOT, monitor_groups: ["core"] }));
  await page.getByRole("link", { name: "Would an event reach it?" }).click();
  await page.getByLabel("Monitor groups").fill("payments");
  await button(page, "Check").click();
  await expect(said(page)).toContainText("No.");
  await page.getByLabel("Monitor groups").fill("payments\ncore");
  await button(page, "Check").click();
  await expect(said(page)).toContainText("Yes.");
  await expect(page.getByText(`POST ${receiver.url("/in")}`)).toBeVisible();
});

// --- The account, and deleting ---------------------------------------------------------------------------

test("PagerDuty and Slack webhooks are created and tested, and receive an incident", async ({ page, program, standIns }) => {
  await signIn(page, program);
  const made = [
    [/PagerDuty/, page.getByLabel("PagerDuty routing key"), "R0UT1NGKEY0FTHET3STABCDEFGHIJKLM"],
    [/Slack/, page.getByLabel("URL", { exact: true }), standIns.slack],
  ];
  for (const [choice, field, value] of made) {
    await page.goto(`${LIST}/new`);
    await page.getByRole("radio", { name: choice }).check();
    await field.fill(value);
    await button(page, "Create Webhook").click();
    await expect(said(page)).toContainText("The handshake passed. The webhook is active.");
    await expect(page.locator("main")).not.toContainText(value);
    await button(page, "Send a test event").click();
    await expect(said(page)).toContainText("The test event was accepted");
  }
  await program.publish("INC-PAGED");
  await page.goto(LIST);
  await expect.poll(async () => {
    await page.reload();
    return page.getByText("1 delivered, 0 failed attempts").count();
  }).toBe(2);
});

test("the engineers' channel is set, tested and removed", async ({ page, program, receiver, standIns }) => {
  await signIn(page, program);
  await page.getByRole("link", { name: "Account" }).click();
  await expect(page.getByText("No channel is set. No messages are sent.")).toBeVisible();
  await page.getByLabel("URL of an incoming webhook").fill(standIns.slack);
  await button(page, "Test and save").click();
  await expect(said(page)).toContainText("Slack accepted a test message");
  await expect(page.locator("body")).not.toContainText("s3cret");
  await button(page, "Send a test").click();
  await expect(said(page)).toContainText("Slack accepted the test");
  receiver.answers("/services/T1/B1/s3cret", { status: 404, body: "no_service" });
  await page.getByLabel("URL of an incoming webhook").fill(receiver.url("/services/T1/B1/s3cret"));
  await button(page, "Test and replace").click();
  await expect(said(page)).toContainText("Slack did not accept a test message, so the channel was not saved.");
  await page.getByRole("link", { name: "Remove the channel" }).click();
  await button(page, "Remove the channel").click();
  await expect(said(page)).toHaveText("The channel was removed.");
  await expect(page.getByText("203.0.113.10")).toBeVisible();
});

test("a deletion must be confirmed, and shows the name", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await opened(page, program, webhook);
  await page.getByRole("link", { name: "Delete" }).click();
  await expect(heading(page, "Delete On-call bot?")).toBeVisible();
  await page.getByRole("link", { name: "Cancel" }).click();
  await expect(standing(page)).toBeVisible();
  await page.getByRole("link", { name: "Delete" }).click();
  await button(page, "Delete this webhook").click();
  await expect(said(page)).toHaveText("On-call bot was deleted.");
  await page.goto(`${LIST}/${webhook.id}`);
  await expect(heading(page, "Not found")).toBeVisible();
});

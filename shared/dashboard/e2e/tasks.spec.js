// The tasks of somebody who is on call, and the clicks that each may take.
import { expect } from "@playwright/test";
import { until } from "./state.js";
import { signIn, test } from "./world.js";

// The waits are longer than any test, so that nothing is retried without a click.
test.use({ ladder: "1h,1h,1h,1h" });

const heading = (page, name) => page.getByRole("heading", { name, level: 1 });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const said = (page) => page.getByRole("status");

test("a key signs in, and opens the page that was asked for", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), { description: "On-call bot" });
  await page.goto(`/dashboard/webhooks/${webhook.id}`);
  await page.getByLabel("API key").fill(await program.keyOf("viewer"));
  await button(page, "Sign in").click();
  await expect(page).toHaveURL(new RegExp(`/dashboard/webhooks/${webhook.id}$`));
  await expect(page.getByRole("banner")).toContainText("viewer");
});

test("an incident, and all that failed yesterday, are found with few clicks", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), { description: "On-call bot" });
  receiver.answers("/in", { status: 503 });
  await program.publish("INC-123");
  await program.publish("INC-124");
  await until(program, webhook, (deliveries) => deliveries.every(({ attempts }) => attempts.length === 1));
  await signIn(page, program);
  const found = page.getByRole("region", { name: "Deliveries" }).getByRole("rowheader");
  // Two: the search box, and the delivery.
  await page.getByRole("searchbox", { name: "Find an incident" }).fill("INC-123");
  await page.keyboard.press("Enter");
  await expect(found).toHaveCount(1);
  await found.getByRole("link").click();
  await expect(heading(page, "incident_opened of INC-123")).toBeVisible();
  receiver.answers("/in", { status: 200 });
  await button(page, "Retry now").click();
  await expect(said(page)).toHaveText("It is being sent now.");
  await expect(page.getByText("Delivered")).toBeVisible();
  // Two: the page of all deliveries, and the period.
  await page.getByRole("link", { name: "Deliveries", exact: true }).first().click();
  await page.getByRole("link", { name: "last hour" }).click();
  await expect(found).toHaveCount(2);
});

test("a webhook is registered and seen to work with three clicks", async ({ page, program, receiver }) => {
  await signIn(page, program);
  await page.getByRole("link", { name: "Create your first webhook" }).click();
  await page.getByLabel("URL", { exact: true }).fill(receiver.url("/in"));
  await button(page, "Create Webhook").click();
  await expect(said(page)).toContainText("The handshake passed. The webhook is active.");
  await button(page, "Send a test event").click();
  await expect(said(page)).toContainText("The test event was accepted: 200 after");
});

test("why deliveries fail is two clicks away, and a resume one click, to be watched", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), { description: "On-call bot" });
  receiver.answers("/in", { status: 410, body: "this hook was moved" });
  await program.publish("INC-1");
  await until(program, webhook, (deliveries) => deliveries.some(({ status }) => status === "held"));
  await signIn(page, program);
  await page.getByRole("link", { name: "Failed attempts of On-call bot" }).click();
  await page.getByRole("region", { name: "Deliveries" }).getByRole("rowheader").getByRole("link").click();
  await expect(page.getByText("this hook was moved")).toBeVisible();
  await page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("link", { name: "On-call bot" }).click();
  receiver.answers("/in", { status: 200 });
  await button(page, "Resume").click();
  await expect(page.getByText("The resume has ended: nothing is held any more.")).toBeVisible();
  await expect(page.getByRole("row", { name: /INC-1/ })).toContainText("Delivered");
});

test("a secret is rotated with two clicks, tested, and rotated back", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), { description: "On-call bot" });
  await signIn(page, program);
  await page.goto(`/dashboard/webhooks/${webhook.id}`);
  await page.getByRole("link", { name: "Rotate" }).click();
  await button(page, "Create new secret").click();
  await expect(said(page).locator("#new-secret")).toHaveText(/^whsec_/);
  await button(page, "Test the new secret alone").click();
  await expect(said(page)).toContainText("The test event was accepted: 200 after");
  expect(receiver.came("/in").at(-1).headers["x-statuspulse-signature"]).toHaveLength(64);
  await page.getByRole("link", { name: "Undo the rotation" }).click();
  await button(page, "Undo the rotation").click();
  await expect(said(page)).toHaveText("The rotation was undone. Only the old secret signs requests.");
  await expect(page.getByText("One secret signs")).toBeVisible();
  await expect(page.getByRole("row", { name: "Rotation undone" })).toBeVisible();
});

test("several webhooks are paused, and several deliveries sent again, after their number was shown", async ({ page, program, receiver }) => {
  for (const name of ["On-call bot", "Archive"]) await program.webhook(receiver.url("/in"), { description: name });
  await signIn(page, program);
  await program.publish("INC-1");
  await page.getByRole("link", { name: "Deliveries", exact: true }).click();
  await expect.poll(async () => {
    await page.reload();
    return page.getByText("Delivered", { exact: true }).count();
  }).toBe(2);
  for (const box of await page.getByRole("checkbox").all()) await box.check();
  await button(page, "Send now…").click();
  await expect(heading(page, "Send 2 deliveries now?")).toBeVisible();
  await button(page, "Send 2 deliveries now").click();
  await expect(said(page)).toHaveText("2 selected deliveries are being sent now.");
  await expect.poll(() => receiver.came("/in").length).toBe(4);

  await page.getByRole("link", { name: "Webhooks", exact: true }).click();
  await page.getByRole("checkbox", { name: "Select Archive" }).check();
  await page.getByRole("checkbox", { name: "Select On-call bot" }).check();
  await button(page, "Pause…").click();
  await button(page, "Pause 2 webhooks").click();
  await expect(said(page)).toHaveText("2 webhooks paused.");
});

test("whether the promise holds is on the first page", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), { description: "On-call bot" });
  await program.publish("INC-1");
  await until(program, webhook, (deliveries) => deliveries.some(({ status }) => status === "delivered"));
  await signIn(page, program);
  const promise = page.getByRole("main").getByText(/of 1 first attempt began within 200 ms/);
  await expect(promise).toHaveCount(2);
  await page.getByText("How this is measured").click();
  await expect(page.getByText("the connection is opened")).toBeVisible();
});

test("a teammate is told in Slack with three clicks", async ({ page, program, standIns }) => {
  await signIn(page, program);
  await page.getByRole("link", { name: "Account" }).click();
  await page.getByLabel("URL of an incoming webhook").fill(standIns.slack);
  await button(page, "Test and save").click();
  await expect(said(page)).toContainText("Slack accepted a test message");
});

test("a teammate gets a key with three clicks", async ({ page, program }) => {
  await signIn(page, program);
  await page.getByRole("link", { name: "Keys" }).click();
  await page.getByLabel("Role").selectOption("viewer: read");
  await button(page, "Create key").click();
  await expect(said(page)).toContainText("This is the new viewer key.");
  await expect(said(page).locator("#new-secret")).toHaveText(/^spk_/);
});

// Open pages follow what happens.
import { expect } from "@playwright/test";
import { BOT, LIST, button, delivery, opened, said, standing } from "./pages.js";
import { test } from "./world.js";

test("an open page follows an outage without a reload, and one click resumes the webhook", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  await page.clock.install();
  await opened(page, program, webhook);
  await expect(standing(page)).toContainText("Healthy. New events are delivered immediately.");

  receiver.answers("/in", { status: 503, body: "upstream connect error" });
  await program.publish("INC-1");
  await delivery(program, webhook, "INC-1");
  // A healthy webhook is refreshed every 10 seconds.
  await page.clock.fastForward(15_000);
  await expect(standing(page)).toContainText("Failing since");
  await expect(standing(page)).toContainText("retries in a row have failed");
  await expect(page.getByRole("row", { name: /INC-1/ })).toContainText("Due");

  await expect(standing(page)).toContainText("Paused since");
  await expect(standing(page)).toContainText("four retries in a row failed, and nothing got through in between");
  await expect(standing(page)).toContainText("The endpoint answered 503");
  await expect(standing(page)).toContainText("1 delivery");
  // The rest of the page is updated too.
  await expect(page.getByRole("row", { name: /INC-1/ })).toContainText("Held");
  await expect(button(page, "Pause")).toHaveCount(0);
  await expect(page).toHaveTitle(/Paused/);
  await expect(page.getByRole("row", { name: /Paused StatusPulse$/ })).toBeVisible();

  for (let n = 0; n < 60; n++) await program.publish(`HELD-${n}`);
  await expect(standing(page)).toContainText("61 deliveries");
  await expect(standing(page)).toContainText("oldest first, starting immediately: 10 in the first second");
  receiver.answers("/in", { status: 200 });
  await button(page, "Resume").click();
  await expect(said(page)).toHaveText("Resumed. 61 held deliveries are being delivered.");
  await expect(page.getByRole("progressbar")).toHaveAttribute("max", "61");
  await expect(standing(page)).toContainText(/[1-9]\d* of 61 released, \d+ still held/);
  await expect(standing(page)).toContainText("Healthy. New events are delivered immediately.");
  await expect.poll(() => receiver.came("/in").length).toBe(5 + 61);
  await page.clock.fastForward(15_000);
  await expect(page.getByRole("row", { name: /HELD-59/ })).toContainText("Delivered");
  // Five attempts were made before the pause.
  const drained = receiver.came("/in").slice(5).map((request) => JSON.parse(request.body).incident_id);
  expect(drained.sort()).toEqual(["INC-1", ...Array.from({ length: 60 }, (_, n) => `HELD-${n}`)].sort());
});

test("a new secret stays visible while the state changes", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  receiver.answers("/in", { status: 503 });
  await program.publish("INC-1");
  await delivery(program, webhook, "INC-1");
  await opened(page, program, webhook);
  await page.getByRole("link", { name: "Rotate" }).click();
  await button(page, "Create new secret").click();
  await expect(standing(page)).toContainText("Failing since");
  await expect(standing(page)).toContainText("Paused since");
  await expect(button(page, "Pause")).toHaveCount(0);
  await expect(said(page).getByText(/^whsec_/)).toBeVisible();
});

test("a list and a delivery follow what happens, and nothing moves under the pointer", async ({ page, program, receiver }) => {
  const webhook = await program.webhook(receiver.url("/in"), BOT);
  receiver.answers("/in", { status: 503 });
  await program.publish("INC-1");
  await page.clock.install();
  await opened(page, program, webhook);
  await page.goto("/dashboard/deliveries");
  const rows = page.getByRole("row").filter({ has: page.getByRole("rowheader") });
  await expect(rows).toHaveCount(1);
  await expect(page.getByText(/Updated \d+ s ago. Times are in /)).toBeVisible();

  await rows.first().hover();
  await program.publish("INC-2");
  receiver.answers("/in", { status: 200 });
  await delivery(program, webhook, "INC-1", 2);
  await page.clock.fastForward(10_000);
  await expect(rows.filter({ hasText: "INC-1" })).toContainText("Delivered");
  await expect(rows).toHaveCount(1);
  await page.getByRole("heading", { level: 1 }).hover();
  await page.clock.fastForward(10_000);
  await expect(rows).toHaveCount(2);
  await expect(rows.first()).toContainText("INC-2");

  await rows.filter({ hasText: "INC-1" }).getByRole("link").first().click();
  await page.getByText("Attempt 1").click();
  const first = page.getByRole("group").filter({ hasText: "Attempt 1" });
  await expect(first.getByText("Response body")).toBeVisible();
  const { page: own } = await delivery(program, webhook, "INC-1");
  await program.api("POST", `/v1${own.slice("/dashboard".length).replace(/webhooks\/[^/]*\//, "")}/redeliver`);
  await delivery(program, webhook, "INC-1", 3);
  await page.getByRole("heading", { level: 1 }).click();
  await page.clock.fastForward(10_000);
  await expect(page.getByText("Attempt 3")).toBeVisible();
  await expect(first.getByText("Response body")).toBeVisible();
});

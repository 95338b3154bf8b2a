// The parts of the pages, and what several tests do.
import { expect } from "@playwright/test";
import { signIn } from "./world.js";

export const LIST = "/dashboard/webhooks";
export const BOT = { description: "On-call bot" };

export const heading = (page, name) => page.getByRole("heading", { name, level: 1 });
export const standing = (page) => page.getByRole("region", { name: /^State of/ });
export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const said = (page) => page.getByRole("status");

export async function opened(page, program, webhook) {
  await signIn(page, program);
  await page.goto(`${LIST}/${webhook.id}`);
}

/** Waits until the delivery of this incident has so many attempts, and returns it. */
export async function delivery(program, webhook, incident, attempts = 1) {
  let found;
  const path = `/v1/webhooks/${webhook.id}/deliveries?incident_id=${incident}`;
  await expect
    .poll(async () => {
      [found] = (await program.api("GET", path)).data;
      return found && (await program.api("GET", `/v1/deliveries/${found.id}`)).attempts.length;
    })
    .toBeGreaterThanOrEqual(attempts);
  return { ...found, page: `${LIST}/${webhook.id}/deliveries/${found.id}` };
}

/** Clicks a copy button in a part of the page, and returns what it copied. */
export async function copied(page, name, part = page) {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await button(part, name).click();
  await expect(button(page, "Copied")).toBeVisible();
  return page.evaluate(() => navigator.clipboard.readText());
}

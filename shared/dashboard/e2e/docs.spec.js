// The API reference: sizes, accessibility, and what its script adds.
import { AxeBuilder } from "@axe-core/playwright";
import { expect } from "@playwright/test";
import { test } from "./world.js";

/** The paths of all pages, from the links of the first one. */
async function everyPage(page) {
  await page.goto("/docs");
  const links = await page.locator("main a, nav a").evaluateAll((all) => all.map((link) => new URL(link.href).pathname));
  const paths = [...new Set(links)].filter((path) => path.startsWith("/docs"));
  expect(paths.length).toBeGreaterThan(100);
  return [...paths, "/docs/search?q=webhook", "/docs/search?q=nothing-has-this"];
}

test("every page is short, and fits from 320 px on", async ({ page }) => {
  test.setTimeout(120_000);
  for (const path of await everyPage(page)) {
    await page.goto(path);
    for (const width of [320, 360, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      const size = await page.evaluate(() => {
        const main = document.querySelector("main").getBoundingClientRect();
        return { height: main.height, wide: document.documentElement.scrollWidth - innerWidth };
      });
      expect.soft(size.wide, `${path} at ${width} px scrolls sideways`).toBeLessThanOrEqual(0);
      // A narrow column makes the same text longer.
      expect.soft(size.height, `${path} at ${width} px`).toBeLessThan(width < 1000 ? 6000 : 3000);
    }
  }
});

for (const colorScheme of ["light", "dark"]) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });
    test("every kind of page conforms to WCAG 2.2 AA", async ({ page }) => {
      test.setTimeout(120_000);
      const paths = await everyPage(page);
      // The pages of operations, and those of objects, differ only in their text.
      const kinds = ["webhooks", "createWebhook", "listDeliveries", "schema-Webhook"].map((name) => `/docs/${name}`);
      for (const name of kinds) expect(paths).toContain(name);
      const others = paths.filter((path) => /^\/docs(\/(receiving.*|errors|objects|search.*))?$/.test(path));
      for (const path of [...kinds, ...others]) {
        await page.goto(path);
        await page.locator("details").evaluateAll((all) => all.forEach((folded) => (folded.open = true)));
        const { violations } = await new AxeBuilder({ page })
          .setLegacyMode()
          .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
          .analyze();
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
        expect.soft(found, path).toEqual([]);
      }
    });
  });
}

test("a call is copied, and found by searching", async ({ page, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto("/docs");
  await page.getByRole("searchbox").fill("rotate secret");
  await page.getByRole("searchbox").press("Enter");
  await page.locator("main").getByRole("link", { name: "Rotate the secret", exact: true }).first().click();
  await page.goto("/docs/rotateSecret");
  await page.getByRole("button", { name: "Copy: With curl" }).click();
  await expect(page.getByRole("button", { name: "Copy: With curl" })).toHaveText("Copied");
  expect(await page.evaluate(() => navigator.clipboard.readText())).toMatch(/^curl .*rotate-secret"/);
});

test("links to the former single page lead to the part that they name", async ({ page }) => {
  for (const [anchor, path] of [
    ["createWebhook", "/docs/createWebhook"],
    ["schema-Webhook", "/docs/schema-Webhook"],
    ["problem-not_found", "/docs/errors#problem-not_found"],
  ]) {
    await page.goto("about:blank");
    await page.goto(`/docs#${anchor}`);
    await page.waitForURL(`**${path}`);
  }
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("everything can be read and found", async ({ page }) => {
    await page.goto("/docs#createWebhook");
    await page.locator(":target > a").click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Register an endpoint");
    await page.getByRole("searchbox").fill("egress");
    await page.getByRole("button", { name: "Search" }).click();
    await expect(page.locator("main dl a").first()).toBeVisible();
  });
});

// What applies to every page: accessibility, screen sizes, time zones and the content security policy.
import { AxeBuilder } from "@axe-core/playwright";
import { expect } from "@playwright/test";
import { everyPage, tellingState } from "./state.js";
import { signIn, test } from "./world.js";

// The waits are longer than any test, so that a failing webhook is not paused.
test.use({ ladder: "1h,1h,1h,1h" });

/** Opens every page and calls `look`, first for the pages of a browser that is not signed in. */
async function openEach(page, program, receiver, look) {
  const step = (name, open) =>
    test.step(name, async () => {
      await open();
      await look(name);
    });
  await step("signed out", () => page.goto("/dashboard/webhooks"));
  const link = await program.link();
  await step("a link", () => page.goto(link));
  await signIn(page, program);
  await step("an empty account", () => page.goto("/dashboard/webhooks"));
  const webhooks = await tellingState(program, receiver);
  for (const [name, path] of Object.entries(await everyPage(program, webhooks))) {
    await step(name, () => page.goto(path));
  }
  await step("a page that is not there", () => page.goto("/dashboard/nothing"));
  await step("a form with errors", async () => {
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill("https://10.0.0.1/in");
    await page.getByLabel("Custom headers").fill("Host: elsewhere");
    await page.getByRole("button", { name: "Create Webhook" }).click();
    await expect(page.getByRole("alert")).toBeVisible();
  });
  await step("a new secret", async () => {
    await page.goto(`/dashboard/webhooks/${webhooks.failing.id}/rotate`);
    await page.getByRole("button", { name: "Create new secret" }).click();
    await page.getByText("Verify a delivery with this secret").click();
  });
}

for (const colorScheme of ["light", "dark"]) {
  test.describe(colorScheme, () => {
    test.use({ colorScheme });
    test("every page conforms to WCAG 2.2 AA", async ({ page, program, receiver }) => {
      await openEach(page, program, receiver, async (name) => {
        // Opens all folded parts, so that they are checked too.
        const folded = page.locator("details:not([open]) > summary");
        while (await folded.count()) await folded.first().click();
        const { violations, passes } = await new AxeBuilder({ page })
          // There are no frames, so one run in the page is enough.
          .setLegacyMode()
          .withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"])
          .analyze();
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
        expect.soft(found, name).toEqual([]);
        expect(passes.map(({ id }) => id)).toContain("color-contrast");
      });
    });
  });
}

for (const [what, viewport] of [
  ["320 pixels wide", { width: 320, height: 640 }],
  ["360 pixels wide", { width: 360, height: 740 }],
  // A window of 1280 by 800 at 200 %.
  ["at twice the size", { width: 640, height: 400 }],
  ["768 pixels wide", { width: 768, height: 1024 }],
  ["1280 pixels wide", { width: 1280, height: 800 }],
  ["1920 pixels wide", { width: 1920, height: 1080 }],
]) {
  test.describe(what, () => {
    test.use({ viewport });
    test("no page scrolls sideways, and no cell or button is too tall", async ({ page, program, receiver }) => {
      await openEach(page, program, receiver, async (name) => {
        const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        expect.soft(wide, name).toBeLessThanOrEqual(room);
        expect.soft(await tooTall(page), name).toEqual([]);
      });
    });
  });
}

/** The texts of cells with more than six lines, and of buttons with more than two. */
function tooTall(page) {
  return page.evaluate(() => {
    const lines = (element) => {
      const style = getComputedStyle(element);
      const own = element.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
      return own / parseFloat(style.lineHeight);
    };
    const all = (selector, most) => [...document.querySelectorAll(selector)].filter((found) => {
      // The cells of a row are as tall as its tallest one.
      const words = found.querySelector(":scope > .measured") ?? found;
      return found.offsetParent && lines(words) > most;
    });
    const cells = all("td, tbody th", 6.5).filter((cell) => cell.parentElement.clientHeight > 0);
    return [...cells, ...all("button, .button", 2.6)].map((found) => found.textContent.trim().slice(0, 60));
  });
}

test("on paper a page has its content, without menus and buttons", async ({ page, program, receiver }) => {
  await openEach(page, program, receiver, async (name) => {
    await page.emulateMedia({ media: "print" });
    expect.soft(await page.locator("nav:visible, button:visible, .button:visible, form:visible").count(), name).toBe(0);
    await expect.soft(page.locator("h1"), name).toBeVisible();
    await page.emulateMedia({ media: null });
  });
});

test.describe("in India", () => {
  test.use({ timezoneId: "Asia/Kolkata", locale: "en-GB" });
  test("every time is local, with the distance, also after a refresh", async ({ page, program, receiver }) => {
    const own = (utc) => new Date(Date.parse(utc) + 5.5 * 3600_000).toISOString().slice(11, 19);
    const check = async (name) => {
      const times = await page.locator("time").evaluateAll((all) =>
        all.map((time) => [time.dateTime, time.textContent, time.title]),
      );
      for (const [utc, shown, title] of times) {
        expect.soft(shown, name).toContain(own(utc));
        expect.soft(shown, name).toMatch(/ago|in \d/);
        expect.soft(title, name).toContain(own(utc));
        expect.soft(title, name).toContain(`${utc.slice(11, 19)}\u00a0UTC`);
      }
    };
    await openEach(page, program, receiver, async (name) => {
      await check(name);
      const inDiagrams = await page.locator("[data-at]").evaluateAll((all) => all.map((part) => [part.dataset.at, part.textContent]));
      for (const [utc, shown] of inDiagrams) expect.soft(shown, name).toContain(own(utc));
    });
    const paused = page.getByRole("link", { name: "On-call bot", exact: true });
    await page.goto("/dashboard/webhooks?status=paused");
    await paused.click();
    await expect(page.getByText("9 deliveries")).toBeVisible();
    await program.publish("INC-1", "incident_opened", ["payment-processing"]);
    await expect(page.getByText("10 deliveries")).toBeVisible();
    await check("after a refresh");
  });
});

test("no page violates the policy or writes to the console", async ({ page, program, receiver }) => {
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) => console.error(`refused: ${event.violatedDirective}`)),
  );
  await openEach(page, program, receiver, async (name) => {
    // Some pages are answered with 401, 404 or 422 on purpose.
    const other = said.splice(0).filter((text) => !/the server responded with a status of (401|404|422)/.test(text));
    expect.soft(other, name).toEqual([]);
  });
  // A violation would be noticed.
  await page.evaluate(() => document.body.append(Object.assign(document.createElement("script"), { text: "1" })));
  await expect.poll(() => said.join()).toContain("refused: script-src");
});

test("a paused webhook is found and resumed with the keyboard alone, and the focus is visible", async ({ page, program, receiver }) => {
  await tellingState(program, receiver);
  await signIn(page, program);
  await tabTo(page, page.getByRole("link", { name: "On-call bot", exact: true }));
  await page.keyboard.press("Enter");
  const resume = page.getByRole("button", { name: "Resume", exact: true });
  await expect(resume).toBeVisible();
  await tabTo(page, resume);
  receiver.answers("/hooks/statuspulse", { status: 200 });
  await page.keyboard.press("Enter");
  await expect(page.getByRole("status")).toContainText("Resumed. 9 held deliveries are being delivered.");
});

/** Presses Tab until the element has the focus, and checks that every stop is visible and has an outline. */
async function tabTo(page, wanted) {
  for (let stop = 0; stop < 60; stop++) {
    await page.keyboard.press("Tab");
    const focused = page.locator(":focus");
    await expect(focused).toBeInViewport();
    await expect(focused).not.toHaveCSS("outline-style", "none");
    await expect(focused).toHaveCSS("outline-width", "3px");
    if (await wanted.evaluate((element) => element === document.activeElement)) return;
  }
  throw new Error("the Tab key does not reach the element");
}

test("the first tab stop skips to the content", async ({ page, program }) => {
  await signIn(page, program);
  await page.goto("/dashboard/account");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeFocused();
  await expect(page.getByRole("link", { name: "Skip to the content" })).toBeInViewport();
  await page.keyboard.press("Enter");
  await expect(page.getByRole("main")).toBeFocused();
  await page.keyboard.press("Tab");
  await expect(page.getByLabel("URL of an incoming webhook")).toBeFocused();
});

test.describe("without JavaScript", () => {
  test.use({ javaScriptEnabled: false });
  test("a webhook is created, paused and resumed", async ({ page, program, receiver }) => {
    await signIn(page, program);
    await page.goto("/dashboard/webhooks/new");
    await page.getByLabel("URL", { exact: true }).fill(receiver.url("/in"));
    await page.getByRole("button", { name: "Create Webhook" }).click();
    const state = page.getByRole("region", { name: /^State of/ });
    await expect(state).toContainText("Healthy. New events are delivered immediately.");
    await page.getByRole("button", { name: "Pause" }).click();
    await expect(state).toContainText("Paused since");
    await page.getByRole("button", { name: "Resume", exact: true }).click();
    await expect(state).toContainText("Healthy. New events are delivered immediately.");
    await expect(page.getByRole("button", { name: "Pause" })).toBeVisible();
  });
});

test("reduced motion turns transitions off", async ({ page, program }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await signIn(page, program);
  await expect(page.getByRole("button", { name: "Sign out" })).toHaveCSS("transition-duration", "0s");
});

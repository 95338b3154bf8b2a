// `make screenshots`: pictures of every page in every size and colour, in target/screenshots, for a person to look at;
// and docs/dashboard.png and docs/dashboard-list.png for the README.
import { chromium as browsers } from "@playwright/test";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium, startProgram, startReceiver } from "./program.js";
import { everyPage, tellingState } from "./state.js";

const root = (name) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const WIDTHS = [320, 360, 768, 1280, 1920];
const COLOURS = ["light", "dark"];

// The waits are long, so that the failing webhook is not paused before its picture is taken.
const program = await startProgram({ ladder: "1h,1h,1h,1h" });
const receiver = await startReceiver();
const browser = await browsers.launch(chromium.launchOptions);

async function signedIn(options) {
  const page = await (await browser.newContext(options)).newPage();
  await page.goto(await program.link());
  await page.getByRole("button", { name: "Open the dashboard" }).click();
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
  return page;
}

/** The receiver of the pictures is on this machine. A reader should see what a customer sees. */
async function withCustomersAddresses(page) {
  await page.evaluate((own) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(own, "https://hooks.example.com");
  }, receiver.url(""));
}

try {
  const webhooks = await tellingState(program, receiver);
  const pages = await everyPage(program, webhooks);
  for (const colorScheme of COLOURS) {
    for (const width of WIDTHS) {
      const folder = root(`target/screenshots/${width}-${colorScheme}`);
      mkdirSync(folder, { recursive: true });
      const page = await signedIn({ viewport: { width, height: 900 }, colorScheme });
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(program.url + path);
        await page.screenshot({ path: `${folder}/${name.replaceAll(" ", "-")}.png`, fullPage: true });
      }
      await page.context().close();
      console.log(`${Object.keys(pages).length} pages, ${width} pixels wide, ${colorScheme}`);
    }
  }

  const page = await signedIn({ viewport: { width: 1000, height: 800 }, colorScheme: "light", deviceScaleFactor: 2 });
  await withCustomersAddresses(page);
  await page.screenshot({ path: root("docs/dashboard-list.png") });
  await page.getByRole("link", { name: "On-call bot", exact: true }).click();
  await page.getByRole("heading", { name: /^Paused since/ }).waitFor();
  await withCustomersAddresses(page);
  await page.screenshot({ path: root("docs/dashboard.png") });
} finally {
  await browser.close();
  await program.stop();
  await receiver.close();
}

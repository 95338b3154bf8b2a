// Draws docs/dashboard.png and docs/dashboard-list.png from the real pages. Run it after a change of the pages.
import { chromium as browsers } from "@playwright/test";
import { fileURLToPath } from "node:url";
import { chromium, startProgram, startReceiver } from "./program.js";
import { tellingState } from "./state.js";

const file = (name) => fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url));

// The last wait is long, so that the failing webhook is not paused before its picture is taken.
const program = await startProgram({ ladder: "100ms,100ms,100ms,8s" });
const receiver = await startReceiver();
const browser = await browsers.launch(chromium.launchOptions);
try {
  await tellingState(program, receiver, { status: 503, body: "upstream connect error" });
  const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, colorScheme: "light" });
  await page.goto(await program.link());
  await page.getByRole("button", { name: "Open the dashboard" }).click();
  const list = page.getByRole("table");
  await list.waitFor();
  const { y, height } = await list.boundingBox();
  await page.screenshot({ path: file("dashboard-list.png"), clip: { x: 0, y: 0, width: 1100, height: y + height + 24 } });
  await page.getByRole("link", { name: "On-call bot", exact: true }).click();
  await page.getByRole("heading", { name: /^Paused since/ }).waitFor();
  await page.screenshot({ path: file("dashboard.png") });
} finally {
  await browser.close();
  await program.stop();
  await receiver.close();
}

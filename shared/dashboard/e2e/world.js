// The fixtures of every test: a program, a receiver and mocks; and a function that signs the browser in.
import { test as base } from "@playwright/test";
import { startProgram, startReceiver, startStandIns } from "./program.js";

export const test = base.extend({
  ladder: ["1s,1s,2s,2s", { option: true }],
  standIns: async ({}, use) => {
    const standIns = await startStandIns();
    await use(standIns);
    standIns.stop();
  },
  program: async ({ ladder, standIns }, use) => {
    const program = await startProgram({ ladder, pagerduty: standIns.pagerduty });
    await use(program);
    await program.stop();
  },
  receiver: async ({}, use) => {
    const receiver = await startReceiver();
    await use(receiver);
    await receiver.close();
  },
  baseURL: async ({ program }, use) => use(program.url),
});

export async function signIn(page, program, key) {
  await page.goto(await program.link(key));
  await page.getByRole("button", { name: "Open the dashboard" }).click();
  await page.getByRole("heading", { name: "Webhooks" }).waitFor();
}

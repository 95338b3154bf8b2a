import { defineConfig } from "@playwright/test";
import { chromium } from "./program.js";

export default defineConfig({
  testDir: ".",
  testMatch: "*.spec.js",
  // Each test has its own program, folder and receiver, so the tests can run in any order.
  fullyParallel: true,
  workers: 2,
  retries: 0,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: "list",
  outputDir: "../../../target/dashboard-e2e",
  use: { ...chromium, viewport: { width: 1100, height: 800 }, actionTimeout: 20_000, trace: "retain-on-failure" },
});

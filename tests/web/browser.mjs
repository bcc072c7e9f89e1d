// What the tests of the page stand on: one Chromium, one world, and a page of its own for each test.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { PHONE, launch } from "./chromium.mjs";
import { Cannot, makeWorld } from "./world.mjs";

const SHOTS = process.env.QANAT_WEB_SHOTS ?? fileURLToPath(new URL("../../build/web", import.meta.url));
export { PHONE };
export const PATIENCE = 20000;

export let world;
let browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  world = await makeWorld();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await world?.close();
});

// A test with a page of its own. Whatever it does: no request leaves the gateway, no violation of the policy, no error.
export function webTest(name, options, run) {
  test(name, { timeout: 120000 }, async (t) => {
    if (options.mock && !world.mock) return t.skip("of the mock alone");
    const context = await browser.newContext({
      viewport: { width: 1280, height: 860 },
      acceptDownloads: true,
      ...options.context,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const faults = [];
    await page.addInitScript(() => {
      globalThis.violations = [];
      document.addEventListener("securitypolicyviolation", (event) =>
        globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`),
      );
    });
    page.on("pageerror", (error) => faults.push(`script: ${error.stack}`));
    page.on("request", (request) => {
      if (!request.url().startsWith(world.base) && !request.url().startsWith("blob:"))
        faults.push(`a request to ${request.url()}`);
    });
    page.on("console", (message) => {
      // Refused and broken requests are logged by the browser; tests that cause them look at what the page says.
      if (message.type() === "error" && !/Failed to load resource/.test(message.text()))
        faults.push(`console: ${message.text()}`);
    });
    try {
      await run(page, t);
      faults.push(...(await page.evaluate(() => globalThis.violations ?? [])));
      assert.deepEqual(faults, []);
    } catch (error) {
      if (error instanceof Cannot) return t.skip(`the driver cannot do '${error.message}'`);
      await page
        .screenshot({ path: `${SHOTS}/failed-${name.replace(/[^a-z0-9]+/gi, "-").slice(0, 40)}.png` })
        .catch(() => {});
      throw error;
    } finally {
      await context.close();
    }
  });
}

export async function logIn(page, token = world.admin, hash = "") {
  await page.goto(`${world.base}${hash}`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("button", { name: "Log out" }).waitFor();
}
export const rowOf = (page, name) =>
  page.locator("table.tunnels tbody tr").filter({ has: page.getByRole("link", { name, exact: true }) });
export const heading = (page, name) => page.getByRole("heading", { level: 1, name, exact: true });
export async function settled(page) {
  await page.locator("#connection.good").waitFor();
  await page.waitForTimeout(300);
}
// Until the curves of this view have some points.
export async function drawn(page) {
  await page.waitForFunction(() =>
    [...document.querySelectorAll(".spark path")].some((path) => (path.getAttribute("d") ?? "").length > 20),
  );
}
export async function eventually(what, condition) {
  const until = Date.now() + PATIENCE;
  while (!(await condition())) {
    assert.ok(Date.now() < until, what);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}
export async function shot(page, name, options = { fullPage: true }) {
  await page.screenshot({ path: `${SHOTS}/${name}.png`, ...options });
}

// Pictures of every view of a gateway's page:  node shots.mjs TUNNEL ADDRESS
// QANAT_WEB_BASE, _TOKEN (read, write, capture), _SPKI as world.mjs has them; QANAT_WEB_SHOTS is the folder. One page stays
// open throughout, so that its curves grow; it is left on the overview for QANAT_WEB_SECONDS. Prints a line a picture, and
// ends with 1 when the page broke its own policy, asked anybody else, or threw.
import { PHONE, launch } from "./chromium.mjs";

const [tunnel, address] = process.argv.slice(2);
const { QANAT_WEB_BASE: base, QANAT_WEB_TOKEN: token, QANAT_WEB_SHOTS: folder } = process.env;
const seconds = Number(process.env.QANAT_WEB_SECONDS ?? 20);
const HIGHEST = 1300; // pixels of a long view, from its top
const faults = [];
const browser = await launch();

async function open(context) {
  const page = await (await browser.newContext(context)).newPage();
  page.setDefaultTimeout(20000);
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) faults.push(`a request to ${request.url()}`);
  });
  page.on("console", (message) => {
    if (/Content.Security|Trusted/i.test(message.text())) faults.push(message.text());
  });
  await page.goto(base);
  await page.getByLabel("Token").waitFor();
  return page;
}
async function logIn(page) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("table.tunnels tbody a").first().waitFor();
  await page.locator("#connection.good").waitFor();
}
// A change of the hash alone: the page keeps what it has seen so far.
async function view(page, hash, heading) {
  await page.goto(`${base}${hash}`);
  await page.getByRole("heading", { level: 1, name: heading, exact: true }).waitFor();
  await page.locator("#connection.good").waitFor();
}
async function shot(page, name) {
  await page.evaluate(() => {
    document.activeElement.blur();
    scrollTo(0, 0);
  });
  await page.waitForTimeout(400);
  const { width } = page.viewportSize();
  const height = Math.min(HIGHEST, await page.evaluate(() => document.documentElement.scrollHeight));
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true, clip: { x: 0, y: 0, width, height } });
  console.log(`${name}.png`);
}

async function everything() {
  const page = await open({ viewport: { width: 1200, height: 760 }, colorScheme: "light" });
  await shot(page, "login");
  await logIn(page);
  await page.waitForTimeout(seconds * 1000);
  await shot(page, "overview");
  await page.emulateMedia({ colorScheme: "dark" });
  await shot(page, "overview-dark");
  await page.emulateMedia({ colorScheme: "light" });
  await view(page, `#/tunnel/${encodeURIComponent(tunnel)}`, tunnel);
  await page.locator("figure canvas").nth(2).waitFor();
  await shot(page, "tunnel");
  await view(page, "#/routes", "Routes");
  await page.getByLabel("To", { exact: true }).fill(address);
  await page.keyboard.press("Enter");
  await page.locator(".answer", { hasText: tunnel }).waitFor();
  await shot(page, "routes");
  await view(page, "#/posture", "Posture");
  await shot(page, "posture");
  await view(page, "#/events", "Events");
  await page.locator(".events li").first().waitFor();
  await shot(page, "events");
  await view(page, "#/capture", "Capture");
  await page.getByLabel("Tunnel", { exact: true }).selectOption(tunnel);
  await page.getByRole("button", { name: "Start" }).click();
  await page.locator("main tbody tr, main .notice, #notices > *").first().waitFor();
  await page.waitForTimeout(3000);
  await shot(page, "capture");
  const phone = await open({ viewport: PHONE, isMobile: true, hasTouch: true });
  await logIn(phone);
  await phone.waitForTimeout(5000);
  await shot(phone, "phone");
}

try {
  await everything();
} catch (error) {
  faults.push(error.message);
}
await browser.close();
for (const fault of new Set(faults)) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;

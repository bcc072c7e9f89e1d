// The page in a real Chromium: `node --test page.test.mjs`. Against the mock, or a real daemon: see world.mjs.
// Screenshots of every view go to build/web.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { Cannot, makeWorld } from "./world.mjs";

const SHOTS = process.env.QANAT_WEB_SHOTS ?? fileURLToPath(new URL("../../build/web", import.meta.url));
const BROWSER =
  process.env.QANAT_CHROMIUM ??
  ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const PHONE = { width: 360, height: 740 };
const PATIENCE = 20000;

let world;
let browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  world = await makeWorld();
  const spki = process.env.QANAT_WEB_SPKI;
  browser = await chromium.launch({
    executablePath: BROWSER,
    args: ["--no-sandbox", "--disable-gpu", ...(spki ? [`--ignore-certificate-errors-spki-list=${spki}`] : [])],
  });
});
after(async () => {
  await browser?.close();
  await world?.close();
});

// A test with a page of its own. Whatever it does: no request leaves the gateway, no violation of the policy, no error.
function webTest(name, options, run) {
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

async function logIn(page, token = world.admin, hash = "") {
  await page.goto(`${world.base}${hash}`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("button", { name: "Log out" }).waitFor();
}
const rowOf = (page, name) =>
  page.locator("table.tunnels tbody tr").filter({ has: page.getByRole("link", { name, exact: true }) });
const heading = (page, name) => page.getByRole("heading", { level: 1, name, exact: true });
async function settled(page) {
  await page.locator("#connection.good").waitFor();
  await page.waitForTimeout(300);
}
async function eventually(what, condition) {
  const until = Date.now() + PATIENCE;
  while (!(await condition())) {
    assert.ok(Date.now() < until, what);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}
async function shot(page, name, options = { fullPage: true }) {
  await page.screenshot({ path: `${SHOTS}/${name}.png`, ...options });
}

// --- what anybody sees first

webTest("the first paint takes less than 200 KB, and all of it from the gateway", {}, async (page) => {
  const sizes = new Map();
  page.on("response", async (response) => {
    if (!/\/(v1|client)\//.test(response.url()))
      sizes.set(
        response.url(),
        response.body().then(
          (body) => body.length,
          () => 0,
        ),
      );
  });
  await page.goto(world.base, { waitUntil: "networkidle" });
  await heading(page, "Log in").waitFor();
  const total = (await Promise.all(sizes.values())).reduce((sum, size) => sum + size, 0);
  assert.ok(sizes.size > 5 && total > 50_000 && total < 200_000, `${sizes.size} files, ${total} B`);
  await shot(page, "login");
});

webTest("the policy for scripts and styles is strict, and nothing inline would run", {}, async (page) => {
  const reply = await page.goto(world.base);
  const policy = reply.headers()["content-security-policy"] ?? "";
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe-|\*|https?:|(script|style|connect)-src[^;]*data:/);
  assert.equal(reply.headers()["x-content-type-options"], "nosniff");
  const html = await reply.text();
  assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)/i);
});

webTest("a wrong token is refused in words; a right one opens the overview and stays in this tab", {}, async (page) => {
  await page.goto(world.base);
  assert.equal(await page.evaluate(() => document.activeElement.id), "token");
  await page.getByLabel("Token").fill("qanat_0000000000000000_wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "does not know this token" }).waitFor();
  await page.getByLabel("Token").fill(world.admin);
  await page.keyboard.press("Enter");
  await heading(page, "Overview").waitFor();
  await page.locator("table.tunnels tbody a").first().waitFor();
  const stored = await page.evaluate(() => [
    location.href,
    document.cookie,
    JSON.stringify(localStorage),
    JSON.stringify(sessionStorage),
  ]);
  assert.ok(
    stored.slice(0, 3).every((text) => !text.includes(world.admin)) && stored[3].includes(world.admin),
    "the token is in sessionStorage alone",
  );
  await page.reload();
  await heading(page, "Overview").waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await heading(page, "Log in").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

webTest("over TLS the browser has a hybrid key exchange", {}, async (page, t) => {
  if (!world.base.startsWith("https:")) return t.skip("the base URL is not https");
  const groups = [];
  const client = await page.context().newCDPSession(page);
  await client.send("Network.enable");
  client.on("Network.responseReceived", ({ response }) => groups.push(response.securityDetails?.keyExchangeGroup));
  await logIn(page);
  assert.ok(
    groups.length > 0 && groups.every((group) => group === "X25519MLKEM768"),
    `groups: ${[...new Set(groups)]}`,
  );
});

// --- what lives

webTest("a tunnel comes up, and the open page shows and says it", {}, async (page) => {
  const { name } = await world.ask("waiting");
  await logIn(page);
  await settled(page);
  const row = rowOf(page, name);
  await row.waitFor();
  assert.notEqual((await row.locator("td.state > .badge").innerText()).trim(), "up");
  await world.ask("up", name);
  await row.locator("td.state > .badge", { hasText: /^up$/ }).waitFor();
  await row.locator("td.keys", { hasText: "hybrid" }).waitFor();
  await eventually("a screen reader hears it", async () =>
    (await page.locator("#spoken").innerText()).includes(`${name} is up`),
  );
  await row.getByRole("link").click();
  await heading(page, name).waitFor();
  await page.locator(".events li", { hasText: "tunnel-up" }).first().waitFor();
});

webTest("a path degrades under the open page: state, loss, and why", {}, async (page) => {
  const { name } = await world.ask("steady");
  await logIn(page);
  await settled(page);
  await rowOf(page, name).locator("td.state > .badge", { hasText: /^up$/ }).waitFor();
  await world.ask("degrade", name);
  const state = rowOf(page, name).locator("td.state > .badge", { hasText: /^(degraded|no answer)$/ });
  await state.waitFor({ timeout: 100000 });
  assert.doesNotMatch(await rowOf(page, name).locator("td.loss").innerText(), /^(–|0 %)$/);
  assert.notEqual(await rowOf(page, name).locator("td.why").innerText(), "");
  assert.equal(await state.locator("svg.mark").count(), 1, "the state has a shape beside its word");
});

webTest("traffic becomes a rate, a curve and graphs", {}, async (page) => {
  const name = world.mock ? "site-b" : (await world.ask("steady")).name;
  await logIn(page);
  if (!world.mock) await world.ask("traffic", name);
  const row = rowOf(page, name);
  await eventually("a rate with a unit", async () =>
    /\d bit\/s|[kMG]bit\/s/.test(await row.locator("td.number").first().innerText()),
  );
  await eventually("a curve", async () => ((await row.locator(".spark path").getAttribute("d")) ?? "").length > 20);
  await row.getByRole("link").click();
  await page.locator("figure .u-over").first().waitFor();
  assert.equal(await page.locator("figure canvas").count(), 3);
  await page.locator("figcaption", { hasText: /sent: now .*bit\/s, highest/ }).waitFor();
});

webTest("a daemon restart under the open page: it says so, and recovers by itself", {}, async (page) => {
  await logIn(page);
  await settled(page);
  const names = await page.locator("table.tunnels tbody a").allInnerTexts();
  await world.ask("stop");
  try {
    await page.locator("#connection.bad", { hasText: "reconnecting" }).waitFor();
    await page.locator("#banner", { hasText: "does not answer" }).waitFor();
    assert.deepEqual(await page.locator("table.tunnels tbody a").allInnerTexts(), names, "what was known stays");
    await shot(page, "reconnecting", {});
  } finally {
    await world.ask("start");
  }
  await settled(page);
  assert.ok(await page.locator("#banner").isHidden());
  await page.getByRole("link", { name: "Events" }).click();
  await page.locator(".events li", { hasText: "started" }).waitFor();
  if (world.mock) assert.equal(await page.locator(".events li").count(), 2, "the events of the daemon before are gone");
});

webTest("a page that is loaded while the daemon is away waits for it", {}, async (page) => {
  await logIn(page);
  await settled(page);
  // The files come from the cache of a proxy here: only the API is away.
  await page.route(/\/v1\//, (route) => route.abort());
  await page.reload();
  await page.getByText("Reconnecting").waitFor();
  await page.unroute(/\/v1\//);
  await heading(page, "Overview").waitFor();
});

webTest("without a stream of events the page asks for them", { mock: true }, async (page) => {
  world.mock.streams = false;
  try {
    await logIn(page);
    await page.locator("#connection", { hasText: "live, by polling" }).waitFor();
    await page.getByRole("link", { name: "Events" }).click();
    world.mock.tell("warning", "peer-answered", { tunnel: "site-b", reason: "a test" });
    await page.locator(".events li", { hasText: "peer-answered" }).waitFor();
  } finally {
    world.mock.streams = true;
  }
});

webTest("events that the stream could not keep are told as missed", { mock: true }, async (page) => {
  await logIn(page, world.admin, "#/events");
  await page.locator("#connection", { hasText: /^live$/ }).waitFor();
  world.mock.miss(5);
  await page.locator(".events li", { hasText: "events-missed" }).getByText("count: 5").waitFor();
});

webTest(
  "a token that may not see the gateway is told so, not that the gateway is away",
  { mock: true },
  async (page) => {
    world.mock.tokens.set("tenant", { name: "tenant", account: "tenant", read: true, write: true, capture: false });
    await page.goto(world.base);
    await page.getByLabel("Token").fill("tenant");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "of account 'tenant'" }).waitFor();
  },
);

webTest("an expired token leads to the login, and from there back to the same view", {}, async (page) => {
  const { token } = await world.ask("token");
  await logIn(page, token, "#/posture");
  await settled(page);
  await world.ask("expire", token);
  await heading(page, "Log in").waitFor();
  await page.getByRole("alert").filter({ hasText: "not accepted any more" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.getByLabel("Token").fill(world.admin);
  await page.keyboard.press("Enter");
  await heading(page, "Posture").waitFor();
});

// --- what one may do

webTest("a read-only token sees no button that it cannot use", {}, async (page) => {
  const { name } = await world.ask("steady").catch(() => ({ name: null }));
  await logIn(page, world.reader);
  await settled(page);
  assert.equal(await page.getByRole("link", { name: "Capture" }).count(), 0);
  await page.getByText("(read only)").waitFor();
  await (name ? rowOf(page, name).getByRole("link") : page.locator("table.tunnels tbody a").first()).click();
  await page.getByRole("heading", { name: "Handshake" }).waitFor();
  assert.equal(await page.getByRole("button", { name: /Bring up|Take down|New keys|PSK/ }).count(), 0);
  await page.goto(`${world.base}#/capture`);
  await page.getByText("may not capture").waitFor();
  assert.equal(await page.getByRole("button", { name: "Start" }).count(), 0);
});

webTest("down and up again, asked before it is done", { mock: true }, async (page) => {
  await logIn(page, world.admin, "#/tunnel/site-b");
  await page.getByRole("button", { name: "Take down" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal(world.mock.named("site-b").actual, "up");
  await page.getByRole("button", { name: "Take down" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take down" }).click();
  await page.locator(".heading .badge", { hasText: "kept down" }).waitFor();
  await page.getByRole("button", { name: "Bring up" }).click();
  await page.locator(".heading .badge", { hasText: /^up$/ }).waitFor();
  await page.getByRole("button", { name: "New keys" }).click();
  await page.locator(".events li", { hasText: "new-keys" }).waitFor();
});

webTest("a PSK is generated, shown once, and gone with its window", {}, async (page) => {
  const { name } = await world.ask("steady");
  await logIn(page, world.admin, `#/tunnel/${encodeURIComponent(name)}`);
  await page.getByRole("button", { name: "Generate a PSK" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Generate" }).click();
  const secret = page.getByLabel("The new pre-shared key");
  await secret.waitFor();
  const psk = await secret.innerText();
  assert.ok(psk.length >= 32, `a key of ${psk.length} characters`);
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByText(/Copied|Selected/).waitFor();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(!(await page.content()).includes(psk));
});

webTest("what the configuration file owns is refused with its place", { mock: true }, async (page) => {
  await logIn(page, world.admin, "#/tunnel/site-c");
  await page.getByRole("button", { name: "Generate a PSK" }).click();
  await page.getByRole("status").filter({ hasText: "/etc/qanat/qanat.toml, line 12" }).waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
});

webTest("a capture: bad values are named, it runs, is stopped and downloaded as pcapng", {}, async (page) => {
  const { name } = await world.ask("steady");
  await logIn(page, world.admin, "#/capture");
  await page.getByLabel("Tunnel", { exact: true }).selectOption(name);
  await page.getByLabel("Seconds").fill("5000");
  await page.getByLabel("Destination port").fill("port");
  await page.getByRole("button", { name: "Start" }).click();
  await page
    .getByRole("alert")
    .filter({ hasText: /Destination port: .*65535.*Seconds: .*300/ })
    .waitFor();
  await page.getByLabel("Seconds").fill("60");
  await page.getByLabel("Destination port").fill("");
  await page.getByRole("button", { name: "Start" }).click();
  const row = page.locator("tbody tr").filter({ hasText: name }).first();
  await row.getByText("running").waitFor();
  await world.ask("traffic", name);
  await eventually("packets are counted", async () =>
    /^[1-9]/.test(await row.locator("td.number").first().innerText()),
  );
  await shot(page, "capture");
  await row.getByRole("button", { name: "Stop" }).click();
  await row.getByText("complete").waitFor();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    row.getByRole("button", { name: "Download" }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^qanat-.*\.pcapng$/);
  assert.equal(readFileSync(await download.path()).readUInt32LE(0), 0x0a0d0d0a, "a section header of pcapng");
});

webTest("routes: the chosen path for an address, no route, and what is no address", { mock: true }, async (page) => {
  await logIn(page, world.admin, "#/routes");
  await page.locator("tbody tr", { hasText: "10.2.0.0/24" }).first().waitFor();
  await page.getByLabel("To", { exact: true }).fill("10.2.0.2");
  await page.keyboard.press("Enter");
  await page.locator(".answer", { hasText: "through site-b" }).waitFor();
  await page.locator(".answer li").first().waitFor();
  await shot(page, "routes");
  await page.getByLabel("To", { exact: true }).fill("8.8.8.8");
  await page.keyboard.press("Enter");
  await page.locator(".answer", { hasText: "dropped" }).waitFor();
  await page.getByLabel("To", { exact: true }).fill("nonsense");
  await page.keyboard.press("Enter");
  await page.locator(".answer .problem", { hasText: "must be an IP address" }).waitFor();
});

webTest("posture: who is classical, why, the exact line, and the ledger", { mock: true }, async (page) => {
  await logIn(page, world.admin, "#/posture");
  const card = page
    .locator(".cards li")
    .filter({ has: page.getByRole("link", { name: "site-c", exact: true }) })
    .first();
  await card.getByText(/^proposals = .*-ke1_mlkem768$/).waitFor();
  await page.locator("tbody tr", { hasText: "site-c" }).waitFor();
  await page.locator("figcaption", { hasText: /now \d/ }).waitFor();
  await page.waitForTimeout(4500);
  await shot(page, "posture");
});

webTest("with nothing configured the page says what to do", { mock: true }, async (page) => {
  const { tunnels } = world.mock;
  world.mock.tunnels = [];
  try {
    await logIn(page);
    await page.getByText("[[tunnel]]").first().waitFor();
    await page.getByText("qanat reload").waitFor();
    assert.equal(await page.locator("table.tunnels").isVisible(), false);
  } finally {
    world.mock.tunnels = tunnels;
  }
});

webTest("text of a peer is text, never markup", { mock: true }, async (page) => {
  const name = "<img src=x onerror=alert(1)>";
  world.mock.tunnels.push({
    ...structuredClone(world.mock.named("site-d")),
    name,
    reason: "<b>bold</b><script>alert(1)</script>",
  });
  world.mock.tell("warning", "attempt-failed", { tunnel: name, reason: "<svg/onload=alert(1)>" });
  try {
    await logIn(page);
    await rowOf(page, name).getByRole("link").click();
    await heading(page, name).waitFor();
    await page.locator(".events li", { hasText: "<svg/onload=alert(1)>" }).waitFor();
    assert.equal(await page.locator("main img, main b b, main script").count(), 0);
  } finally {
    world.mock.tunnels.pop();
    world.mock.events.pop();
  }
});

// --- who uses it, and with what

webTest("all of it by keyboard: log in, sort, open, ask, cancel, and the focus is never lost", {}, async (page) => {
  const active = () =>
    page.evaluate(() =>
      document.activeElement === document.body
        ? "body"
        : document.activeElement.textContent.trim() || document.activeElement.id,
    );
  const tabTo = async (text, most = 40) => {
    for (let presses = 0; presses < most; ++presses) {
      if ((await active()).startsWith(text)) {
        const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.equal(ring, "solid", `a ring around ${text}`);
        return;
      }
      await page.keyboard.press("Tab");
    }
    assert.fail(`Tab does not reach '${text}'`);
  };
  await page.goto(world.base);
  await heading(page, "Log in").waitFor();
  await page.keyboard.type(world.admin);
  await page.keyboard.press("Enter");
  await heading(page, "Overview").waitFor();
  await page.locator("table.tunnels tbody a").first().waitFor();
  assert.equal(await active(), "Overview", "a new view has the focus on its heading");
  await tabTo("Tunnel");
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort=ascending]", { hasText: "Tunnel" }).waitFor();
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort=descending]", { hasText: "Tunnel" }).waitFor();
  const first = await page.locator("table.tunnels tbody a").first().innerText();
  await tabTo(first);
  await page.waitForTimeout(4500);
  assert.equal(await active(), first, "the focus stays while values change");
  await page.keyboard.press("Enter");
  await heading(page, first).waitFor();
  assert.equal(await active(), first);
  await tabTo("Generate a PSK");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await active(), "Generate a PSK", "the focus goes back to the button");
  await page.evaluate(() => {
    document.activeElement.blur();
    scrollTo(0, 0);
  });
  await page.reload();
  await heading(page, first).waitFor();
  await page.evaluate(() => document.querySelector(".skip").focus());
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main", "the first link skips to the content");
  await heading(page, first).waitFor();
});

const VIEWS = ["", "#/routes", "#/posture", "#/events", "#/capture", "#/tunnel/"];
async function everyView(page, look) {
  const { name } = await world.ask("steady").catch(() => ({ name: "site-c" }));
  await logIn(page);
  await settled(page);
  for (const view of VIEWS) {
    const hash = view === "#/tunnel/" ? `${view}${encodeURIComponent(name)}` : view;
    await page.goto(`${world.base}${hash || "#/"}`);
    await settled(page);
    await look(hash.replace(/[#/]+/g, " ").trim().split(" ")[0] || "overview");
  }
}

webTest("every view has landmarks, one heading, names for controls, captions for tables", {}, async (page) => {
  await everyView(page, async (view) => {
    const faults = await page.evaluate(() => {
      const out = [];
      const shown = (node) => node.checkVisibility();
      const name = (node) =>
        (node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.textContent).trim();
      if ([...document.querySelectorAll("h1")].filter(shown).length !== 1) out.push("not one h1");
      for (const role of ["header", "nav", "main"]) if (!document.querySelector(role)) out.push(`no ${role}`);
      for (const control of document.querySelectorAll("button, a, input, select"))
        if (shown(control) && !name(control)) out.push(`no name: ${control.outerHTML}`);
      for (const table of document.querySelectorAll("table:not(.u-legend)"))
        if (!table.caption) out.push("a table without a caption");
      for (const head of document.querySelectorAll("main thead th"))
        if (!head.hasAttribute("scope")) out.push("a head without a scope");
      for (const picture of document.querySelectorAll("main svg"))
        if (!picture.closest("[aria-hidden]") && !picture.getAttribute("aria-label"))
          out.push("a picture without words");
      const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
      if (new Set(ids).size !== ids.length) out.push("an id twice");
      return out;
    });
    assert.deepEqual(faults, [], view);
    assert.match(await page.title(), / · Qanat$/);
  });
});

for (const colorScheme of ["light", "dark"]) {
  webTest(`${colorScheme}: every text has a contrast of 4.5 or more`, { context: { colorScheme } }, async (page) => {
    await everyView(page, async (view) => {
      if (view === "overview") await page.waitForTimeout(9000); // curves grow
      const weak = await page.evaluate(() => {
        const numbers = (text) => text.match(/[\d.]+/g).map(Number);
        const light = ([r, g, b]) =>
          [r, g, b]
            .map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const paper = (node) => {
          for (; node; node = node.parentElement) {
            const colour = numbers(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.99) return colour;
          }
          return numbers(getComputedStyle(document.documentElement).backgroundColor);
        };
        const out = [];
        for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
          const node = walker.currentNode.parentElement;
          if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest(".unseen, script, title"))
            continue;
          const style = getComputedStyle(node);
          const [a, b] = [light(numbers(node instanceof SVGElement ? style.fill : style.color)), light(paper(node))];
          const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          if (contrast < 4.5)
            out.push(
              `${contrast.toFixed(2)} ${node.tagName}.${node.getAttribute("class")} ${walker.currentNode.data.trim().slice(0, 30)}`,
            );
        }
        return out;
      });
      assert.deepEqual(weak, [], view);
      if (view !== "posture" && view !== "routes" && view !== "capture")
        await shot(page, colorScheme === "dark" ? `${view}-dark` : view);
    });
    const paper = await page.evaluate(
      () => getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number)[0],
    );
    assert.ok(colorScheme === "dark" ? paper < 60 : paper > 200, `the paper is ${paper}`);
  });
}

webTest(
  "on a phone nothing scrolls sideways",
  { context: { viewport: PHONE, isMobile: true, hasTouch: true, deviceScaleFactor: 2 } },
  async (page) => {
    await everyView(page, async (view) => {
      const [wide, view_] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
      if (view === "overview") {
        const clipped = await page
          .locator("table.tunnels td, table.tunnels tbody a")
          .evaluateAll((cells) =>
            cells
              .filter((cell) => cell.checkVisibility() && cell.scrollWidth > cell.clientWidth && cell.clientWidth > 0)
              .map((cell) => cell.textContent),
          );
        assert.deepEqual(clipped, [], "no state, key or number is cut off");
        assert.ok(
          (await page.locator("table.tunnels tbody th").first().boundingBox()).width > 70,
          "the name has its place",
        );
      }
      assert.ok(wide <= PHONE.width && view_ <= PHONE.width, `${view}: ${wide} px of content, ${view_} px of view`);
      await shot(page, `phone-${view}`);
    });
  },
);

webTest(
  "a thousand tunnels: few lines exist, the thread stays free, filter and sort work, the last line is reached",
  { mock: true },
  async (page) => {
    const { tunnels } = world.mock;
    world.mock.many(1000);
    try {
      await page.addInitScript(() => {
        globalThis.long = [];
        new PerformanceObserver((list) =>
          globalThis.long.push(...list.getEntries().map((entry) => Math.round(entry.duration))),
        ).observe({ type: "longtask", buffered: true });
      });
      await logIn(page);
      await page.getByText("1,000 tunnels").waitFor();
      await page.evaluate(() => {
        globalThis.long.length = 0;
      });
      await page.waitForTimeout(10000);
      for (let at = 0; at < 20; ++at) await page.mouse.wheel(0, 1500).then(() => page.waitForTimeout(30));
      const long = await page.evaluate(() => globalThis.long);
      assert.ok((await page.locator("table.tunnels tbody tr").count()) < 80, "only lines in sight exist");
      assert.ok(
        Math.max(0, ...long) < 250,
        `tasks over 50 ms while it was read and scrolled: ${long.join(" ") || "none"} ms`,
      );
      console.log(`    1,000 tunnels: tasks over 50 ms in 10 s and 20 scrolls: ${long.join(" ") || "none"} ms`);
      await page.evaluate(() => scrollTo(0, 0));
      await page.getByLabel("Filter").fill("branch-777");
      await page.getByText("1 of 1,000 tunnels").waitFor();
      await rowOf(page, "branch-777").waitFor();
      await page.getByLabel("Filter").fill("");
      await page.locator("thead").getByRole("button", { name: "Tunnel" }).click();
      await rowOf(page, "branch-1").waitFor();
      await page.waitForTimeout(2500);
      assert.ok((await rowOf(page, "branch-1").locator("th").boundingBox()).width > 100, "the name has its place");
      await shot(page, "thousand", {});
      await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
      await rowOf(page, "branch-1000").waitFor();
      assert.equal(await page.locator("table.tunnels").getAttribute("aria-rowcount"), "1001");
      assert.equal(await rowOf(page, "branch-1000").getAttribute("aria-rowindex"), "1001");
    } finally {
      world.mock.tunnels = tunnels;
    }
  },
);

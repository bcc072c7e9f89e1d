// The page: what anybody sees first, what lives under the open page, what one may do.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { eventually, heading, logIn, rowOf, settled, shot, webTest, world } from "./browser.mjs";

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
  assert.match(policy, /require-trusted-types-for 'script'; trusted-types 'none'/);
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
  await page.locator(".events li", { hasText: /started|ready/ }).first().waitFor();
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
    world.mock.tell("warning", "peer-answered", { tunnel: "site-b", reason: "asked for by a test" });
    await page.locator(".events li", { hasText: "asked for by a test" }).waitFor();
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
  await page.locator("dialog").waitFor({ state: "detached" });  // a closed one has no role, and is still there for a moment
  assert.ok(!(await page.content()).includes(psk));
});

webTest("what the configuration file owns is refused with its place", { mock: true }, async (page) => {
  await logIn(page, world.admin, "#/tunnel/site-c");
  await page.getByRole("button", { name: "Generate a PSK" }).click();
  await page.getByRole("status").filter({ hasText: "/etc/qanat/qanat.toml, line 12" }).waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
});

webTest("a capture: bad values are named, it runs, is stopped and downloaded as pcapng", {}, async (page) => {
  await world.ask("captures");
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

// The page: by keyboard, by screen reader, light and dark, on a phone, with a thousand tunnels.
import assert from "node:assert/strict";

import { PHONE, drawn, heading, logIn, rowOf, settled, shot, webTest, world } from "./browser.mjs";

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
      if (view === "overview") await drawn(page);
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

import { chart } from "../chart.js";
import { el, empty, keysOnce, mark, section, stateOnce, table, tunnelLink } from "../dom.js";
import { count, date, duration, octets, percent } from "../format.js";
import { KEYS, countOf, keysOf, sorted, stateOf } from "../model.js";
import { remediesFor } from "../remedy.js";

const SHOWN = 300;

// What to change, where, with the exact line.
export function remedyList(remedies) {
  if (remedies.length === 0) return null;
  return el(
    "ol",
    { class: "remedies", "aria-label": "What to change" },
    remedies.map(({ where, what, line }) =>
      el(
        "li",
        {},
        el("span", {}, what),
        " ",
        line ? el("code", { class: "line" }, line) : null,
        el("small", {}, `On ${where}.`),
      ),
    ),
  );
}

export function posture(live) {
  const share = chart({
    title: "Share of tunnels with quantum-safe keys",
    format: percent,
    fixed: [0, 1],
    series: [{ label: "of those that are up", colour: "--series-1" }],
  });
  const now = el("p", { class: "verdict" });
  const change = el("div", {});
  const ledger = el("div", {});
  let seen = "";

  function lists() {
    const weak = live.tunnels
      .map((t) => ({ t, ...keysOf(t) }))
      .filter(({ keys, code }) => keys === "classical" || (keys === "none" && code));
    const shown = JSON.stringify(live.tunnels.map((t) => [t.name, t.posture, keysOf(t), t.ike?.remote, stateOf(t)]));
    if (shown === seen) return;
    seen = shown;
    change.replaceChildren(
      weak.length === 0
        ? el("p", {}, mark("good"), " Nothing: no tunnel that is up has classical keys.")
        : el(
            "ul",
            { class: "cards" },
            weak
              .slice(0, SHOWN)
              .map(({ t, keys, reason, code }) =>
                el(
                  "li",
                  {},
                  el("h3", {}, tunnelLink(t.name), " ", keysOnce(keys), code ? [" ", el("code", {}, code)] : null),
                  reason ? el("p", {}, reason) : null,
                  remedyList(remediesFor(t, code)),
                ),
              ),
          ),
    );
    const rows = sorted(live.rows, "keys").map((row) => live.byName.get(row.name));
    const total = (field) => rows.reduce((sum, t) => sum + t.posture[field], 0);
    const number = { className: "number" };
    ledger.replaceChildren(
      el(
        "p",
        {},
        "Whoever records traffic today and owns a quantum computer later reads ",
        el("b", {}, octets(total("classical_bytes"))),
        " of what was carried, and not ",
        el("b", {}, octets(total("safe_bytes"))),
        ".",
      ),
      table(
        `The harvest ledger${rows.length > SHOWN ? `, the first ${SHOWN} of ${count(rows.length)} tunnels; qanat posture --csv has all` : ""}`,
        [
          { title: "Tunnel" },
          { title: "State" },
          { title: "Keys now" },
          { title: "Under classical keys", ...number },
          { title: "for", ...number },
          { title: "Under safe keys", ...number },
          { title: "for", ...number },
          { title: "First hybrid" },
          { title: "Last classical" },
        ],
        rows
          .slice(0, SHOWN)
          .map((t) => [
            tunnelLink(t.name),
            stateOnce(stateOf(t)),
            el("span", {}, keysOnce(keysOf(t).keys), t.posture.fell_to_classical ? " fell from hybrid" : ""),
            octets(t.posture.classical_bytes),
            duration(t.posture.classical_seconds),
            octets(t.posture.safe_bytes),
            duration(t.posture.safe_seconds),
            t.posture.first_hybrid_at ? date(t.posture.first_hybrid_at) : "never",
            t.posture.last_classical_at ? date(t.posture.last_classical_at) : "never",
          ]),
      ),
    );
  }

  const none = empty(
    el("p", {}, el("strong", {}, "No tunnel is configured."), " There is nothing to be read, today or later."),
  );
  const full = el(
    "div",
    {},
    now,
    section("What to change", change),
    section("Over time", el("p", { class: "quiet" }, "Since this page was opened. Times are UTC."), share.node),
    section("Harvest ledger", ledger),
  );
  return {
    title: "Posture",
    node: el("div", { class: "view" }, el("h1", { tabindex: "-1" }, "Posture"), none, full),
    update() {
      none.hidden = live.tunnels.length > 0;
      full.hidden = live.tunnels.length === 0;
      if (full.hidden) return;
      const counts = countOf(live.rows);
      const safe = counts.hybrid + counts.ppk;
      now.replaceChildren(
        mark(counts.up === 0 ? "idle" : counts.classical > 0 ? "bad" : "good"),
        " ",
        counts.up === 0
          ? "No tunnel is up."
          : `${count(safe)} of ${count(counts.up)} tunnels that are up have quantum-safe keys (${percent(safe / counts.up)}); ` +
              `${count(counts.classical)} ${KEYS.classical.word}: ${KEYS.classical.means}.`,
      );
      lists();
      share.set(live.shares.times, [live.shares.hybrid]);
    },
    destroy: share.destroy,
  };
}

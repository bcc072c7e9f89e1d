import { el, empty, mark, section, table, tunnelLink } from "../dom.js";
import { count } from "../format.js";

const HOST = "@host"; // networks of the gateway's own

const SHOWN = 500;

// What the state of its tunnel adds to a route's priority, in words.
export function penaltyWords(route) {
  if (route.refused) return "refused: no hybrid keys";
  if (route.penalty >= 2000000) return `+${count(route.penalty)}: no SA`;
  if (route.penalty >= 1000000) return `+${count(route.penalty)}: no answer`;
  if (route.penalty >= 500000) return `+${count(route.penalty)}: degraded`;
  return route.penalty > 0 ? `+${count(route.penalty)}: classical keys` : "0";
}

export function routes(live, session) {
  const address = el("input", {
    id: "address",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "10.1.2.3 or 2001:db8::1",
  });
  const from = el("input", { id: "from", autocomplete: "off", spellcheck: "false", placeholder: "optional" });
  const answer = el("div", { class: "answer", role: "status" });
  const words = el("input", {
    id: "route-filter",
    type: "search",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "prefix or tunnel",
    oninput: () => list(),
  });
  const target = el("div", {});
  let all = null;
  let shown = "";
  let timer = 0;

  async function look(event) {
    event?.preventDefault();
    const wanted = address.value.trim();
    const source = from.value.trim();
    if (!wanted) return;
    try {
      const found = await session.api.get(
        `/v1/routes/${encodeURIComponent(wanted)}${source ? `?from=${encodeURIComponent(source)}` : ""}`,
      );
      answer.replaceChildren(
        el(
          "p",
          { class: "verdict" },
          mark(found.tunnel ? "good" : "bad"),
          " ",
          el("b", {}, found.address),
          found.prefix ? ` is in ${found.prefix}: ` : " has no route: ",
          found.tunnel === HOST
            ? "to the host itself"
            : found.tunnel ? el("span", {}, "through ", tunnelLink(found.tunnel)) : el("b", {}, "dropped"),
        ),
        el("p", {}, found.summary),
        found.hops.length > 0
          ? el(
              "ul",
              {},
              found.hops.map((hop) => el("li", {}, hop)),
            )
          : "",
      );
    } catch (error) {
      answer.replaceChildren(el("p", { class: "problem" }, mark("bad"), ` ${error.message}`));
    }
  }

  function list() {
    if (all === null) return;
    const wanted = words.value.toLowerCase();
    const fit = all.filter((route) => `${route.prefix} ${route.tunnel}`.toLowerCase().includes(wanted));
    const now = JSON.stringify(fit.slice(0, SHOWN));
    if (now === shown) return;
    shown = now;
    const number = { className: "number" };
    const vrfs = new Set(all.map((route) => route.vrf)).size > 1;
    target.replaceChildren(
      all.length === 0
        ? empty(
            el("p", {}, el("strong", {}, "There is no route.")),
            el(
              "p",
              {},
              "Give a tunnel ",
              el("code", {}, 'routes = ["10.1.0.0/16"]'),
              ", or add a ",
              el("code", {}, "[[route]]"),
              ", and run ",
              el("code", {}, "qanat reload"),
              ".",
            ),
          )
        : table(
            `${count(fit.length)} of ${count(all.length)} routes${fit.length > SHOWN ? `, the first ${SHOWN}` : ""}. The lowest sum of priority and penalty wins.`,
            [
              ...(vrfs ? [{ title: "VRF", ...number }] : []),
              { title: "Prefix" },
              { title: "Tunnel" },
              { title: "Priority", ...number },
              { title: "Penalty now", ...number },
              { title: "Weight", ...number },
              { title: "Keys" },
            ],
            fit
              .slice(0, SHOWN)
              .map((route) => [
                ...(vrfs ? [count(route.vrf)] : []),
                el("code", {}, route.prefix),
                route.tunnel === HOST ? "the host" : tunnelLink(route.tunnel),
                count(route.priority),
                penaltyWords(route),
                count(route.weight),
                route.pq === "require" ? "hybrid only" : "any",
              ]),
          ),
    );
  }

  async function read() {
    try {
      all = (await session.api.get("/v1/routes")).routes;
      list();
    } catch {
      // the page's head says that the gateway does not answer; the last routes stay
    }
    timer = setTimeout(read, Math.max(5000, 5 * (all?.length ?? 0)));
  }
  read();

  return {
    title: "Routes",
    node: el(
      "div",
      { class: "view" },
      el("h1", { tabindex: "-1" }, "Routes"),
      section(
        "Where does a packet go?",
        el(
          "form",
          { class: "tools", onsubmit: look },
          el("label", { for: "address" }, "To"),
          address,
          el("label", { for: "from" }, "From"),
          from,
          el("button", { class: "primary" }, "Look up"),
        ),
        answer,
      ),
      section(
        "Every route",
        el("div", { class: "tools" }, el("label", { for: "route-filter" }, "Filter"), words),
        target,
      ),
    ),
    update() {},
    destroy: () => clearTimeout(timer),
  };
}

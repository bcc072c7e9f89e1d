import { el, empty, keysBadge, mark, section, setAttribute, setText, stateBadge, svg, tunnelHref } from "../dom.js";
import { count, latency, percent, plural, rate } from "../format.js";
import { sparkline, sums } from "../history.js";
import { countOf, matches, sorted } from "../model.js";
import { Rows } from "../rows.js";
import { signature, topology } from "../topology.js";

const SPARK = { points: 60, width: 90, height: 20 };
const COLUMNS = [
  { by: "name", title: "Tunnel" },
  { by: "state", title: "State" },
  { by: "keys", title: "Keys" },
  { by: "rate", title: "Traffic", className: "number" },
  { by: "loss", title: "Loss", className: "number" },
  { by: "latency", title: "Round trip", className: "number" },
  { title: "Peer", className: "peer" },
  { title: "What is wrong, or why", className: "why" },
];

// What was typed and clicked stays while other views are looked at.
const kept = { filter: "", by: "state", backwards: false };

export function overview(live) {
  const numbers = el("ul", { class: "counts", "aria-label": "Counts" });
  const picture = el("div", { class: "picture" });
  const filter = el("input", {
    type: "search",
    id: "filter",
    placeholder: "name, state, keys, peer or prefix",
    value: kept.filter,
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => {
      kept.filter = filter.value;
      list();
    },
  });
  const found = el("span", { class: "quiet", role: "status" });
  const heads = COLUMNS.map((column) => head(column));
  const table = el(
    "table",
    { class: "tunnels" },
    el("caption", { class: "unseen" }, "Every tunnel. The buttons in the first line sort."),
    el(
      "thead",
      {},
      el(
        "tr",
        { "aria-rowindex": "1" },
        heads.map(({ node }) => node),
      ),
    ),
  );
  const rows = new Rows(table, (item) => line(item, live));
  const none = empty(
    el("p", {}, el("strong", {}, "No tunnel is configured.")),
    el(
      "p",
      {},
      "Add a ",
      el("code", {}, "[[tunnel]]"),
      " to the configuration file and run ",
      el("code", {}, "qanat reload"),
      ", or make one through the API:",
    ),
    el(
      "pre",
      {},
      '[[tunnel]]\nname      = "berlin"\npeer      = "198.51.100.7"\npsk_file  = "/etc/qanat/berlin.psk"   # qanat genpsk -o …\n' +
        'interface = "10.255.0.0/31"\nroutes    = ["10.1.0.0/16"]',
    ),
  );
  const unmatched = empty(
    el(
      "p",
      {},
      "No tunnel has all of these words. ",
      el(
        "button",
        {
          onclick: () => {
            filter.value = kept.filter = "";
            list();
            filter.focus();
          },
        },
        "Show all",
      ),
    ),
  );
  const listed = section(
    "Tunnels",
    el("div", { class: "tools" }, el("label", { for: "filter" }, "Filter"), filter, found),
    table,
    unmatched,
  );
  const drawn = section("Sites and paths", picture);
  const node = el("div", { class: "view" }, el("h1", { tabindex: "-1" }, "Overview"), numbers, none, drawn, listed);
  let seen = "";

  function head({ by, title, className }) {
    if (!by) return { node: el("th", { scope: "col", class: className }, title) };
    const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
    const button = el(
      "button",
      {
        class: "plain",
        onclick: () => {
          kept.backwards = kept.by === by && !kept.backwards;
          kept.by = by;
          list();
        },
      },
      title,
      arrow,
    );
    return { by, arrow, node: el("th", { scope: "col", class: className ?? by }, button) };
  }

  function list() {
    for (const { by, arrow, node: cell } of heads) {
      if (!by) continue;
      setAttribute(cell, "aria-sort", kept.by === by ? (kept.backwards ? "descending" : "ascending") : null);
      setText(arrow, kept.by === by ? (kept.backwards ? " ↑" : " ↓") : "");
    }
    const shown = sorted(
      live.rows.filter((row) => matches(row, kept.filter)),
      kept.by,
      kept.backwards,
    );
    setText(
      found,
      kept.filter.trim()
        ? `${count(shown.length)} of ${plural(live.rows.length, "tunnel")}`
        : plural(live.rows.length, "tunnel"),
    );
    unmatched.hidden = shown.length > 0;
    table.hidden = shown.length === 0;
    rows.set(shown);
  }

  function draw() {
    const width = picture.clientWidth;
    if (width === 0) return;
    const now = signature(live.tunnels, width);
    if (now === seen) return;
    seen = now;
    picture.replaceChildren(topology(live.tunnels, width));
  }
  const resize = new ResizeObserver(draw);
  resize.observe(picture);

  return {
    title: "Overview",
    node,
    update() {
      const all = live.tunnels.length > 0;
      none.hidden = all || live.status === null;
      drawn.hidden = listed.hidden = !all;
      numbers.hidden = live.status === null;
      show(numbers, countOf(live.rows));
      list();
      draw();
    },
    destroy() {
      resize.disconnect();
      rows.destroy();
    },
  };
}

function show(node, counts) {
  const items = [
    ["up", `${count(counts.up)} of ${count(counts.tunnels)}`, counts.up === counts.tunnels ? "good" : "idle"],
    ["hybrid", count(counts.hybrid), counts.hybrid > 0 ? "good" : "idle"],
    ...(counts.ppk > 0 ? [["PPK", count(counts.ppk), "good"]] : []),
    ["classical", count(counts.classical), counts.classical > 0 ? "bad" : "good"],
    ["degraded", count(counts.degraded), counts.degraded > 0 ? "warn" : "good"],
    ["down or no answer", count(counts.wrong), counts.wrong > 0 ? "bad" : "good"],
  ];
  if (node.children.length !== items.length)
    node.replaceChildren(
      ...items.map(() => el("li", {}, el("span", { class: "sign" }), el("b", {}), " ", el("span", {}))),
    );
  items.forEach(([word, value, tone], index) => {
    const [sign, number, text] = node.children[index].children;
    if (sign.dataset.tone !== tone) {
      sign.dataset.tone = tone;
      sign.replaceChildren(mark(tone));
    }
    setText(number, value);
    setText(text, word);
  });
}

// One tunnel: only what has changed is written.
function line(item, live) {
  const state = stateBadge();
  const keys = keysBadge();
  const keysBelow = keysBadge();
  const curve = svg("path", {});
  const spark = svg(
    "svg",
    { class: "spark", viewBox: `0 -1 ${SPARK.width} ${SPARK.height + 2}`, "aria-hidden": "true" },
    curve,
  );
  const [traffic, loss, trip, peer, why, below] = ["span", "span", "span", "span", "span", "small"].map((tag) =>
    el(tag, {}),
  );
  below.className = "below";
  const node = el(
    "tr",
    {},
    el("th", { scope: "row", class: "name" }, el("a", { href: tunnelHref(item.name) }, item.name), below),
    el("td", { class: "state" }, state.node, el("div", { class: "keys-below" }, keysBelow.node)),
    el("td", { class: "keys" }, keys.node),
    el("td", { class: "number" }, spark, traffic),
    el("td", { class: "number loss" }, loss),
    el("td", { class: "number latency" }, trip),
    el("td", { class: "peer" }, peer),
    el("td", { class: "why" }, why),
  );
  return {
    node,
    set(row) {
      state.set(row.state);
      keys.set(row.keys, row.keysWhy);
      keysBelow.set(row.keys, row.keysWhy);
      setText(traffic, rate(row.rate));
      setText(loss, percent(row.loss));
      setText(trip, latency(row.latency));
      setText(peer, row.peer);
      const text = row.why || (row.keys === "classical" ? row.keysWhy : "");
      setText(why, text);
      setText(below, text);
      setAttribute(why.parentNode, "title", text || null);
      const history = live.histories.get(row.name);
      if (history)
        setAttribute(
          curve,
          "d",
          sparkline(sums(history.sent, history.received), SPARK.points, SPARK.width, SPARK.height),
        );
    },
  };
}

// Sites and paths as a picture: this gateway, a line for each tunnel, what lies behind it. With many tunnels, a field
// of marks. The table below says the same in words, so that the picture has one sentence for a screen reader.
import { shapeOf, svg, tunnelHref } from "./dom.js";
import { plural } from "./format.js";
import { KEYS, STATES, countOf, rowOf, sitesOf } from "./model.js";

const MOST_PATHS = 36;
const PATH = 36; // px of height for a tunnel
const TILE = 16;

// What the picture depends on: it is drawn again only when this changes.
export function signature(tunnels, width) {
  return `${Math.round(width)} ${tunnels
    .map((t) => {
      const row = rowOf(t);
      return `${row.name} ${row.state} ${row.keys} ${row.routes}`;
    })
    .join("|")}`;
}

function sentence(rows, sites) {
  const count = countOf(rows);
  return (
    `${plural(sites, "site")}, ${plural(rows.length, "path")}: ${count.up} up, ${count.hybrid} hybrid, ${count.classical} classical, ` +
    `${count.degraded} degraded, ${count.wrong} down or without an answer`
  );
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const open = (name) => () => {
  location.hash = tunnelHref(name);
};
const shape = (tone, x, y, size = 10) =>
  svg("path", {
    d: shapeOf(tone),
    class: `mark ${tone}`,
    transform: `translate(${x - size / 2} ${y - size / 2}) scale(${size / 10})`,
  });

export function topology(tunnels, width) {
  const rows = tunnels.map(rowOf);
  const sites = sitesOf(tunnels);
  const label = sentence(rows, sites.length);
  return tunnels.length > MOST_PATHS ? field(rows, width, label) : paths(sites, width, label);
}

function paths(sites, width, label) {
  const narrow = width < 560;
  const gateway = narrow ? 50 : 120;
  const site = Math.min(narrow ? 104 : 240, width * 0.4);
  const gap = 12;
  const letters = Math.floor((width - gateway - site - 34) / 6.2);
  let y = 0;
  const parts = [];
  const placed = sites.map((each) => {
    const height = Math.max(each.paths.length * PATH, 40);
    const at = { ...each, y, height };
    y += height + gap;
    return at;
  });
  const height = Math.max(y - gap, 48);
  const middle = height / 2;
  const reach = Math.min(height, Math.max(48, sites.length * 14));
  let index = 0;
  const total = sites.reduce((sum, each) => sum + each.paths.length, 0);
  for (const each of placed) {
    each.paths.forEach((tunnel, number) => {
      const row = rowOf(tunnel);
      const { tone, word } = STATES[row.state];
      const end = each.y + (each.height / each.paths.length) * (number + 0.5);
      const begin = middle + (total > 1 ? (index / (total - 1) - 0.5) * (reach - 16) : 0);
      ++index;
      const bend = gateway + 26;
      const line = `M${gateway} ${begin}C${bend} ${begin} ${gateway + 4} ${end} ${bend + 8} ${end}H${width - site}`;
      const keys = KEYS[row.keys].word;
      parts.push(
        svg(
          "g",
          { class: "path", onclick: open(row.name) },
          svg("title", {}, `${row.name}: ${word}, ${keys}${row.why ? `. ${row.why}` : ""}`),
          svg("path", { d: line, class: "hit" }),
          svg("path", { d: line, class: `way ${row.state} ${KEYS[row.keys].tone === "good" ? "safe" : "unsafe"}` }),
          svg("text", { x: bend + 14, y: end - 6, class: "name" }, cut(row.name, letters)),
          svg(
            "text",
            { x: bend + 14, y: end + 14, class: "quiet" },
            cut(row.keys === "none" ? word : `${word} · ${keys}`, letters),
          ),
          shape(tone, width - site - 9, end, 12),
        ),
      );
    });
  }
  for (const each of placed) {
    const most = Math.floor((site - 20) / 7.3);
    const shown = each.label.slice(0, each.height > 50 ? 3 : 2);
    const rest = each.label.length - shown.length;
    const lines = rest > 0 ? [...shown.slice(0, -1), `${shown.at(-1)} +${rest}`] : shown;
    parts.push(
      svg(
        "g",
        {},
        svg("title", {}, each.label.join(", ")),
        svg("rect", {
          x: width - site + 0.5,
          y: each.y + 0.5,
          width: site - 1,
          height: each.height - 1,
          rx: 4,
          class: "site",
        }),
        lines.map((text, number) =>
          svg(
            "text",
            { x: width - site + 10, y: each.y + each.height / 2 + 4 + (number - (lines.length - 1) / 2) * 15 },
            cut(text, most),
          ),
        ),
      ),
    );
  }
  parts.push(
    svg("rect", {
      x: 0.5,
      y: middle - reach / 2 + 0.5,
      width: gateway - 1,
      height: reach - 1,
      rx: 4,
      class: "site own",
    }),
    svg("text", { x: gateway / 2, y: middle + 4, class: "own" }, narrow ? "here" : "this gateway"),
  );
  return svg(
    "svg",
    { class: "topology", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label },
    parts,
  );
}

function field(rows, width, label) {
  const columns = Math.max(1, Math.floor(width / TILE));
  const ordered = [...rows].sort(
    (a, b) => STATES[a.state].rank - STATES[b.state].rank || KEYS[a.keys].rank - KEYS[b.keys].rank,
  );
  const height = Math.ceil(ordered.length / columns) * TILE;
  return svg(
    "svg",
    {
      class: "topology",
      viewBox: `0 0 ${columns * TILE} ${height}`,
      width: columns * TILE,
      height,
      role: "img",
      "aria-label": label,
    },
    ordered.map((row, index) => {
      const x = (index % columns) * TILE;
      const y = Math.floor(index / columns) * TILE;
      return svg(
        "g",
        { class: "tile", onclick: open(row.name) },
        svg("title", {}, `${row.name}: ${STATES[row.state].word}, ${KEYS[row.keys].word}`),
        svg("rect", {
          x: x + 1,
          y: y + 1,
          width: TILE - 2,
          height: TILE - 2,
          rx: 2,
          class: row.keys === "classical" ? "tile unsafe" : "tile",
        }),
        shape(STATES[row.state].tone, x + TILE / 2, y + TILE / 2, 8),
      );
    }),
  );
}

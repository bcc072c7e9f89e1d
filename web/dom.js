// Elements made by functions. Text is only ever set as text, so that nothing from a peer or a name becomes markup.
import { KEYS, STATES } from "./model.js";

const SVG = "http://www.w3.org/2000/svg";

// attributes: { class, href, onclick: function, "aria-label": ..., hidden: true }; false, null and undefined are left out.
function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}
export const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

// Touches the document only where something is different.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// A shape for each tone, so that colour is never alone.
const SHAPES = {
  good: "M5 0a5 5 0 1 0 0 10a5 5 0 0 0 0-10z",
  warn: "M5 .5L10 9.5H0z",
  bad: "M2 0L5 3L8 0L10 2L7 5L10 8L8 10L5 7L2 10L0 8L3 5L0 2z",
  idle: "M5 0a5 5 0 1 0 0 10a5 5 0 0 0 0-10zm0 2a3 3 0 1 1 0 6a3 3 0 0 1 0-6z",
};
export const shapeOf = (tone) => SHAPES[tone];
export function mark(tone) {
  return svg(
    "svg",
    { class: `mark ${tone}`, viewBox: "0 0 10 10", "aria-hidden": "true" },
    svg("path", { d: SHAPES[tone] }),
  );
}

// A badge that can be changed in place: { node, set(kind) }.
function badge(table, className) {
  const path = svg("path", {});
  const shape = svg("svg", { class: "mark", viewBox: "0 0 10 10", "aria-hidden": "true" }, path);
  const text = el("span", {});
  const node = el("span", { class: className }, shape, text);
  let shown = null;
  return {
    node,
    set(kind, title = "") {
      setAttribute(node, "title", title || null);
      if (kind === shown) return;
      shown = kind;
      const { tone, word } = table[kind];
      path.setAttribute("d", SHAPES[tone]);
      shape.setAttribute("class", `mark ${tone}`);
      node.setAttribute("class", `${className} ${tone}`);
      text.textContent = word;
    },
  };
}
export const stateBadge = () => badge(STATES, "badge");
export const keysBadge = () => badge(KEYS, "badge keys");
export function keysOnce(kind, title) {
  const made = keysBadge();
  made.set(kind, title);
  return made.node;
}
export function stateOnce(kind) {
  const made = stateBadge();
  made.set(kind);
  return made.node;
}

// columns: [{ title, className }]; rows: lists of text, node or null.
export function table(caption, columns, rows, attributes = {}) {
  const cells = (row) => row.map((cell, index) => el("td", { class: columns[index].className }, cell ?? "–"));
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      attributes,
      el("caption", {}, caption),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          columns.map(({ title, className }) => el("th", { scope: "col", class: className }, title)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) => el("tr", {}, cells(row))),
      ),
    ),
  );
}

// pairs: [[term, text or node], ...]; those without a value are left out.
export function facts(pairs) {
  return el(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([term, value]) => el("div", {}, el("dt", {}, term), el("dd", {}, value))),
  );
}

export function section(title, ...children) {
  const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return el("section", { "aria-labelledby": id }, el("h2", { id }, title), children);
}

export const empty = (...children) => el("div", { class: "empty" }, children);
export const tunnelHref = (name) => `#/tunnel/${encodeURIComponent(name)}`;
export const tunnelLink = (name) => el("a", { href: tunnelHref(name) }, name);

// A question that must be answered; true when it was.
export function confirmed(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = el(
      "dialog",
      { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
      el(
        "form",
        { method: "dialog" },
        el("h2", { id: "dialog-title" }, title),
        el("p", { id: "dialog-text" }, text),
        el(
          "div",
          { class: "buttons" },
          el("button", { value: "no" }, "Cancel"),
          el("button", { value: "yes", class: "primary" }, yes),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

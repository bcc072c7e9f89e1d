// The body of a table with thousands of lines: only those in sight exist. Lines have one height; they are kept by key,
// so that focus stays where it is while values change and while other lines come and go.
import { el } from "./dom.js";

const MORE = 8; // lines kept above and below, so that Tab finds the next one

export class Rows {
  #table;
  #body = el("tbody", {});
  #above = el("tr", { "aria-hidden": "true", class: "spacer" }, el("td", {}));
  #below = el("tr", { "aria-hidden": "true", class: "spacer" }, el("td", {}));
  #make;
  #shown = new Map();
  #items = [];
  #height = 0;
  #frame = 0;

  // make(item) -> { node, set(item) }
  constructor(table, make) {
    this.#table = table;
    this.#make = make;
    this.#body.append(this.#above, this.#below);
    table.append(this.#body);
    addEventListener("scroll", this.#soon, { passive: true });
    addEventListener("resize", this.#again);
  }
  destroy() {
    removeEventListener("scroll", this.#soon);
    removeEventListener("resize", this.#again);
    cancelAnimationFrame(this.#frame);
  }

  set(items) {
    this.#items = items;
    this.#table.setAttribute("aria-rowcount", items.length + 1);
    this.#draw();
  }

  #soon = () => {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  };
  #again = () => {
    this.#height = 0;
    this.#soon();
  };

  #draw() {
    const height = this.#height || 34;
    const top = this.#body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(Math.floor(-top / height) - MORE, this.#items.length - 1));
    const last = Math.min(this.#items.length, Math.ceil((innerHeight - top) / height) + MORE);
    const wanted = new Set();
    const focused = document.activeElement?.closest?.("tr");
    let before = this.#above;
    for (let index = first; index < last; ++index) {
      const item = this.#items[index];
      wanted.add(item.name);
      let row = this.#shown.get(item.name);
      if (!row) {
        row = this.#make(item);
        this.#shown.set(item.name, row);
      }
      row.set(item);
      row.node.setAttribute("aria-rowindex", index + 2);
      // A node that is moved loses the focus: the others move around the one that has it.
      if (before.nextSibling !== row.node) {
        if (row.node === focused) while (before.nextSibling !== row.node) this.#put(before.nextSibling);
        else before.after(row.node);
      }
      before = row.node;
    }
    for (const [name, row] of this.#shown) {
      if (wanted.has(name)) continue;
      row.node.remove();
      this.#shown.delete(name);
    }
    this.#above.firstChild.style.height = `${first * height}px`;
    this.#below.firstChild.style.height = `${Math.max(0, this.#items.length - last) * height}px`;
    this.#above.hidden = first === 0;
    this.#below.hidden = last >= this.#items.length;
    if (this.#height === 0 && this.#shown.size > 0) {
      this.#height = [...this.#shown.values()][0].node.getBoundingClientRect().height;
      if (this.#height > 0) this.#soon();
    }
  }

  #put(node) {
    this.#below.before(node);
  }
}

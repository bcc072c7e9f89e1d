import { el, section, setText, tunnelLink } from "../dom.js";
import { date, plural, time } from "../format.js";

const SHOWN = 300;
const TONES = { error: "bad", warning: "warn", info: "idle", debug: "idle" };

// What an event says besides its name and tunnel: "reason: …".
function saying(event) {
  return Object.entries(event.fields ?? {})
    .filter(([key]) => key !== "tunnel")
    .map(([key, value]) => `${key}: ${value}`)
    .join(" · ");
}

function item(event, own) {
  return el(
    "li",
    { class: TONES[event.level] ?? "idle" },
    el("time", { datetime: event.time, title: date(event.time) }, time(event.time)),
    el("span", { class: "level" }, event.level),
    el("b", {}, event.event),
    own || !event.fields?.tunnel ? null : tunnelLink(event.fields.tunnel),
    el("span", { class: "said" }, saying(event)),
  );
}

// The events of one tunnel, or of all; the newest first. { node, update() }
export function eventList(live, name, wanted = () => true) {
  const list = el("ol", { class: "events" });
  const none = el("p", { class: "quiet" }, "None since the daemon's start that the log's level lets through.");
  const more = el("p", { class: "quiet" });
  let newest = null;
  let first = null;
  return {
    node: el("div", {}, none, list, more),
    update(again = false) {
      const fit = live.events.filter((event) => (name === null || event.fields?.tunnel === name) && wanted(event));
      none.hidden = fit.length > 0;
      more.hidden = fit.length <= SHOWN;
      setText(more, `${plural(fit.length - SHOWN, "older event")}: qanat events shows them.`);
      const shown = fit.slice(-SHOWN);
      // Another daemon, or another choice: everything anew. Else only what has come is put in front.
      const fresh =
        again || newest === null || first !== live.events[0]?.time
          ? null
          : shown.filter((event) => event.number > newest);
      if (fresh) {
        list.prepend(...fresh.reverse().map((event) => item(event, name !== null)));
        while (list.children.length > SHOWN) list.lastChild.remove();
      } else {
        list.replaceChildren(...shown.reverse().map((event) => item(event, name !== null)));
      }
      newest = live.events.at(-1)?.number ?? null;
      first = live.events[0]?.time;
    },
  };
}

export function events(live) {
  const levels = ["error", "warning", "info", "debug"];
  const least = el(
    "select",
    { id: "level", onchange: () => list.update(true) },
    levels.map((level) =>
      el(
        "option",
        { value: level, selected: level === "debug" },
        level === "debug" ? "all" : level === "error" ? "errors" : `${level} and worse`,
      ),
    ),
  );
  const words = el("input", {
    type: "search",
    id: "words",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => list.update(true),
  });
  const list = eventList(live, null, (event) => {
    const text = `${event.event} ${event.fields?.tunnel ?? ""} ${saying(event)}`.toLowerCase();
    return (
      levels.indexOf(event.level) <= levels.indexOf(least.value) &&
      words.value
        .toLowerCase()
        .split(/\s+/)
        .every((word) => text.includes(word))
    );
  });
  return {
    title: "Events",
    node: el(
      "div",
      { class: "view" },
      el("h1", { tabindex: "-1" }, "Events"),
      section(
        "The last 1,000",
        el(
          "div",
          { class: "tools" },
          el("label", { for: "level" }, "Level"),
          least,
          el("label", { for: "words" }, "Words"),
          words,
        ),
        list.node,
      ),
    ),
    update() {},
    events: list.update,
    destroy() {},
  };
}

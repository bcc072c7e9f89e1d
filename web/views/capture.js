import { LIMITS, PROTOCOLS, captureOf, filterWords, stageOf } from "../captures.js";
import { el, empty, mark, section, setText, table } from "../dom.js";
import { count, date, octets, plural } from "../format.js";

const FIELDS = [
  "tunnel",
  "source_address",
  "source_port",
  "destination_address",
  "destination_port",
  "protocol",
  "seconds",
  "packets",
];

export function capture(live, session) {
  const path = `/client/v4/accounts/${encodeURIComponent(session.account)}/pcaps`;
  const target = el("div", {});
  const problem = el("p", { class: "problem", role: "alert" });
  const field = (label, control) => el("div", { class: "field" }, el("label", { for: control.id }, label), control);
  const input = (id, attributes) => el("input", { id, autocomplete: "off", spellcheck: "false", ...attributes });
  const tunnels = el("select", { id: "tunnel" });
  const form = el(
    "form",
    { class: "fields", novalidate: true, onsubmit: start, "aria-label": "A new capture" },
    field("Tunnel", tunnels),
    field("Source", input("source_address", { placeholder: "any" })),
    field("Source port", input("source_port", { placeholder: "any", inputmode: "numeric" })),
    field("Destination", input("destination_address", { placeholder: "any" })),
    field("Destination port", input("destination_port", { placeholder: "any", inputmode: "numeric" })),
    field(
      "Protocol",
      el(
        "select",
        { id: "protocol" },
        Object.keys(PROTOCOLS).map((name) => el("option", {}, name)),
      ),
    ),
    field(`Seconds, at most ${LIMITS.seconds[1]}`, input("seconds", { value: "30", inputmode: "numeric" })),
    field(`Packets, at most ${count(LIMITS.packets[1])}`, input("packets", { value: "1000", inputmode: "numeric" })),
    el("div", { class: "buttons" }, el("button", { class: "primary" }, "Start")),
  );
  const allowed = session.can("capture");
  let timer = 0;
  let shown = "";
  let alive = true;

  async function start(event) {
    event.preventDefault();
    const { body, faults } = captureOf(
      Object.fromEntries(FIELDS.map((id) => [id, form.querySelector(`#${id}`).value])),
    );
    setText(problem, faults.join(". "));
    if (faults.length > 0) return;
    await session.busy(form.querySelector("button"), async () => {
      await session.api.post(path, body);
      session.notice(
        `Capturing on ${body.tunnel} for at most ${plural(body.time_limit, "second")} and ${plural(body.packet_limit, "packet")}.`,
      );
      await read();
    });
  }

  async function save(one) {
    const url = URL.createObjectURL(await session.api.blob(`${path}/${encodeURIComponent(one.id)}/download`));
    el("a", { href: url, download: `qanat-${one.tunnel ?? "capture"}-${one.id.slice(0, 8)}.pcapng` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  function row(one) {
    const { word, tone, running, file } = stageOf(one);
    const act = (text, does, primary) =>
      el(
        "button",
        {
          class: primary ? "primary" : null,
          "aria-label": `${text} the capture on ${one.tunnel ?? "the gateway"} of ${date(one.submitted)}`,
          onclick: (event) => session.busy(event.currentTarget, does),
        },
        text,
      );
    return [
      el("span", { class: `badge ${tone}` }, mark(tone), word, one.error_message ? `: ${one.error_message}` : ""),
      one.tunnel ?? "–",
      filterWords(one.filter_v1),
      count(one.packets_captured),
      octets(one.bytes_captured),
      date(one.submitted),
      file
        ? act("Download", () => save(one), true)
        : running
          ? act("Stop", async () => {
              await session.api.put(`${path}/${encodeURIComponent(one.id)}/stop`);
              await read();
            })
          : "",
    ];
  }

  function list(captures) {
    const now = JSON.stringify(captures);
    if (now === shown) return;
    shown = now;
    const focused = document.activeElement?.closest?.("[data-list]")
      ? document.activeElement.getAttribute("aria-label")
      : null;
    const number = { className: "number" };
    target.replaceChildren(
      captures.length === 0
        ? empty(
            el("p", {}, el("strong", {}, "No capture yet.")),
            el("p", {}, "Start one above: packets inside the tunnel, as pcapng for Wireshark."),
          )
        : table(
            "Captures, the newest first",
            [
              { title: "State" },
              { title: "Tunnel" },
              { title: "Filter" },
              { title: "Packets", ...number },
              { title: "Octets", ...number },
              { title: "Started" },
              { title: "Action" },
            ],
            [...captures].sort((a, b) => (b.submitted ?? "").localeCompare(a.submitted ?? "")).map(row),
          ),
    );
    if (focused)
      [...target.querySelectorAll("button")].find((button) => button.getAttribute("aria-label") === focused)?.focus();
  }

  // Every second while one runs, else seldom: somebody else may start one.
  async function read() {
    clearTimeout(timer);
    let pause = 5000;
    try {
      const captures = (await session.api.get(path)).result ?? [];
      if (!alive) return;
      list(captures);
      if (captures.some((one) => stageOf(one).running)) pause = 1000;
    } catch (error) {
      if (shown === "") target.replaceChildren(el("p", { class: "problem" }, mark("bad"), ` ${error.message}`));
    }
    if (alive) timer = setTimeout(read, pause);
  }
  target.dataset.list = "";
  if (allowed) read();

  let names = "";
  return {
    title: "Capture",
    node: el(
      "div",
      { class: "view" },
      el("h1", { tabindex: "-1" }, "Capture"),
      allowed
        ? [section("Start", form, problem), section("Captures", target)]
        : empty(
            el("p", {}, el("strong", {}, "This token may not capture.")),
            el(
              "p",
              {},
              "Whoever runs the gateway makes one that may: ",
              el("code", {}, "qanat token create NAME --scope read,capture"),
              ".",
            ),
          ),
    ),
    update() {
      const now = live.tunnels.map((t) => t.name).join("\n");
      if (now === names) return;
      names = now;
      const chosen = tunnels.value;
      tunnels.replaceChildren(
        ...live.tunnels.map((t) => el("option", { value: t.name, selected: t.name === chosen }, t.name)),
      );
    },
    destroy() {
      alive = false;
      clearTimeout(timer);
    },
  };
}

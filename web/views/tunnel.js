import { chart } from "../chart.js";
import { confirmed, el, empty, facts, keysBadge, keysOnce, section, setText, stateBadge, svg, table } from "../dom.js";
import { count, date, duration, latency, microseconds, octets, percent, plural, rate } from "../format.js";
import { keysOf, stateOf, whyOf } from "../model.js";
import { remediesFor } from "../remedy.js";
import { eventList } from "./events.js";
import { remedyList } from "./posture.js";

const BAR = { height: 22 };

export function tunnel(live, session, name) {
  const state = stateBadge();
  const keys = keysBadge();
  const why = el("p", { class: "why" });
  const summary = el("div", {});
  const safety = el("div", {});
  const handshake = el("div", {});
  const children = el("div", {});
  const rekeys = el("div", {});
  const drops = el("div", {});
  const events = eventList(live, name);
  const charts = [
    chart({
      title: "Traffic",
      format: rate,
      top: 1000,
      series: [
        { label: "sent", colour: "--series-1" },
        { label: "received", colour: "--series-2", dash: [5, 3] },
      ],
    }),
    chart({
      title: "Loss of probes",
      format: percent,
      top: 0.01,
      series: [{ label: "loss over 5 minutes", colour: "--series-3" }],
    }),
    chart({ title: "Round trip", format: latency, top: 1, series: [{ label: "median", colour: "--series-1" }] }),
  ];
  const graphs = el(
    "div",
    { class: "charts" },
    charts.map((one) => one.node),
  );
  const body = el(
    "div",
    {},
    summary,
    safety,
    section(
      "Traffic and path",
      el("p", { class: "quiet" }, "Since this page was opened, at most 15 minutes. Times are UTC."),
      graphs,
    ),
    section("Handshake", handshake),
    section("Keys for packets", children),
    section("Renewals", rekeys),
    section("Dropped packets", drops),
    section("Events", events.node),
  );
  const gone = empty(
    el("p", {}, el("strong", {}, `There is no tunnel ${name}.`)),
    el("p", {}, "It may have been removed. ", el("a", { href: "#/" }, "All tunnels")),
  );
  const buttons = session.can("write") ? actions(live, session, name) : null;
  const node = el(
    "div",
    { class: "view" },
    el("nav", { "aria-label": "Way back", class: "crumb" }, el("a", { href: "#/" }, "All tunnels")),
    el("div", { class: "heading" }, el("h1", { tabindex: "-1" }, name), state.node, keys.node, buttons?.node),
    why,
    gone,
    body,
  );
  const drawn = {};

  // Parts that are lists are made anew only when what they show has changed: focus and selection stay.
  function part(target, what, make) {
    const now = JSON.stringify(what);
    if (drawn[target] === now) return;
    drawn[target] = now;
    ({ summary, safety, handshake, children, rekeys, drops })[target].replaceChildren(
      ...[make()].flat().filter(Boolean),
    );
  }

  return {
    title: name,
    node,
    update() {
      const t = live.byName.get(name);
      gone.hidden = t !== undefined || live.status === null;
      body.hidden = t === undefined;
      state.node.hidden = keys.node.hidden = t === undefined;
      if (!t) return setText(why, "");
      const verdict = keysOf(t);
      state.set(stateOf(t));
      keys.set(verdict.keys, verdict.reason);
      setText(why, whyOf(t));
      buttons?.set(t);
      part("summary", summaryOf(t), () => facts(summaryOf(t)));
      part("safety", [verdict, t.ike?.key_exchanges, t.posture.first_hybrid_at, t.pq, t.ike?.verdict], () =>
        safetyOf(t, verdict),
      );
      const steps = t.ike?.handshake?.length ? t.ike.handshake : (t.last_failure ?? []);
      part("handshake", [steps, Boolean(t.ike), t.ike?.offered], () => handshakeOf(t, steps));
      part(
        "children",
        t.children.map((c) => [c.spi_in, c.spi_out, c.bytes_in, c.bytes_out, c.verdict, Math.floor(c.seconds_up / 10)]),
        () => childrenOf(t),
      );
      part(
        "rekeys",
        [t.child_rekeys, t.ike_rekeys, t.times_up, t.failed_attempts, t.ike && Math.floor(t.ike.seconds_to_rekey / 10)],
        () => renewalsOf(t),
      );
      part("drops", t.drops, () => dropsOf(t));
      const h = live.histories.get(name);
      if (h) {
        charts[0].set(h.times, [h.sent, h.received]);
        charts[1].set(h.times, [h.loss]);
        charts[2].set(h.times, [h.latency]);
      }
    },
    events: events.update,
    destroy: () => charts.forEach((one) => one.destroy()),
  };
}

function summaryOf(t) {
  const ike = t.ike;
  const h = t.health ?? {};
  const nat = [ike?.nat_local && "us", ike?.nat_remote && "the peer"].filter(Boolean).join(" and ");
  return [
    ["From", ike?.local ?? t.local],
    ["To", ike?.remote ?? t.peer],
    ["Peer's identity", ike?.remote_id],
    ["Behind the peer", (t.routes ?? []).join(", ")],
    ["Up for", ike ? duration(Math.floor(ike.seconds_up / 10) * 10) : null],
    ["Role", ike?.role],
    ["NAT in front of", ike ? nat || "nobody" : null],
    ["Health", h.state],
    ["Loss", h.samples > 0 ? `${percent(h.loss)} of ${plural(h.samples, "probe")}` : "not measured"],
    [
      "Round trip",
      h.p50_ms == null
        ? null
        : `median ${latency(h.p50_ms)}, 99 % below ${latency(h.p99_ms)}, jitter ${latency(h.jitter_ms)}`,
    ],
    ["Sent", `${octets(t.bytes_out)}, ${plural(t.packets_out, "packet")}`],
    ["Received", `${octets(t.bytes_in)}, ${plural(t.packets_in, "packet")}`],
  ];
}

function safetyOf(t, verdict) {
  const ike = t.ike;
  return section(
    "Key safety",
    facts([
      ["Verdict", el("span", {}, keysOnce(verdict.keys), verdict.reason ? ` ${verdict.reason}` : "")],
      ["Key exchanges", ike ? ike.key_exchanges.join(" + ") : null],
      ["Cipher of IKE", ike?.suite],
      ["Authentication", ike ? `${ike.authentication}: ${ike.authentication_verdict}` : null],
      [
        "Downgrade",
        ike
          ? ike.downgrade_excluded
            ? "excluded: both sides signed both IKE_SA_INIT messages"
            : "not excluded: the peer does not sign both IKE_SA_INIT messages"
          : null,
      ],
      ["Policy here", `pq = "${t.pq}"`],
      ["First hybrid", t.posture.first_hybrid_at ? date(t.posture.first_hybrid_at) : "never"],
    ]),
    remedyList(remediesFor(t, verdict.code)),
  );
}

// When each exchange ran, one bar under the other.
function timeline(steps) {
  const total = steps.reduce((sum, step) => sum + step.milliseconds, 0) || 1;
  let begin = 0;
  const bars = steps.map((step, index) => {
    const x = (begin / total) * 1000;
    const width = Math.max((step.milliseconds / total) * 1000, 3);
    begin += step.milliseconds;
    return svg("rect", {
      x,
      y: index * BAR.height + 3,
      width,
      height: BAR.height - 6,
      rx: 2,
      class: step.retransmissions > 0 ? "bar warn" : "bar",
    });
  });
  return svg(
    "svg",
    {
      class: "timeline",
      viewBox: `0 0 1003 ${steps.length * BAR.height}`,
      preserveAspectRatio: "none",
      height: steps.length * BAR.height,
      "aria-hidden": "true",
    },
    bars,
  );
}

function handshakeOf(t, steps) {
  if (steps.length === 0) return el("p", { class: "quiet" }, "No handshake yet.");
  const total = steps.reduce((sum, step) => sum + step.milliseconds, 0);
  const size = (bytes, datagrams) => `${count(bytes)} B in ${plural(datagrams, "datagram")}`;
  const number = { className: "number" };
  return [
    timeline(steps),
    table(
      t.ike ? `The handshake of the IKE SA, ${microseconds(total)} in all` : "How far the last attempt came",
      [
        { title: "Exchange" },
        { title: "Request", ...number },
        { title: "Response", ...number },
        { title: "Sent again", ...number },
        { title: "Time", ...number },
      ],
      steps.map((s) => [
        s.exchange,
        size(s.request_bytes, s.request_fragments),
        s.response_bytes > 0 ? size(s.response_bytes, s.response_fragments) : "no answer",
        count(s.retransmissions),
        microseconds(s.milliseconds),
      ]),
    ),
    t.ike?.offered
      ? el(
          "details",
          {},
          el("summary", {}, t.ike.role === "initiator" ? "What we offered" : "What the peer offered"),
          el("pre", {}, t.ike.offered),
        )
      : null,
  ];
}

function childrenOf(t) {
  if (t.children.length === 0)
    return el(
      "p",
      { class: "quiet" },
      "No Child SA: packets to this tunnel's routes are dropped, never sent in the clear.",
    );
  const number = { className: "number" };
  return table(
    "Child SAs",
    [
      { title: "SPI in / out" },
      { title: "Keys" },
      { title: "Cipher" },
      { title: "Selectors", className: "long" },
      { title: "Received", ...number },
      { title: "Sent", ...number },
      { title: "Age", ...number },
      { title: "New keys in", ...number },
    ],
    t.children.map((c) => [
      el("code", {}, `${c.spi_in} / ${c.spi_out}`),
      keysOnce(c.verdict.keys, c.verdict.reason),
      `${c.suite}${c.esn ? ", ESN" : ""}, ${c.encapsulation === "udp" ? "in UDP" : "native"}, MTU ${c.inner_mtu}`,
      `${c.local_ts.join(", ")} ↔ ${c.remote_ts.join(", ")}`,
      octets(c.bytes_in),
      octets(c.bytes_out),
      duration(c.seconds_up),
      c.seconds_to_rekey > 0 ? duration(c.seconds_to_rekey) : "now",
    ]),
  );
}

function renewalsOf(t) {
  return facts([
    ["New keys for packets", plural(t.child_rekeys, "time")],
    ["New keys for IKE", plural(t.ike_rekeys, "time")],
    ["Next for IKE", t.ike ? `in ${duration(t.ike.seconds_to_rekey)}` : null],
    ["Came up", plural(t.times_up, "time")],
    ["Failed attempts", count(t.failed_attempts)],
  ]);
}

function dropsOf(t) {
  const some = Object.entries(t.drops ?? {}).filter(([, packets]) => packets > 0);
  if (some.length === 0) return el("p", { class: "quiet" }, "None.");
  return table(
    "Packets dropped, by reason",
    [{ title: "Reason" }, { title: "Packets", className: "number" }],
    some.sort((a, b) => b[1] - a[1]).map(([reason, packets]) => [el("code", {}, reason), count(packets)]),
  );
}

// The buttons of somebody who may write.
function actions(live, session, name) {
  const path = `/v1/tunnels/${encodeURIComponent(name)}`;
  const button = (text, act, className) =>
    el("button", { class: className, onclick: (event) => session.busy(event.currentTarget, act) }, text);
  const command = async (what) => {
    const done = await session.api.post(`${path}/${what}`);
    session.notice(done.message || `${name}: ${done.command}`);
    live.refresh();
  };
  const up = button("Bring up", () => command("up?wait=0"));
  const down = button("Take down", async () => {
    if (
      await confirmed(
        `Take ${name} down?`,
        "Its packets are dropped until somebody brings it up again, or another tunnel has the same routes. " +
          "The daemon's next start brings it up.",
        "Take down",
      )
    )
      await command("down");
  });
  const rekey = button("New keys", () => command("rekey/child"));
  const psk = button("Generate a PSK", () => generate(session, name));
  return {
    node: el("div", { class: "buttons", role: "group", "aria-label": `Actions on ${name}` }, up, down, rekey, psk),
    set(t) {
      up.hidden = t.actual === "up" || t.wanted === "up";
      down.hidden = t.wanted === "down";
      rekey.hidden = t.children.length === 0;
    },
  };
}

async function generate(session, name) {
  const found = await session.findTunnel(name);
  if (!found) {
    session.notice(`${name} is not among the objects of this account.`, "bad");
    return;
  }
  if (found.managed_by) {
    session.notice(
      `The key of ${name} is named in ${found.managed_by.file}, line ${found.managed_by.line}: change it there, and run qanat reload.`,
      "bad",
    );
    return;
  }
  if (
    !(await confirmed(
      `A new pre-shared key for ${name}?`,
      "The gateway uses it from its next handshake with the peer on, and forgets the old one. " +
        "The tunnel does not come up again until the peer has it too.",
      "Generate",
    ))
  )
    return;
  const { result } = await session.api.post(`${found.path}/psk_generate`, {});
  const key = el("output", { class: "secret", tabindex: "0", "aria-label": "The new pre-shared key" }, result.psk);
  const copied = el("span", { class: "quiet", role: "status" });
  const dialog = el(
    "dialog",
    { "aria-labelledby": "psk-title" },
    el(
      "form",
      { method: "dialog" },
      el("h2", { id: "psk-title" }, `The pre-shared key of ${name}`),
      el("p", {}, "Copy it to the peer now. It is not shown again: the gateway never tells a key that it has."),
      key,
      el(
        "div",
        { class: "buttons" },
        copied,
        el("button", { type: "button", onclick: () => copy(key, copied) }, "Copy"),
        el("button", { class: "primary" }, "Done"),
      ),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

async function copy(key, told) {
  try {
    await navigator.clipboard.writeText(key.textContent);
    setText(told, "Copied.");
  } catch {
    getSelection().selectAllChildren(key);
    setText(told, "Selected: copy it with the keyboard.");
  }
}

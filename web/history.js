// What the page remembers of a tunnel while it is open: counters in, rates and series out. Pure; time is an argument.

// The gateway reads its counters once a second; a rate over less than this would be noise.
const WINDOW = 3.5;

export class History {
  #limit;
  #counters = []; // { at, sent, received }: those that a rate may need
  times = []; // seconds since 1970
  sent = []; // bits a second; null: not known
  received = [];
  loss = []; // a share of 1; null: not measured
  latency = []; // milliseconds

  constructor(limit) {
    this.#limit = limit;
  }

  // `clock`: seconds of the gateway's own clock, at which the counters were read; `at`: seconds since 1970.
  add(clock, at, tunnel) {
    const last = this.#counters.at(-1);
    const now = { clock, sent: tunnel.bytes_out, received: tunnel.bytes_in };
    // Another daemon, or the tunnel was removed and made again: the counters began anew.
    if (last && (clock < last.clock || now.sent < last.sent || now.received < last.received)) this.#counters = [];
    this.#counters.push(now);
    while (this.#counters.length > 2 && clock - this.#counters[1].clock >= WINDOW) this.#counters.shift();
    const first = this.#counters[0];
    const seconds = clock - first.clock;
    const enough = seconds >= 0.9;
    const measured = (tunnel.health?.samples ?? 0) > 0;
    this.#push(
      at,
      enough ? ((now.sent - first.sent) * 8) / seconds : null,
      enough ? ((now.received - first.received) * 8) / seconds : null,
      measured ? tunnel.health.loss : null,
      measured ? (tunnel.health.p50_ms ?? null) : null,
    );
  }

  // Nothing was heard at that time: the curves have a gap.
  gap(at) {
    if (this.times.length > 0 && (this.sent.at(-1) !== null || this.loss.at(-1) !== null))
      this.#push(at, null, null, null, null);
  }

  // Both directions together, now.
  get rate() {
    const sent = this.sent.at(-1) ?? null;
    return sent === null ? null : sent + this.received.at(-1);
  }

  #push(at, sent, received, loss, latency) {
    const values = { times: at, sent, received, loss, latency };
    for (const [name, value] of Object.entries(values)) {
      this[name].push(value);
      if (this[name].length > this.#limit) this[name].shift();
    }
  }
}

// The last `points` values as an SVG path in a box of width x height, the largest at the top; "" for fewer than two.
export function sparkline(values, points, width, height) {
  const shown = values.slice(-points);
  if (shown.filter((value) => value !== null).length < 2) return "";
  const top = Math.max(...shown.map((value) => value ?? 0), 1);
  const step = width / (points - 1);
  let path = "";
  let pen = false;
  shown.forEach((value, index) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = (points - shown.length + index) * step;
    const y = height - (value / top) * height;
    path += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  });
  return path;
}

// Sums of two lists, null where one of them is.
export function sums(a, b) {
  return a.map((value, index) => (value === null || b[index] === null ? null : value + b[index]));
}

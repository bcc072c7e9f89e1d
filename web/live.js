// What the page knows of the gateway, kept current: /v1/status is read every two seconds (less often where that takes
// long), events come by /v1/events/stream, and where there is none by asking /v1/events. An event about a tunnel has
// that tunnel read at once. When the daemon goes away, the page says so and goes on asking.
//
// Events of this object: "status", "events", "connection", "changes" (detail: sentences for a screen reader), "refused"
// (detail: why this token may not see the gateway; nothing more comes).
import { History } from "./history.js";
import { changes, countOf, restarted, rowOf } from "./model.js";

const POLL = 2000; // ms
const POLL_HIDDEN = 15000;
const RETRY = [500, 1000, 1000, 2000, 3000];
const NO_STREAM_RETRY = 60000;
const EVENTS_KEPT = 1000;
const READINGS = 450; // of a tunnel
const MANY = 200;
const READINGS_OF_MANY = 90;

const sleep = (milliseconds, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });

export class Live extends EventTarget {
  tunnels = [];
  byName = new Map();
  rows = [];
  histories = new Map();
  events = []; // the oldest first
  shares = { times: [], hybrid: [] };
  status = null; // the rest of /v1/status
  connection = "connecting"; // | "live" | "polling" | "lost"
  newVersion = null; // of a daemon that came while the page was open

  #api;
  #running = true;
  #last = 0; // number of the last event
  #seen = null; // { secondsUp, at } of the last status
  #streaming = false;
  #lost = false;
  #nap = new AbortController();
  #stream = new AbortController();
  #stale = new Set();

  constructor(api) {
    super();
    this.#api = api;
  }

  start() {
    this.#watchStatus();
    this.#watchEvents();
    document.addEventListener("visibilitychange", this.#turned);
  }
  stop() {
    this.#running = false;
    document.removeEventListener("visibilitychange", this.#turned);
    this.#nap.abort();
    this.#stream.abort();
  }

  // Reads the status now instead of at the next turn.
  refresh = () => this.#nap.abort();

  // A browser opens six connections to one gateway for all of its tabs: those that nobody sees hold none.
  #turned = () => {
    this.#stream.abort();
    this.refresh();
  };

  async #watchStatus() {
    let failures = 0;
    while (this.#running) {
      const began = performance.now();
      let pause = document.hidden ? POLL_HIDDEN : POLL;
      this.#nap = new AbortController();
      try {
        const status = await this.#api.get("/v1/status");
        if (!this.#running) return;
        this.#take(status);
        // A gateway of thousands of tunnels is asked less often.
        pause = Math.max(pause, 8 * (performance.now() - began));
        failures = 0;
        if (this.#lost) {
          this.#lost = false;
          this.#stream.abort(); // it may hang on a connection of the daemon that is gone
        }
      } catch (error) {
        if (!this.#running) return;
        if (error.status === 403) {
          this.stop();
          this.dispatchEvent(new CustomEvent("refused", { detail: error.message }));
          return;
        }
        if (error.status === 429 || error.status === 503) {
          pause = 5 * POLL; // it is there, and busy
        } else {
          this.#lost = true;
          pause = RETRY[Math.min(failures++, RETRY.length - 1)];
          const now = Date.now() / 1000;
          for (const history of this.histories.values()) history.gap(now);
        }
      }
      this.#say();
      await sleep(pause, this.#nap.signal);
    }
  }

  #say() {
    const now = this.#lost ? "lost" : this.status === null ? "connecting" : this.#streaming ? "live" : "polling";
    if (now === this.connection) return;
    this.connection = now;
    this.dispatchEvent(new Event("connection"));
  }

  #take(status) {
    const at = Date.now() / 1000;
    const seen = { secondsUp: status.seconds_up, at };
    if (this.#seen && restarted(this.#seen, seen)) {
      this.#last = 0; // its events are counted from 1 again
      this.events = [];
      this.#stream.abort();
      this.dispatchEvent(new Event("events"));
    }
    this.#seen = seen;
    if (this.status && this.status.version !== status.version) this.newVersion = status.version;
    const { tunnels, ...rest } = status;
    const first = this.status === null;
    this.status = rest;
    this.tunnels = tunnels ?? [];
    this.byName = new Map(this.tunnels.map((tunnel) => [tunnel.name, tunnel]));
    for (const name of this.histories.keys()) if (!this.byName.has(name)) this.histories.delete(name);
    for (const tunnel of this.tunnels) {
      if (!this.histories.has(tunnel.name))
        this.histories.set(tunnel.name, new History(this.tunnels.length > MANY ? READINGS_OF_MANY : READINGS));
      this.histories.get(tunnel.name).add(status.seconds_up, at, tunnel);
    }
    this.#rows(first);
    const count = countOf(this.rows);
    this.shares.times.push(at);
    this.shares.hybrid.push(count.up > 0 ? (count.hybrid + count.ppk) / count.up : null);
    if (this.shares.times.length > 3600) {
      this.shares.times.shift();
      this.shares.hybrid.shift();
    }
    this.dispatchEvent(new Event("status"));
  }

  #rows(first = false) {
    const before = this.rows;
    this.rows = this.tunnels.map((tunnel) => ({
      ...rowOf(tunnel),
      rate: this.histories.get(tunnel.name)?.rate ?? null,
    }));
    const told = first ? [] : changes(before, this.rows);
    if (told.length > 0) this.dispatchEvent(new CustomEvent("changes", { detail: told }));
  }

  async #watchEvents() {
    while (this.#running) {
      this.#stream = new AbortController();
      if (document.hidden) {
        await sleep(24 * 3600 * 1000, this.#stream.signal);
        continue;
      }
      let pause = RETRY[1];
      try {
        await this.#readEvents();
        await this.#api.stream(
          `/v1/events/stream?since=${this.#last}`,
          this.#stream.signal,
          () => {
            this.#streaming = true;
            this.#say();
          },
          (message) => this.#takeMessage(message),
        );
      } catch (error) {
        if (error.status >= 400) pause = await this.#withoutStream();
      }
      if (this.#streaming && this.#running) this.refresh(); // was it the daemon's end?
      this.#streaming = false;
      await sleep(pause, this.#stream.signal);
    }
  }

  // Asks for events until it is time to try the stream again.
  async #withoutStream() {
    const until = performance.now() + NO_STREAM_RETRY;
    while (this.#running && !this.#stream.signal.aborted && performance.now() < until) {
      await sleep(POLL, this.#stream.signal);
      if (this.#running && !document.hidden) await this.#readEvents().catch(() => {});
    }
    return 0;
  }

  async #readEvents() {
    const { events, last } = await this.#api.get(`/v1/events?since=${this.#last}`);
    this.#takeEvents(events);
    this.#last = Math.max(this.#last, last ?? 0);
  }

  #takeMessage(message) {
    try {
      const event = JSON.parse(message.data);
      if (message.event === "gap") {
        const missed = event.to - event.from + 1;
        this.#takeEvents([
          {
            number: event.to,
            time: new Date().toISOString(),
            level: "warning",
            event: "events-missed",
            fields: { count: String(missed) },
          },
        ]);
      } else if (Number.isInteger(event.number) && typeof event.event === "string") this.#takeEvents([event]);
    } catch {
      // a message of a newer daemon, which this page does not know
    }
  }

  #takeEvents(events) {
    const fresh = (events ?? []).filter((event) => event.number > this.#last);
    if (fresh.length === 0) return;
    const known = this.#last > 0;
    this.#last = fresh.at(-1).number;
    this.events.push(...fresh);
    this.events.splice(0, Math.max(0, this.events.length - EVENTS_KEPT));
    if (known) for (const event of fresh) if (event.fields?.tunnel) this.#soon(event.fields.tunnel);
    this.dispatchEvent(new Event("events"));
  }

  // Reads one tunnel shortly: several events come at once when one comes up.
  #soon(name) {
    this.#stale.add(name);
    if (this.#stale.size > 1) return;
    setTimeout(async () => {
      const names = [...this.#stale];
      this.#stale.clear();
      if (!this.#running) return;
      if (names.length > 8 || names.some((each) => !this.byName.has(each))) {
        this.refresh();
        return;
      }
      await Promise.all(names.map((each) => this.#readTunnel(each).catch(() => {})));
      this.#rows();
      this.dispatchEvent(new Event("status"));
    }, 120);
  }

  async #readTunnel(name) {
    const tunnel = await this.#api.get(`/v1/status/${encodeURIComponent(name)}`);
    if (!this.byName.has(name)) return;
    this.tunnels = this.tunnels.map((other) => (other.name === name ? tunnel : other));
    this.byName.set(name, tunnel);
  }
}

// A gateway for the page's tests: it plays what record.py has recorded from a real one, moves the counters, sends events,
// and checks tokens. No dependency. `node mock.mjs [PORT]` shows the page by hand, with the tokens "admin" and "reader".
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const WEB = join(HERE, "../../web");
const RECORDED = process.env.QANAT_WEB_RECORDED ?? join(HERE, "recorded/answers.json");
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

// What the daemon sends with the page.
export const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cache-Control": "no-cache",
};

const copy = (value) => JSON.parse(JSON.stringify(value));
const envelope = (result) => ({ result, success: true, errors: [], messages: [] });
const refusal = (code, message) => ({ result: null, success: false, errors: [{ code, message }], messages: [] });
const failure = (code, message) => ({ error: { code, message } });

// A pcapng file without packets: section header and interface description (raw IP).
function pcapng() {
  const section = Buffer.alloc(28);
  [0x0a0d0d0a, 28, 0x1a2b3c4d].forEach((word, at) => section.writeUInt32LE(word, at * 4));
  section.writeUInt16LE(1, 12);
  section.writeBigInt64LE(-1n, 16);
  section.writeUInt32LE(28, 24);
  const link = Buffer.alloc(20);
  [1, 20, 101, 65535, 20].forEach((word, at) => link.writeUInt32LE(word, at * 4));
  return Buffer.concat([section, link]);
}

export class Mock {
  constructor() {
    this.answers = JSON.parse(readFileSync(RECORDED, "utf8"));
    this.recorded = this.#answer("GET", "/v1/status").body;
    this.tokens = new Map([
      ["admin", { name: "admin", account: null, read: true, write: true, capture: true }],
      ["reader", { name: "reader", account: null, read: true, write: false, capture: false }],
    ]);
    this.streams = true; // whether there is /v1/events/stream
    this.tunnels = copy(this.recorded.tunnels);
    this.asked = [];
    this.captures = [];
    this.#begin();
  }

  #answer(method, target) {
    return this.answers.find((answer) => answer.method === method && answer.target === target);
  }
  #begin() {
    this.began = performance.now() - this.recorded.seconds_up * 1000;
    this.moved = performance.now();
    this.events = copy(this.#answer("GET", "/v1/events").body.events).map((event, index) => ({
      ...event,
      number: index + 1,
    }));
    this.readers = new Set();
  }

  async start(port = this.port ?? 0) {
    this.server = createServer((request, reply) => this.#serve(request, reply));
    this.sockets = new Set();
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise((resolve) => {
      this.server.listen(port, "127.0.0.1", resolve);
    });
    this.port = this.server.address().port;
    return `http://127.0.0.1:${this.port}/`;
  }
  async stop() {
    const closed = new Promise((resolve) => {
      this.server.close(resolve);
    });
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
  // As another process would: events and counters begin anew.
  async startAgain() {
    this.#begin();
    this.began = performance.now();
    for (const t of this.tunnels) Object.assign(t, { bytes_in: 0, bytes_out: 0, packets_in: 0, packets_out: 0 });
    this.events = this.events
      .slice(0, 2)
      .map((event) => ({ ...event, time: new Date().toISOString().replace(/\.\d+/, "") }));
    await this.start();
  }

  // --- what tests make happen

  named(name) {
    return this.tunnels.find((t) => t.name === name);
  }
  tell(level, event, fields) {
    const one = {
      number: (this.events.at(-1)?.number ?? 0) + 1,
      time: new Date().toISOString().replace(/\.\d+/, ""),
      level,
      event,
      fields,
    };
    this.events.push(one);
    for (const reader of this.readers) reader.write(this.#text(one));
  }
  #text(event) {
    return `id: ${Math.floor(this.began)}.${event.number}\ndata: ${JSON.stringify(event)}\n\n`;
  }
  // As when a reader is so slow that events are forgotten before they are sent.
  miss(count) {
    const from = this.events.at(-1).number + 1;
    for (const reader of this.readers) reader.write(`event: gap\ndata: {"from":${from},"to":${from + count - 1}}\n\n`);
  }
  up(name) {
    const like = this.recorded.tunnels.find((t) => t.actual === "up" && t.children[0].verdict.keys === "hybrid");
    const { peer, routes } = this.named(name);
    Object.assign(this.named(name), copy(like), { name, peer, routes });
    this.tell("info", "tunnel-up", { tunnel: name, detail: "hybrid (x25519 + mlkem768), aes256gcm16" });
  }
  degrade(name) {
    const { health } = this.recorded.tunnels.find((t) => t.health.state === "degraded");
    this.named(name).health = copy(health);
  }
  many(count) {
    const kinds = this.recorded.tunnels;
    this.tunnels = Array.from({ length: count }, (_, index) => {
      const t = copy(index % 50 === 0 ? kinds[2] : index % 9 === 0 ? kinds[1] : kinds[0]);
      return {
        ...t,
        name: `branch-${index + 1}`,
        routes: [`10.${index >> 8}.${index & 255}.0/24`],
        peer: `198.51.${index >> 8}.${index & 255}`,
      };
    });
  }

  #move() {
    const seconds = (performance.now() - this.moved) / 1000;
    this.moved = performance.now();
    this.tunnels.forEach((t, index) => {
      if (t.actual !== "up") return;
      const wave = 1 + 0.5 * Math.sin(this.moved / 4000 + index);
      t.bytes_out += Math.round(seconds * 90000 * wave * (1 + (index % 7)));
      t.bytes_in += Math.round(seconds * 240000 * wave * (1 + (index % 5)));
      if (t.health.p50_ms !== null)
        t.health.p50_ms = Math.max(0.1, t.health.p50_ms * (1 + 0.04 * Math.sin(this.moved / 900 + index)));
    });
  }

  // --- HTTP

  async #serve(request, reply) {
    const url = new URL(request.url, "http://mock");
    if (!/^\/(v1|client)\//.test(url.pathname)) return this.#file(url.pathname, reply);
    const who = this.tokens.get((request.headers.authorization ?? "").replace(/^Bearer /, ""));
    if (!who) return this.#json(reply, 401, failure("unauthorized", "no such token, or it has expired"));
    let body = "";
    for await (const piece of request) body += piece;
    this.asked.push(`${request.method} ${request.url}`);
    const needs = url.pathname.includes("/pcaps") ? "capture" : request.method !== "GET" ? "write" : "read";
    if (!who[needs]) return this.#json(reply, 403, failure("forbidden", "this token may not do that"));
    if (who.account === "tenant" && url.pathname.startsWith("/v1/status"))
      return this.#json(reply, 403, failure("forbidden", "this token is of account 'tenant'; the gateway is of all"));
    if (url.pathname === "/v1/events/stream") return this.#stream(url, request, reply);
    this.#move();
    const [status, answer] = this.#api(request.method, url, who, body === "" ? null : JSON.parse(body));
    return Buffer.isBuffer(answer)
      ? reply.writeHead(status, { "Content-Type": "application/x-pcapng" }).end(answer)
      : this.#json(reply, status, answer);
  }
  #json(reply, status, body) {
    reply
      .writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" })
      .end(JSON.stringify(body, null, 2));
  }
  #file(path, reply) {
    const file = join(WEB, normalize(path === "/" ? "/index.html" : path));
    try {
      if (!TYPES[extname(file)]) throw new Error("not a file of the page");
      const text = readFileSync(file);
      reply
        .writeHead(200, { ...HEADERS, "Content-Type": TYPES[extname(file)], "Content-Length": text.length })
        .end(text);
    } catch {
      reply.writeHead(404).end();
    }
  }
  #stream(url, request, reply) {
    if (!this.streams) return this.#json(reply, 404, failure("not_found", "there is no path"));
    reply.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    reply.write("retry: 2000\n\n");
    for (const event of this.events.filter((one) => one.number > Number(url.searchParams.get("since"))))
      reply.write(this.#text(event));
    this.readers.add(reply);
    request.on("close", () => this.readers.delete(reply));
  }

  #api(method, url, who, body) {
    const path = url.pathname.split("/").slice(1).map(decodeURIComponent);
    if (path[0] === "client") return this.#client(method, path, body);
    switch (`${method} ${path[1]}`) {
      case "GET whoami":
        return [200, who];
      case "GET status": {
        if (path.length === 2)
          return [
            200,
            { ...this.recorded, seconds_up: (performance.now() - this.began) / 1000, tunnels: this.tunnels },
          ];
        const t = this.named(path[2]);
        return t
          ? [200, t]
          : [404, failure("not_found", `there is no tunnel '${path[2]}'; \`qanat status\` lists the tunnels`)];
      }
      case "GET events": {
        const since = Number(url.searchParams.get("since") ?? 0);
        return [
          200,
          {
            events: this.events.filter((event) => event.number > since),
            last: Math.max(since, this.events.at(-1)?.number ?? 0),
          },
        ];
      }
      case "POST tunnels": {
        const t = this.named(path[2]);
        if (path[3] === "down") {
          Object.assign(t, {
            wanted: "down",
            actual: "down",
            ike: null,
            children: [],
            reason: `taken down by an operator: qanat up ${t.name} brings it back`,
          });
          this.tell("info", "tunnel-down", { tunnel: t.name, reason: "an operator asked for it" });
        } else if (path[3] === "up") {
          t.wanted = "up";
          setTimeout(() => this.up(t.name), 300);
        } else {
          ++t.child_rekeys;
          this.tell("debug", "new-keys", { tunnel: t.name });
        }
        return [200, { ok: true, command: path[3], tunnel: t.name, message: `${t.name}: ${path.slice(3).join(" ")}` }];
      }
      default: {
        const found = this.#answer(method, url.pathname);
        if (found) return [found.status, found.body];
        return [404, failure("not_found", `there is no path '${url.pathname}'; GET / lists them`)];
      }
    }
  }

  #client(method, path, body) {
    const [kind, id, what] = path[4] === "magic" ? path.slice(5) : path.slice(4);
    if (kind === "ipsec_tunnels") {
      const place = { file: "/etc/qanat/qanat.toml", line: 12 };
      if (!id)
        return [
          200,
          envelope({
            ipsec_tunnels: this.tunnels.map((t) => ({
              id: Buffer.from(t.name).toString("hex"),
              name: t.name,
              ...(t.name === "site-c" ? { managed_by: place } : {}),
            })),
          }),
        ];
      if (Buffer.from(id, "hex").toString() === "site-c")
        return [409, refusal(1009, "tunnel 'site-c' is written in /etc/qanat/qanat.toml:12; change it there")];
      return [
        200,
        envelope({
          ipsec_tunnel_id: id,
          psk: `qpsk1-${randomBytes(32).toString("base64url")}`,
          psk_metadata: { last_generated_on: new Date().toISOString() },
        }),
      ];
    }
    if (kind !== "pcaps") return [404, refusal(1000, "not found")];
    for (const one of this.captures) {
      const seconds = (performance.now() - one.began) / 1000;
      if (one.status === "running" && (seconds > one.time_limit || one.stop_requested))
        Object.assign(one, { status: "success", finished_on: new Date().toISOString() });
      if (one.status === "pending") one.status = "running";
      if (one.status === "running")
        Object.assign(one, {
          packets_captured: Math.min(one.packet_limit, Math.round(seconds * 9)),
          bytes_captured: Math.round(seconds * 9) * 420,
        });
    }
    if (method === "POST") {
      if (!this.tunnels.some((each) => each.name === body.tunnel))
        return [400, refusal(1002, `tunnel = "${body.tunnel}": there is no tunnel of this name or id in account default`)];
      const one = { byte_limit: 16777216, snap_length: 65535, ...body, packets_captured: 0, bytes_captured: 0 };
      Object.assign(one, { id: randomBytes(16).toString("hex"), status: "pending", submitted: new Date().toISOString() });
      Object.defineProperty(one, "began", { value: performance.now() });
      this.captures.push(one);
      return [200, envelope(one)];
    }
    if (!id) return [200, envelope(this.captures)];
    const one = this.captures.find((each) => each.id === id);
    if (!one) return [404, refusal(1404, `there is no capture ${id}`)];
    if (what === "download")
      return ["pending", "running"].includes(one.status)
        ? [409, refusal(1005, `capture ${id} still runs: stop it, wait for its end, or ask with ?follow=true`)]
        : [200, pcapng()];
    if (what === "stop") one.stop_requested ??= new Date().toISOString();
    return [200, envelope(one)];
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(`${await new Mock().start(Number(process.argv[2] ?? 8080))}   tokens: admin, reader`);

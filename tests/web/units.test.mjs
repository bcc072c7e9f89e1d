// The pure modules of the page, without a browser.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

// The browser knows by its media type that a .js is a module, and node by a package.json, which the page has no use for.
const copied = mkdtempSync(join(tmpdir(), "qanat-web-"));
cpSync(fileURLToPath(new URL("../../web", import.meta.url)), copied, { recursive: true });
writeFileSync(join(copied, "package.json"), '{ "type": "module" }');
after(() => rmSync(copied, { recursive: true }));
const load = (name) => import(pathToFileURL(join(copied, name)).href);

const format = await load("format.js");
const model = await load("model.js");
const { History, sparkline, sums } = await load("history.js");
const { EventParser } = await load("sse.js");
const { remediesFor } = await load("remedy.js");
const { penaltyWords } = await load("views/routes.js");
const { captureOf, filterWords, stageOf } = await load("captures.js");

test("rates and octets have three digits and a unit", () => {
  assert.deepEqual([0, 1, 999, 1000, 12345, 999_400, 999_600, 1_234_567_890].map(format.rate), [
    "0 bit/s",
    "1 bit/s",
    "999 bit/s",
    "1 kbit/s",
    "12.3 kbit/s",
    "999 kbit/s",
    "1.00 Mbit/s",
    "1.23 Gbit/s",
  ]);
  assert.deepEqual([0, 999, 1000, 1_500_000, 2e18].map(format.octets), ["0 B", "999 B", "1 kB", "1.50 MB", "2000 PB"]);
  assert.deepEqual([null, undefined, NaN, Infinity].map(format.rate), ["–", "–", "–", "–"]);
});

test("only what is exactly all or nothing is 100 % or 0 %", () => {
  assert.deepEqual([0, 0.00001, 0.0003, 0.01, 0.068, 0.125, 0.9, 0.99996, 0.999999, 1].map(format.percent), [
    "0 %",
    "< 0.01 %",
    "0.03 %",
    "1 %",
    "6.8 %",
    "12.5 %",
    "90 %",
    "> 99.99 %",
    "> 99.99 %",
    "100 %",
  ]);
  assert.equal(format.percent(0.9999), "99.99 %");
  assert.equal(format.percent(null), "–");
});

test("times and counts", () => {
  assert.deepEqual([0, 59, 60, 61, 3600, 3601, 90061, -1, null].map(format.duration), [
    "0 s",
    "59 s",
    "1 min",
    "1 min 1 s",
    "1 h",
    "1 h",
    "1 d 1 h",
    "–",
    "–",
  ]);
  assert.deepEqual([0.25, 1, 18.14, 412.6].map(format.latency), ["250 µs", "1 ms", "18.1 ms", "413 ms"]);
  assert.equal(format.microseconds(6.4123), "6,412 µs");
  assert.deepEqual([0, 999, 1000, 1234567].map(format.count), ["0", "999", "1,000", "1,234,567"]);
  assert.deepEqual(
    [1, 2].map((n) => format.plural(n, "packet")),
    ["1 packet", "2 packets"],
  );
  assert.equal(format.date("2026-07-20T12:00:01Z"), "2026-07-20 12:00:01 UTC");
  assert.equal(format.date(""), "–");
});

const child = (keys, code = "") => ({ verdict: { keys, reason: `why ${keys}`, code } });
const made = (name, more = {}) => ({
  name,
  wanted: "up",
  actual: "up",
  reason: "",
  peer: "192.0.2.1",
  routes: ["10.0.0.0/8"],
  ike: null,
  children: [child("hybrid")],
  health: { state: "healthy", samples: 10, loss: 0, p50_ms: 1 },
  bytes_in: 0,
  bytes_out: 0,
  ...more,
});

test("the state is what a person has to know", () => {
  assert.equal(model.stateOf(made("a")), "up");
  assert.equal(model.stateOf(made("a", { health: { state: "degraded" } })), "degraded");
  assert.equal(model.stateOf(made("a", { health: { state: "down" } })), "unanswered");
  assert.equal(model.stateOf(made("a", { health: { state: "not measurable" } })), "up");
  assert.equal(model.stateOf(made("a", { actual: "down", wanted: "down" })), "held");
  assert.equal(model.stateOf(made("a", { actual: "down" })), "down");
  assert.equal(model.stateOf(made("a", { actual: "waiting", wanted: "on call" })), "waiting");
  assert.equal(model.stateOf(made("a", { actual: "connecting" })), "connecting");
});

test("keys are as safe as the weakest Child SA; what is not known counts as classical", () => {
  assert.equal(
    model.keysOf(made("a", { children: [child("hybrid"), child("classical", "no_addke"), child("ppk")] })).code,
    "no_addke",
  );
  assert.equal(model.keysOf(made("a", { children: [child("hybrid"), child("inherited")] })).keys, "inherited");
  assert.equal(model.keysOf(made("a", { children: [child("something new")] })).keys, "classical");
  assert.equal(model.keysOf(made("a", { children: [] })).keys, "none");
});

test("counts are of those that are up", () => {
  const rows = [
    made("a"),
    made("b", { children: [child("inherited")] }),
    made("c", { children: [child("classical")] }),
    made("d", { children: [child("ppk")] }),
    made("e", { children: [], actual: "down" }),
  ].map(model.rowOf);
  const counted = model.countOf(rows);
  assert.deepEqual(
    [counted.tunnels, counted.up, counted.hybrid, counted.ppk, counted.classical, counted.wrong],
    [5, 4, 2, 1, 1, 1],
  );
});

test("sorting: trouble first, numbers in names, unknown values last both ways", () => {
  const rows = [
    { name: "b10", rate: 5 },
    { name: "b9", rate: null },
    { name: "b2", rate: 7 },
  ].map((row) => ({ ...model.rowOf(made(row.name)), ...row }));
  const names = (by, backwards) =>
    model
      .sorted(rows, by, backwards)
      .map((row) => row.name)
      .join(" ");
  assert.equal(names("name"), "b2 b9 b10");
  assert.equal(names("name", true), "b10 b9 b2");
  assert.equal(names("rate"), "b2 b10 b9");
  assert.equal(names("rate", true), "b10 b2 b9");
  assert.equal(
    model.sorted([model.rowOf(made("ok")), model.rowOf(made("no", { actual: "down", children: [] }))], "state")[0].name,
    "no",
  );
});

test("the filter takes words of every column", () => {
  const row = model.rowOf(made("paris", { children: [child("classical")] }));
  assert.ok(
    model.matches(row, "") &&
      model.matches(row, "PAR classical") &&
      model.matches(row, "10.0.0") &&
      model.matches(row, "up"),
  );
  assert.ok(!model.matches(row, "paris hybrid"));
});

test("changes are told once, and briefly when there are many", () => {
  const before = [made("a"), made("b")].map(model.rowOf);
  const now = [
    made("a", { health: { state: "degraded", samples: 1 } }),
    made("b", { children: [child("classical")] }),
    made("c"),
  ].map(model.rowOf);
  assert.deepEqual(model.changes(before, now), ["a is degraded", "b has classical keys now", "c is new: up"]);
  assert.deepEqual(model.changes(before, before), []);
  assert.deepEqual(model.changes(before, []), ["a is gone", "b is gone"]);
  assert.deepEqual(
    model.changes(
      [],
      Array.from({ length: 9 }, (_, i) => model.rowOf(made(`t${i}`))),
    ),
    ["9 tunnels changed"],
  );
});

test("tunnels to the same prefixes are paths to one site", () => {
  const sites = model.sitesOf([
    made("a"),
    made("b", { routes: ["10.9.0.0/16"] }),
    made("c"),
    made("d", { routes: [], peer: "any" }),
  ]);
  assert.deepEqual(
    sites.map((site) => site.paths.map((t) => t.name).join("+")),
    ["a+c", "b", "d"],
  );
});

test("a daemon that began later is another one", () => {
  assert.ok(!model.restarted({ secondsUp: 100, at: 1000 }, { secondsUp: 160, at: 1060.4 }));
  assert.ok(model.restarted({ secondsUp: 100, at: 1000 }, { secondsUp: 2, at: 1010 }));
  assert.ok(model.restarted({ secondsUp: 100, at: 1000 }, { secondsUp: 600, at: 4600 }));
});

test("rates come from counters over several seconds, and a restart is no negative rate", () => {
  const history = new History(10);
  const add = (clock, sent, received) =>
    history.add(clock, 1000 + clock, made("a", { bytes_out: sent, bytes_in: received }));
  add(10, 0, 0);
  assert.equal(history.rate, null);
  add(12, 2000, 500);
  assert.equal(history.rate, 10_000);
  for (let clock = 14; clock < 40; clock += 2) add(clock, clock * 1000, 500);
  assert.equal(history.sent.at(-1), 8000);
  assert.equal(history.received.at(-1), 0);
  assert.equal(history.times.length, 10);
  add(1, 5, 5); // a daemon that has just begun
  assert.equal(history.sent.at(-1), null);
  add(3, 255, 5);
  assert.equal(history.sent.at(-1), 1000);
  history.gap(2000);
  history.gap(2001);
  assert.deepEqual([history.sent.at(-1), history.times.at(-1)], [null, 2000]);
});

test("a reading at the same moment gives no rate out of nothing", () => {
  const history = new History(10);
  history.add(5, 1, made("a", { bytes_out: 100 }));
  history.add(5, 2, made("a", { bytes_out: 900 }));
  assert.equal(history.rate, null);
});

test("sparklines end at the right, and have gaps", () => {
  assert.equal(sparkline([1], 5, 100, 10), "");
  assert.equal(sparkline([0, 10], 5, 100, 10), "M75.0 10.0L100.0 0.0");
  assert.equal(sparkline([10, null, 10, 10], 4, 90, 10), "M0.0 0.0M60.0 0.0L90.0 0.0");
  assert.deepEqual(sums([1, null, 3], [1, 1, null]), [2, null, null]);
});

test("server-sent events in pieces, with comments, several lines and carriage returns", () => {
  const parser = new EventParser();
  const text = ': hello\n\nid: 7\nevent: log\ndata: {"a":1}\n\ndata: two\r\ndata: lines\r\n\r\n: beat\n\nretry: 5\n\n';
  const whole = parser.feed(text);
  assert.deepEqual(whole, [
    { id: "7", event: "log", data: '{"a":1}' },
    { id: "", event: "message", data: "two\nlines" },
  ]);
  const bits = new EventParser();
  assert.deepEqual(
    [...text].flatMap((letter) => bits.feed(letter)),
    whole,
  );
});

test("the remedy is a line that can be copied, made of what the tunnel has", () => {
  const t = made("paris", {
    pq: "prefer",
    ike: { suite: "aes256gcm16-prfsha384", key_exchanges: ["ecp384"], remote: "192.0.2.9:500" },
  });
  assert.equal(remediesFor(t, "no_addke")[0].line, "proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem768");
  assert.match(remediesFor(t, "no_intermediate")[0].what, /Update/);
  assert.equal(
    remediesFor({ ...t, ike: { ...t.ike, key_exchanges: ["x25519", "kyber768"] } }, "private_key_exchanges")[0].line,
    "proposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768",
  );
  assert.equal(remediesFor({ ...t, ike: null }, "fragments_lost")[1].line, "ike_fragment_size = 1280");
  assert.equal(remediesFor({ ...t, pq: "off" }, "local_policy")[0].line, 'pq = "prefer"');
  assert.match(remediesFor(t, "local_policy")[0].line, /^ike = \["aes256gcm16-prfsha384-ecp384-ke1_mlkem768"\]$/);
  assert.deepEqual(remediesFor(t, ""), []);
});

test("penalties in words", () => {
  const words = (penalty, refused = false) => penaltyWords({ penalty, refused });
  assert.deepEqual(
    [0, 200000, 500000, 1000000, 2000000].map((penalty) => words(penalty)),
    ["0", "+200,000: classical keys", "+500,000: degraded", "+1,000,000: no answer", "+2,000,000: no SA"],
  );
  assert.equal(words(2000000, true), "refused: no hybrid keys");
});

test("a capture's form: limits, fields, and what the API gets", () => {
  const form = {
    tunnel: "paris",
    source_address: "",
    source_port: "",
    destination_address: "10.1.0.1",
    destination_port: "443",
    protocol: "TCP",
    seconds: "30",
    packets: "100",
  };
  assert.deepEqual(captureOf(form), {
    faults: [],
    body: {
      type: "simple",
      system: "magic-transit",
      tunnel: "paris",
      time_limit: 30,
      packet_limit: 100,
      filter_v1: { destination_address: "10.1.0.1", destination_port: 443, protocol: 6 },
    },
  });
  const wrong = captureOf({
    ...form,
    tunnel: "",
    source_address: "everywhere",
    source_port: "0",
    seconds: "1e9",
    packets: "-1",
  });
  assert.equal(wrong.faults.length, 5);
  assert.equal(
    "filter_v1" in captureOf({ ...form, destination_address: "", destination_port: "", protocol: "any" }).body,
    false,
  );
  assert.equal(filterWords({ destination_port: 443, protocol: 6 }), "TCP any → any port 443");
  assert.equal(filterWords({ protocol: 47 }), "protocol 47 any → any");
  assert.equal(filterWords(undefined), "all packets");
  assert.deepEqual(
    ["pending", "running", "success", "complete", "failed", "unknown", "new word"].map((status) => stageOf({ status }).file),
    [false, false, true, true, false, false, false],
  );
  assert.equal(stageOf({ status: "unknown" }).word, "gone", "a restart, or an hour, has taken its packets");
});

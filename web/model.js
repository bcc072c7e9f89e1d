// What the page says of a tunnel, worked out from the JSON of /v1/status. Pure.

// The worst first: what a person has to look at. `tone` picks colour and shape; the word always stands beside it.
export const STATES = {
  down: { rank: 0, tone: "bad", word: "down" },
  unanswered: { rank: 1, tone: "bad", word: "no answer" },
  degraded: { rank: 2, tone: "warn", word: "degraded" },
  connecting: { rank: 3, tone: "warn", word: "connecting" },
  waiting: { rank: 4, tone: "idle", word: "waiting" },
  held: { rank: 5, tone: "idle", word: "kept down" },
  up: { rank: 6, tone: "good", word: "up" },
};

export const KEYS = {
  classical: {
    rank: 0,
    tone: "bad",
    word: "classical",
    means: "a recording of it can be read once there is a quantum computer",
  },
  none: { rank: 1, tone: "idle", word: "no keys", means: "no Child SA" },
  ppk: { rank: 2, tone: "good", word: "PPK", means: "safe by a post-quantum pre-shared key" },
  inherited: { rank: 3, tone: "good", word: "inherited", means: "hybrid by the keys before them" },
  hybrid: { rank: 4, tone: "good", word: "hybrid", means: "ML-KEM and a classical exchange together" },
};

export function stateOf(tunnel) {
  if (tunnel.actual === "up") {
    if (tunnel.health?.state === "down") return "unanswered";
    return tunnel.health?.state === "degraded" ? "degraded" : "up";
  }
  if (tunnel.wanted === "down") return "held";
  if (tunnel.actual === "waiting" || tunnel.actual === "connecting") return tunnel.actual;
  return "down";
}

// The weakest of its Child SAs, as the gateway's own posture has it, and why.
export function keysOf(tunnel) {
  let weakest = null;
  for (const child of tunnel.children ?? []) {
    const verdict = child.verdict ?? {};
    const keys = KEYS[verdict.keys] ? verdict.keys : "classical";
    if (weakest === null || KEYS[keys].rank < KEYS[weakest.keys].rank)
      weakest = { keys, reason: verdict.reason ?? "", code: verdict.code ?? "" };
  }
  return weakest ?? { keys: "none", reason: "", code: tunnel.failure_code ?? "" };
}

export function whyOf(tunnel) {
  if (tunnel.reason) return tunnel.reason;
  const state = stateOf(tunnel);
  return state === "degraded" || state === "unanswered" ? (tunnel.health.reason ?? "") : "";
}

// One line of the overview.
export function rowOf(tunnel) {
  const measured = (tunnel.health?.samples ?? 0) > 0;
  const keys = keysOf(tunnel);
  return {
    name: tunnel.name,
    state: stateOf(tunnel),
    why: whyOf(tunnel),
    keys: keys.keys,
    keysWhy: keys.reason,
    peer: tunnel.ike?.remote ?? tunnel.peer,
    routes: (tunnel.routes ?? []).join(" "),
    loss: measured ? tunnel.health.loss : null,
    latency: measured ? (tunnel.health.p50_ms ?? null) : null,
    rate: null,
  };
}

// How many of those that are up have which keys; inherited ones are hybrid, as /v1/posture counts them.
export function countOf(rows) {
  const out = { tunnels: rows.length, up: 0, hybrid: 0, ppk: 0, classical: 0, degraded: 0, wrong: 0 };
  for (const row of rows) {
    if (STATES[row.state].tone === "bad") ++out.wrong;
    if (row.state === "degraded") ++out.degraded;
    if (row.keys === "none") continue;
    ++out.up;
    ++out[row.keys === "inherited" ? "hybrid" : row.keys];
  }
  return out;
}

// Every word must be somewhere in the row: "paris classical".
export function matches(row, filter) {
  const text = `${row.name} ${STATES[row.state].word} ${KEYS[row.keys].word} ${row.peer} ${row.routes}`.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

const natural = new Intl.Collator("en", { numeric: true });
const SORTS = {
  name: () => 0,
  state: (a, b) => STATES[a.state].rank - STATES[b.state].rank,
  keys: (a, b) => KEYS[a.keys].rank - KEYS[b.keys].rank,
  rate: (a, b) => unknownLast(a.rate, b.rate),
  loss: (a, b) => unknownLast(a.loss, b.loss),
  latency: (a, b) => unknownLast(a.latency, b.latency),
};
export const SORTABLE = Object.keys(SORTS);

// Numbers begin with the largest; what is not known comes after every number, whichever way the rest goes.
function unknownLast(a, b) {
  if (a === null || b === null) return a === b ? 0 : { last: a === null ? 1 : -1 };
  return b - a;
}

// A new list; rows of equal rank by name.
export function sorted(rows, by, backwards = false) {
  const rank = SORTS[by] ?? SORTS.name;
  const turn = backwards ? -1 : 1;
  return [...rows].sort((a, b) => {
    const order = rank(a, b);
    if (typeof order === "object") return order.last;
    return order * turn || natural.compare(a.name, b.name) * (by === "name" ? turn : 1);
  });
}

// What a screen reader should hear of two looks at the same gateway; one sentence when there is too much.
export function changes(before, after, most = 3) {
  const old = new Map(before.map((row) => [row.name, row]));
  const told = [];
  for (const row of after) {
    const was = old.get(row.name);
    if (was === undefined) told.push(`${row.name} is new: ${STATES[row.state].word}`);
    else if (was.state !== row.state) told.push(`${row.name} is ${STATES[row.state].word}`);
    else if (was.keys !== row.keys && row.keys !== "none") told.push(`${row.name} has ${KEYS[row.keys].word} keys now`);
  }
  const names = new Set(after.map((row) => row.name));
  for (const row of before) if (!names.has(row.name)) told.push(`${row.name} is gone`);
  return told.length > most ? [`${told.length} tunnels changed`] : told;
}

// Sites: what lies behind the same prefixes, and the ways there, in the order of their names.
export function sitesOf(tunnels) {
  const sites = new Map();
  for (const tunnel of tunnels) {
    const key = (tunnel.routes ?? []).join(" ") || `peer ${tunnel.peer}`;
    if (!sites.has(key))
      sites.set(key, { label: tunnel.routes?.length ? tunnel.routes : [`${tunnel.peer}`], paths: [] });
    sites.get(key).paths.push(tunnel);
  }
  return [...sites.values()];
}

// Whether the daemon is another one than before: it began later. Both { secondsUp, at }: `at` in seconds, of any clock.
export function restarted(before, now) {
  return now.at - now.secondsUp - (before.at - before.secondsUp) > 3;
}

// Numbers as people read them: always with a unit, "–" for what is not known. Pure.

const NONE = "–";
const known = (value) => typeof value === "number" && Number.isFinite(value);

// Three significant digits: 9.87, 98.7, 987.
function digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 || Number.isInteger(value) ? 0 : size >= 9.995 ? 1 : 2);
}

function scaled(value, units, step) {
  let at = 0;
  while (at + 1 < units.length && Math.abs(value) >= step * 0.9995) {
    value /= step;
    ++at;
  }
  return `${digits(value)} ${units[at]}`;
}

// Bits a second.
export function rate(bits) {
  return known(bits) ? scaled(Math.round(bits), ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000) : NONE;
}

// Octets, in powers of 1,000.
export function octets(count) {
  return known(count) ? scaled(count, ["B", "kB", "MB", "GB", "TB", "PB"], 1000) : NONE;
}

export function count(value) {
  return known(value) ? String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",") : NONE;
}

// 1 tunnel, 2 tunnels.
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// A share of 1 as percent: 0 %, 0.03 %, 12 %, 100 %. Only what is exactly all is 100.
export function percent(share) {
  if (!known(share)) return NONE;
  const value = share * 100;
  if (value === 0 || value === 100) return `${value} %`;
  if (value < 0.01) return "< 0.01 %";
  if (value > 99.99) return "> 99.99 %";
  return `${value < 9.995 ? trimmed(value, 2) : trimmed(Math.min(value, 99.99), value > 99 ? 2 : 1)} %`;
}

function trimmed(value, places) {
  return value.toFixed(places).replace(/\.?0+$/, "");
}

// Milliseconds in, as ms or µs.
export function latency(milliseconds) {
  if (!known(milliseconds)) return NONE;
  return milliseconds < 1 ? `${digits(Math.round(milliseconds * 1000))} µs` : `${digits(milliseconds)} ms`;
}

// Milliseconds in, microseconds out: how long an exchange took.
export function microseconds(milliseconds) {
  return known(milliseconds) ? `${count(milliseconds * 1000)} µs` : NONE;
}

// Seconds as the two largest units: "3 d 4 h", "12 min 5 s", "8 s".
export function duration(seconds) {
  if (!known(seconds) || seconds < 0) return NONE;
  let rest = Math.floor(seconds);
  const parts = [];
  for (const [unit, size] of [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ]) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${unit}`);
    if (parts.length === 2 || (parts.length === 1 && amount === 0)) break;
  }
  return parts.join(" ") || "0 s";
}

// "2026-07-20T12:00:00Z" as "2026-07-20 12:00:00 UTC".
export function date(text) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text ?? "") ? `${text.slice(0, 10)} ${text.slice(11, 19)} UTC` : NONE;
}

export function time(text) {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(text ?? "") ? text.slice(11, 19) : NONE;
}

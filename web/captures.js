// Captures as the form and the API have them. Pure.

export const LIMITS = { seconds: [1, 300], packets: [1, 10000], port: [1, 65535] };
export const PROTOCOLS = { any: null, ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58 };

function whole(text, name, [least, most], faults) {
  const value = Number(text);
  if (!/^\d+$/.test(text.trim()) || value < least || value > most)
    faults.push(`${name}: a whole number from ${least} to ${most}`);
  return value;
}

// Text of the form -> { body, faults }: what POST .../pcaps takes, and one sentence for each field that is wrong.
export function captureOf(form) {
  const faults = [];
  const filter = {};
  if (!form.tunnel) faults.push("Tunnel: choose one");
  for (const [name, field] of [
    ["Source", "source_address"],
    ["Destination", "destination_address"],
  ]) {
    const text = form[field].trim();
    if (text === "") continue;
    if (/^[0-9a-fA-F:.]+(\/\d{1,3})?$/.test(text) && /[.:]/.test(text)) filter[field] = text;
    else faults.push(`${name}: an address, like 10.1.2.3`);
  }
  for (const [name, field] of [
    ["Source port", "source_port"],
    ["Destination port", "destination_port"],
  ])
    if (form[field].trim() !== "") filter[field] = whole(form[field], name, LIMITS.port, faults);
  const protocol = PROTOCOLS[form.protocol] ?? null;
  if (protocol !== null) filter.protocol = protocol;
  const body = {
    type: "simple",
    system: "magic-transit",
    tunnel: form.tunnel,
    time_limit: whole(form.seconds, "Seconds", LIMITS.seconds, faults),
    packet_limit: whole(form.packets, "Packets", LIMITS.packets, faults),
  };
  if (Object.keys(filter).length > 0) body.filter_v1 = filter;
  return { body, faults };
}

// What a state of Cloudflare's list means here: whether packets may still come, and whether there is a file.
export function stageOf(capture) {
  switch (capture.status) {
    case "pending":
      return { word: "begins", tone: "warn", running: true, file: false };
    case "running":
      return { word: "running", tone: "warn", running: true, file: false };
    case "conversion_pending":
    case "conversion_running":
      return { word: "being written", tone: "warn", running: false, file: false };
    case "success":
    case "complete":
      return { word: "complete", tone: "good", running: false, file: true };
    case "failed":
      return { word: "failed", tone: "bad", running: false, file: false };
    case "unknown": // the gateway was restarted, or an hour is over
      return { word: "gone", tone: "idle", running: false, file: false };
    default:
      return { word: "unknown", tone: "idle", running: false, file: false };
  }
}

export function filterWords(filter) {
  if (!filter || Object.keys(filter).length === 0) return "all packets";
  const end = (address, port) => [address ?? "any", port].filter((part) => part !== undefined).join(" port ");
  const protocol = Object.entries(PROTOCOLS).find(([, number]) => number !== null && number === filter.protocol)?.[0];
  const ends = `${end(filter.source_address, filter.source_port)} → ${end(filter.destination_address, filter.destination_port)}`;
  return protocol
    ? `${protocol} ${ends}`
    : filter.protocol === undefined
      ? ends
      : `protocol ${filter.protocol} ${ends}`;
}

// What to change, where, for a tunnel whose keys are not hybrid: the exact line. Pure. The codes are those of the
// gateway's verdicts (docs/seeing.md, "Why not hybrid").

const STRONGSWAN = "strongSwan, swanctl.conf";

// The proposal that the peer uses now, and ML-KEM-768 beside it: "aes256gcm16-prfsha384-x25519-ke1_mlkem768".
function withMlKem(tunnel) {
  const suite = tunnel.ike?.suite || "aes256gcm16-prfsha384";
  const old = /^(kyber|frodo|bike|hqc|ke\d|mlkem)/i;
  const first = (tunnel.ike?.key_exchanges ?? []).find((name) => !old.test(name)) || "x25519";
  return `${suite}-${first}-ke1_mlkem768`;
}

// { where, what, line }, the most likely one first; [] when there is nothing to change.
export function remediesFor(tunnel, code) {
  const peer = `the peer of ${tunnel.name} (${tunnel.ike?.remote || tunnel.peer})`;
  const here = `this gateway, [[tunnel]] name = "${tunnel.name}"`;
  const propose = { where: `${peer}: ${STRONGSWAN}`, line: `proposals = ${withMlKem(tunnel)}` };
  switch (code) {
    case "no_intermediate":
      return [
        {
          where: peer,
          what: "Update its software: it must know RFC 9242 and RFC 9370 (strongSwan 6.0 or newer, with the ml plugin).",
          line: "",
        },
        { ...propose, what: "Then add ML-KEM to its proposal:" },
      ];
    case "no_addke":
      return [
        { ...propose, what: "It knows multiple key exchanges and does not offer one. Add ML-KEM to its proposal:" },
      ];
    case "private_key_exchanges":
      return [
        { ...propose, what: "It offers key exchanges from before the standard. Replace them by ML-KEM (FIPS 203):" },
      ];
    case "fragments_lost":
      return [
        { where: "every firewall on the path", what: "Let UDP 500 and 4500 and IP fragments pass.", line: "" },
        { where: here, what: "Or send smaller fragments, here", line: "ike_fragment_size = 1280" },
        { where: `${peer}: strongswan.conf, charon`, what: "and there:", line: "fragment_size = 1280" },
      ];
    case "local_policy":
      return tunnel.pq === "off"
        ? [{ where: here, what: "ML-KEM is switched off here. Switch it on:", line: 'pq = "prefer"' }]
        : [
            {
              where: here,
              what: "Both sides have ML-KEM, of different sizes. List one that the peer has:",
              line: `ike = ["${withMlKem(tunnel)}"]`,
            },
          ];
    default:
      return [];
  }
}

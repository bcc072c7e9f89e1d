"""What must be seen: each line of the table in docs/performance.md, and where in the results its figure stands."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable


def row(bench: str, case: str, subject: str = "qanat", key: str = "value") -> Callable[[dict], float | None]:
    return lambda results: next((r[key] for r in results.get(bench, {}).get("rows", ())
                                 if (r["case"], r["subject"]) == (case, subject)), None)


def ratio(bench: str, case: str, vs: str) -> Callable[[dict], float | None]:
    return lambda results: next((r["median"] for r in results.get(bench, {}).get("ratios", ())
                                 if (r["case"], r["vs"]) == (case, vs)), None)


@dataclasses.dataclass(frozen=True)
class Target:
    what: str
    seen: Callable[[dict], float | None]
    at_least: float | None  # None: it is to be shown
    aim: float
    unit: str = ""
    less_is_better: bool = False

    def _text(self, value: float | None) -> str:
        return "shown" if value is None else f"{'<=' if self.less_is_better else '>='} {value:.3g}{self.unit}"

    @property
    def at_least_text(self) -> str:
        return self._text(self.at_least)

    @property
    def aim_text(self) -> str:
        return self._text(self.aim)

    def verdict(self, seen: float) -> str:
        def holds(limit: float | None) -> bool:
            return limit is None or seen <= limit if self.less_is_better else seen >= limit
        return ", reaches the aim" if holds(self.aim) else "" if holds(self.at_least) else ", **falls short**"


def less(what: str, seen: Callable, at_least: float | None, aim: float, unit: str = "") -> Target:
    return Target(what, seen, at_least, aim, unit, less_is_better=True)


TARGETS = (
    Target("one TCP stream vs wireguard-go", ratio("throughput", "tcp1", "wireguard-go"), 2, 2.5, "x"),
    Target("one TCP stream", row("throughput", "tcp1"), None, 4.5, " Gbit/s"),
    Target("one TCP stream vs strongSwan libipsec", ratio("throughput", "tcp1", "strongswan"), 12, 15, "x"),
    Target("the same with veth offloads off, vs wireguard-go", ratio("throughput", "tcp1-nooffload", "wireguard-go"), 2, 3, "x"),
    Target("eight streams vs one", ratio("throughput", "tcp8", "qanat tcp1"), 0.9, 1, "x"),
    Target("one stream with 10,000 idle SAs beside, vs without", ratio("throughput", "tcp1-idle10k", "qanat tcp1"), 0.9, 1, "x"),
    Target("UDP 64 B at 0.1 % loss vs wireguard-go", ratio("packets", "udp64", "wireguard-go"), 3, 5, "x"),
    Target("UDP 64 B at 0.1 % loss vs our relay", ratio("packets", "udp64", "relay"), 0.6, 0.7, "x"),
    less("round-trip time that the idle tunnel adds", row("latency", "rtt-added"), 0.25, 0.12, " ms"),
    less("seal, 1,420 B: above the raw AEAD", row("esp", "seal/1420 above raw"), 60, 35, " ns"),
    less("seal, 64 B: above the raw AEAD", row("esp", "seal/64 above raw"), 60, 35, " ns"),
    less("open, 1,420 B: above the raw AEAD", row("esp", "open/1420 above raw"), 60, 35, " ns"),
    less("open, 64 B: above the raw AEAD", row("esp", "open/64 above raw"), 60, 35, " ns"),
    less("responder CPU per handshake, PSK, vs strongSwan", ratio("handshake", "psk cpu", "strongswan"), 1 / 5, 1 / 6, "x"),
    Target("handshake rate, PSK, of what the bare operations allow", ratio("handshake", "psk of bare", "openssl"), 0.6, 0.75, "x"),
    less("the same with ECDSA P-256 certificates, vs strongSwan", ratio("handshake", "ecdsa-p256 cpu", "strongswan"), 1 / 3, 1 / 4, "x"),
    less("the same with ML-DSA-65, vs the sum of bare operations", ratio("handshake", "mldsa65 cpu", "openssl"), 1.3, 1.15, "x"),
    Target("two IKE shards on two threads vs one", ratio("esp", "ike shards", "one shard"), 1.7, 1.9, "x"),
    less("resident memory per established tunnel", row("scale", "memory per tunnel"), 6, 3, " KB"),
    less("10,000 tunnels from cold", row("scale", "from cold"), 5, 3, " s"),
    less("handshake p99 at half the maximum rate", row("handshake", "psk p99 at half rate"), None, 3, " ms"),
    less("lost under rekeys at 20,000 packets/s each way", row("rekey", "lost"), 0, 0),
    less("duplicated", row("rekey", "duplicated"), 0, 0),
    less("reordered", row("rekey", "reordered"), None, 0),
    less("cut at health rate mid: silence at 10,000 packets/s", row("wan", "cut at mid, out: silence", key="max"), 1800, 1800, " ms"),
    less("cut at health rate high: silence at 10,000 packets/s", row("wan", "cut at high, out: silence", key="max"), 1000, 1000, " ms"),
    less("packets that other tunnels lose by a reload", row("wan", "reload: others lost", key="max"), 0, 0),
    less("packets in the clear after kill -9 of the daemon", row("wan", "kill -9, hub calls: clear", key="max"), 0, 0),
    less("1,000 tunnels made by bulk calls over HTTPS", row("api", "made"), None, 2, " s"),
    less("packets that a tunnel loses meanwhile", row("api", "made: lost", key="max"), 0, 0),
    less("10,000 objects listed over HTTPS", row("api", "listed"), 100, 50, " ms"),
    less("busy time at 500 Mbit/s vs wireguard-go", ratio("latency", "busy-500M", "wireguard-go"), 0.5, 0.33, "x"),
)

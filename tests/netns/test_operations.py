"""What an operator does, and what is kept over crashes: pins, crash tokens, pings inside the tunnel, unidirectional health checks."""
from __future__ import annotations

import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import check, laboratory, main, say  # noqa: E402
from traffic import SteadyPing, ping, ping_until_answered, wait_until  # noqa: E402


def a_pin_holds() -> None:
    """pq = "pin": a peer that was hybrid does not come back classical, not even over kill -9; posture forget lets it"""
    with laboratory() as lab:
        a, b = lab.pair(here={"pq": "pin"})
        check(a.tunnel()["ike"]["verdict"]["keys"] == "hybrid", "it came up hybrid")
        a.kill9()  # what a pin rests upon is written at once
        b.stop()
        lab.configure("b", [lab.tunnel("b", "a", pq="off", start="respond")])
        b.start()
        a.start()
        refused = a.wait_tunnel(lambda t: 'pq = "pin" refuses' in t["reason"], "the classical peer is refused", seconds=60)
        say(refused["reason"])
        check("qanat posture forget site-b" in refused["reason"], "the reason names the command")
        check(ping(lab["a"].site, lab["b"].host4, count=3, wait=2).received == 0, "nothing goes through")
        wait_until(lambda: "pin-refused" in a.cli("events", "site-b").stdout, "the event pin-refused")
        check(a.cli("posture", "forget", "site-b", check=False).returncode == 2, "without --confirm nothing is forgotten")
        check(a.tunnel()["actual"] != "up", "still refused")
        say(a.cli("posture", "forget", "site-b", "--confirm", "site-b").stdout.strip())
        a.wait_up(seconds=90)
        check(a.tunnel()["children"][0]["verdict"]["keys"] == "classical", "up, and classical")
        check(ping_until_answered(lab["a"].site, lab["b"].host4).received, "traffic flows")


def pings_inside() -> None:
    """qanat ping: loss and round trip inside the tunnel, and why not where it cannot"""
    with laboratory() as lab:
        a, b = lab.pair()
        said = a.cli("ping", "site-b", "-c", "3").stdout
        check("3 sent, 3 answered, 0 % lost" in said, said.splitlines()[-1])
        check(said.startswith("1: from 10.255.0.3 to 10.255.0.2: "), said.splitlines()[0])
        as_json = json.loads(a.cli("ping", "site-b", "-c", "1", "--json").stdout)
        check(as_json["answered"] == 1 and as_json["pings"][0]["milliseconds"] > 0, f"--json: {as_json['pings'][0]['milliseconds']:.2f} ms")
        explained = a.cli("explain", "site-b").stdout
        check("What the keys cost us" in explained and "decapsulation" in explained, "explain tells what each key operation cost")
        say(explained.partition("What the keys cost us")[2].partition("Why these")[0].strip())
        b.kill9()
        lost = a.cli("ping", "site-b", "-c", "1", check=False)
        check(lost.returncode == 1 and "100 % lost" in lost.stdout, "a dead peer: no answer, exit status 1")
        a.cli("down", "site-b")
        down = a.cli("ping", "site-b", check=False)
        check(down.returncode == 1 and "site-b is not up" in down.stderr, down.stderr.strip())


def a_restarted_hub_says_so() -> None:
    """RFC 6290: a hub that only answers is killed under traffic; its peer hears of it with the first packet, not by a timeout"""
    with laboratory() as lab:
        a, b = lab.pair(there={"start": "respond"})
        key = lab["b"].dir / "state" / "crash.key"
        check(key.exists() and key.stat().st_mode & 0o777 == 0o600 and key.stat().st_size == 32, "crash.key: 32 octets, mode 0600")
        before = key.read_bytes()
        with SteadyPing(lab["a"].site, lab["b"].host4) as pinger:
            time.sleep(1)
            b.kill9()
            begun = time.monotonic()
            b.start()
            b.wait_up(seconds=60)
            took = time.monotonic() - begun
            time.sleep(1)
            result = pinger.stop()
        check(key.read_bytes() == before, "its key is kept")
        check("peer-restarted" in a.cli("events", "site-b").stdout, "the event peer-restarted")
        check(took < 8, f"the tunnel is up again {took:.1f} s after the start; liveness would have taken 30 s ({result})")
        check(ping(lab["a"].site, lab["b"].host4, count=3).received == 3, "traffic flows")


def health_over_the_internet() -> None:
    """direction = "unidirectional": out through the tunnel, back outside, of both types; a cut way back is seen"""
    for kind in ("request", "reply"):
        with laboratory() as lab:
            a, _ = lab.pair(here={"health": {"type": kind, "direction": "unidirectional", "rate": "high"}})
            well = a.wait_tunnel(lambda t: t["health"]["state"] == "healthy", f"type {kind}: healthy")
            time.sleep(2)
            well = a.tunnel()
            check(well["health"]["loss"] == 0 and well["health"]["probes"] > 5, f"{well['health']['probes']} probes, none lost")
            if kind == "reply":
                continue
            lab.nft(lab["b"].gw, "table inet cut { chain out { type filter hook output priority 0; ip protocol icmp drop; }\n}\n")
            a.wait_tunnel(lambda t: t["health"]["state"] == "down", "the way back is cut: down", seconds=10)
            lab.nft(lab["b"].gw, "delete table inet cut")


if __name__ == "__main__":
    sys.exit(main([a_pin_holds, pings_inside, a_restarted_hub_says_so, health_over_the_internet], seconds=210))

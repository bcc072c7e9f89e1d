"""The WAN demo: a hub, four sites, an Internet; a path that breaks, and a peer with yesterday's keys. `./run demo wan` calls it.

Everything happens in network namespaces that are made here and gone afterwards, also after Ctrl-C. Exit status 0 only
if everything was seen that is said to be seen.
"""
from __future__ import annotations

import os
import pathlib
import socket
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]
from demo import Show, show_and_exit  # noqa: E402
from lab import Qanatd  # noqa: E402
from stream import Flow, Stream  # noqa: E402
from strongswan import Connection, StrongSwan  # noqa: E402
from traffic import marked_blocks, ping, ping_until_answered, socket_in, tcp_transfer, wait_until  # noqa: E402
from wan_lab import INTERNET, Wan, health, health_changes, wan  # noqa: E402

RATE = 1000  # packets a second each way while the path is cut
NAMES = {"b": "berlin", "c": "paris", "d": "madrid", "e": "oslo"}
PICTURE = """
                    Internet 203.0.114.80
                            |
                       +---------+
                       |   hub   |  192.0.2.1, qanat
                       +---------+
          berlin-1 //  || berlin-2   || paris    \\\\ madrid    \\\\ oslo
                  //   ||            ||           \\\\           \\\\
          +--------------+     +----------+     +----------+     +------------+
          |    berlin    |     |  paris   |     |  madrid  |     |    oslo    |
          | two lines    |     |          |     | pq = off |     | strongSwan |
          | 10.2.0.0/24  |     | 10.3.... |     | 10.4.... |     | 10.5....   |
          +--------------+     +----------+     +----------+     +------------+
"""


def peer_root() -> str | None:
    return os.environ.get("QANAT_PEER_FORKY")


def configure(lab: Wan) -> str:
    """Every gateway's configuration; the hub's file."""
    fast = {"health": {"rate": "high"}}
    at_hub, at_berlin = lab.two_paths("b", 0, **fast)
    at_hub[0]["name"], at_hub[1]["name"] = "berlin-1", "berlin-2"
    lab.configure("b", at_berlin, outer=(4,))
    for number, letter in ((2, "c"), (3, "d")):
        hub, site = lab.ends(letter, number, hub={"name": NAMES[letter]}, site={"pq": "off"} if letter == "d" else {})
        at_hub.append(hub)
        lab.configure(letter, [site], outer=(4,))
    # strongSwan answers pings of its own LAN address, not of an address inside the tunnel that it does not know.
    oslo, _ = lab.ends("e", 4, hub={"name": "oslo", "remote_id": "fqdn:oslo.example", "health": {"target": lab["e"].gw4}})
    at_hub.append(oslo)
    return lab.configure_hub(at_hub)


def start_strongswan(lab: Wan, root: str) -> StrongSwan:
    site = lab["e"]
    swan = StrongSwan(root, site.gw, str(site.dir / "swan"))
    swan.configure(Connection(local=site.outer4, remote=lab["a"].outer4, psk=lab.psk, local_id="oslo.example", remote_id=lab["a"].outer4,
                              local_ts=[site.net4], remote_ts=["0.0.0.0/0"]))
    # libipsec's default route goes before the main table; without this, what comes out of the tunnel goes in again.
    lab.ip(site.gw, f"rule add to {site.net4} lookup main priority 100")
    swan.start()
    return swan


def address_seen(client_ns: str, server_ns: str, server: str) -> str:
    """The address that a TCP server sees a client come from."""
    with socket_in(server_ns, socket.AF_INET, socket.SOCK_STREAM) as listener, socket_in(client_ns, socket.AF_INET, socket.SOCK_STREAM) as client:
        listener.bind((server, 0))
        listener.listen(1)
        listener.settimeout(20)
        client.settimeout(20)
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(listener.accept()[1][0]), daemon=True)
        thread.start()
        client.connect(listener.getsockname())
        thread.join(20)
    return seen[0] if seen else "nobody"


def tell_up(show: Show, hub: Qanatd) -> None:
    for name in ("berlin-1", "berlin-2", "paris", "madrid", "oslo"):
        hub.wait_up(name, 60)
    for name in ("berlin-1", "berlin-2", "paris", "madrid", "oslo"):
        wait_until(lambda at=name: health(hub, at) == "healthy", f"{name} is healthy", 30)
    show.seen(True, "five tunnels are up, and probes inside each of them are answered")
    show.quote("qanat status", hub.cli("status").stdout)


def tell_traffic(show: Show, lab: Wan) -> None:
    show.chapter("Site to site, through the hub, and never by its TUN")
    for here, there in (("b", "c"), ("c", "d"), ("d", "e"), ("e", "b")):
        result = ping(lab[here].site, lab[there].host4, count=5, size=1000)
        show.seen(result.received == 5, f"{NAMES[here]} > {NAMES[there]}: {result}")
    done = tcp_transfer(lab["b"].site, lab["e"].site, lab["e"].host4, marked_blocks(b"wan", 10_000_000))
    show.seen(done.intact, f"berlin > oslo: 10 MB by TCP, {done.megabits:,.0f} Mbit/s, equal SHA-256 at both ends")

    show.chapter("Out to the Internet, through the hub")
    for letter in "bce":
        result = ping(lab[letter].site, INTERNET, count=5)
        show.seen(result.received == 5, f"{NAMES[letter]} > {INTERNET}: {result}")
    done = tcp_transfer(lab["c"].site, lab.inet, INTERNET, marked_blocks(b"wan", 10_000_000))
    show.seen(done.intact, f"paris > {INTERNET}: 10 MB by TCP, {done.megabits:,.0f} Mbit/s")
    seen = address_seen(lab["c"].site, lab.inet, INTERNET)
    show.seen(seen == lab.seen_outside("c"), f"the server there saw paris come from {seen}")


def tell_failover(show: Show, lab: Wan, hub: Qanatd, berlin: Qanatd) -> None:
    show.chapter("berlin's first line is cut while it talks to paris: 1,000 packets/s each way")
    target = lab["b"].host4
    show.quote(f"qanat route get {target}", hub.cli("route", "get", target).stdout)
    with Stream((lab["b"].site, target), (lab["c"].site, lab["c"].host4), RATE) as stream:
        time.sleep(2)
        show.say("... now everything on that line vanishes; no interface goes down, and nobody is told")
        lab.cut("b")
        for daemon, name in ((hub, "berlin-1"), (berlin, "hub-1")):
            wait_until(lambda d=daemon, n=name: health(d, n) == "down", f"{name} is down", 20, every=0.02)
        time.sleep(1)
        flows = stream.stop()
    for way, flow in zip(("berlin > paris", "paris > berlin"), flows, strict=True):
        show.seen(0 < flow.lost < flow.sent and flow.doubled == 0, failover_text(way, flow))
    result = ping(lab["b"].site, lab["c"].host4, count=20)
    show.seen(result.received == 20, f"by the second line: {result}")
    show.quote(f"qanat route get {target}", hub.cli("route", "get", target).stdout)
    show.say()
    show.quote("qanat events berlin-1", "\n".join(hub.cli("events", "berlin-1").stdout.splitlines()[-3:]))

    show.chapter("The line is mended")
    with Stream((lab["b"].site, target), (lab["c"].site, lab["c"].host4), RATE) as stream:
        lab.mend("b")
        for daemon, name in ((hub, "berlin-1"), (berlin, "hub-1")):
            wait_until(lambda d=daemon, n=name: health(d, n) == "degraded", f"{name} answers again", 30)
        time.sleep(1)
        flows = stream.stop()
    show.seen(all(flow.lost == 0 for flow in flows), "its probes are answered again; traffic stays on the second line, and loses nothing")
    show.seen(health_changes(hub, "berlin-1")[-2:] == ["down", "degraded"], "one fall, one return: it does not flap")
    show.say("It takes traffic back when five minutes were clear of losses (./run bench wan waits for that).")


def failover_text(way: str, flow: Flow) -> str:
    return f"{way}: {flow.lost} of {flow.sent:,} packets lost; silence of {flow.longest_silence_ms:.0f} ms, then the second line"


def tell_keys(show: Show, hub: Qanatd) -> None:
    show.chapter("How safe are the keys, and why not where they are not?")
    show.quote("qanat posture", hub.cli("posture").stdout)
    verdicts = {tunnel["name"]: tunnel["ike"]["verdict"] for tunnel in hub.status_json()["tunnels"]}
    show.say()
    show.seen(all(verdicts[name]["keys"] == "hybrid" for name in ("berlin-1", "berlin-2", "paris", "oslo")),
              "berlin, paris and oslo (strongSwan): hybrid, ML-KEM-768 beside x25519")
    show.seen(verdicts["madrid"]["keys"] == "classical" and verdicts["madrid"]["reason"], f"madrid: classical, because {verdicts['madrid']['reason']}")
    show.say()
    show.quote("qanat explain madrid", hub.cli("explain", "madrid").stdout)
    show.say()
    show.quote("qanat explain oslo", hub.cli("explain", "oslo").stdout)


def demo(show: Show) -> None:
    show.say("A hub that ends the tunnels of four sites: three run qanat, one strongSwan 6.1. Berlin has two lines to the Internet.")
    show.say("Madrid's gateway stands for one that nobody has updated: it has no ML-KEM. All of it is made of network namespaces.")
    print(PICTURE)
    with wan("abcde", name="qwd") as lab:
        show.chapter("The hub's whole configuration")
        config = configure(lab)
        show.quote("cat qanat.toml", pathlib.Path(config).read_text().replace(str(lab.dir), "/lab"))
        show.chapter("The gateways start")
        swan = start_strongswan(lab, peer_root())
        try:
            sites = {letter: lab.start(letter) for letter in "bcd"}
            hub = lab.start("a")
            with lab.capture() as wiretap:
                tell_up(show, hub)
                tell_traffic(show, lab)
                tell_keys(show, hub)
                tell_failover(show, lab, hub, sites["b"])
                report = wiretap.report()
            show.chapter("What a wiretap between all of them saw")
            show.say(report.text())
            show.seen(report.esp > 5000 and report.clear == 0 and report.unseen == 0,
                      f"{report.esp:,} packets of ESP, and {report.clear} in the clear with an address of a site"
                      + "".join(f"; {sample}" for sample in report.clear_samples[:3]))
            show.chapter("All daemons are asked to end")
            stopped = [daemon.stop() for daemon in (hub, *sites.values())]
            show.seen(stopped == [0] * 4, "they did, with exit status 0")
        finally:
            swan.stop()


def why_not_here() -> str | None:
    return None if peer_root() else "needs strongSwan's root (QANAT_PEER_FORKY; ./run demo wan makes it)"


if __name__ == "__main__":
    sys.exit(show_and_exit("Qanat, a WAN", demo, why_not_here))

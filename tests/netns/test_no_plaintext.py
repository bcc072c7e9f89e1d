"""No plaintext by another way: a marker is sent from site to site and looked for outside, whatever the daemon goes through.

The routers route the sites' prefixes, so that what leaks would really arrive: every test begins by seeing it arrive.
"""
from __future__ import annotations

import os
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from capture import Capture  # noqa: E402
from lab import Lab, Qanatd, binary, check, laboratory, main, run, say  # noqa: E402
from traffic import Listener, RawSender, ip_packet, ping, ping_until_answered, socket_in, udp_packet, wait_until  # noqa: E402

MARKER = b"qanat-secret-marker-" + os.urandom(6).hex().encode()
PREFIXES = {"a prefix": None, "0.0.0.0/0": ["0.0.0.0/0", "::/0"]}


class Talk:
    """UDP datagrams with the marker from site a and from gateway a itself to site b, as fast as it is asked to."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self._sockets = []
        for ns in (lab["a"].site, lab["a"].gw):
            for family, target in ((socket.AF_INET, lab["b"].host4), (socket.AF_INET6, lab["b"].host6)):
                sock = socket_in(ns, family, socket.SOCK_DGRAM)
                sock.setblocking(False)
                self._sockets.append((sock, target))
        self.sent = 0

    def say(self, times: int = 20, gap: float = 0.005) -> None:
        for _ in range(times):
            for sock, target in self._sockets:
                try:
                    sock.sendto(MARKER * 3, (target, 7777))
                    self.sent += 1
                except OSError:
                    self.sent += 1  # "no route to host" is what the barrier says
            time.sleep(gap)


def leaks_nothing(capture: Capture, talk: Talk, while_what: str) -> None:
    talk.say()
    time.sleep(0.05)
    report = capture.report()
    check(report.leaks == 0 and report.unseen == 0,
          f"{while_what}: nothing in the clear outside" + "".join(f"; {line}" for line in (report.marker_samples + report.clear_samples)[:4]))


def through_its_life(routes: list[str] | None) -> None:
    with laboratory() as lab:
        talk = Talk(lab)
        with lab.capture(markers=[MARKER]) as control:
            talk.say()
            report = wait_until(lambda: (r := control.report()).marker_hits and r, "the marker is seen outside without qanatd")
            check(report.marker_hits > 0, f"control: without qanatd the marker is seen {report.marker_hits} times")
        more = {"routes": routes} if routes else {}
        more["dpd"] = {"idle": 2, "timeout": 6}
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("a", [lab.tunnel("a", "b", **more)])

        protect = run("ip", "netns", "exec", lab["a"].gw, binary("qanatd"), "--protect", "-c", str(lab["a"].dir / "qanat.toml"))
        check(protect.returncode == 0, "qanatd --protect (at boot, before the network): done")
        with lab.capture(markers=[MARKER]) as capture:
            leaks_nothing(capture, talk, "protected, no daemon yet")
            a = lab.start("a")
            leaks_nothing(capture, talk, "gateway a waits for a peer that does not run")
            b = lab.start("b")
            say("gateway b starts")
            for _ in range(20):
                talk.say(2)
            a.wait_up(seconds=60)
            b.wait_up()
            check(ping_until_answered(lab["a"].site, lab["b"].host4, fill=MARKER).received, "the tunnel carries the marker")
            leaks_nothing(capture, talk, "up")

            a.cli("down", "site-b")
            leaks_nothing(capture, talk, "qanat down")
            a.cli("up", "site-b")
            leaks_nothing(capture, talk, "qanat up")

            check(a.stop() == 0, "SIGTERM: exit status 0")
            leaks_nothing(capture, talk, "stopped")
            a.start(wait=False)
            for _ in range(60):
                talk.say(1)
            a.wait_log(r"\bready\b")
            leaks_nothing(capture, talk, "while it starts again")
            a.wait_up()
            ping_until_answered(lab["a"].site, lab["b"].host4)

            a.kill9()
            leaks_nothing(capture, talk, "kill -9")
            site = lab["a"]
            lab.ip(site.gw, "link set dev wan down", "link set dev wan up", f"addr replace {site.outer6}/64 dev wan nodad",
                   f"route replace default via {site.router4}", f"route replace ::/0 via {site.router6}")
            leaks_nothing(capture, talk, "kill -9, and the outer interface went down and up")
            left = lab.protection("a")
            check("unreachable" in left["routes -4"] and "unreachable" in left["routes -6"], "what stays behind: unreachable routes")
            a.start()
            a.wait_up(seconds=60)
            check(ping_until_answered(lab["a"].site, lab["b"].host4, fill=MARKER).received, "started again after kill -9, the tunnel carries")
            leaks_nothing(capture, talk, "up again")

            b.kill9()
            leaks_nothing(capture, talk, "the peer is killed")
            b.start()
            ping_until_answered(lab["a"].site, lab["b"].host4, seconds=90)
            leaks_nothing(capture, talk, "the peer is back")

            purges(lab, a, capture, talk)


def nothing_left(lab: Lab) -> None:
    left = {what: text for what, text in lab.protection("a").items() if text}
    check(not left, f"nothing of ours is left in the kernel: {left or 'no routes, no rules, no nftables table'}")


def purges(lab: Lab, a: Qanatd, capture: Capture, talk: Talk) -> None:
    """`qanat purge` while it runs, then --purge after it stopped; then traffic flows in the clear, as purge means."""
    done = a.cli("purge")
    say(f"qanat purge: {done.stdout.strip()}")
    check(not lab.protection("a")["nftables"] and "unreachable" not in lab.protection("a")["routes -4"], "qanat purge took routes and rules away")
    check(a.stop() == 0, "stopped after the purge")
    nothing_left(lab)
    talk.say()
    report = wait_until(lambda: (r := capture.report()).marker_hits and r, "the marker is seen outside after the purge")
    check(report.marker_hits > 0, f"and only now the marker is seen outside: {report.marker_samples[0]}")
    a.start()
    a.wait_up(seconds=60)
    check(a.stop() == 0 and "unreachable" in lab.protection("a")["routes -4"], "started and stopped again: protected again")
    config = str(lab["a"].dir / "qanat.toml")
    for attempt in (1, 2):
        purge = run("ip", "netns", "exec", lab["a"].gw, binary("qanatd"), "--purge", "-c", config)
        check(purge.returncode == 0, f"qanatd --purge without a daemon, time {attempt}")
    nothing_left(lab)


def life_with_a_prefix() -> None:
    """start, down, stop, kill -9, restart and purge, with a prefix as route"""
    through_its_life(None)


def life_with_a_default_route() -> None:
    """start, down, stop, kill -9, restart and purge, with 0.0.0.0/0 and ::/0 as routes"""
    through_its_life(["0.0.0.0/0", "::/0"])


def injected_from_outside() -> None:
    """clear packets with a protected source that come from outside are dropped, and counted"""
    for what, routes in PREFIXES.items():
        with laboratory() as lab:
            a, b = lab["a"], lab["b"]
            sources = [(b.host4, a.host4), (b.host6, a.host6)]
            with RawSender(lab.net) as attacker, Listener(a.site, a.host4, 7777) as four, Listener(a.site, a.host6, 7777) as six:
                for source, target in sources:
                    attacker.send(udp_packet(source, 1, target, 7777, MARKER))
                wait_until(lambda: four.read() and six.read(), "the attacker's packets arrive without qanatd")
                check(True, "control: without qanatd they arrive")
                daemon, _ = lab.pair(here={"routes": routes} if routes else {})
                for state in ("up", "killed"):
                    before, arrived = lab.nft_dropped("a"), len(four.read()) + len(six.read())
                    for _ in range(50):
                        for source, target in sources:
                            attacker.send(udp_packet(source, 1, target, 7777, MARKER))
                        attacker.send(ip_packet(b.host4, a.gw4, 1, bytes(8)))  # to the gateway itself as well
                    time.sleep(0.2)
                    counted = lab.nft_dropped("a") - before
                    check(len(four.read()) + len(six.read()) == arrived and counted >= 150,
                          f"{what}, {state}: none of 150 arrives, {counted} counted by nft")
                    if state == "up":
                        check(ping(a.site, b.host4, count=5).lost == 0, f"{what}: what comes through the tunnel still does")
                        daemon.kill9()


def foreign_source_in_the_tunnel() -> None:
    """a packet from the tunnel whose source is not routed to it is dropped as wrong_tunnel; source_check = "off" lets it in"""
    for mode in ("strict", "off"):
        with laboratory() as lab:
            daemon, _ = lab.pair(here={"source_check": mode})
            a, b = lab["a"], lab["b"]
            with RawSender(b.site) as sender, Listener(a.site, a.host4, 7777) as four, Listener(a.site, a.host6, 7777) as six:
                sender.send(udp_packet(b.host4, 1, a.host4, 7777, b"honest"))
                sender.send(udp_packet(b.host6, 1, a.host6, 7777, b"honest"))
                wait_until(lambda: four.read() and six.read(), "honest packets arrive")
                before = daemon.drops().get("wrong_tunnel", 0)
                for _ in range(10):
                    sender.send(udp_packet("10.77.0.1", 1, a.host4, 7777, b"foreign"))
                    sender.send(udp_packet("fd00:77::1", 1, a.host6, 7777, b"foreign"))
                if mode == "strict":
                    counted = wait_until(lambda: (n := daemon.drops().get("wrong_tunnel", 0) - before) >= 20 and n,
                                         "20 packets are counted as wrong_tunnel")
                    check(counted == 20 and b"foreign" not in four.read() + six.read(), f"strict: none of 20 arrives, wrong_tunnel + {counted}")
                    check(daemon.tunnel()["drops"].get("wrong_tunnel", 20) == 20, "and the tunnel's own count says so")
                else:
                    wait_until(lambda: four.read().count(b"foreign") == 10 and six.read().count(b"foreign") == 10, "all foreign packets arrive")
                    check(True, "off: all 20 arrive")


if __name__ == "__main__":
    sys.exit(main([life_with_a_prefix, life_with_a_default_route, injected_from_outside, foreign_source_in_the_tunnel], seconds=210))

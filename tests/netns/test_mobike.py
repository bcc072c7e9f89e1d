#!/usr/bin/env python3
"""Gateways that move (RFC 4555): another address, another NAT mapping; the tunnel goes on without a new handshake."""
from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import check, laboratory, main, say  # noqa: E402
from traffic import wait_until  # noqa: E402

SECONDS = 150


class Ping:
    """Ten packets a second from one site to another, until it is asked."""

    def __init__(self, ns: str, target: str, seconds: int):
        self.process = subprocess.Popen(["ip", "netns", "exec", ns, "ping", "-n", "-i", "0.1", "-w", str(seconds), target],
                                        stdout=subprocess.PIPE, text=True)

    def result(self) -> tuple[int, int]:
        """Sent and lost."""
        text, _ = self.process.communicate(timeout=60)
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        return sent, sent - received


def ike_of(daemon) -> dict:
    return daemon.tunnel()["ike"]


def spis(daemon) -> tuple:
    ike = ike_of(daemon)
    return tuple(ike[key] for key in sorted(ike) if "spi" in key)


def test_another_address():
    """a loses its address for one in another network: same IKE SA, traffic both ways within seconds"""
    with laboratory("qm") as lab:
        a, b = lab.pair()
        check(ike_of(a)["mobike"] and ike_of(b)["mobike"], "both speak MOBIKE")
        before = spis(a)
        check(before and before == spis(b), f"the IKE SA has the SPIs {before}")
        one = Ping(lab["a"].site, lab["b"].host4, 15)
        other = Ping(lab["b"].site, lab["a"].host4, 15)
        time.sleep(3)
        site = lab["a"]
        lab.ip(lab.net, "addr add 203.0.113.254/24 dev a")
        lab.ip(site.gw, "addr add 203.0.113.77/24 dev wan", f"addr del {site.outer4}/24 dev wan",
               "route replace default via 203.0.113.254")
        begin = time.monotonic()
        wait_until(lambda: "203.0.113.77" in str(ike_of(b)), "b follows a to its new address", 10)
        say(f"b knows after {time.monotonic() - begin:.2f} s")
        for name, ping in (("a to b", one), ("b to a", other)):
            sent, lost = ping.result()
            say(f"{name}: {sent} packets, {lost} lost")
            check(sent > 100 and lost <= 30, f"{name}: at most 3 s of packets are lost")
        check(spis(a) == before and spis(b) == before, "the IKE SA is the same")
        check(a.tunnel()["actual"] == "up" and b.tunnel()["actual"] == "up", "both call the tunnel up")


def port_nat(lab, shift: int) -> str:
    """A NAT before a without memory, so that it can forget: it adds `shift` to the source ports of IKE."""
    name = "table ip ports"
    there = "\n".join(f'  iifname "a" udp sport {port} udp sport set {port + shift}' for port in (500, 4500))
    back = "\n".join(f'  iifname "b" udp dport {port + shift} udp dport set {port}' for port in (500, 4500))
    return (f"{name}\ndelete {name}\n{name} {{\n chain change {{\n  type filter hook prerouting priority raw\n{there}\n{back}\n }}\n}}\n")


def test_nat_rebinding():
    """a stands behind a NAT that forgets it and takes another port: the tunnel goes on"""
    with laboratory("qm") as lab:
        lab.nft(lab.net, port_nat(lab, 10000))
        a, b = lab.pair()
        before = spis(a)
        check(before and before == spis(b), f"the IKE SA has the SPIs {before}")
        check(":14500" in str(ike_of(b)), "b sees a behind its NAT")
        one = Ping(lab["a"].site, lab["b"].host4, 15)
        time.sleep(3)
        lab.nft(lab.net, port_nat(lab, 20000))
        begin = time.monotonic()
        wait_until(lambda: ":24500" in str(ike_of(b)), "b follows a to its new port", 15)
        say(f"b knows after {time.monotonic() - begin:.2f} s")
        sent, lost = one.result()
        say(f"{sent} packets, {lost} lost")
        check(sent > 100 and lost <= 30, "at most 3 s of packets are lost")
        check(spis(a) == before and spis(b) == before, "the IKE SA is the same")
        say("and again, without traffic: liveness finds out")
        lab.nft(lab.net, port_nat(lab, 30000))
        wait_until(lambda: ":34500" in str(ike_of(b)), "b follows a to its new port", 30)
        check(spis(a) == before and spis(b) == before, "the IKE SA is the same")


if __name__ == "__main__":
    sys.exit(main([test_another_address, test_nat_rebinding], SECONDS))

"""Tunnels of every shape: IPv4 and IPv6 in each other, native and in UDP, behind a NAT, all suites, sizes around the MTU."""
from __future__ import annotations

import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, check, laboratory, main, say  # noqa: E402
from traffic import marked_blocks, ping, ping_until_answered, socket_in, tcp_transfer, wait_until  # noqa: E402

MARKER = b"qanat-tunnel-marker-" + os.urandom(6).hex().encode()
SUITES = ("aes256gcm16", "aes128gcm16", "chacha20poly1305", "aes256-sha256")


def carries(lab: Lab, inner: int, here: str = "a", there: str = "b", octets: int = 1 << 20) -> None:
    """Pings of several sizes, and a TCP transfer each way, find nothing missing."""
    h, t = lab[here], lab[there]
    small = ping(h.site, t.host(inner), count=20)
    check(small.lost == 0, f"IPv{inner} ping {here} > {there}: {small}")
    for source, target in ((h, t), (t, h)):
        done = tcp_transfer(source.site, target.site, target.host(inner), marked_blocks(MARKER, octets))
        check(done.intact,
              f"IPv{inner} TCP {source.letter} > {target.letter}: {done.octets} B, SHA-256 equal, MSS {done.mss}, {done.megabits:.0f} Mbit/s")


def sees_only_esp(lab: Lab, capture, kind: str) -> None:
    report = capture.report()
    check(report.leaks == 0 and report.unseen == 0, f"outside: nothing in the clear in {report.packets} packets ({report.text()})")
    other = {"ESP": "ESP in UDP", "ESP in UDP": "ESP"}[kind]
    check(report.kinds.get(kind, 0) > 100 and report.kinds.get(other, 0) == 0, f"outside: all packets are {kind}")


def families(outer: int) -> None:
    with laboratory() as lab, lab.capture(markers=[MARKER]) as capture:
        a, b = lab.pair(outer=outer)
        child = a.tunnel()["children"][0]
        check(child["encapsulation"] == "native", f"no NAT, so ESP is native, suite {child['suite']}, inner MTU {child['inner_mtu']}")
        verdict = a.tunnel()["ike"]["verdict"]
        check(verdict["keys"] == "hybrid" and b.tunnel()["ike"]["verdict"]["keys"] == "hybrid", f"both ends say hybrid: {verdict['reason']}")
        carries(lab, 4)
        carries(lab, 6)
        sees_only_esp(lab, capture, "ESP")
        shows_traffic(a, b)


def shows_traffic(a: Qanatd, b: Qanatd) -> None:
    ours = a.wait_tunnel(lambda t: t["bytes_in"] > 1 << 20 and t["bytes_out"] > 1 << 20, "status counts what was carried")
    check(sum(ours["children"][0][key] for key in ("packets_in", "packets_out")) > 100,
          f"status counts: {ours['bytes_out']} B out, {ours['bytes_in']} B in")
    # answered, dummy and probe are no losses. no_route: what the gateway's own kernel says to everybody on the TUN (MLD), and which is for no tunnel.
    lost = {key: value for daemon in (a, b) for key, value in daemon.drops().items() if value and key not in ("answered", "dummy", "probe", "no_route")}
    check(not lost, f"nothing was dropped: {lost or 'no counter moved'}")


def outer_ipv4() -> None:
    """IPv4 and IPv6 in native ESP over IPv4"""
    families(4)


def outer_ipv6() -> None:
    """IPv4 and IPv6 in native ESP over IPv6"""
    families(6)


def forced_encapsulation() -> None:
    """encap = "force": ESP in UDP without a NAT, over IPv4 and IPv6"""
    for outer in (4, 6):
        with laboratory() as lab, lab.capture(markers=[MARKER]) as capture:
            a, _ = lab.pair(outer=outer, encap="force")
            check(a.tunnel()["children"][0]["encapsulation"] == "udp", f"over IPv{outer}: in UDP")
            carries(lab, 4)
            carries(lab, 6)
            sees_only_esp(lab, capture, "ESP in UDP")


def behind_nat() -> None:
    """a real NAT in the middle: found, and ESP goes in UDP; the hub knows its peer by name"""
    with laboratory(nat="a") as lab, lab.capture(markers=[MARKER]) as capture:
        lab.configure("b", [lab.tunnel("b", "a", peer="any", local_id="fqdn:hub.example", remote_id="fqdn:branch.example")])
        lab.configure("a", [lab.tunnel("a", "b", local_id="fqdn:branch.example", remote_id="fqdn:hub.example")])
        b, a = lab.start("b"), lab.start("a")
        ike = a.wait_up()["ike"]
        remote = b.wait_up()["ike"]
        check(ike["nat_local"] and not ike["nat_remote"], "gateway a knows that it stands behind a NAT")
        check(remote["nat_remote"] and lab["b"].router4 in remote["remote"], f"gateway b sees it come from {remote['remote']}")
        carries(lab, 4)
        carries(lab, 6)
        sees_only_esp(lab, capture, "ESP in UDP")


def suites() -> None:
    """all four ESP suites, with the hybrid key exchange"""
    for suite in SUITES:
        with laboratory() as lab, lab.capture(markers=[MARKER]) as capture:
            a, _ = lab.pair(esp=[suite])
            child = a.tunnel()["children"][0]
            check(child["suite"].startswith(suite.split("-")[0]), f"{suite}: agreed as {child['suite']}, inner MTU {child['inner_mtu']}")
            carries(lab, 4)
            report = capture.report()
            check(report.leaks == 0, f"{suite}: {report.esp} ESP packets outside, and nothing in the clear")


def largest_answered(lab: Lab, inner: int, mtu: int, teller: str = "") -> None:
    """What passes, what is refused, and by whom (`teller`, where it can only be one)."""
    a, b = lab["a"], lab["b"]
    exact = ping(a.site, b.host(inner), size=mtu, df=True)
    check(exact.received == 1, f"IPv{inner}, {mtu} B, DF: passes" + "".join(f"; refused by {e.offender}, MTU {e.mtu}" for e in exact.too_big))
    over = ping(a.site, b.host(inner), size=mtu + 1, df=True)
    check(over.received == 0 and over.too_big and over.too_big[0].offender and over.too_big[0].offender == (teller or over.too_big[0].offender),
          f"IPv{inner}, {mtu + 1} B, DF: refused by {over.too_big[0].offender if over.too_big else 'nobody'}")
    check(over.too_big[0].mtu == mtu, f"which names the inner MTU: {over.too_big[0].mtu}")
    for size in (mtu + 1, 1500, 4000):
        lab.ip(a.site, "route flush cache")
        big = ping_until_answered(a.site, b.host(inner), size=size, df=False if inner == 4 else None, seconds=10)
        check(big.received, f"IPv{inner}, {size} B, may be fragmented: answered")


def mtu_native() -> None:
    """sizes around the MTU in native ESP: ICMP names the inner MTU, large pings are fragmented, and the wire is not"""
    with laboratory() as lab, lab.capture() as capture:
        a, _ = lab.pair()
        mtu = a.tunnel()["children"][0]["inner_mtu"]
        check(1400 <= mtu < 1500, f"inner MTU {mtu} on a wire of 1500")
        for inner in (4, 6):
            largest_answered(lab, inner, mtu)
        check(capture.report().kinds.get("later fragment", 0) == 0, "no outer packet was fragmented")


def mtu_in_udp_small_path() -> None:
    """sizes around the MTU in UDP over a path of 1,400 octets that the configuration names"""
    with laboratory(mtu=1400) as lab, lab.capture() as capture:
        lab.configure("b", [lab.tunnel("b", "a", start="respond", encap="force")], outer_mtu=1400)
        lab.configure("a", [lab.tunnel("a", "b", encap="force")], outer_mtu=1400)
        lab.start("b")
        a = lab.start("a")
        mtu = a.wait_up()["children"][0]["inner_mtu"]
        check(1280 <= mtu < 1400, f"inner MTU {mtu} on a path of 1400")
        for inner in (4, 6):
            largest_answered(lab, inner, mtu)
        check(capture.report().kinds.get("later fragment", 0) == 0, "no outer packet was fragmented")


def mtu_of_a_larger_overhead() -> None:
    """a tunnel that takes less than the TUN does (CBC, in UDP, over IPv6): the daemon itself sends the ICMP, from the tunnel's interface address"""
    with laboratory() as lab, lab.capture() as capture:
        a, _ = lab.pair(outer=6, encap="force", esp=["aes256-sha256"])
        mtu = a.tunnel()["children"][0]["inner_mtu"]
        say(lab.ip(lab["a"].gw, "link show dev qanat0").split(" qdisc")[0])
        for inner, address in ((4, "10.255.0.2"), (6, "fd00:255::2")):
            largest_answered(lab, inner, mtu, address)
            done = tcp_transfer(lab["a"].site, lab["b"].site, lab["b"].host(inner), marked_blocks(MARKER, 1 << 20))
            check(done.intact, f"IPv{inner}: 1 MB of TCP arrives, segments of {done.mss} B")
        check(capture.report().kinds.get("later fragment", 0) == 0, "no outer packet was fragmented")


def path_mtu_is_learnt() -> None:
    """a path that is narrower than outer_mtu, at our own interface or further on: TCP gets through, and senders are told"""
    for where in ("our own interface", "the peer's side of the internet"):
        for outer in (4, 6):
            with laboratory(mtu=1400 if where.startswith("our") else 1500) as lab:
                a, _ = lab.pair(outer=outer)
                if not where.startswith("our"):
                    lab.ip(lab.net, "link set dev b mtu 1400")
                    lab.ip(lab["b"].gw, "link set dev wan mtu 1400")
                for inner in (4, 6):
                    done = tcp_transfer(lab["a"].site, lab["b"].site, lab["b"].host(inner), marked_blocks(MARKER, 1 << 20), seconds=20)
                    check(done.intact, f"1400 at {where}, IPv{inner} in IPv{outer}: 1 MB of TCP arrives, segments of {done.mss} B")
                told = a.wait_tunnel(lambda t: t["children"][0]["inner_mtu"] < 1400, "status shows the smaller MTU")
                check(True, f"status shows an inner MTU of {told['children'][0]['inner_mtu']}")


def mss_of_syn(ns: str, interface: str) -> socket.socket:
    sniffer = socket_in(ns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniffer.bind((interface, 3))
    sniffer.setblocking(False)
    return sniffer


def read_mss(sniffer: socket.socket) -> list[int]:
    """The MSS options of all TCP packets with SYN that came by."""
    found = []
    while True:
        try:
            frame = sniffer.recv(70000)
        except BlockingIOError:
            return found
        v6 = frame[12:14] == b"\x86\xdd"
        at = 54 if v6 else 14 + (frame[14] & 15) * 4
        if (frame[20] if v6 else frame[23]) != 6 or not frame[at + 13] & 2:
            continue
        options = frame[at + 20:at + (frame[at + 12] >> 4) * 4]
        while options and options[0] != 0:
            if options[0] == 1:
                options = options[1:]
                continue
            if options[0] == 2:
                found.append(int.from_bytes(options[2:4]))
            options = options[options[1]:]


def mss_is_clamped() -> None:
    """the MSS of a SYN is clamped to what fits, both ways and for IPv4 and IPv6; mss = "off" leaves it alone"""
    for clamp in (True, False):
        with laboratory() as lab:
            a, _ = lab.pair(mss="clamp" if clamp else "off")
            mtu = a.tunnel()["children"][0]["inner_mtu"]
            for inner, headers in ((4, 40), (6, 60)):
                with mss_of_syn(lab["b"].site, "eth0") as at_b, mss_of_syn(lab["a"].site, "eth0") as at_a:
                    done = tcp_transfer(lab["a"].site, lab["b"].site, lab["b"].host(inner), marked_blocks(MARKER, 1 << 20))
                    check(done.intact, f"IPv{inner}: 1 MB arrives whole, segments of {done.mss}")
                    # Each sniffer sees the SYN that leaves its site as it was, and the one that arrives as it became.
                    arrived = (min(read_mss(at_b)), min(read_mss(at_a)))
                expected = mtu - headers if clamp else 1500 - headers
                check(arrived == (expected, expected),
                      f"IPv{inner}: SYN and SYN-ACK arrive with MSS {arrived}, {'clamped to' if clamp else 'unclamped,'} {expected}")


def default_route() -> None:
    """a branch with 0.0.0.0/0 and ::/0 through the tunnel, inside which the peer's own address lies"""
    with laboratory(sites="abc") as lab, lab.capture(markers=[MARKER]) as capture:
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("a", [lab.tunnel("a", "b", routes=["0.0.0.0/0", "::/0"])])
        # The world's way to the branch leads over the hub.
        lab.ip(lab.net, f"route replace {lab['a'].net4} via {lab['b'].outer4}", f"route replace {lab['a'].net6} via {lab['b'].outer6}")
        lab.start("b")
        a = lab.start("a")
        a.wait_up()
        carries(lab, 4)
        carries(lab, 6)
        report = capture.report()
        check(report.leaks == 0, f"outside: nothing in the clear in {report.packets} packets")
        for version in (4, 6):
            # Site c has no tunnel: the hub forwards in the clear, so this is seen outside, but only from the hub.
            result = ping_until_answered(lab["a"].site, lab["c"].host(version), seconds=15)
            check(result.received, f"IPv{version}: a host that only the hub knows is reached through it")
        clear = capture.report().clear_samples
        check(clear and all(lab["c"].host4 in line or lab["c"].host6 in line for line in clear),
              f"which the hub forwards in the clear: {clear[0] if clear else None}")
        local = ping(lab["a"].gw, lab["a"].host4, count=3)
        check(local.lost == 0, "the branch still reaches its own site")


def prefix_covers_the_peer() -> None:
    """a route that holds the peer's outer address: the tunnel's own packets do not go into the tunnel"""
    with laboratory() as lab, lab.capture(markers=[MARKER]) as capture:
        lab.ip(lab["b"].site, "addr add 198.51.100.77/32 dev lo")
        lab.ip(lab["b"].gw, f"route add 198.51.100.77/32 via {lab['b'].host4}")
        a, _ = lab.pair(here={"routes": [lab["b"].net4, lab["b"].net6, "198.51.0.0/16"]})
        carries(lab, 4)
        result = ping(lab["a"].site, "198.51.100.77", count=5, fill=MARKER)
        check(result.lost == 0, f"a host beside the peer, in the prefix, answers: {result}")
        result = ping(lab["a"].site, lab["b"].outer4, count=5, fill=MARKER)
        check(result.lost == 0, f"the peer's outer address answers through the tunnel: {result}")
        check(capture.report().leaks == 0, "outside: nothing in the clear")
        a.restart()
        a.wait_up()
        check(ping_until_answered(lab["a"].site, "198.51.100.77").received, "after a restart as well")


def interface_addresses() -> None:
    """the addresses of the tunnel's interface answer, from the gateway's far side"""
    with laboratory() as lab:
        a, b = lab.pair()
        mine = a.tunnel()
        say(f"routes {mine['routes']}")
        lab.configure("a", [lab.tunnel("a", "b", routes=[lab["b"].net4, lab["b"].net6, "10.255.0.3/32", "fd00:255::3/128"])])
        a.restart()
        a.wait_up()
        for address in ("10.255.0.3", "fd00:255::3"):
            result = ping(lab["a"].site, address, count=5)
            check(result.lost == 0, f"{address} answers in the tunnel: {result}")
        wait_until(lambda: b.drops().get("answered", 0) >= 10, "10 are counted as answered")
        check(True, "answered by the daemon itself, and counted so")


if __name__ == "__main__":
    sys.exit(main([outer_ipv4, outer_ipv6, forced_encapsulation, behind_nat, suites, mtu_native, mtu_in_udp_small_path, mtu_of_a_larger_overhead,
                   path_mtu_is_learnt, mss_is_clamped, default_route, prefix_covers_the_peer, interface_addresses], seconds=270))

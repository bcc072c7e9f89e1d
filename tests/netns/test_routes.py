"""Routes of the host's kernel to a peer's interface address, and who may send what to whom: policy and source checks with real flows."""
from __future__ import annotations

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from flows import EchoSources, Server, ask  # noqa: E402
from lab import Lab, Qanatd, check, laboratory, main, run, say, toml_lines  # noqa: E402
from traffic import Listener, RawSender, SteadyPing, ip_packet, ping, ping_until_answered, udp_packet, wait_until  # noqa: E402

PORT = 7070
FAR, FAR6 = "10.99.0.2", "fd99::2"  # a host behind b that no configuration names


def kernel_routes(daemon: Qanatd) -> list[dict]:
    return [r for r in json.loads(daemon.cli("routes", "--json").stdout)["routes"] if r["source"] == "kernel"]


def wait_kernel_routes(daemon: Qanatd, count: int) -> list[dict]:
    return wait_until(lambda: (r := kernel_routes(daemon)) is not None and len(r) == count and [r], f"{count} kernel routes are known")[0]


def a_kernel_route_is_a_route() -> None:
    """`ip route add ... via PEER dev qanat0`: shown, used, its sources accepted; gone when it goes"""
    with laboratory() as lab:
        lab.ip(lab["b"].site, f"addr add {FAR}/32 dev lo", f"addr add {FAR6}/128 dev lo nodad")
        lab.ip(lab["b"].gw, f"route add {FAR}/32 via {lab['b'].host4}", f"route add {FAR6}/128 via {lab['b'].host6}")
        a, b = lab.pair()
        check(not kernel_routes(a) and not kernel_routes(b), "our own routes are not taken for such")
        with Server(lab["a"].site, "0.0.0.0", PORT, "office"), Server(lab["b"].site, FAR, PORT, "far"):
            check(ask("udp", lab["b"].site, lab["a"].host4, PORT, source=(FAR, 5000), seconds=1.0) is None and
                  wait_until(lambda: a.drops().get("wrong_tunnel", 0), "it is counted"), "without a route its packets are dropped as wrong_tunnel")
            lab.ip(lab["a"].gw, "route add 10.99.0.0/24 via 10.255.0.3 dev qanat0 metric 32 proto bird",
                   "route add fd99::/64 via fd00:255::3 dev qanat0")
            found = wait_kernel_routes(a, 2)
            say(a.cli("routes").stdout)
            by_prefix = {r["prefix"]: (r["tunnel"], r["priority"]) for r in found}
            check(by_prefix == {"10.99.0.0/24": ("site-b", 32), "fd99::/64": ("site-b", 100)}, f"qanat routes: {by_prefix}")
            check("site-b" in a.cli("route", "get", FAR).stdout, "qanat route get finds it")
            for kind in ("tcp", "udp"):
                there, back = ask(kind, lab["a"].site, FAR, PORT), ask(kind, lab["b"].site, lab["a"].host4, PORT, source=(FAR, 5001))
                check(there and there[0] == "far" and back and back[:2] == ["office", FAR], f"{kind} both ways: {there}, {back}")
            for target in (FAR, FAR6):
                check(ping(lab["a"].site, target, count=5).lost == 0, f"ping {target}")
            outside = lab.nft_dropped("a")
            with Listener(lab["a"].site, lab["a"].host4, 7777) as ear, RawSender(lab.net) as forger:
                for source in (FAR, "192.0.2.99"):
                    forger.send(udp_packet(source, 4000, lab["a"].host4, 7777, b"from " + source.encode()))
                wait_until(lambda: b"from 192.0.2.99" in ear.read(), "what may come from outside does")
                check(ear.read() == [b"from 192.0.2.99"] and lab.nft_dropped("a") == outside + 1,
                      "a clear packet from outside with a source in the kernel's route is dropped by the filter")
            before = a.drops().get("wrong_tunnel", 0)
            with SteadyPing(lab["a"].site, FAR) as steady:
                lab.ip(lab["a"].gw, "route add 10.99.0.0/25 via 10.255.0.3 dev qanat0")
                wait_kernel_routes(a, 3)
                lab.ip(lab["a"].gw, "route add 10.99.0.0/24 via 10.255.0.3 dev qanat0 metric 20 proto bird", "route del 10.99.0.0/25")
                wait_kernel_routes(a, 2)
                wait_until(lambda: 20 in [r["priority"] for r in kernel_routes(a)], "the better of two metrics counts")
                lab.ip(lab["a"].gw, "route del 10.99.0.0/24 metric 20")
                wait_until(lambda: 32 in [r["priority"] for r in kernel_routes(a)], "and then the other")
                done = steady.stop()
            check(done.lost == 0 and a.drops().get("wrong_tunnel", 0) == before, f"routes change beside it, and no ping is lost: {done}")
            with lab.capture(protected=["10.99.0.0/24", "fd99::/64"]) as capture:
                a.kill9()
                for target in (FAR, FAR6):
                    check(ping(lab["a"].site, target, count=3, wait=0.5).received == 0, f"killed: nothing from {target}")
                check(capture.report().leaks == 0, "the kernel's routes went with the TUN; their barrier holds: nothing in the clear")
                outside = lab.nft_dropped("a")
                with RawSender(lab.net) as forger:
                    forger.send(udp_packet(FAR, 4000, lab["a"].host4, 7777, b"while it is away"))
                    wait_until(lambda: lab.nft_dropped("a") == outside + 1, "and so does the filter against such sources from outside")
                a.start()
                a.wait_up(seconds=60)
                ping(lab["a"].site, FAR, count=3, wait=0.5)
                check(not kernel_routes(a) and capture.report().leaks == 0, "and goes on to hold until the routes come back")
            lab.ip(lab["a"].gw, "route add 10.99.0.0/24 via 10.255.0.3 dev qanat0")
            wait_kernel_routes(a, 1)
            check(ping_until_answered(lab["a"].site, FAR).received, "added again, it carries again")
            lab.ip(lab["a"].gw, "route del 10.99.0.0/24")
            wait_kernel_routes(a, 0)
            check(ask("udp", lab["b"].site, lab["a"].host4, PORT, source=(FAR, 5002), seconds=1.0) is None, "without it its sources are refused again")
            wait_until(lambda: "10.99.0.0/24" not in lab.ip(lab["a"].gw, "route show table all"), "and its barrier goes with it")
            check("fd99::/64" in run("ip", "-6", "-n", lab["a"].gw, "route", "show", "table", "all").stdout, "that of the other one, which has not come back, stays")
            a.cli("purge")
            check("fd99::/64" not in run("ip", "-6", "-n", lab["a"].gw, "route", "show", "table", "all").stdout, "until the purge")


def many_kernel_routes() -> None:
    """10,000 routes of a routing daemon, and all withdrawn at once"""
    with laboratory() as lab:
        a, _ = lab.pair()
        with SteadyPing(lab["a"].site, lab["b"].host4) as steady:
            lab.ip(lab["a"].gw, *(f"route add 10.{128 + i // 256}.{i % 256}.0/24 via 10.255.0.3 dev qanat0 metric 20 proto bird" for i in range(10_000)))
            wait_kernel_routes(a, 10_000)
            lab.ip(lab["a"].gw, "route flush table main proto bird")
            wait_kernel_routes(a, 0)
            done = steady.stop()
        check(done.lost == 0, f"they came and went, and the tunnel lost nothing: {done}")


def the_gateways_own_networks() -> None:
    """b's tunnel has 10.0.0.0/8: what lies at the gateway itself is reached all the same, from its LAN and from other sites, and nobody speaks as it"""
    wide4, wide6 = "10.0.0.0/8", "fd00::/16"
    with laboratory(sites="abc") as lab:
        a4, a6, b4, c4, c6 = lab["a"].host4, lab["a"].host6, lab["b"].host4, lab["c"].host4, lab["c"].host6
        lab.configure("a", [lab.tunnel("a", "b", start="respond", routes=[wide4, wide6]), lab.tunnel("a", "c", start="respond")])
        for here, others in (("b", [f"{a4}/32", lab["a"].net6, lab["c"].net4]), ("c", [wide4, wide6])):
            lab.configure(here, [lab.tunnel(here, "a", routes=others)])
        daemons = {letter: lab.start(letter) for letter in "abc"}
        for letter in "bc":
            daemons[letter].wait_up()
            daemons["a"].wait_up(f"site-{letter}")
        a = daemons["a"]
        a_site, b_site, c_site = (lab[letter].site for letter in "abc")
        for ns, target, what in ((a_site, c4, "the LAN to c"), (c_site, a4, "c to the LAN"), (c_site, a6, "c to the LAN, IPv6"), (a_site, c6, "the LAN to c, IPv6"),
                                 (a_site, b4, "the LAN to b"), (c_site, lab["a"].gw4, "c to the gateway's own address"), (lab["a"].gw, a4, "the gateway to its LAN")):
            check(ping_until_answered(ns, target, seconds=3).received, f"ping from {what}")
        with Server(a_site, "0.0.0.0", PORT, "office"), Server(c_site, "0.0.0.0", PORT, "c"):
            for kind in ("tcp", "udp"):
                there, back = ask(kind, a_site, c4, PORT), ask(kind, c_site, a4, PORT)
                check(there and there[0] == "c" and back and back[:2] == ["office", c4], f"{kind} both ways: {there}, {back}")
        with Listener(c_site, c4, 7777) as ear, RawSender(b_site) as forger:
            forger.send(udp_packet("10.1.0.77", 4000, c4, 7777, b"as a host of the LAN"))  # which b's own filter knows nothing of
            forger.send(udp_packet(b4, 4000, c4, 7777, b"as itself"))
            wait_until(lambda: b"as itself" in ear.read(), "what is b's own arrives at c")
            wait_until(lambda: a.drops().get("wrong_tunnel", 0) == 1, "the other is counted as wrong_tunnel")
            check(ear.read() == [b"as itself"], "b does not speak as a host of the gateway's LAN")
        before = lab.nft_dropped("a")
        with Listener(a_site, a4, 7777) as ear, RawSender(lab.net) as forger:
            for source in (lab["a"].gw4, "10.1.0.77", "10.200.0.1"):
                forger.send(udp_packet(source, 4000, lab["a"].outer4, 4501, b"from outside"))
            wait_until(lambda: lab.nft_dropped("a") >= before + 3, "packets from outside with a source of the LAN, or of the tunnel, are dropped by the filter")
        with lab.capture(protected=[wide4]) as capture:
            lab.ip(lab["a"].gw, "link set lan down")
            ping(lab["a"].gw, a4, count=3, wait=0.3)
            ping(c_site, a4, count=3, wait=0.3)
            lab.ip(lab["a"].gw, "link set lan up")
            check(ping_until_answered(c_site, a4, seconds=10).received, "the LAN was away and is back: c reaches it again")
            lab.ip(lab["a"].gw, "link add more type veth peer name far", "link set far up", "addr add 10.1.9.1/24 dev more", "link set more up")
            wait_until(lambda: "to the host" in a.cli("route", "get", "10.1.9.1").stdout, "a network is added")  # until then it is b's
            check(ping_until_answered(c_site, "10.1.9.1", seconds=5).received, "a network that was added later is known as well")
            a.kill9()
            check(ping(lab["a"].gw, a4, count=2, wait=0.5).received == 2, "killed: the gateway still has its LAN")
            lab.ip(lab["a"].gw, "link set lan down")
            ping(lab["a"].gw, a4, count=3, wait=0.3)
            check(capture.report().leaks == 0, "and nothing of the tunnel's prefix went out in the clear, with or without the LAN")


def three_sites(lab: Lab, policy: list[dict], mesh: bool = True, **hub_tunnels) -> dict[str, Qanatd]:
    """b and c with tunnels to a, which forwards between them; without `mesh` they do not know of each other."""
    path = pathlib.Path(lab.configure("a", [lab.tunnel("a", letter, start="respond", **hub_tunnels) for letter in "bc"]))
    path.write_text(path.read_text() + "".join("\n[[policy]]\n" + toml_lines(rule) for rule in policy))
    for here, there in (("b", "c"), ("c", "b")):
        others = [lab[there].net4, lab[there].net6] if mesh else []
        lab.configure(here, [lab.tunnel(here, "a", routes=[lab["a"].net4, lab["a"].net6, *others])])
    daemons = {letter: lab.start(letter) for letter in "abc"}
    for letter in "bc":
        daemons[letter].wait_up()
        daemons["a"].wait_up(f"site-{letter}")
    return daemons


def policy() -> None:
    """rules on protocol, ports and tunnels, between sites and to the gateway's own side: what is dropped, and what is not"""
    rules = [{"name": "no-telnet", "protocol": "tcp", "to_ports": "7023", "from_tunnel": "site-b", "to_tunnel": "site-c", "action": "drop"},
             {"name": "watch-udp", "protocol": "udp", "to_ports": "7070-7079", "action": "log"},
             {"name": "no-udp-to-us", "protocol": "udp", "from_tunnel": "site-c", "to_tunnel": "@host", "action": "drop"},
             {"name": "no-ping-from-us", "protocol": "icmp", "icmp_type": 8, "from_tunnel": "@host", "to_tunnel": "site-c", "action": "drop"}]
    with laboratory(sites="abc") as lab:
        a = three_sites(lab, rules)["a"]
        a_site, b_site, c_site = (lab[letter].site for letter in "abc")
        b4, c4, a4 = lab["b"].host4, lab["c"].host4, lab["a"].host4
        ping_until_answered(b_site, c4)
        with Server(c_site, "0.0.0.0", 7023, "c"), Server(c_site, "0.0.0.0", PORT, "c"), Server(a_site, "0.0.0.0", PORT, "a"), \
                Server(b_site, "0.0.0.0", 7023, "b"):
            check(ask("tcp", b_site, c4, 7023, seconds=1.5) is None, "TCP to the port that is closed, from b to c: nothing")
            for kind, source, target, port, name in (("udp", b_site, c4, 7023, "c"), ("tcp", b_site, c4, PORT, "c"), ("tcp", c_site, b4, 7023, "b"),
                                                     ("tcp", c_site, a4, PORT, "a"), ("udp", b_site, a4, PORT, "a")):
                answer = ask(kind, source, target, port)
                check(answer and answer[0] == name, f"{kind} to {target} port {port} passes: {answer}")
            check(ask("udp", c_site, a4, PORT, seconds=1.5) is None, "UDP from c to the gateway's LAN: nothing")
        check(ping(a_site, c4, count=3, wait=0.5).received == 0, "ping from the LAN to c: nothing")
        for ns, target in ((a_site, b4), (c_site, a4), (b_site, c4)):
            check(ping(ns, target, count=3).lost == 0, f"ping to {target} passes")
        a.wait_log(r"policy-match.*watch-udp")
        dropped = wait_until(lambda: (d := a.drops().get("policy", 0)) >= 5 and d, "the drops are counted")
        check(True, f"the rule that logs has logged, and {dropped} packets were dropped for reason policy")


def no_site_speaks_as_another() -> None:
    """site b sends with addresses of site c, of the gateway's LAN and of nobody: TCP, UDP and ICMP are dropped, and counted; "off" lets them pass"""
    for strict in (True, False):
        with laboratory(sites="abc") as lab:
            a = three_sites(lab, [], mesh=False, source_check="strict" if strict else "off")["a"]
            a4, b4, c4 = (lab[letter].host4 for letter in "abc")
            ping_until_answered(lab["b"].site, a4)
            ping_until_answered(lab["c"].site, a4)
            with Listener(lab["a"].site, a4, 7777) as ear, RawSender(lab["b"].site) as forger, EchoSources(lab["a"].site, "eth0") as echoes:
                echoes.read()
                sources = [c4, "10.77.7.7"]
                for source in [b4, *sources]:
                    forger.send(udp_packet(source, 4000, a4, 7777, b"from " + source.encode()))
                    forger.send(ip_packet(source, a4, 1, bytes.fromhex("0800f7ff00000000")))
                    forger.send(ip_packet(source, a4, 6, bytes.fromhex("1f901e61000000010000000050022000") + b"\0\0\0\0"))
                wait_until(lambda: b"from " + b4.encode() in ear.read(), "what is b's own arrives")
                if strict:
                    wait_until(lambda: a.drops().get("wrong_tunnel", 0) >= 6, "the others are counted as wrong_tunnel")
                    check(ear.read() == [b"from " + b4.encode()] and echoes.read() == {b4},
                          f"strict: {a.drops()['wrong_tunnel']} packets of TCP, UDP and ICMP in another's name are dropped, b's own arrive")
                else:
                    wait_until(lambda: len(ear.read()) == 3, "all arrive")
                    check(a.drops().get("wrong_tunnel", 0) == 0, f"source_check = \"off\": {len(ear.read())} datagrams arrive, and nothing is dropped")


if __name__ == "__main__":
    sys.exit(main([a_kernel_route_is_a_route, many_kernel_routes, the_gateways_own_networks, policy, no_site_speaks_as_another], seconds=210))

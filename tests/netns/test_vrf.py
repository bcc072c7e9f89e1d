"""Accounts side by side: two VRFs with the same prefixes, the same hosts and the same ports, each behind tunnels of its own."""
from __future__ import annotations

import errno
import json
import os
import pathlib
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from flows import EchoSources, Server, ask  # noqa: E402
from lab import Lab, Qanatd, check, laboratory, main, say, toml_lines  # noqa: E402
from traffic import IP_RECVERR, marked_blocks, ping, ping_until_answered, socket_in, tcp_transfer, wait_until  # noqa: E402

PORT = 7070
INSIDE = "10.50.0.2"       # of a host behind both peers
INSIDE6 = "fd50::2"
OFFICE, OFFICE6 = "10.1.0.2", "fd00:1::2"  # of a host in both accounts' networks at the gateway
INTERNET = "192.0.2.254"   # the router in the middle
ACCOUNTS = {"blue": ("b", "qanat1", 5210, "lan"), "red": ("c", "qanat2", 5220, "lan2")}


def office(lab: Lab, account: str) -> str:
    """The namespace of the account's host at the gateway."""
    return lab["a"].site if account == "blue" else lab.extras["red"]


def far_site(lab: Lab, account: str) -> str:
    return lab[ACCOUNTS[account][0]].site


def accounts(lab: Lab) -> tuple[Qanatd, Qanatd, Qanatd]:
    """Gateway a with both accounts; the gateways b and c know nothing of them. Both tunnels are up."""
    a = lab["a"]
    # Red's network has the numbers of blue's; the main table knows one of them, so red's is in red's own table.
    lab.ip(a.gw, f"link add lan2 type veth peer name eth0 netns {lab.extras['red']}", f"addr add {a.gw4}/24 dev lan2 noprefixroute",
           f"addr add {a.gw6}/64 dev lan2 nodad noprefixroute", "link set lan2 up", f"route add {a.net4} dev lan2 table 5220",
           f"route add {a.net6} dev lan2 table 5220")
    lab.ip(lab.extras["red"], "link set lo up", f"addr add {OFFICE}/24 dev eth0", f"addr add {OFFICE6}/64 dev eth0 nodad", "link set eth0 up",
           f"route add default via {a.gw4}", f"route add ::/0 via {a.gw6}")
    text = ""
    tunnels = []
    for vrf, (letter, tun, table, lan) in ACCOUNTS.items():
        site = lab[letter]
        lab.ip(site.site, f"addr add {INSIDE}/32 dev lo", f"addr add {INSIDE6}/128 dev lo nodad")
        lab.ip(site.gw, f"route add {INSIDE}/32 via {site.host4}", f"route add {INSIDE6}/128 via {site.host6}")
        tunnels.append(lab.tunnel("a", letter, vrf=vrf, start="respond", interface="10.255.0.0/31", interface6="fd00:255::/127",
                                  routes=["10.50.0.0/24", "fd50::/64"]))
        lab.configure(letter, [lab.tunnel(letter, "a", interface="10.255.0.1/31", interface6="fd00:255::1/127",
                                          routes=[a.net4, a.net6, f"{INTERNET}/32", "10.77.0.0/24", "10.88.0.0/24"])])
        text += "\n[[vrf]]\n" + toml_lines({"name": vrf, "tun": tun, "route_table": table, "interfaces": lan})
        text += "\n[[nat]]\n" + toml_lines({"vrf": vrf, "out_interface": "wan"})
    path = pathlib.Path(lab.configure("a", tunnels))
    path.write_text(path.read_text() + text)
    daemons = lab.start("a"), lab.start("b"), lab.start("c")
    for letter, daemon in zip("bc", daemons[1:]):
        daemon.wait_up()
        daemons[0].wait_up(f"site-{letter}")
        ping_until_answered(lab[letter].site, OFFICE, source=INSIDE)
    return daemons


def side_by_side() -> None:
    """the same addresses and ports at once in both: TCP, UDP and ICMP, each way, reach the account's own host"""
    with laboratory(sites="abc", extras=["red"]) as lab, lab.capture(protected=["10.50.0.0/24", "10.1.0.0/24", "fd50::/64", "fd00:1::/64"]) as capture:
        a, _, _ = accounts(lab)
        with Server(office(lab, "blue"), "0.0.0.0", PORT, "blue-office"), Server(office(lab, "red"), "0.0.0.0", PORT, "red-office"), \
                Server(far_site(lab, "blue"), INSIDE, PORT, "blue-far"), Server(far_site(lab, "red"), INSIDE, PORT, "red-far"):
            for kind in ("tcp", "udp"):
                for turn in range(2):
                    for account in ACCOUNTS:
                        there = ask(kind, office(lab, account), INSIDE, PORT, source=(OFFICE, 5000 + turn))
                        back = ask(kind, far_site(lab, account), OFFICE, PORT, source=(INSIDE, 5100 + turn))
                        check(there == [f"{account}-far", OFFICE, str(5000 + turn)] and back == [f"{account}-office", INSIDE, str(5100 + turn)],
                              f"{kind} of {account}, with the ports of the other: {there}, {back}")
        with Server(office(lab, "blue"), "::", PORT, "blue-office"), Server(office(lab, "red"), "::", PORT, "red-office"):
            for account in ACCOUNTS:
                back = ask("tcp", far_site(lab, account), OFFICE6, PORT, source=(INSIDE6, 5200))
                check(back == [f"{account}-office", INSIDE6, "5200"], f"IPv6 of {account}: {back}")
        for account in ACCOUNTS:
            with EchoSources(far_site(lab, account), "eth0") as mine, EchoSources(far_site(lab, "red" if account == "blue" else "blue"), "eth0") as other:
                done = ping(office(lab, account), INSIDE, count=20)
                check(done.lost == 0 and mine.read() == {OFFICE} and not other.read(), f"ping of {account}: {done}, seen by its own site only")
            moved = tcp_transfer(office(lab, account), far_site(lab, account), INSIDE, marked_blocks(account.encode(), 4 << 20))
            check(moved.intact, f"4 MB of TCP in {account}: {moved.megabits:.0f} Mbit/s")
        report = capture.report()
        check(report.leaks == 0, f"outside: nothing in the clear in {report.packets} packets {report.clear_samples[:2]}")
        lost = {key: value for key, value in a.drops().items() if value and key not in ("answered", "dummy", "probe", "no_route")}
        check(not lost, f"the gateway dropped nothing: {lost}")


def to_the_internet() -> None:
    """both go out under the gateway's address with the same inner address and port, and each gets its own answers"""
    with laboratory(sites="abc", extras=["red"]) as lab:
        accounts(lab)
        with Server(lab.net, INTERNET, PORT, "internet"):
            for kind in ("tcp", "udp"):
                answers = {account: ask(kind, far_site(lab, account), INTERNET, PORT, source=(INSIDE, 6000)) for account in ACCOUNTS}
                check(all(answer and answer[1] == lab["a"].outer4 for answer in answers.values()), f"{kind}: the Internet sees {answers}")
                check(answers["blue"][2] != answers["red"][2], "under two ports, though they asked from one")
        for account in ACCOUNTS:
            done = ping(far_site(lab, account), INTERNET, count=10, source=INSIDE)
            check(done.lost == 0, f"ping of {account}: {done}")
        for account in ACCOUNTS:
            with Server(lab.net, INTERNET, PORT, "internet"):
                answer = ask("tcp", office(lab, account), INTERNET, PORT)
            check(answer and answer[1] == lab["a"].outer4, f"a host of {account} at the gateway itself goes out as well: {answer}")


def nothing_passes_between() -> None:
    """no way from one account to the other, nor to the gateway's own world; the gateway answers each"""
    with laboratory(sites="abc", extras=["red"]) as lab:
        a, _, _ = accounts(lab)
        # A network that only red has, and one of nobody's account; both are in the main table, where all could find them.
        lab.ip(lab.extras["red"], "addr add 10.77.0.2/32 dev lo")
        lab.ip(lab["a"].gw, f"route add 10.77.0.0/24 via {OFFICE} dev lan2 onlink", "addr add 10.88.0.1/32 dev lo")
        red = ping(far_site(lab, "red"), "10.77.0.2", count=5, source=INSIDE)
        check(red.lost == 0, f"red reaches red's network: {red}")
        before = lab.nft_dropped("a")
        blue = ping(far_site(lab, "blue"), "10.77.0.2", count=5, source=INSIDE, wait=1.0)
        check(blue.received == 0 and lab.nft_dropped("a") >= before + 5, f"blue does not: {blue}, dropped by the filter")
        blue = ping(office(lab, "blue"), "10.77.0.2", count=5, wait=1.0)
        check(blue.received == 0, f"nor from its network at the gateway: {blue}")
        for account in ACCOUNTS:
            for address in (lab["a"].gw4, "10.88.0.1"):
                done = ping(far_site(lab, account), address, count=5, source=INSIDE)
                check(done.lost == 0, f"the gateway itself answers {account} at {address}: {done}")
        # Somebody outside, with an address of blue's, to blue's network.
        with EchoSources(office(lab, "blue"), "eth0") as seen:
            lab.ip(lab.net, "addr add 10.50.0.9/32 dev lo", f"route replace {lab['a'].net4} via {lab['a'].outer4}")
            before = lab.nft_dropped("a")
            ping(lab.net, OFFICE, count=5, source="10.50.0.9", wait=0.5)
            check(seen.read() == set() and lab.nft_dropped("a") >= before + 5, "what comes from outside with an address of the account is dropped")
        # What the gateway's kernel says about an account's packet quotes it, and must not leave in the clear.
        lab.ip(lab["a"].gw, "route add unreachable 10.88.0.9/32")
        with lab.capture(protected=["10.50.0.0/24"]) as capture:
            for account in ACCOUNTS:
                with socket_in(far_site(lab, account), socket.AF_INET, socket.SOCK_DGRAM) as sock:
                    sock.bind((INSIDE, 0))
                    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
                    sock.settimeout(5)
                    sock.connect(("10.88.0.9", PORT))
                    sock.send(b"a first packet")
                    try:
                        said = str(sock.recv(100))
                    except OSError as error:
                        said = os.strerror(error.errno or 0)
                check(said == os.strerror(errno.EHOSTUNREACH), f"the gateway tells {account} about a host that it cannot reach: {said}")
            check(capture.report().leaks == 0, "and nobody else")
        # A process of the gateway that wants an account's world binds to its TUN.
        with Server(far_site(lab, "red"), INSIDE, PORT, "red-far"), Server(far_site(lab, "blue"), INSIDE, PORT, "blue-far"):
            for account, (_, tun, _, _) in ACCOUNTS.items():
                sock = socket_in(lab["a"].gw, socket.AF_INET, socket.SOCK_DGRAM)
                with sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tun.encode())
                    sock.bind((lab["a"].gw4, 0))
                    sock.settimeout(5)
                    sock.sendto(b"who?", (INSIDE, PORT))
                    check(sock.recv(100).startswith(account.encode()), f"a socket of the gateway that is bound to {tun} is answered by {account}")
        say(f"nftables dropped {lab.nft_dropped('a')} packets in all")
        check(a.drops().get("wrong_tunnel", 0) == 0, "and the packet path had nothing to refuse")


def fails_closed_and_needs_a_restart() -> None:
    """killed, each account's packets stay inside; a change of VRFs is refused by a reload, which says so; purge leaves nothing"""
    with laboratory(sites="abc", extras=["red"]) as lab, lab.capture(protected=["10.50.0.0/24", "fd50::/64"]) as capture:
        a, _, _ = accounts(lab)
        path = lab["a"].dir / "qanat.toml"
        text = path.read_text()
        path.write_text(text.replace("qanat2", "qanat3"))
        refused = a.cli("reload", check=False)
        check(refused.returncode != 0 and "restart" in refused.stdout + refused.stderr, f"reload: {(refused.stdout + refused.stderr).strip()[:200]}")
        check("needs a restart" in a.cli("check", "--diff", str(path), check=False).stdout, "and qanat check --diff says it before")
        path.write_text(text)
        a.kill9()
        for account in ACCOUNTS:
            done = ping(office(lab, account), INSIDE, count=5, wait=0.5)
            check(done.received == 0, f"the daemon is dead: {account} gets {done}")
        check(capture.report().leaks == 0, "and nothing of either is seen outside")
        a.start()
        for letter, account in zip("bc", ACCOUNTS):
            a.wait_up(f"site-{letter}", seconds=60)
            check(ping_until_answered(office(lab, account), INSIDE, seconds=60).received, f"{account} is back")
        a.cli("purge")
        left = lab.protection("a")
        check(not left["rules -4"] and not left["rules -6"] and not left["nftables"] and "unreachable" not in left["routes -4"], "purge leaves nothing of ours")


def kernel_route_in_an_account() -> None:
    """an operator's route in the account's table is a route of that account"""
    with laboratory(sites="abc", extras=["red"]) as lab:
        a, _, _ = accounts(lab)
        for letter in "bc":
            lab.ip(lab[letter].site, "addr add 10.60.0.2/32 dev lo")
            lab.ip(lab[letter].gw, f"route add 10.60.0.2/32 via {lab[letter].host4}")
        lab.ip(lab["a"].gw, "route add 10.60.0.0/24 via 10.255.0.1 dev qanat1 table 5210")
        routes = lambda: [r for r in json.loads(a.cli("routes", "--json").stdout)["routes"] if r["source"] == "kernel"]  # noqa: E731
        found = wait_until(routes, "the route is known")
        check(len(found) == 1 and found[0]["vrf"] == 1 and found[0]["tunnel"] == "site-b", f"qanat routes: {found}")
        done = ping_until_answered(office(lab, "blue"), "10.60.0.2")
        check(done.lost == 0, f"blue reaches it: {done}")
        done = ping(office(lab, "red"), "10.60.0.2", count=3, wait=0.5)
        check(done.received == 0, f"red does not: {done}")


if __name__ == "__main__":
    sys.exit(main([side_by_side, to_the_internet, nothing_passes_between, fails_closed_and_needs_a_restart, kernel_route_in_an_account], seconds=270))

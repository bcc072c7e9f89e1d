"""Several data workers: a hub whose tunnels belong to different ones, traffic between all sites, new keys meanwhile: nothing lost, doubled or turned around."""
from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, binary, check, laboratory, main, run, say  # noqa: E402
from stream import Stream  # noqa: E402
from traffic import marked_blocks, ping_until_answered, tcp_transfer, wait_until  # noqa: E402

RATE = 500  # packets a second each way, of each stream
TRANSFER = 24 << 20
EXPECTED = ("dummy", "no_route", "probe", "answered")  # of a rekey, our own kernel's, and what ends in the gateway


def dropped(daemon: Qanatd) -> dict[str, int]:
    return {reason: count for reason, count in daemon.drops().items() if reason not in EXPECTED}


def handed_over(daemon: Qanatd) -> int:
    return daemon.status_json()["handed_over"]


def hub_and_sites(lab: Lab, outer: int, workers: int = 2, **both) -> list[Qanatd]:
    """Gateways a, the hub, b and c: every site reaches every other one, through the hub where it must."""
    a, b, c = (lab[letter] for letter in "abc")
    both = {"old_keys": 1, **both}
    hub = [lab.tunnel("a", there, outer, start="respond", **both) for there in "bc"]
    lab.configure("a", hub, data_workers=workers)
    for here, other in ((b, c), (c, b)):
        routes = [a.net4, a.net6, other.net4, other.net6]
        lab.configure(here.letter, [lab.tunnel(here.letter, "a", outer, routes=routes, **both)], data_workers=workers)
    daemons = [lab.start(letter) for letter in "abc"]
    for name in ("site-b", "site-c"):
        daemons[0].wait_up(name)
    for daemon in daemons[1:]:
        daemon.wait_up()
    return daemons


def ends(lab: Lab, here: str, there: str, version: int) -> tuple[tuple[str, str], tuple[str, str]]:
    return (lab[here].site, lab[here].host(version)), (lab[there].site, lab[there].host(version))


def carry(outer: int, encap: str, rekeys: int) -> None:
    with laboratory(sites="abc") as lab:
        hub, b, c = hub_and_sites(lab, outer, encap=encap)
        threads = len(list(pathlib.Path(f"/proc/{hub.pid}/task").iterdir()))
        seen = {hub.tunnel(name)["children"][0]["encapsulation"] for name in ("site-b", "site-c")}
        check(hub.status_json()["data_workers"] == 2 and seen == {"udp" if encap == "force" else "native"},
              f"two data workers, {threads} threads; ESP over IPv{outer}: {seen}")
        spis = [int(hub.tunnel(name)["children"][0]["spi_in"], 16) for name in ("site-b", "site-c")]
        check({spi % 2 for spi in spis} == {0, 1}, f"the hub's tunnels belong to different workers: {[f'{spi:08x}' for spi in spis]}")
        pairs = [(here, there, version) for here, there in ("ab", "ac", "bc") for version in (4, 6)]
        for here, there, version in pairs:
            ping_until_answered(lab[here].site, lab[there].host(version), seconds=15)
        before = [dropped(daemon) for daemon in (hub, b, c)]
        handed = handed_over(hub)
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(Stream(*ends(lab, *pair), rate=RATE, port=7100 + number)) for number, pair in enumerate(pairs)]
            for number in range(rekeys):
                daemon, name = ((hub, "site-b"), (hub, "site-c"), (b, "site-a"), (c, "site-a"))[number % 4]
                old = daemon.tunnel(name)["children"][0]["spi_in"]
                daemon.cli("rekey", name, *(["--ike"] if number % 8 == 7 else []))
                if number % 8 != 7:
                    wait_until(lambda d=daemon, n=name, o=old: (t := d.tunnel(n)["children"]) and len(t) == 1 and t[0]["spi_in"] != o,
                               f"{name} has new keys", 20, every=0.05)
            with concurrent.futures.ThreadPoolExecutor() as at_once:
                flows = list(at_once.map(Stream.stop, streams))
        for (here, there, version), both in zip(pairs, flows, strict=True):
            for way, flow in zip((f"{here} to {there}", f"{there} to {here}"), both, strict=True):
                check(flow.sent > 0 and flow.lost == 0 and flow.doubled == 0, f"{rekeys} rekeys, IPv{version}, {way}: {flow}")
        wait_until(lambda: handed_over(hub) > handed, "the counter of handed-over packets moves", 5)
        check([dropped(daemon) for daemon in (hub, b, c)] == before, "no packet was dropped anywhere")
        late = [int(hub.tunnel(name)["children"][0]["spi_in"], 16) for name in ("site-b", "site-c")]
        check([spi % 32 for spi in late] == [spi % 32 for spi in spis], "SAs stayed with their workers over all rekeys")
        for here, there, version in pairs:
            transfer = tcp_transfer(lab[here].site, lab[there].site, lab[there].host(version), marked_blocks(b"workers", TRANSFER))
            check(transfer.intact, f"TCP over IPv{version}, {here} to {there}: {transfer.megabits:.0f} Mbit/s, intact")
        say(f"hub: {handed_over(hub)} packets handed over")


def in_udp() -> None:
    """ESP in UDP over IPv4, rekeys of all tunnels by both sides"""
    carry(4, "force", 16)


def in_udp_over_ipv6() -> None:
    """ESP in UDP over IPv6"""
    carry(6, "force", 4)


def native() -> None:
    """native ESP over IPv4: each worker's raw socket hears its own packets only"""
    carry(4, "auto", 8)


def native_over_ipv6() -> None:
    """native ESP over IPv6"""
    carry(6, "auto", 4)


def peers_that_come_back() -> None:
    """three workers: peers are killed and come back, a worker's tunnel is down while another's carries"""
    with laboratory(sites="abc") as lab:
        hub, b, c = hub_and_sites(lab, 4, workers=3)
        with Stream(*ends(lab, "a", "c", 4), rate=RATE) as steady:
            for _ in range(2):
                b.kill9()
                b.start()
                b.wait_up()
                ping_until_answered(lab["c"].site, lab["b"].host4, seconds=30)
            there, back = steady.stop()
        for way, flow in (("a to c", there), ("c to a", back)):
            check(flow.sent > 0 and flow.lost == 0 and flow.doubled == 0, f"{way}, while b is killed twice: {flow}")
        hub.restart()
        for letter in "bc":
            hub.wait_up(f"site-{letter}", seconds=90)
            ping_until_answered(lab["a"].site, lab[letter].host4, seconds=30)
        check(True, "the hub is restarted and all tunnels come back")


def one_has_the_tun() -> None:
    """a second daemon is refused the TUN of the first, which has several queues"""
    with laboratory() as lab:
        lab.configure("a", [lab.tunnel("a", "b")], data_workers=2)
        first = lab.start("a")
        path = lab.configure("a", [lab.tunnel("a", "b")], name="other.toml", data_workers=2,
                             control_socket=str(lab["a"].dir / "other.sock"))
        second = run("ip", "netns", "exec", lab["a"].gw, binary("qanatd"), "-c", path, check=False)
        text = second.stdout + second.stderr
        check(second.returncode != 0 and "qanat0" in text, f"it says: {text.strip().splitlines()[-1]}")
        check(first.status_json()["data_workers"] == 2, "the first goes on")


if __name__ == "__main__":
    sys.exit(main([in_udp, in_udp_over_ipv6, native, native_over_ipv6, peers_that_come_back, one_has_the_tun], seconds=370))

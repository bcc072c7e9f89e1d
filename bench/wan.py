"""A hub with many tunnels: what probing them costs, a reload, a line that is cut, a daemon that is killed.

Every figure is of one run unless --rounds says more for the cuts and the restarts; the wait for the return after a cut lasts
over five minutes by its rule, and is made once a rate.
"""
from __future__ import annotations

import concurrent.futures
import time

from fan import Fan
from field import Qanat, Qanatd, Subject, blast, cpu_ns, resident, wait_until
from processes import run
from report import Report
from stream import Stream
from traffic import ping_until_answered
from wan_lab import Wan, health, health_changes, many_pair

LIMITS = {"half_open_limit": 1_000_000, "cookie_threshold": 1_000_000, "prefix_limit": 1_000_000}  # that no load of ours reaches
RATE = 10_000  # packets a second each way while a line is cut
STEADY = 1000  # the same beside everything else
CHANGED = 7    # the tunnel that the reload changes


def processes(daemon: Qanatd) -> list[int]:
    """qanatd, its helper and its reader."""
    children = run("ps", "-o", "pid=", "--ppid", str(daemon.pid), check=False).stdout.split()
    return [daemon.pid, *map(int, children)]


def all_up(daemon: Qanatd) -> bool:
    return all(t["actual"] == "up" and t["children"] for t in daemon.status_json()["tunnels"])


def all_healthy(daemon: Qanatd) -> bool:
    return all(t["health"]["state"] == "healthy" for t in daemon.status_json()["tunnels"])


def probes(daemon: Qanatd) -> tuple[int, int]:
    """Sent since the beginning, and lost of the last five minutes."""
    tunnels = daemon.status_json()["tunnels"]
    return sum(t["health"]["probes"] for t in tunnels), round(sum(t["health"]["loss"] * t["health"]["samples"] for t in tunnels))


def many(report: Report, count: int, seconds: float) -> None:
    """1,000 tunnels with probes at mid: what they cost; then a reload with one change."""
    with Wan("ab", double="", name="qb") as lab:
        lab.local_ends()
        at_hub, at_site = lab.many(count)
        lab.configure("b", at_site, outer=(4,), **LIMITS)
        lab.configure("a", at_hub, outer=(4,), **LIMITS)
        daemons = {"site": lab.start("b", wait=False)}
        daemons["site"].wait_log(r"\bready\b", 120)
        begin = time.monotonic()
        daemons["hub"] = hub = lab.start("a", wait=False)
        wait_until(lambda: hub.cli("status", "--json", check=False).returncode == 0 and all_up(hub), f"{count} tunnels are up", 300, every=0.2)
        report.add("all up after", "qanat", time.monotonic() - begin, "s")
        wait_until(lambda: all_healthy(hub) and all_healthy(daemons["site"]), f"{count} tunnels are healthy", 300, every=0.5)
        for daemon in daemons.values():
            daemon.cli("status")
        time.sleep(2)

        pids = {who: processes(daemon) for who, daemon in daemons.items()}
        sent = {who: probes(daemon)[0] for who, daemon in daemons.items()}
        before, begin = {who: cpu_ns(pids[who]) for who in pids}, time.monotonic()
        time.sleep(seconds)
        after, taken = {who: cpu_ns(pids[who]) for who in pids}, time.monotonic() - begin
        for who, daemon in daemons.items():
            report.add(f"probing cpu, {who}", "qanat", (after[who] - before[who]) / taken / 1e7, "% of a core")
            report.add(f"memory, {who}", "qanat", sum(map(resident, pids[who])) / (1 << 20), "MB")
            report.add(f"probes, {who}", "qanat", (probes(daemon)[0] - sent[who]) / taken, "a second")
            report.add(f"probes lost, {who}", "qanat", probes(daemon)[1], "probes")

        with Fan((lab["a"].gw, lab["b"].gw), [many_pair(number) for number in range(count)], 2 * STEADY) as fan:
            time.sleep(1)
            lab.configure("a", lab.many(count, changed={CHANGED: {"child_lifetime": "30m"}})[0], outer=(4,), **LIMITS)
            begin = time.monotonic()
            said = hub.cli("reload").stdout
            report.add("reload, 1 of all changed", "qanat", (time.monotonic() - begin) * 1000, "ms")
            if f"t{CHANGED:04}" not in said:
                raise RuntimeError(f"the reload changed something else: {said}")
            time.sleep(2)
            flows = fan.stop()
        others = sum(count for flow in flows for pair, count in flow.lost_by_pair.items() if pair != CHANGED)
        report.add("reload: others lost", "qanat", others, "packets")
        report.add("reload: changed one lost", "qanat", sum(flow.lost for flow in flows) - others, "packets")
        report.add("reload: packets sent", "qanat", sum(flow.sent for flow in flows), "packets")


def cuts(report: Report, rounds: int, settle: float) -> None:
    """A line is cut under 10,000 packets/s, at mid and at high; then, once, the wait until traffic is back on it."""
    with Wan("abc", double="bc", name="qb") as lab:
        rates = {"b": "mid", "c": "high"}
        at_hub, at_site = [], {}
        for number, (letter, rate) in enumerate(rates.items()):
            hub, at_site[letter] = lab.two_paths(letter, 2 * number, health={"rate": rate})
            at_hub += hub
        for letter in rates:
            lab.configure(letter, at_site[letter], outer=(4,))
        sites = {letter: lab.start(letter) for letter in rates}
        lab.configure("a", at_hub, outer=(4,))

        for at in range(rounds):
            hub = lab.start("a") if at == 0 else hub
            if at:  # with a clean window of five minutes
                for daemon in (hub, *sites.values()):
                    daemon.restart()
            wait_until(lambda: all_up(hub) and all_healthy(hub) and all(all_healthy(site) for site in sites.values()), "all is healthy", 60)
            for letter, rate in rates.items():
                cut(report, lab, letter, rate, hub, sites[letter])
        if settle:
            back(report, lab, rates, hub, sites, settle)


def cut(report: Report, lab: Wan, letter: str, rate: str, hub: Qanatd, site: Qanatd) -> None:
    here, there = f"{lab['a'].site}/{lab['a'].host4}", f"{lab[letter].site}/{lab[letter].host4}"
    ping_until_answered(lab["a"].site, lab[letter].host4)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stream = pool.submit(blast, "stream", "--from", here, "--to", there, "--rate", str(RATE), "--seconds", "6", "--size", "200", "--both",
                             seconds=6)
        time.sleep(2.5)
        lab.cut(letter)
        flows = stream.result(timeout=60)["flows"]
    for daemon, name in ((hub, f"{letter}-1"), (site, "hub-1")):
        if health(daemon, name) != "down" or "down" in health_changes(daemon, name.replace("1", "2")):
            raise RuntimeError(f"{name} is {health(daemon, name)}, the other path went through {health_changes(daemon, name.replace('1', '2'))}")
    lab.mend(letter)
    for way, flow in zip(("out", "in"), flows, strict=True):
        report.add(f"cut at {rate}, {way}: lost", "qanat", flow["lost"], "packets")
        report.add(f"cut at {rate}, {way}: silence", "qanat", flow["silence_us"] / 1000, "ms")
    if max(flow["refused"] for flow in flows):
        report.note(f"the kernel refused {max(flow['refused'] for flow in flows)} packets at {rate}")


def back(report: Report, lab: Wan, rates: dict[str, str], hub: Qanatd, sites: dict[str, Qanatd], settle: float) -> None:
    """All traffic is on the second lines; the first are mended. Until they carry again, nothing may be lost."""
    begin = time.monotonic()
    streams = {letter: Stream((lab["a"].site, lab["a"].host4), (lab[letter].site, lab[letter].host4), STEADY, port=7100 + ord(letter))
               for letter in rates}
    waiting = set(rates)
    while waiting and time.monotonic() < begin + settle:
        for letter in sorted(waiting):
            if health(hub, f"{letter}-1") == "healthy" and health(sites[letter], "hub-1") == "healthy":
                report.add(f"back at {rates[letter]}", "qanat", time.monotonic() - begin, "s")
                waiting.discard(letter)
        time.sleep(1)
    time.sleep(3)
    for letter, stream in streams.items():
        rate, flows = rates[letter], stream.stop()
        report.add(f"back at {rate}: lost", "qanat", sum(flow.lost for flow in flows), "packets")
        falls = max(health_changes(daemon, name).count("down") for daemon, name in ((hub, f"{letter}-1"), (sites[letter], "hub-1")))
        report.add(f"falls at {rate}", "qanat", falls, "changes to down")
        report.say(f"{letter}-1 at {rate} went through: {', '.join(health_changes(hub, f'{letter}-1'))}")
    if waiting:
        report.note(f"not back after {settle:.0f} s: {', '.join(rates[letter] for letter in sorted(waiting))}")


def kills(report: Report, rounds: int, cases: tuple[str, ...]) -> None:
    """kill -9 of the hub's daemon under traffic, when it calls the sites and when it only answers them."""
    for who in cases:
        with Wan("abc", double="", name="qb") as lab:
            at_hub = []
            starts = ("initiate", "respond") if who == "hub calls" else ("respond", "initiate")
            for number, letter in enumerate("bc"):
                hub, site = lab.ends(letter, number, hub={"start": starts[0]}, site={"start": starts[1]})
                at_hub.append(hub)
                lab.configure(letter, [site], outer=(4,))
                lab.start(letter)
            lab.configure("a", at_hub, outer=(4,))
            a = lab.start("a")
            for at in range(rounds):
                for letter in "bc":
                    a.wait_up(letter, 90)
                ping_until_answered(lab["b"].site, lab["c"].host4, seconds=90)
                with lab.capture() as wiretap, Stream((lab["b"].site, lab["b"].host4), (lab["c"].site, lab["c"].host4), STEADY) as stream:
                    time.sleep(1)
                    a.kill9()
                    a.start()
                    for source, target in (("b", "c"), ("c", "b")):
                        ping_until_answered(lab[source].site, lab[target].host4, seconds=120)
                    time.sleep(1)
                    flows = stream.stop()
                    seen = wiretap.report()
                report.add(f"kill -9, {who}: silence", "qanat", max(flow.longest_silence_ms for flow in flows), "ms")
                report.add(f"kill -9, {who}: lost", "qanat", sum(flow.lost for flow in flows), "packets")
                report.add(f"kill -9, {who}: clear", "qanat", seen.clear, "packets")
                if seen.unseen:
                    report.note(f"{seen.unseen} packets escaped the wiretap")


def measure(options, subjects: list[Subject]) -> None:
    qanat = next((s for s in subjects if isinstance(s, Qanat)), None)
    if qanat is None:
        return
    report = Report("wan", f"A hub: {options.wan_tunnels:,} probed tunnels, a reload, a line that is cut, kill -9", options, rounds=options.wan_rounds)
    report.subject(qanat)
    many(report, options.wan_tunnels, options.watch)
    cuts(report, options.wan_rounds, options.settle)
    kills(report, options.wan_rounds, ("hub calls",) if options.smallest else ("hub calls", "sites call"))
    report.finish()

"""A WAN as a whole: the demo, a line that is cut, a reload of many tunnels, a daemon that is killed under traffic.

Counts are judged, never the clock; ./run bench wan measures the same, with more tunnels.
"""
from __future__ import annotations

import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop")]
import demo_wan  # noqa: E402
from demo import Show  # noqa: E402
from fan import Fan  # noqa: E402
from lab import Qanatd, check, main, say  # noqa: E402
from stream import Stream  # noqa: E402
from traffic import ping, ping_until_answered, wait_until  # noqa: E402
from wan_lab import Wan, health, health_changes, many_pair, wan  # noqa: E402

TUNNELS = 60
RATE = 1000


def the_demo() -> None:
    """everything that ./run demo wan says is seen"""
    if reason := demo_wan.why_not_here():
        if os.environ.get("QANAT_CI"):
            raise AssertionError(reason)
        say(f"skipped: {reason}")
        return
    show = Show()
    demo_wan.demo(show)
    check(not show.missing, f"everything was seen{': not ' + '; '.join(show.missing) if show.missing else ''}")


def both_lines(lab: Wan, **more) -> tuple[Qanatd, Qanatd]:
    """The hub and site b, with a tunnel by each of b's lines."""
    at_hub, at_site = lab.two_paths("b", 0, **more)
    lab.configure("b", at_site, outer=(4,))
    lab.configure("a", at_hub, outer=(4,))
    b, a = lab.start("b"), lab.start("a")
    for path in (1, 2):
        for daemon, name in ((a, f"b-{path}"), (b, f"hub-{path}")):
            daemon.wait_up(name)
            wait_until(lambda d=daemon, n=name: health(d, n) == "healthy", f"{name} is healthy", 30)
    return a, b


def a_line_is_cut() -> None:
    """the cut of a line moves its traffic to the other one, and its return moves nothing back and loses nothing"""
    with wan("ab") as lab:
        a, b = both_lines(lab, health={"rate": "high"})
        ends = (lab["a"].site, lab["a"].host4), (lab["b"].site, lab["b"].host4)
        with Stream(*ends, RATE) as stream:
            time.sleep(1)
            lab.cut("b")
            for daemon, name in ((a, "b-1"), (b, "hub-1")):
                wait_until(lambda d=daemon, n=name: health(d, n) == "down", f"{name} is down", 30)
            time.sleep(1)
            flows = stream.stop()
        for way, flow in zip(("there", "back"), flows, strict=True):
            check(0 < flow.lost < flow.sent and flow.doubled == 0, f"{way}: {flow}")
        with Stream(*ends, RATE) as stream:
            time.sleep(2)  # still cut
            lab.mend("b")
            for daemon, name in ((a, "b-1"), (b, "hub-1")):
                wait_until(lambda d=daemon, n=name: health(d, n) == "degraded", f"{name} answers again", 60)
            time.sleep(3)
            flows = stream.stop()
        for way, flow in zip(("there", "back"), flows, strict=True):
            check(flow.sent > 0 and flow.lost == 0, f"the second line carries it all, {way}: {flow}")
        for daemon, one, other in ((a, "b-1", "b-2"), (b, "hub-1", "hub-2")):
            changes = health_changes(daemon, one)
            check(changes[-2:] == ["down", "degraded"] and changes.count("down") == 1, f"{one} went through {changes}: once, no flapping")
            check("down" not in health_changes(daemon, other), f"{other} never fell")


def start_many(lab: Wan, count: int) -> tuple[Qanatd, Qanatd]:
    lab.local_ends()
    hub, site = lab.many(count)
    lab.configure("b", site, outer=(4,))
    lab.configure("a", hub, outer=(4,))
    b, a = lab.start("b"), lab.start("a")
    wait_until(lambda: all(t["actual"] == "up" and t["children"] for t in a.status_json()["tunnels"]), f"{count} tunnels are up", 90)
    return a, b


def many_are_reloaded() -> None:
    """a reload with one change among 60 tunnels: the others lose no packet, and keep their keys"""
    with wan("ab", double="") as lab:
        a, _ = start_many(lab, TUNNELS)
        spis = {t["name"]: [child["spi_in"] for child in t["children"]] for t in a.status_json()["tunnels"]}
        pairs = [many_pair(number) for number in range(TUNNELS)]
        with Fan((lab["a"].gw, lab["b"].gw), pairs, 2 * RATE) as fan:
            time.sleep(1)
            for changed in ({7: {"mss": "off"}}, {7: {"mss": "off", "child_lifetime": "30m"}}, {7: {"esp": ["aes128gcm16", "aes256gcm16"]}}):
                lab.configure("a", lab.many(TUNNELS, changed=changed)[0], outer=(4,))
                said = a.cli("reload").stdout
                check("t0007" in said and "t0008" not in said, f"qanat reload:\n{said}")
                time.sleep(1)
            there, back = fan.stop()
        for way, flow in (("there", there), ("back", back)):
            check(flow.sent > 2 * TUNNELS and flow.lost == 0 and flow.doubled == 0, f"{way}: {flow}")
        after = {t["name"]: [child["spi_in"] for child in t["children"]] for t in a.status_json()["tunnels"]}
        kept = [name for name in spis if after[name] == spis[name]]
        check(set(spis) - set(kept) == {"t0007"}, f"{len(kept)} of {TUNNELS} tunnels have the SAs that they had")


def killed_under_traffic() -> None:
    """kill -9 of the hub's daemon under traffic: nothing in the clear outside, and traffic flows again"""
    with wan("abc", double="") as lab:
        tunnels = [lab.ends(letter, number) for number, letter in enumerate("bc")]
        for letter, (_, at_site) in zip("bc", tunnels, strict=True):
            lab.configure(letter, [at_site], outer=(4,))
            lab.start(letter)
        lab.configure("a", [at_hub for at_hub, _ in tunnels], outer=(4,))
        a = lab.start("a")
        for letter in "bc":
            a.wait_up(letter)
        ping_until_answered(lab["b"].site, lab["c"].host4)
        with lab.capture() as wiretap, Stream((lab["b"].site, lab["b"].host4), (lab["c"].site, lab["c"].host4), RATE) as through, \
                Stream((lab["a"].site, lab["a"].host4), (lab["b"].site, lab["b"].host4), RATE, port=7008) as from_hub:
            time.sleep(1)
            a.kill9()
            time.sleep(0.5)
            a.start()
            for letter in "bc":
                a.wait_up(letter, 60)
            for source, target in (("b", "c"), ("a", "b")):
                ping_until_answered(lab[source].site, lab[target].host4, seconds=60)
            for streams in (through.stop(), from_hub.stop()):
                for flow in streams:
                    check(flow.received > 0 and flow.doubled == 0, str(flow))
            report = wiretap.report()
        check(report.clear == 0 and report.unseen == 0 and report.esp > RATE,
              f"{report.esp:,} packets of ESP outside, {report.clear} in the clear" + "".join(f"; {sample}" for sample in report.clear_samples[:3]))
        for source, target in (("b", "c"), ("a", "b")):
            result = ping(lab[source].site, lab[target].host4, count=20)
            check(result.received == 20, f"{source} > {target}: {result}")


if __name__ == "__main__":
    sys.exit(main([the_demo, a_line_is_cut, many_are_reloaded, killed_under_traffic], 270))

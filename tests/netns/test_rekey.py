"""New keys under traffic, qanat to qanat: nothing lost, nothing doubled, whoever begins, however many key exchanges."""
from __future__ import annotations

import collections
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, check, laboratory, main, say  # noqa: E402
from stream import Stream  # noqa: E402
from traffic import wait_until  # noqa: E402

ONE = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
TWO = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem1024"
RATE = 1000  # packets a second each way
OLD_KEYS = 1  # seconds; with the default the table of a hundred rekeys in a row would be long


def spis(tunnel: dict) -> tuple[str, tuple[str, str]]:
    child = tunnel["children"][0]
    return tunnel["ike"]["spi_i"], (child["spi_in"], child["spi_out"])


def settled(a: Qanatd, b: Qanatd, changed=lambda ike, child: True) -> tuple[dict, dict]:
    """Both tunnels, once they have the same one IKE SA and Child SA, and changed(IKE SPI, Child SPIs of a) holds."""
    def look():
        mine, other = a.tunnel(), b.tunnel()
        if not all(t["actual"] == "up" and len(t["children"]) == 1 for t in (mine, other)):
            return None
        (ike, (inbound, outbound)), (their_ike, (their_inbound, their_outbound)) = spis(mine), spis(other)
        same = ike == their_ike and (inbound, outbound) == (their_outbound, their_inbound)
        return (mine, other) if same and changed(ike, (inbound, outbound)) else None
    try:
        return wait_until(look, "both sides have the same new keys", 20, every=0.02)
    except TimeoutError as late:
        keys = [[(t["actual"], (t["ike"] or {}).get("spi_i"), [(c["spi_in"], c["spi_out"]) for c in t["children"]]) for t in (x.tunnel(),)] for x in (a, b)]
        raise TimeoutError(f"{late}; a and b have {keys}") from None


def rekey(a: Qanatd, b: Qanatd, who: Qanatd, what: str) -> tuple[dict, dict]:
    ike, child = spis(a.tunnel())
    who.cli("rekey", who.tunnel()["name"], *(["--ike"] if what == "ike" else ["--reauth"] if what == "reauth" else []))
    if what == "child":
        return settled(a, b, lambda i, c: i == ike and c[0] != child[0] and c[1] != child[1])
    return settled(a, b, lambda i, c: i != ike and (c == child) == (what == "ike"))


def many(proposal: str, child_rekeys: int, ike_rekeys: int, keys: str = "hybrid", **settings) -> None:
    with laboratory() as lab:
        a, b = lab.pair(ike=[proposal], old_keys=OLD_KEYS, **settings)
        settled(a, b)
        drops = dropped(a), dropped(b)
        with stream(lab) as under:
            begin, done = time.monotonic(), collections.Counter()
            every = max(1, child_rekeys // max(1, ike_rekeys))
            for number in range(child_rekeys):
                who = (a, b)[number % 2]
                one(a, b, who, "child", keys, done)
                if number % every == every - 1 and done["ike"] < ike_rekeys:
                    one(a, b, (a, b)[done["ike"] % 2], "ike", keys, done)
            taken = time.monotonic() - begin
            flows = under.stop()
        for way, flow in zip(("a to b", "b to a"), flows, strict=True):
            check(flow.sent > 0 and flow.lost == 0 and flow.doubled == 0, f"{way}: {flow}")
        check(done["child"] == child_rekeys and done["ike"] == ike_rekeys,
              f"{done['child']} Child SA and {done['ike']} IKE SA rekeys in {taken:.1f} s at {RATE} packets/s each way")
        check((dropped(a), dropped(b)) == drops, f"no packet was dropped: {dropped(a)}, {dropped(b)}")


def dropped(daemon: Qanatd) -> dict[str, int]:
    """Without the dummy packets, by which a rekey's initiator shows that the new keys work, and what our own kernel
    sends into a TUN that comes up; health probes and their answers end in the gateway."""
    return {reason: count for reason, count in daemon.drops().items() if reason not in ("dummy", "no_route", "probe", "answered")}


def one(a: Qanatd, b: Qanatd, who: Qanatd, what: str, keys: str, done: collections.Counter) -> None:
    for tunnel in rekey(a, b, who, what):
        got = tunnel["ike"]["verdict"]["keys"], tunnel["children"][0]["verdict"]["keys"]
        if got != (keys, keys):
            check(False, f"after the {what} rekey the verdicts of the IKE SA and the Child SA are {got}, not {keys}")
    done[what] += 1


def stream(lab: Lab) -> Stream:
    return Stream((lab["a"].site, lab["a"].host4), (lab["b"].site, lab["b"].host4), RATE)


def one_additional() -> None:
    """one additional key exchange: 200 Child SA rekeys and 20 IKE SA rekeys under traffic"""
    many(ONE, 200, 20)


def two_additional() -> None:
    """two additional key exchanges: 40 and 4"""
    many(TWO, 40, 4)


def classical() -> None:
    """no additional key exchange: 40 and 4"""
    many("aes256gcm16-prfsha384-x25519", 40, 4, keys="classical", pq="off")


def reauthentication() -> None:
    """a whole new IKE SA in place of the old one, by both sides in turn, under traffic"""
    with laboratory() as lab:
        a, b = lab.pair(old_keys=OLD_KEYS)
        settled(a, b)
        with stream(lab) as under:
            for number in range(6):
                rekey(a, b, (a, b)[number % 2], "reauth")
            flows = under.stop()
        for way, flow in zip(("a to b", "b to a"), flows, strict=True):
            check(flow.lost == 0 and flow.doubled == 0, f"6 reauthentications, {way}: {flow}")


def in_several_threads() -> None:
    """ike_threads = 3, both begin at once: one IKE SA is left; reauthentication and rekeys lose nothing, whatever threads they meet in"""
    with laboratory() as lab:
        for here, there in ("ab", "ba"):
            lab.configure(here, [lab.tunnel(here, there, old_keys=OLD_KEYS)], ike_threads=3)
        a, b = lab.start("a"), lab.start("b")
        for side in (a, b):
            side.wait_up()
            threads = len(list(pathlib.Path(f"/proc/{side.pid}/task").iterdir()))
            check(threads >= 8, f"gw{side.site.letter}: {threads} threads: control, data, API, two for signatures, three for IKE")
        time.sleep(2.5)  # the attempt that came too early for the other side is sent again, and comes up, too
        settled(a, b)
        with stream(lab) as under:
            for number in range(8):
                rekey(a, b, (a, b)[number % 2], ("reauth", "ike", "reauth", "child")[number // 2 % 4])
            flows = under.stop()
        for way, flow in zip(("a to b", "b to a"), flows, strict=True):
            check(flow.lost == 0 and flow.doubled == 0, f"8 renewals, {way}: {flow}")
        b.kill9()
        b.start()
        settled(a, b)
        check(True, "a peer that was killed is known again, and its old IKE SA is gone")


def both_at_once() -> None:
    """both sides ask for new keys in the same moment, twenty times: one Child SA is left, and nothing is lost"""
    with laboratory() as lab:
        a, b = lab.pair(old_keys=OLD_KEYS)
        settled(a, b)
        with stream(lab) as under:
            for number in range(20):
                ike, child = spis(a.tunnel())
                flags = ["--ike"] if number % 5 == 4 else []
                commands = [side.spawn_cli("rekey", side.tunnel()["name"], *flags) for side in (a, b)]
                for command in commands:
                    command.wait(20)
                settled(a, b, (lambda i, c, old=ike: i != old) if flags else (lambda i, c, old=child: c[0] != old[0]))
            flows = under.stop()
        for way, flow in zip(("a to b", "b to a"), flows, strict=True):
            check(flow.lost == 0 and flow.doubled == 0, f"20 times, {way}: {flow}")
        for side in (a, b):
            counters = {name: count for name, count in side.ike_counters().items() if "collision" in name or "rekey" in name}
            say(f"gw{side.site.letter}: {counters}")


if __name__ == "__main__":
    sys.exit(main([one_additional, two_additional, classical, reauthentication, in_several_threads, both_at_once], seconds=230))

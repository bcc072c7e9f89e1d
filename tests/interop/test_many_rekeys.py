"""Rekeys in a row under traffic beside strongSwan: not one packet is lost that a control run does not lose.

    python3 tests/interop/test_many_rekeys.py [--rekeys N] [--rate PACKETS_PER_SECOND]

Two pairs of gateways run at the same time, alike, each with numbered packets both ways at the same rate. One pair gets new
keys N times (1,000 with QANAT_DEEP=1, else 200), by both sides in turn, every tenth time those of the IKE SA, hybrid
throughout; the other pair keeps its keys. Needs what test_strongswan.py needs.
"""
from __future__ import annotations

import argparse
import collections
import os
import sys
import time

from meeting import PSK, Meeting, expect  # noqa: I001 - makes the modules of tests/netns known
from cases import USUAL
from renewal import esp
from stream import Flow, Stream
from test_strongswan import leave, why_not
import lab

WAYS = ("to strongSwan", "from strongSwan")


def begin(meeting: Meeting) -> None:
    meeting.configure(ours={"pq": "require", "psk": PSK}, theirs=esp(USUAL))
    meeting.bring_up("qanat")
    meeting.traffic(10000)


def stream(meeting: Meeting, rate: int) -> Stream:
    a, b = meeting.lab["a"], meeting.lab["b"]
    return Stream((a.site, a.host4), (b.site, b.host4), rate)


def rekey_often(meeting: Meeting, count: int) -> collections.Counter:
    done: collections.Counter = collections.Counter()
    for number in range(count):
        who = ("qanat", "strongswan")[number % 2]
        what = "ike" if number % 20 in (9, 18) else "child"
        tunnel = meeting.rekey(who, what)
        expect(tunnel["ike"]["verdict"]["keys"] == "hybrid" and tunnel["children"][0]["verdict"]["keys"] == "hybrid",
               f"rekey {number + 1}: our verdicts are {tunnel['ike']['verdict']}, {tunnel['children'][0]['verdict']}")
        done[f"{what} by {who}"] += 1
    return done


def compare(rekeyed: tuple[Flow, Flow], control: tuple[Flow, Flow]) -> None:
    for way, with_rekeys, without in zip(WAYS, rekeyed, control, strict=True):
        print(f"    {way}, with rekeys: {with_rekeys}\n    {way}, control:     {without}", flush=True)
    for way, with_rekeys, without in zip(WAYS, rekeyed, control, strict=True):
        expect(with_rekeys.lost <= without.lost, f"{way}: {with_rekeys.lost} lost with rekeys, {without.lost} in the control run")
        expect(with_rekeys.doubled == 0, f"{way}: {with_rekeys.doubled} doubled")
        expect(min(with_rekeys.sent, without.sent) > 0, f"{way}: nothing was sent")


def run(count: int, rate: int) -> None:
    root = os.environ["QANAT_PEER_FORKY"]
    with Meeting(root, name="qr") as meeting, Meeting(root, name="qc") as control:
        try:
            begin(control)
            begin(meeting)
            with stream(control, rate) as beside, stream(meeting, rate) as under:
                started = time.monotonic()
                done = rekey_often(meeting, count)
                taken = time.monotonic() - started
                rekeyed, unchanged = under.stop(), beside.stop()
        except Exception:
            print(meeting.logs(60), flush=True)
            raise
        kinds = ", ".join(f"{number} {kind}" for kind, number in done.items())
        print(f"{done.total()} rekeys ({kinds}) in {taken:.1f} s, {under.seconds:.1f} s of {rate} packets/s each way:", flush=True)
        compare(rekeyed, unchanged)
        print(f"    our drops: {meeting.ours.drops() or 'none'}; in the control run: {control.ours.drops() or 'none'}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="many rekeys with strongSwan under traffic")
    parser.add_argument("--rekeys", type=int, default=1000 if os.environ.get("QANAT_DEEP") else 200)
    parser.add_argument("--rate", type=int, default=1000, help="packets a second each way")
    options = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if reason := why_not(["forky"]):
        return leave(reason)
    lab.stop_on_signals()
    try:
        run(options.rekeys, options.rate)
    except AssertionError as error:
        print(f"FAILED: {error}")
        return 1
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

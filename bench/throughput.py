"""TCP (CUBIC) through a tunnel, both gateways on this machine."""
from __future__ import annotations

import contextlib
import json
import subprocess

from field import Field, IkeLoad, Qanat, Subject, load_tunnels
from report import Report

UNIT = "Gbit/s"
CASES = (("tcp1", 1, True), ("tcp8", 8, True), ("tcp1-nooffload", 1, False), ("tcp8-nooffload", 8, False))


def iperf(field: Field, ends: tuple[str, str], seconds: int, streams: int, *more: str) -> dict:
    """iperf3's own result; the first second does not count (of a longer run)."""
    here, there = ends
    said = ""
    for _ in range(5):
        listener = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", field["b"].gw, "iperf3", "-s", "-1", "--forceflush", "-B", there],
                                    stdout=subprocess.PIPE, text=True)
        try:
            while "listening" not in (line := listener.stdout.readline()):
                if not line:
                    raise RuntimeError(f"iperf3 -s ended with {listener.wait()}")
            done = subprocess.run(["ip", "netns", "exec", field["a"].gw, "iperf3", "-c", there, "-B", here, "-O", str(int(seconds > 1)), "-t", str(seconds),
                                   "-P", str(streams), "-C", "cubic", "-J", *more], capture_output=True, text=True, timeout=seconds + 40)
            result = json.loads(done.stdout or "{}")
            if result.get("end", {}).get("sum_received", {}).get("bits_per_second"):
                return result
            said = result.get("error", done.stderr)
        finally:
            listener.terminate()
            listener.wait()
            listener.stdout.close()
    raise RuntimeError(f"iperf3 failed: {said}")


def gigabits(field: Field, subject: Subject, seconds: int, streams: int = 1) -> float:
    return iperf(field, subject.ends(field), seconds, streams)["end"]["sum_received"]["bits_per_second"] / 1e9


def measure(options, subjects: list[Subject]) -> None:
    report = Report("throughput", "TCP through a tunnel, both gateways on one machine", options)
    report.subject(*subjects)
    qanat = next((s for s in subjects if isinstance(s, Qanat)), None)
    cases = CASES[:3:2] if options.smallest else CASES
    with Field() as field:
        for _ in range(options.rounds):
            for subject in subjects:
                with subject.up(field):
                    for case, streams, offloads in cases:
                        with contextlib.nullcontext() if offloads else field.wire_without_offloads():
                            report.add(case, subject.name, gigabits(field, subject, options.seconds, streams), UNIT)
            if qanat:
                with qanat.up(field, encap="auto"):
                    report.add("tcp1-native", qanat.name, gigabits(field, qanat, options.seconds), UNIT)
                theirs, ours = load_tunnels(field, options.idle)
                with qanat.up(field, there=ours):
                    load = IkeLoad(field, theirs)
                    try:
                        load.run(options.idle, options.in_flight, keep=True, seconds=300)
                        report.add("tcp1-idle10k", qanat.name, gigabits(field, qanat, options.seconds), UNIT)
                    finally:
                        load.end()
    others = [s.name for s in subjects if s.name != "qanat"]
    for case, _, _ in cases:
        report.ratios(case, *others)
    for case in ("tcp8", "tcp1-idle10k"):
        if report.values(case, "qanat"):
            report.ratio(case, report.values(case, "qanat"), "qanat tcp1", report.values("tcp1", "qanat"))
    report.finish()

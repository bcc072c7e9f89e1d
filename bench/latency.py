"""What the tunnel adds to a round trip when nothing else goes on, and how busy the machine is at a fixed rate."""
from __future__ import annotations

import os

from field import Field, Subject, blast, processor_ticks
from report import Report
from throughput import iperf

MEGABITS = 500


def measure(options, subjects: list[Subject]) -> None:
    report = Report("latency", "Round trips, and busy time at 500 Mbit/s", options)
    report.subject(*subjects)
    with Field() as field:
        for _ in range(options.rounds):
            for subject in subjects:
                with subject.up(field):
                    here, there = subject.places(field)
                    trips = blast("ping", "--from", here, "--to", there, "--count", str(options.pings), "--gap-us", "10000", seconds=options.pings / 50)
                    report.add("rtt", subject.name, trips["p50_us"] / 1000, "ms")
                    report.add("rtt-p99", subject.name, trips["p99_us"] / 1000, "ms")
                    before = processor_ticks()
                    iperf(field, subject.ends(field), options.seconds, 1, "-b", f"{MEGABITS}M")
                    busy, everything = (now - then for now, then in zip(processor_ticks(), before, strict=True))
                    report.add("busy-500M", subject.name, 100 * busy / everything, f"% of {os.cpu_count()} cores")
            for subject in subjects:
                if subject.name != "bare" and report.values("rtt", "bare"):
                    report.add("rtt-added", subject.name, report.latest("rtt", subject.name) - report.latest("rtt", "bare"), "ms")
    for case in ("rtt", "busy-500M"):
        report.ratios(case, *(s.name for s in subjects if s.name != "qanat"))
    report.finish()

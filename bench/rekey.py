"""New keys every second under a steady stream both ways: what is lost, doubled or overtaken."""
from __future__ import annotations

import concurrent.futures
import time

from field import Field, Qanat, Subject, blast
from report import Report

RATE = 20_000
IKE_EVERY = 3  # of the seconds, the IKE SA is rekeyed too


def measure(options, subjects: list[Subject]) -> None:
    qanat = next((s for s in subjects if isinstance(s, Qanat)), None)
    if qanat is None:
        return
    report = Report("rekey", f"Rekeys every second under {RATE:,} packets/s each way", options, rounds=1)
    report.subject(qanat)
    seconds = options.rekey_seconds
    with Field() as field, qanat.up(field), concurrent.futures.ThreadPoolExecutor(1) as pool:
        here, there = qanat.places(field)
        stream = pool.submit(blast, "stream", "--from", here, "--to", there, "--rate", str(RATE), "--seconds", str(seconds + 2),
                             "--size", "64", "--both", seconds=seconds)
        begin = time.monotonic()
        keys, children, ikes = set(), 0, 0
        for number in range(seconds):
            time.sleep(max(0.0, begin + 1 + number - time.monotonic()))
            who = (qanat.a, qanat.b)[number % 2]
            name = who.site.letter == "a" and "site-b" or "site-a"
            who.cli("rekey", name)
            children += 1
            if number % IKE_EVERY == IKE_EVERY - 1:
                who.cli("rekey", name, "--ike")
                ikes += 1
            tunnel = qanat.a.tunnel("site-b")
            keys |= {child["spi_in"] for child in tunnel["children"]}
            if number % 10 == 9:
                report.say(f"{number + 1} of {seconds} s: {len(keys)} Child SAs so far")
        flows = stream.result(timeout=60)["flows"]
        drops = {reason: count for daemon in (qanat.a, qanat.b) for reason, count in daemon.drops().items() if count}
    for key in ("lost", "duplicated", "reordered"):
        report.add(key, "qanat", sum(flow[key] for flow in flows), "packets")
    report.add("offered", "qanat", sum(flow["offered"] for flow in flows), "packets")
    report.add("rekeys", "qanat", children + ikes, "asked for")
    report.add("child keys seen", "qanat", len(keys), "SPIs")
    report.add("longest silence", "qanat", max(flow["silence_us"] for flow in flows) / 1000, "ms")
    report.add("slowest way", "qanat", max(flow["worst_us"] for flow in flows) / 1000, "ms")
    if drops:
        report.note(f"dropped by name: {drops}")
    report.finish()

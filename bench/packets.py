"""Small packets: the highest rate of 64-octet UDP datagrams at which at most one in a thousand is lost."""
from __future__ import annotations

import contextlib

from field import Field, Qanat, Relay, Subject, blast
from report import Report

LOSS = 0.001
KEPT_UP = 0.97   # of the asked rate, that the sender must have offered
FIRST = 10_000   # packets a second to begin with
STEP = 1.6       # between rates until one is too high
AGAIN = 1.15     # the same in later rounds, which begin near what the first one found


def holds(places: tuple[str, str], rate: float, seconds: float) -> float | None:
    """What arrived a second, when that rate is good enough; the second of two attempts decides."""
    for _ in range(2):
        flow = blast("stream", "--from", places[0], "--to", places[1], "--rate", str(int(rate)), "--seconds", str(seconds), "--size", "64",
                     seconds=seconds)["flows"][0]
        if flow["offered"] >= KEPT_UP * rate * seconds and flow["lost"] <= LOSS * flow["offered"]:
            return flow["received"] / flow["seconds"]
    return None


def highest(places: tuple[str, str], seconds: float, close: float, seen: list[float]) -> float:
    """Packets a second. Up until a rate is too high, or down until one is good; then bisection, until both are `close`."""
    first, step = (seen[-1] * 0.9, AGAIN) if seen and seen[-1] else (FIRST, STEP)
    good, bad, best, rate = 0.0, 0.0, 0.0, first
    while not (good and bad):
        if arrived := holds(places, rate, seconds):
            good, best, rate = rate, arrived, rate * step
        else:
            bad, rate = rate, rate / step
        if rate < 100:
            return 0.0
    while bad / good > close:
        rate = (good * bad) ** 0.5
        if arrived := holds(places, rate, seconds):
            good, best = rate, arrived
        else:
            bad = rate
    return best


def measure(options, subjects: list[Subject]) -> None:
    report = Report("packets", "64-octet UDP datagrams at 0.1 % loss", options)
    subjects = [*subjects, Relay()] if any(isinstance(s, Qanat) for s in subjects) else subjects
    report.subject(*subjects)
    cases = ("udp64",) if options.smallest else ("udp64", "udp64-nooffload")
    with Field() as field:
        for _ in range(options.rounds):
            for subject in subjects:
                with subject.up(field):
                    for case in cases:
                        with field.wire_without_offloads() if case.endswith("nooffload") else contextlib.nullcontext():
                            seen = [kilo * 1000 for kilo in report.values(case, subject.name)]
                            rate = highest(subject.places(field), options.step_seconds, options.close, seen)
                        report.add(case, subject.name, rate / 1000, "kpps")
    for case in cases:
        report.ratios(case, *(s.name for s in subjects if s.name != "qanat"))
    report.finish()

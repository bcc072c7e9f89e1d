"""Many tunnels between two gateways: how long from cold until all stand, and what each of them weighs."""
from __future__ import annotations

import time

from field import Field, Qanat, Qanatd, Subject, load_tunnels, resident, start_qanatd, stop_qanatd
from report import Report


class Ups:
    """How many tunnels a daemon's log says are up."""

    def __init__(self, daemon: Qanatd):
        self.file = daemon.log_file.open("rb")
        self.count = 0
        self.more()

    def more(self) -> int:
        # Lines are written whole, but may be read in two parts: what is after the last line break is read again.
        at = self.file.tell()
        data = self.file.read()
        whole = data.rfind(b"\n") + 1
        self.file.seek(at + whole)
        self.count += data[:whole].count(b"tunnel-up")
        return self.count


def one_round(report: Report, field: Field, tunnels: tuple[list[dict], list[dict]], seconds: float) -> None:
    theirs, ours = tunnels
    count = len(theirs)
    daemons = []
    try:
        b = start_qanatd(field, "b", ours)
        daemons.append(b)
        ups_b = Ups(b)
        time.sleep(0.5)
        before = resident(b.pid)
        begin = time.monotonic()
        a = start_qanatd(field, "a", theirs)
        daemons.append(a)
        ready = time.monotonic()
        ups_a = Ups(a)
        said = begin
        while min(ups_a.more(), ups_b.more()) < count:
            now = time.monotonic()
            if now > begin + seconds:
                raise TimeoutError(f"{ups_a.count} and {ups_b.count} of {count} tunnels are up after {seconds:.0f} s")
            if now > said + 2:
                said = now
                report.say(f"{ups_b.count} of {count} tunnels are up after {now - begin:.1f} s")
            time.sleep(0.02)
        up = time.monotonic()
        time.sleep(1)
        report.add("from cold", "qanat", up - begin, "s")
        report.add("from ready", "qanat", up - ready, "s")
        report.add("memory per tunnel", "qanat", (resident(b.pid) - before) / count / 1024, "KB")
        report.add("configured, not up", "qanat", before / 1024 / 1024, "MB")
        report.add("all up", "qanat", resident(b.pid) / 1024 / 1024, "MB")
        report.add("initiator, all up", "qanat", resident(a.pid) / 1024 / 1024, "MB")
    finally:
        for daemon in reversed(daemons):
            stop_qanatd(daemon)


def measure(options, subjects: list[Subject]) -> None:
    qanat = next((s for s in subjects if isinstance(s, Qanat)), None)
    if qanat is None:
        return
    report = Report("scale", f"{options.tunnels:,} tunnels between two gateways on one machine", options)
    report.subject(qanat)
    with Field() as field:
        tunnels = load_tunnels(field, options.tunnels)
        for _ in range(options.rounds):
            one_round(report, field, tunnels, 600)
    report.finish()

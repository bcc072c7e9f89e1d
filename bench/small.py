"""The small benchmarks in memory (bench/esp.cpp, bench/ike.cpp): ours beside the raw operations, and what ours add."""
from __future__ import annotations

import dataclasses
import json

from field import Subject, program, run
from report import Report

# What is shown as a difference of two rows of one run: (case, ours, the raw operation).
DIFFERENCES = (
    *((f"{what}/{size} above raw", f"sa_{what}/{size}", f"raw_gcm_{what}/{size}") for what in ("seal", "open") for size in (64, 1420)),
    *((f"trip_out/{size} above raw", f"trip_out/{size}", f"raw_gcm_seal/{size}") for size in (64, 1420)),
    *((f"handshake/{auth} above bare", f"handshake/{auth}/responder", f"bare/sum/{auth}/responder") for auth in ("psk", "ecdsa", "mldsa65")),
)


@dataclasses.dataclass
class Row:
    unit: str
    times: list[float]  # one a repetition
    items: list[float]  # a second, where the benchmark counts them

    @property
    def microseconds(self) -> float:
        return self.times[0] * {"ns": 1e-3, "us": 1, "ms": 1e3}[self.unit]


def google_benchmark(name: str, *arguments: str) -> dict[str, Row]:
    """A benchmark program's own results, by name."""
    text = run(program(name), "--benchmark_format=json", *arguments, timeout=3600).stdout
    rows: dict[str, Row] = {}
    for entry in json.loads(text)["benchmarks"] if text.strip() else ():
        if entry.get("run_type") != "iteration":
            continue
        if entry.get("error_occurred"):
            raise RuntimeError(f"{name}: {entry['name']}: {entry['error_message']}")
        parts = entry["name"].replace(" / ", "/").split("/")  # a macro's argument, as the formatter spaced it
        by_wall = parts[-1] in ("manual_time", "real_time")
        row = rows.setdefault("/".join(parts[:-1] if by_wall else parts), Row(entry["time_unit"], [], []))
        row.times.append(entry["real_time" if by_wall else "cpu_time"])
        row.items += [entry["items_per_second"]] if "items_per_second" in entry else []
    return rows


def measure(options, _subjects: list[Subject]) -> None:
    report = Report("esp", "One packet, one handshake, in memory", options)
    rows: dict[str, Row] = {}
    for name in ("bench_esp", "bench_ike"):
        report.say(f"{name}, {options.rounds} repetitions, interleaved")
        rows |= google_benchmark(name, f"--benchmark_repetitions={options.rounds}", "--benchmark_enable_random_interleaving=true",
                                 f"--benchmark_min_time={options.min_time}")
    for name, row in sorted(rows.items()):
        for value in row.times:
            report.add(name, "raw" if name.startswith(("raw_", "bare/")) else "qanat", value, row.unit)
    for case, ours, raw in DIFFERENCES:
        if ours in rows and raw in rows:
            for mine, theirs in zip(rows[ours].times, rows[raw].times, strict=True):
                report.add(case, "qanat", mine - theirs, rows[ours].unit)
            report.ratio(case.replace(" above ", " vs "), rows[ours].times, raw, rows[raw].times)
        else:
            report.note(f"no rows {ours} and {raw}: {case} is not shown")
    if "shards/1" in rows and "shards/2" in rows:
        report.ratio("ike shards", rows["shards/2"].items, "one shard", rows["shards/1"].items)
    report.finish()

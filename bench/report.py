"""What a benchmark has seen: the table that is printed, build/bench/NAME.json, its chart, and docs/performance.md."""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import time

import chart
from field import ROOT, build_dir, processor_ticks
from targets import TARGETS

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: ./run bench --publish writes from here -->", "<!-- figures: to here -->"


def machine() -> dict:
    """What the figures depend on, without the host's name."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    cache = (build_dir() / "CMakeCache.txt").read_text()

    def cached(key: str) -> str:
        found = re.search(rf"^{key}:\w+=(.*)$", cache, re.M)
        return found[1] if found else ""
    compiler = subprocess.run([cached("CMAKE_CXX_COMPILER"), "--version"], capture_output=True, text=True).stdout.splitlines()
    kind = cached("CMAKE_BUILD_TYPE")
    flags = " ".join(filter(None, (cached("CMAKE_CXX_FLAGS"), cached(f"CMAKE_CXX_FLAGS_{kind.upper()}") if kind else "")))
    revision = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    return {"cpu": cpu[1] if cpu else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "compiler": compiler[0] if compiler else "", "build": f"{kind or 'none'} {flags}".strip(), "revision": revision,
            "iperf3": subprocess.run(["iperf3", "--version"], capture_output=True, text=True).stdout.split("\n")[0],
            "day": time.strftime("%Y-%m-%d"), "busy_before": round(busy_percent(), 1), "versions": {}, "settings": {}}


def busy_percent() -> float:
    """How busy the machine is now, with us not doing anything."""
    before = processor_ticks()
    time.sleep(1)
    busy, everything = (now - then for now, then in zip(processor_ticks(), before, strict=True))
    return 100 * busy / everything


class Report:
    def __init__(self, name: str, title: str, options: argparse.Namespace, rounds: int | None = None):
        self.name, self.title, self.out = name, title, options.out
        self.rounds = rounds or options.rounds
        self.machine = machine() | {"rounds": self.rounds, "unusual": options.unusual}
        self._seen: dict[tuple[str, str], list[float]] = {}
        self._units: dict[str, str] = {}
        self._ratios: dict[tuple[str, str], list[float]] = {}
        self.notes: list[str] = []
        if self.machine["busy_before"] > 10:
            self.note(f"the machine was {self.machine['busy_before']} % busy before anything began: these figures are worth little")

    def subject(self, *subjects) -> None:
        for subject in subjects:
            self.machine["versions"][subject.name] = subject.version()
            self.machine["settings"][subject.name] = subject.settings
            self.say(f"{subject.name} {subject.version()}: {subject.settings}".replace(" :", ":"))

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.say(text)

    def say(self, text: str) -> None:
        print(f"{self.name}: {text}", flush=True)

    def add(self, case: str, subject: str, value: float, unit: str) -> float:
        self._seen.setdefault((case, subject), []).append(value)
        self._units[case] = unit
        at = len(self._seen[case, subject])
        self.say(f"{at}/{self.rounds}  {case:<24} {subject:<13} {value:12.3f} {unit}")
        return value

    def latest(self, case: str, subject: str) -> float:
        return self._seen[case, subject][-1]

    def median(self, case: str, subject: str) -> float:
        return statistics.median(self._seen[case, subject])

    def values(self, case: str, subject: str) -> list[float]:
        return self._seen.get((case, subject), [])

    def ratio(self, case: str, ours: list[float], vs: str, theirs: list[float]) -> None:
        """Round by round: ours through theirs."""
        pairs = [a / b for a, b in zip(ours, theirs, strict=True) if b]
        if pairs:
            self._ratios[case, vs] = pairs

    def ratios(self, case: str, *others: str, ours: str = "qanat") -> None:
        for vs in others:
            if self.values(case, vs):
                self.ratio(case, self.values(case, ours), vs, self.values(case, vs))

    def as_json(self) -> dict:
        rows = [{"case": case, "subject": subject, "value": round(statistics.median(v), 4), "unit": self._units[case],
                 "min": round(min(v), 4), "max": round(max(v), 4)} for (case, subject), v in self._seen.items()]
        ratios = [{"case": case, "vs": vs, "median": round(statistics.median(v), 4)} for (case, vs), v in self._ratios.items()]
        return {"bench": self.name, "machine": self.machine | ({"notes": self.notes} if self.notes else {}), "rows": rows, "ratios": ratios}

    def finish(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        result = self.as_json()
        (self.out / f"{self.name}.json").write_text(json.dumps(result, indent=1) + "\n")
        (self.out / f"{self.name}.svg").write_text(chart.draw(self.title, result["rows"]))
        print("\n" + table(result) + "\n", flush=True)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def table(result: dict) -> str:
    lines = [f"{result['bench']:<26} {'':<13} {'median':>12} {'min':>12} {'max':>12}  ({result['machine']['rounds']} rounds)"]
    lines += [f"{row['case']:<26} {row['subject']:<13} {number(row['value']):>12} {number(row['min']):>12} {number(row['max']):>12}  {row['unit']}"
              for row in result["rows"]]
    lines += [f"{ratio['case']:<26} qanat / {ratio['vs']}: {number(ratio['median'])}" for ratio in result["ratios"]]
    return "\n".join(lines)


# --- docs/performance.md ----------------------------------------------------------------------------------------------


def publish(names: list[str], out: pathlib.Path, page_file: pathlib.Path = PAGE) -> None:
    """Puts the figures of the last runs into the page, and their charts beside it."""
    results = {name: json.loads((out / f"{name}.json").read_text()) for name in names if (out / f"{name}.json").exists()}
    missing = sorted(set(names) - set(results))
    page = page_file.read_text()
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{page_file} has lost its two marks: {BEGIN} and {END}")
    for name in results:
        (page_file.parent / f"performance-{name}.svg").write_text((out / f"{name}.svg").read_text())
    text = "\n\n".join([wanted(results), *(section(result) for result in results.values())])
    if missing:
        text += f"\n\nNot measured in this run: {', '.join(missing)}."
    before, rest = page.split(BEGIN, 1)
    page_file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}")
    print(f"{page_file}: figures of {', '.join(results)}" + (f"; no run yet of {', '.join(missing)}" if missing else ""))


def wanted(results: dict[str, dict]) -> str:
    """The table of what is wanted, judged by what was measured at full size."""
    results = {name: result for name, result in results.items() if not result["machine"]["unusual"]}
    lines = ["| what | at least | aim | seen |", "|---|---|---|---|"]
    for target in TARGETS:
        seen = target.seen(results)
        text = "not measured" if seen is None else f"{number(seen)}{target.unit}" + target.verdict(seen)
        lines.append(f"| {target.what} | {target.at_least_text} | {target.aim_text} | {text} |")
    return "\n".join(lines)


def section(result: dict) -> str:
    about = result["machine"]
    lines = [f"## {result['bench']}", "", f"![{result['bench']}](performance-{result['bench']}.svg)", "",
             "| case | subject | median | least | most | unit |", "|---|---|---|---|---|---|"]
    lines += [f"| {row['case']} | {row['subject']} | {number(row['value'])} | {number(row['min'])} | {number(row['max'])} | {row['unit']} |"
              for row in result["rows"]]
    if result["ratios"]:
        lines += ["", "Medians of the rounds' ratios: " +
                  "; ".join(f"{ratio['case']}, qanat / {ratio['vs']}: {number(ratio['median'])}" for ratio in result["ratios"]) + "."]
    subjects = "; ".join(f"{name} {about['versions'].get(name, '')} ({text})".replace("  ", " ") for name, text in about["settings"].items())
    lines += ["", f"{about['day']}, {about['rounds']} rounds, {about['cores']} cores of {about['cpu']}, Linux {about['kernel']}, "
              f"{about['compiler']}, {about['build']}, revision {about['revision']}." + (f" {subjects}." if subjects else "")]
    if about["unusual"]:
        lines += ["Not at full size: " + ", ".join(f"{name} = {value}" for name, value in about["unusual"].items()) + "."]
    lines += [f"Note: {note}." for note in about.get("notes", [])]
    return "\n".join(lines)

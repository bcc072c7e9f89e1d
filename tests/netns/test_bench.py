"""The benchmark harness: every benchmark with the least of everything. What it measures is not judged, only its form."""
from __future__ import annotations

import json
import pathlib
import sys
import tempfile
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(pathlib.Path(__file__).resolve().parent)]
import report  # noqa: E402
from bench import BENCHES  # noqa: E402
from field import peer_root  # noqa: E402
from lab import check, main  # noqa: E402
from processes import run  # noqa: E402
from targets import TARGETS  # noqa: E402

ROW = {"case", "subject", "value", "unit", "min", "max"}
RATIO = {"case", "vs", "median"}
ABOUT = {"cpu", "cores", "kernel", "compiler", "build", "rounds", "unusual", "versions", "settings"}
# What must be in a result, of qanat and of each peer that is there.
CASES = {"throughput": {"tcp1", "tcp1-nooffload", "tcp1-native", "tcp1-idle10k"}, "packets": {"udp64"}, "latency": {"rtt", "rtt-added", "busy-500M"},
         "handshake": {"psk cpu", "psk rate", "psk p99 at half rate", "ecdsa-p256 cpu", "mldsa65 cpu"},
         "scale": {"from cold", "memory per tunnel"}, "rekey": {"lost", "duplicated", "reordered", "offered"},
         "wan": {"probing cpu, hub", "reload: others lost", "cut at mid, out: lost", "cut at high, in: silence", "kill -9, hub calls: clear"},
         "api": {"made", "made: lost", "listed", "listed: lost", "one more made"}, "esp": set()}
BESIDE = {"throughput": ("tcp1", {"wireguard-go", "strongswan"}), "packets": ("udp64", {"wireguard-go", "strongswan"}),
          "latency": ("rtt", {"wireguard-go", "strongswan"}), "handshake": ("psk cpu", {"strongswan"})}


def test_harness() -> None:
    """Every benchmark runs, and leaves a result, a chart and a page of the right form."""
    with tempfile.TemporaryDirectory(prefix="qanat-bench-") as folder:
        out = pathlib.Path(folder)
        for name in BENCHES:
            done = run(sys.executable, str(ROOT / "bench" / "bench.py"), name, "--smallest", "--out", folder, timeout=200, check=False)
            check(done.returncode == 0, f"{name} runs" if done.returncode == 0 else f"{name}: {done.stdout[-2000:]}{done.stderr[-3000:]}")
            judge(name, json.loads((out / f"{name}.json").read_text()))
            chart = xml.etree.ElementTree.parse(out / f"{name}.svg").getroot()
            check(chart.tag.endswith("svg") and any(node.tag.endswith("rect") for node in chart), f"{name}: the chart is SVG with bars")
        page = out / "performance.md"
        page.write_text(f"before\n{report.BEGIN}\nyesterday\n{report.END}\nafter\n")
        report.publish(list(BENCHES), out, page)
        text = page.read_text()
        check(text.startswith("before") and text.endswith("after\n") and "yesterday" not in text, "a published page keeps what stands around the figures")
        check(all(f"performance-{name}.svg" in text and (out / f"performance-{name}.svg").exists() for name in BENCHES), "it has all charts")
        check(all(target.what in text for target in TARGETS), "it has a line for everything that is wanted")


def judge(name: str, result: dict) -> None:
    check(set(result) == {"bench", "machine", "rows", "ratios"} and result["bench"] == name, f"{name}: the result has its four parts")
    check(set(result["machine"]) >= ABOUT, f"{name}: it says on which machine and with which versions")
    check(result["rows"] and all(set(row) == ROW and row["min"] <= row["value"] <= row["max"] for row in result["rows"]), f"{name}: rows are complete")
    check(all(set(ratio) == RATIO for ratio in result["ratios"]), f"{name}: ratios are complete")
    cases = {row["case"] for row in result["rows"] if row["subject"] in ("qanat", "raw")}
    check(cases >= CASES[name], f"{name}: {', '.join(sorted(CASES[name])) or 'rows'}" if cases >= CASES[name] else f"{name} has only {cases}")
    if name in BESIDE and peer_root():
        case, peers = BESIDE[name]
        beside = {row["subject"] for row in result["rows"] if row["case"] == case}
        ratios = {ratio["vs"] for ratio in result["ratios"] if ratio["case"] == case}
        check(beside >= peers and ratios >= peers, f"{name}: {', '.join(sorted(peers))} beside it")


if __name__ == "__main__":
    sys.exit(main([test_harness], seconds=330))

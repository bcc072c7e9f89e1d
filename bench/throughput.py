"""One TCP stream (CUBIC) through a tunnel, both gateways on this machine: qanat, strongSwan with kernel-libipsec and the bare
wire, interleaved round by round in one run; medians and spread.

    python3 bench/throughput.py [--rounds N] [--seconds N]     (root; ./run bench calls it)
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "netns"), str(ROOT / "tests" / "interop")]
from lab import Lab  # noqa: E402
from strongswan import Connection, StrongSwan  # noqa: E402
from traffic import ping_until_answered  # noqa: E402

PSK = "0123456789abcdefghij0123456789"


def iperf(client: str, server: str, address: str, seconds: int) -> float:
    """Gbit/s that arrived."""
    said = ""
    for _ in range(5):
        listener = subprocess.Popen(["ip", "netns", "exec", server, "iperf3", "-s", "-1", "--forceflush", "-B", address], stdout=subprocess.PIPE, text=True)
        try:
            while "listening" not in listener.stdout.readline():
                pass
            done = subprocess.run(["ip", "netns", "exec", client, "iperf3", "-c", address, "-t", str(seconds), "-C", "cubic", "-J"],
                                  capture_output=True, text=True, timeout=seconds + 30)
            result = json.loads(done.stdout or "{}")
            if "sum_received" in result.get("end", {}):
                return result["end"]["sum_received"]["bits_per_second"] / 1e9
            said = result.get("error", done.stderr)
        finally:
            listener.terminate()
            listener.wait()
    raise SystemExit(f"iperf3 failed: {said}")


def qanat(seconds: int) -> float:
    with Lab(name="qb") as lab:
        lab.pair(encap="force")
        ping_until_answered(lab["a"].site, lab["b"].host4)
        return iperf(lab["a"].site, lab["b"].site, lab["b"].host4, seconds)


def strongswan(seconds: int) -> float:
    with Lab(name="qb") as lab:
        peers = []
        try:
            for here, there in (("a", "b"), ("b", "a")):
                swan = StrongSwan(os.environ["QANAT_PEER_FORKY"], lab[here].gw, str(lab[here].dir / "swan"))
                swan.configure(Connection(local=lab[here].outer4, remote=lab[there].outer4, psk=PSK, local_id=f"{here}.example.com",
                                          remote_id=f"{there}.example.com", local_ts=[lab[here].net4], remote_ts=[lab[there].net4]))
                swan.start()
                peers.append(swan)
            peers[0].initiate()
            ping_until_answered(lab["a"].site, lab["b"].host4)
            return iperf(lab["a"].site, lab["b"].site, lab["b"].host4, seconds)
        finally:
            for swan in peers:
                swan.stop()


def bare(seconds: int) -> float:
    with Lab(name="qb") as lab:
        return iperf(lab["a"].gw, lab["b"].gw, lab["b"].outer4, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    subjects = {"qanat": qanat, "bare": bare}
    if os.environ.get("QANAT_PEER_FORKY"):
        subjects["strongswan"] = strongswan
    seen: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(options.rounds):
        for name, measure in subjects.items():
            seen[name].append(measure(options.seconds))
            print(f"round {number + 1}: {name:<11} {seen[name][-1]:6.2f} Gbit/s", flush=True)
    print(f"\n{'one TCP stream':<14} {'median':>8} {'min':>7} {'max':>7}   Gbit/s")
    for name, values in seen.items():
        print(f"{name:<14} {statistics.median(values):8.2f} {min(values):7.2f} {max(values):7.2f}")
    if "strongswan" in seen:
        ratio = statistics.median(a / b for a, b in zip(seen["qanat"], seen["strongswan"]))
        print(f"qanat / strongswan: {ratio:.1f} (median of the rounds)")
    rows = [{"case": "tcp1", "subject": name, "value": statistics.median(v), "unit": "Gbit/s", "min": min(v), "max": max(v)} for name, v in seen.items()]
    out = ROOT / "build" / "bench" / "throughput.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"bench": "throughput", "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

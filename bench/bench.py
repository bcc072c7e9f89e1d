#!/usr/bin/env python3
"""Qanat beside its peers, in one run on one machine: `./run bench` calls it, as root.

    bench/bench.py [throughput|packets|latency|handshake|scale|rekey|wan|api|esp|all]... [--rounds N] [--seconds N] [--only SUBJECT]...
                   [--smallest] [--publish]

Every benchmark prints a table and leaves build/bench/NAME.json and NAME.svg. --publish puts the last results of all of
them into docs/performance.md; without a name it only does that. --smallest is for testing the harness: its figures mean
nothing.
"""
from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import api  # noqa: E402
import handshake  # noqa: E402
import latency  # noqa: E402
import packets  # noqa: E402
import rekey  # noqa: E402
import report  # noqa: E402
import scale  # noqa: E402
import small  # noqa: E402
import throughput  # noqa: E402
import wan  # noqa: E402
from field import ROOT, Bare, Qanat, StrongSwanTunnel, WireGuardGo, peer_root, program  # noqa: E402
from lab import SKIPPED, why_not  # noqa: E402
from processes import stop_on_signals  # noqa: E402

BENCHES = {"throughput": throughput, "packets": packets, "latency": latency, "handshake": handshake, "scale": scale, "rekey": rekey,
           "wan": wan, "api": api, "esp": small}
SMALLEST = {"rounds": 1, "seconds": 1, "step_seconds": 0.3, "close": 4, "pings": 10, "idle": 50, "handshakes": 20, "signed_handshakes": 20,
            "tunnels": 50, "identities": 10, "rekey_seconds": 3, "in_flight": 16, "min_time": 0.01, "wan_tunnels": 20, "wan_rounds": 1, "settle": 0,
            "watch": 1, "api_tunnels": 120, "api_objects": 300}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)} or all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of one iperf3 run")
    parser.add_argument("--step-seconds", type=float, default=1, help="of one step of the search for a packet rate")
    parser.add_argument("--close", type=float, default=1.05, help="that search ends when a rate too high is so near to one that is not")
    parser.add_argument("--pings", type=int, default=500)
    parser.add_argument("--idle", type=int, default=10_000, help="idle SAs beside one stream")
    parser.add_argument("--handshakes", type=int, default=4000, help="of one run, PSK")
    parser.add_argument("--signed-handshakes", type=int, default=2000, help="of one run, certificates")
    parser.add_argument("--identities", type=int, help="of initiators; default: each handshake has one of its own")
    parser.add_argument("--in-flight", type=int, default=64, help="handshakes at a time")
    parser.add_argument("--tunnels", type=int, default=10_000, help="of the scale benchmark")
    parser.add_argument("--rekey-seconds", type=int, default=60)
    parser.add_argument("--wan-tunnels", type=int, default=1000, help="of the wan benchmark")
    parser.add_argument("--wan-rounds", type=int, default=3, help="cuts and kills of the wan benchmark")
    parser.add_argument("--api-tunnels", type=int, default=1000, help="made by bulk calls in the api benchmark")
    parser.add_argument("--api-objects", type=int, default=10_000, help="listed in the api benchmark")
    parser.add_argument("--watch", type=float, default=20, help="seconds over which the cost of probing is taken")
    parser.add_argument("--settle", type=float, default=420, help="seconds to wait for a mended line to carry again; 0: do not")
    parser.add_argument("--min-time", type=float, default=0.3, help="seconds of one small benchmark")
    parser.add_argument("--only", action="append", metavar="SUBJECT", help="leave the other subjects out")
    parser.add_argument("--smallest", action="store_true", help="the least of everything: to see that the harness works")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "bench", help="the folder for results (default build/bench)")
    parser.add_argument("--publish", action="store_true", help="write the last figures into docs/performance.md")
    options = parser.parse_args()
    if options.smallest:
        vars(options).update(SMALLEST)
    options.unusual = {name: value for name in SMALLEST if (value := vars(options).get(name)) != parser.get_default(name)}
    unknown = set(options.names) - set(BENCHES) - {"all"}
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)} and all")
    if "all" in options.names or (not options.names and not options.publish):
        options.names = list(BENCHES)
    return options


def main() -> int:
    options = arguments()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    reason = why_not()
    for tool in ("iperf3", "ethtool"):
        if shutil.which(tool) is None:
            reason = reason or f"there is no program '{tool}'"
    for name in ("blast", "relay", "ike_load", "bench_esp", "bench_ike"):
        if not os.access(program(name), os.X_OK):
            reason = reason or f"there is no {program(name)}: build with -DQANAT_BENCH=ON (./run bench does)"
    if options.names and reason:
        print(f"{'FAILED' if os.environ.get('QANAT_CI') else 'skipped'}: {reason}")
        return 1 if os.environ.get("QANAT_CI") else SKIPPED
    stop_on_signals()
    subjects = [Qanat(), *([WireGuardGo(), StrongSwanTunnel()] if peer_root() else []), Bare()]
    if options.only:
        subjects = [subject for subject in subjects if subject.name in options.only]
    if options.names and not peer_root():
        print("no peer root (tools/peer-root.sh forky): without wireguard-go and strongSwan")
    for name in options.names:
        BENCHES[name].measure(options, subjects)
    if options.publish:
        report.publish(list(BENCHES), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

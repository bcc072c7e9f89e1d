"""Our daemon against strongSwan, each side as initiator: a table of cases, each in a laboratory of its own.

    python3 tests/interop/test_strongswan.py [--group NAME] [--filter REGEX] [--jobs N] [--list]

Needs root, the built programs (QANAT_BUILD_DIR) and the peer roots (QANAT_PEER_FORKY, QANAT_PEER_BOOKWORM, which ./run
makes). Without them it exits with 77 and the reason, and with 1 when QANAT_CI is set.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import ctypes
import dataclasses
import multiprocessing
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Iterable

from meeting import Meeting  # noqa: I001 - makes the modules of tests/netns known
import cases
import lab

PEERS = {"forky": "QANAT_PEER_FORKY", "bookworm": "QANAT_PEER_BOOKWORM"}


def leave(reason: str) -> int:
    print(f"{'FAILED' if os.environ.get('QANAT_CI') else 'skipped'}: {reason}")
    return 1 if os.environ.get("QANAT_CI") else lab.SKIPPED


def why_not(peers: Iterable[str]) -> str | None:
    if reason := lab.why_not():
        return reason
    for peer in peers:
        root = os.environ.get(PEERS[peer])
        if not root or not os.path.exists(os.path.join(root, "qanat-root.txt")):
            return f"no root with strongSwan: {PEERS[peer]} is {'wrong' if root else 'not set'}; ./run test makes one, or tools/peer-root.sh {peer}"
    return None


@dataclasses.dataclass
class Row:
    case: str
    initiator: str
    ok: bool = False
    proposal: str = ""
    verdict: str = ""
    handshake: float = 0.0  # ms
    seconds: float = 0.0    # of the whole case
    error: str = ""

    def line(self) -> str:
        return (f"{self.case:<40} {self.initiator:<10} {'ok' if self.ok else 'FAILED':<6} {self.proposal:<42} {self.verdict:<9} "
                f"{self.handshake:8.1f} {self.seconds * 1000:8.0f}")

    HEAD = f"{'case':<40} {'initiator':<10} {'result':<6} {'IKE proposal':<42} {'verdict':<9} {'IKE ms':>8} {'all ms':>8}"


def run_case(number: int) -> Row:
    case = ALL[number]
    row = Row(case.title, case.initiator)
    begin = time.monotonic()
    meeting = Meeting(os.environ[PEERS[case.peer]], case.outer, case.nat)
    entered = False
    try:
        with meeting:
            entered = True
            try:
                case.run(meeting, case.initiator)
            except Exception:
                row.error = meeting.logs()
                raise
            row.proposal, row.handshake = meeting.proposal(), meeting.milliseconds()
        ike = (getattr(meeting, "tunnel", None) or {}).get("ike")
        row.verdict, row.ok = (ike["verdict"]["keys"] if ike else "refused" if not row.proposal else ""), True
    except Exception as error:  # noqa: BLE001 - one case does not hide the others
        trace = "" if isinstance(error, AssertionError) and not os.environ.get("QANAT_TRACE") else traceback.format_exc()
        row.error = f"    {type(error).__name__}: {error}\n{trace}{row.error if entered else ''}"
    row.seconds = time.monotonic() - begin
    return row


ALL = cases.all_cases()


def worker() -> None:
    """A worker dies with us, and its charon and namespaces with it (lab's janitor)."""
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    lab.stop_on_signals()


def main() -> int:
    parser = argparse.ArgumentParser(description="Qanat against strongSwan")
    parser.add_argument("--group", help="only this group: " + ", ".join(dict.fromkeys(case.group for case in ALL)))
    parser.add_argument("--filter", default="", help="only cases whose group/name/initiator matches this regular expression")
    parser.add_argument("--jobs", type=int, default=max(4, min(8, os.cpu_count() or 1)), help="cases at a time")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    wanted = [number for number, case in enumerate(ALL)
              if options.group in (None, case.group) and re.search(options.filter, f"{case.title}/{case.initiator}")]
    if options.list:
        print("\n".join(f"{ALL[number].title} ({ALL[number].initiator})" for number in wanted))
        return 0
    if not wanted:
        print("no case matches; --list shows them all")
        return 2
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if reason := why_not({ALL[number].peer for number in wanted}):
        return leave(reason)
    begin = time.monotonic()
    print(Row.HEAD, flush=True)
    rows = []
    with concurrent.futures.ProcessPoolExecutor(min(options.jobs, len(wanted)), multiprocessing.get_context("fork"), worker) as pool:
        for row in pool.map(run_case, wanted):
            rows.append(row)
            print(row.line() + ("" if row.ok else "\n" + row.error), flush=True)
    failed = [row for row in rows if not row.ok]
    print(f"{len(rows) - len(failed)} of {len(rows)} passed in {time.monotonic() - begin:.1f} s" +
          ("; failed:\n" + "\n".join(f"    {row.case} ({row.initiator})" for row in failed) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

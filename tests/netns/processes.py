"""Processes and namespaces of a laboratory: starting, ending, and being gone afterwards whatever ends us."""
from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence


class Stopped(BaseException):
    """Somebody wants us to end; not an Exception, so that nobody swallows it."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def stop_on_signals() -> None:
    def handler(number, _frame):
        raise Stopped(number)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, handler)


def end_helper(process: subprocess.Popen) -> None:
    """Ends a process of ours that reads orders from its standard input: it is asked by the input's end, then killed."""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@contextlib.contextmanager
def signals_wait():
    """Cleaning up is not interrupted, not even by an impatient second Ctrl-C."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(*command: str, timeout: float = 30.0, check: bool = True, **more) -> subprocess.CompletedProcess:
    done = subprocess.run(command, stdin=None if "input" in more else subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **more)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done


def pids_in(ns: str) -> list[int]:
    return [int(pid) for pid in run("ip", "netns", "pids", ns, check=False).stdout.split()]


def remove_namespaces(names: Sequence[str]) -> None:
    """Ends what still runs in namespaces of ours, and deletes them."""
    names = [ns for ns in names if os.path.exists(f"/run/netns/{ns}")]
    for ns in names:
        for pid in pids_in(ns):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    for ns in names:
        run("ip", "netns", "del", ns, check=False)


# --- the janitor ------------------------------------------------------------------------------------------------------


class Janitor:
    """A process that outlives us, whatever kills us: when its input ends without a word of goodbye, it cleans up."""

    def __init__(self, names: Sequence[str], folder: pathlib.Path):
        # The first child starts the janitor in a session of its own and ends at once, so that nothing that kills our
        # process tree (ctest after a timeout) finds it.
        read, write = os.pipe()
        subprocess.run([sys.executable, __file__, "--janitor", str(folder), *names], stdin=read, stdout=subprocess.DEVNULL,
                       check=True, start_new_session=True, timeout=20)
        os.close(read)
        self._input = os.fdopen(write, "wb", buffering=0)

    def dismiss(self) -> None:
        with contextlib.suppress(OSError):
            self._input.write(b"done\n")
            self._input.close()


def janitor(folder: str, names: Sequence[str]) -> None:
    if os.fork() != 0:
        return
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if b"done" not in sys.stdin.buffer.read():
        remove_namespaces(names)
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__" and sys.argv[1:2] == ["--janitor"]:
    janitor(sys.argv[2], sys.argv[3:])

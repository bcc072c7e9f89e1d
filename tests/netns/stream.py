"""Numbered UDP packets at a steady rate, both ways between two addresses in namespaces: what was lost, doubled or late.

    with Stream((site_a, "10.1.0.2"), (site_b, "10.2.0.2"), rate=1000) as stream:
        ...
        there, back = stream.stop()
    assert there.lost == 0 and there.doubled == 0, there

A process of its own sends and receives (this file, run as a program), so that nothing a test does delays it. At most five
late packets are made up for in a burst: then the schedule moves. Standard library only; needs root.
"""
from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

from processes import end_helper

SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 32 << 20
AFTER = 3.0  # seconds that the last packets have to arrive in
HEAD = struct.Struct("!8sQd")  # which stream, number, time of sending


@dataclasses.dataclass
class Flow:
    """One direction."""
    sent: int
    received: int             # different ones
    doubled: int
    overtaken: int            # arrived after one with a higher number
    worst_ms: float           # the longest way
    longest_silence_ms: float  # between two arrivals
    refused: int              # the kernel did not take them: they are not counted as sent
    lost_at: list[float]      # seconds after the beginning, of the first twenty that never came

    @property
    def lost(self) -> int:
        return self.sent - self.received

    def __str__(self) -> str:
        text = (f"{self.sent} sent, {self.lost} lost, {self.doubled} doubled, {self.overtaken} overtaken, "
                f"slowest {self.worst_ms:.0f} ms, longest silence {self.longest_silence_ms:.0f} ms")
        if self.refused:
            text += f", {self.refused} refused by the kernel"
        return text + (f"; lost at {', '.join(f'{at:.2f}' for at in self.lost_at)} s" if self.lost else "")


class Stream:
    def __init__(self, here: tuple[str, str], there: tuple[str, str], rate: int = 1000, size: int = 200, port: int = 7007):
        """(namespace, address) of both ends; rate in packets a second each way, size in octets of UDP payload."""
        order = {"ends": [list(here), list(there)], "rate": rate, "size": size, "port": port}
        self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", sys.executable, __file__, json.dumps(order)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the stream between {here} and {there} did not start")
        self._begin = time.monotonic()
        self.seconds = 0.0

    def stop(self) -> tuple[Flow, Flow]:
        """Ends the sending, waits for what is under way; both directions, ours first."""
        self.seconds = time.monotonic() - self._begin
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        end_helper(self._process)
        there, back = (Flow(**flow) for flow in json.loads(line))
        return there, back

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_) -> None:
        if self._process.poll() is None:
            self._process.kill()
            end_helper(self._process)


# --- the process ------------------------------------------------------------------------------------------------------


class Direction:
    """What one end receives of what the other sends."""

    def __init__(self, sender: socket.socket, receiver: socket.socket, target: tuple[str, int], fill: bytes):
        self.mark = os.urandom(8)
        self.sender, self.receiver, self.target, self.fill = sender, receiver, target, fill
        self.sent_at: list[float] = []
        self.seen = bytearray()
        self.flow = Flow(0, 0, 0, 0, 0.0, 0.0, 0, [])
        self.highest = -1
        self.last_arrival = 0.0

    def send(self, now: float) -> None:
        try:
            self.sender.sendto(HEAD.pack(self.mark, len(self.sent_at), now) + self.fill, self.target)
        except OSError:  # no route for a moment, or a full queue: it never left
            self.flow.refused += 1
            return
        self.sent_at.append(now)
        self.seen.append(0)

    def take(self, data: bytes) -> None:
        mark, number, at = HEAD.unpack_from(data)
        if mark != self.mark or number >= len(self.seen):
            return
        now, flow = time.monotonic(), self.flow
        if self.seen[number]:
            flow.doubled += 1
            return
        self.seen[number] = 1
        flow.received += 1
        flow.overtaken += number < self.highest
        self.highest = max(self.highest, number)
        flow.worst_ms = max(flow.worst_ms, (now - at) * 1000)
        if self.last_arrival:
            flow.longest_silence_ms = max(flow.longest_silence_ms, (now - self.last_arrival) * 1000)
        self.last_arrival = now

    def result(self) -> Flow:
        self.flow.sent = len(self.sent_at)
        begin = self.sent_at[0] if self.sent_at else 0.0
        lost = [number for number, seen in enumerate(self.seen) if not seen]
        self.flow.lost_at = [round(self.sent_at[number] - begin, 3) for number in lost[:20]]
        return self.flow


def work(order: dict) -> None:
    from traffic import family_of, socket_in
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sockets = []
    for ns, address in order["ends"]:
        sock = socket_in(ns, family_of(address), socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        sock.bind((address, order["port"]))
        sock.setblocking(False)
        sockets.append(sock)
    fill = bytes(max(0, order["size"] - HEAD.size))
    directions = [Direction(sockets[i], sockets[1 - i], (order["ends"][1 - i][1], order["port"]), fill) for i in (0, 1)]
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    of_socket = {direction.receiver.fileno(): direction for direction in directions}
    for number in of_socket:
        poll.register(number, select.POLLIN)

    def drain(direction: Direction) -> None:
        for _ in range(256):
            try:
                direction.take(direction.receiver.recv(2048))
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error that came back

    print("ready", flush=True)
    gap = 1 / order["rate"]
    following, stopped = time.monotonic(), 0.0
    while True:
        now = time.monotonic()
        if not stopped and now >= following:
            for direction in directions:
                direction.send(now)
            following = max(following + gap, now - 5 * gap)
        if stopped and (now > stopped + AFTER or all(d.flow.received == len(d.sent_at) for d in directions) and now > stopped + 0.3):
            break
        wait = max(0.0, following - time.monotonic()) if not stopped else 0.05
        if wait > 0.0005 or stopped:
            time.sleep(min(wait, 0.05))
        for number, _ in poll.poll(0):
            if number in of_socket:
                drain(of_socket[number])
            elif not stopped:
                if not sys.stdin.readline():
                    return
                stopped = time.monotonic()
                poll.unregister(sys.stdin)
    print(json.dumps([dataclasses.asdict(direction.result()) for direction in directions]), flush=True)


if __name__ == "__main__":
    work(json.loads(sys.argv[1]))

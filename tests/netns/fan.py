"""Numbered UDP packets between many pairs of addresses in turn, both ways: what each pair lost.

    with Fan((gw_a, gw_b), [("10.64.0.0", "10.96.0.0"), ("10.64.0.1", "10.96.0.1")], rate=2000) as fan:
        ...
        there, back = fan.stop()
    assert not there.lost_by_pair

rate: packets a second each way, over all pairs. One socket stands at each end, and takes what comes to any address there
(the lab routes them as local). A process of its own sends and receives (this file, run as a program). Standard library
only; needs root.
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

IP_PKTINFO, SO_RCVBUFFORCE = 8, 33
RECEIVE_BUFFER = 32 << 20
AFTER = 3.0  # seconds that the last packets have to arrive in
HEAD = struct.Struct("!8sQ")  # which direction, number; the pair is the number modulo their count
PORT = 7070


@dataclasses.dataclass
class FanFlow:
    """One direction."""
    sent: int
    received: int
    doubled: int
    refused: int                  # the kernel did not take them: they are not counted as sent
    lost_by_pair: dict[int, int]  # of those that lost any

    @property
    def lost(self) -> int:
        return self.sent - self.received

    def __str__(self) -> str:
        text = f"{self.sent:,} sent, {self.lost} lost, {self.doubled} doubled"
        if self.lost_by_pair:
            text += ", lost by pair: " + ", ".join(f"{pair}: {count}" for pair, count in list(self.lost_by_pair.items())[:10])
        return text + (f", {self.refused} refused by the kernel" if self.refused else "")


class Fan:
    def __init__(self, namespaces: tuple[str, str], pairs: list[tuple[str, str]], rate: int = 2000):
        order = {"namespaces": list(namespaces), "pairs": pairs, "rate": rate}
        self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", sys.executable, __file__],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the fan did not start")

    def stop(self) -> tuple[FanFlow, FanFlow]:
        """Ends the sending, waits for what is under way; both directions, that of the first namespace first."""
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        end_helper(self._process)
        there, back = (FanFlow(**(flow | {"lost_by_pair": {int(k): v for k, v in flow["lost_by_pair"].items()}})) for flow in json.loads(line))
        return there, back

    def __enter__(self) -> Fan:
        return self

    def __exit__(self, *_) -> None:
        if self._process.poll() is None:
            self._process.kill()
            end_helper(self._process)


# --- the process ------------------------------------------------------------------------------------------------------


class Direction:
    def __init__(self, sender: socket.socket, receiver: socket.socket, ways: list[tuple[str, str]]):
        self.mark = os.urandom(8)
        self.sender, self.receiver = sender, receiver
        self.ways = [([(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, socket.inet_aton(source), bytes(4)))], (target, PORT))
                     for source, target in ways]
        self.seen = bytearray()  # of each number: 0 under way, 1 arrived, 2 never sent
        self.received = self.doubled = self.refused = 0

    def send(self) -> None:
        number = len(self.seen)
        ancillary, target = self.ways[number % len(self.ways)]
        try:
            self.sender.sendmsg([HEAD.pack(self.mark, number)], ancillary, 0, target)
            self.seen.append(0)
        except OSError:
            self.refused += 1
            self.seen.append(2)

    def take(self, data: bytes) -> None:
        mark, number = HEAD.unpack_from(data)
        if mark != self.mark or number >= len(self.seen):
            return
        self.doubled += self.seen[number]
        self.received += not self.seen[number]
        self.seen[number] = 1

    def result(self) -> FanFlow:
        by_pair: dict[int, int] = {}
        for number, seen in enumerate(self.seen):
            if seen == 0:
                by_pair[number % len(self.ways)] = by_pair.get(number % len(self.ways), 0) + 1
        return FanFlow(len(self.seen) - self.refused, self.received, self.doubled, self.refused, by_pair)


def work() -> None:
    from traffic import socket_in
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    sockets = []
    for ns in order["namespaces"]:
        sock = socket_in(ns, socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        sock.bind(("0.0.0.0", PORT))
        sock.setblocking(False)
        sockets.append(sock)
    pairs = [tuple(pair) for pair in order["pairs"]]
    directions = [Direction(sockets[0], sockets[1], pairs), Direction(sockets[1], sockets[0], [(b, a) for a, b in pairs])]
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
    gap, stopped = 1 / order["rate"], 0.0
    following = time.monotonic()
    while True:
        now = time.monotonic()
        if not stopped and now >= following:
            for direction in directions:
                direction.send()
            following = max(following + gap, now - 5 * gap)  # at most five are made up for in a burst
        elif stopped and (now > stopped + AFTER or (now > stopped + 0.3 and all(0 not in d.seen for d in directions))):
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
    work()

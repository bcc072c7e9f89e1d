"""Traffic in network namespaces without leaving this process: sockets made inside a namespace, ping, TCP transfers, and
raw packets for what an attacker sends. Standard library only; needs root.

A network namespace belongs to a thread: a thread of ours enters one, makes a socket there and ends; the socket stays.
"""
from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import hashlib
import ipaddress
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

CLONE_NEWNET = 0x40000000
IP_MTU_DISCOVER, IP_RECVERR = 10, 11
IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_DONTFRAG = 23, 25, 62
PMTUDISC_DONT, PMTUDISC_DO, PMTUDISC_PROBE = 0, 2, 3
EMSGSIZE = 90

_libc = ctypes.CDLL(None, use_errno=True)


def in_ns(ns: str, function: Callable, *args):
    """function(*args) in a network namespace; its value, or its exception."""
    outcome: dict = {}

    def enter() -> None:
        try:
            with open(f"/run/netns/{ns}", "rb") as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {ns}")
            outcome["value"] = function(*args)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            outcome["error"] = error

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


def socket_in(ns: str, *args) -> socket.socket:
    return in_ns(ns, socket.socket, *args)


def sysctl(ns: str, **values) -> None:
    """sysctl("ns", net__ipv4__ip_forward=1); a key that this kernel lacks is no error."""
    def write() -> None:
        for key, value in values.items():
            with contextlib.suppress(FileNotFoundError):
                with open("/proc/sys/" + key.replace("__", "/"), "w", encoding="ascii") as file:
                    file.write(str(value))
    in_ns(ns, write)


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def wait_until(condition: Callable, what: str, seconds: float = 30.0, every: float = 0.05):
    """condition()'s first true value. Deadlines are generous: they end what will never happen, they measure nothing."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"did not happen in {seconds:.0f} s: {what}")
        time.sleep(every)


def checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# --- ping -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class TooBig:
    """A path MTU error that came for one of our packets. `offender` is who sent it; None: our own kernel knew already."""
    mtu: int
    offender: str | None


@dataclasses.dataclass
class Ping:
    sent: int = 0
    received: int = 0
    milliseconds: list[float] = dataclasses.field(default_factory=list)
    too_big: list[TooBig] = dataclasses.field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.sent - self.received

    def __str__(self) -> str:
        text = f"{self.sent} sent, {self.received} received"
        if self.milliseconds:
            text += f", {sum(self.milliseconds) / len(self.milliseconds):.2f} ms on average"
        return text


class Pinger:
    """Echo requests from a namespace to one address. `size` counts the whole IP packet, header and all."""

    def __init__(self, ns: str, target: str, fill: bytes = b"qanat", df: bool | None = None, source: str | None = None):
        self.v6 = ":" in target
        self.target, self.fill = target, fill
        self.header = 48 if self.v6 else 28
        self.ident = int.from_bytes(os.urandom(2)) or 1
        self.sequence = 0
        self.result = Ping()
        self._at: dict[int, float] = {}
        if self.v6:
            self.socket = socket_in(ns, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            if df:
                self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
                self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
        else:
            self.socket = socket_in(ns, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            self.socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            if df is not None:
                self.socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO if df else PMTUDISC_DONT)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setblocking(False)
        if source:
            self.socket.bind((source, 0))

    def send(self, size: int = 84) -> None:
        self.sequence += 1
        room = max(0, size - self.header)
        body = (self.fill * (room // len(self.fill) + 1))[:room]
        kind = 128 if self.v6 else 8
        head = struct.pack("!BBHHH", kind, 0, 0, self.ident, self.sequence & 0xFFFF)
        if not self.v6:  # the kernel fills ICMPv6's
            head = struct.pack("!BBHHH", kind, 0, checksum(head + body), self.ident, self.sequence & 0xFFFF)
        self.result.sent += 1
        self._at[self.sequence & 0xFFFF] = time.monotonic()
        try:
            self.socket.sendto(head + body, (self.target, 0))
        except OSError as error:
            if error.errno != EMSGSIZE:
                if error.errno not in (101, 111, 113):  # unreachable: no reply will come, which is an answer
                    raise
            else:
                self.result.too_big.append(TooBig(self._known_mtu(), None))

    def collect(self, seconds: float, enough: Callable[[Ping], bool] = lambda ping: False) -> None:
        """Takes in replies and errors until `enough`, or nothing is outstanding, or the time is over."""
        deadline = time.monotonic() + seconds
        while not enough(self.result):
            left = deadline - time.monotonic()
            if left <= 0 or not self._at:
                return
            poll = select.poll()
            poll.register(self.socket, select.POLLIN | select.POLLERR)
            if poll.poll(left * 1000):
                self._read_errors()
                self._read_replies()

    def _known_mtu(self) -> int:
        """The path MTU that our kernel has learnt: it queues a local error that says it."""
        before = len(self.result.too_big)
        self._read_errors()
        known = [entry.mtu for entry in self.result.too_big[before:]]
        del self.result.too_big[before:]
        return known[-1] if known else 0

    def _read_errors(self) -> None:
        while True:
            try:
                _, ancillary, _, _ = self.socket.recvmsg(65536, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            for _, _, data in ancillary:
                if len(data) < 16:
                    continue
                errno, origin, _, _, _, info, _ = struct.unpack_from("=IBBBBII", data)
                if errno == EMSGSIZE:
                    self.result.too_big.append(TooBig(info, self._offender(data[16:]) if origin in (2, 3) else None))

    def _offender(self, data: bytes) -> str | None:
        if self.v6 and len(data) >= 24:
            return str(ipaddress.IPv6Address(data[8:24]))
        return str(ipaddress.IPv4Address(data[4:8])) if not self.v6 and len(data) >= 8 else None

    def _read_replies(self) -> None:
        while True:
            try:
                data, source = self.socket.recvfrom(70000)
            except BlockingIOError:
                return
            except OSError:
                continue  # a queued error: read above
            if not self.v6:
                data = data[(data[0] & 15) * 4:]
            if len(data) < 8 or data[0] != (129 if self.v6 else 0):
                continue
            ident, sequence = struct.unpack_from("!HH", data, 4)
            if ident != self.ident or sequence not in self._at or source[0] != self.target:
                continue
            self.result.milliseconds.append((time.monotonic() - self._at.pop(sequence)) * 1000)
            self.result.received += 1

    def close(self) -> None:
        self.socket.close()


def ping(ns: str, target: str, count: int = 1, size: int = 84, fill: bytes = b"qanat", df: bool | None = None,
         gap: float = 0.01, wait: float = 5.0, source: str | None = None) -> Ping:
    """`count` echo requests; waits up to `wait` for what is still outstanding."""
    pinger = Pinger(ns, target, fill, df, source)
    try:
        for _ in range(count):
            pinger.send(size)
            pinger.collect(gap, lambda p: p.received == p.sent)
        pinger.collect(wait, (lambda p: bool(p.too_big)) if df else (lambda p: False))
        return pinger.result
    finally:
        pinger.close()


def ping_until_answered(ns: str, target: str, seconds: float = 30.0, **more) -> Ping:
    return wait_until(lambda: (p := ping(ns, target, wait=1.0, **more)).received and p, f"a ping from {ns} to {target} is answered", seconds)


class SteadyPing:
    """Pings in the background until stop(): `with SteadyPing(ns, target) as steady: ...; steady.stop().lost`."""

    def __init__(self, ns: str, target: str, every: float = 0.02):
        self._pinger = Pinger(ns, target)
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.is_set():
            self._pinger.send()
            end = time.monotonic() + self._every
            self._pinger.collect(self._every)
            time.sleep(max(0.0, end - time.monotonic()))

    def stop(self, wait: float = 5.0) -> Ping:
        if not self._over.is_set():
            self._over.set()
            self._thread.join()
            self._pinger.collect(wait)
            self._pinger.close()
        return self._pinger.result

    def __enter__(self) -> SteadyPing:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop(0.1)


# --- TCP --------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Transfer:
    octets: int
    sent_sha256: str
    received_octets: int
    received_sha256: str
    seconds: float
    mss: int  # what the sender used

    @property
    def intact(self) -> bool:
        return self.octets == self.received_octets and self.sent_sha256 == self.received_sha256

    @property
    def megabits(self) -> float:
        return self.octets * 8 / 1e6 / max(self.seconds, 1e-6)


def marked_blocks(marker: bytes, octets: int, block: int = 1 << 20) -> Iterator[bytes]:
    """Random octets with the marker in every 512 of them."""
    while octets > 0:
        size = min(block, octets)
        data = bytearray(os.urandom(size))
        for at in range(0, size - len(marker) + 1, 512):
            data[at:at + len(marker)] = marker
        octets -= size
        yield bytes(data)


def file_blocks(path: str, block: int = 1 << 20) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(block):
            yield data


def tcp_transfer(source_ns: str, target_ns: str, target: str, blocks: Iterator[bytes], seconds: float = 120.0,
                 save_to: str | None = None) -> Transfer:
    """One connection that carries the blocks; hashed as it is sent and again as it arrives."""
    outcome: dict = {"octets": 0, "hash": hashlib.sha256()}
    listener = socket_in(target_ns, family_of(target), socket.SOCK_STREAM)
    client = socket_in(source_ns, family_of(target), socket.SOCK_STREAM)
    with listener, client:
        listener.bind((target, 0))
        listener.listen(1)
        listener.settimeout(seconds)

        def receive() -> None:
            buffer = memoryview(bytearray(1 << 18))
            try:
                connection, _ = listener.accept()
                with connection, open(save_to or os.devnull, "wb") as file:
                    connection.settimeout(seconds)
                    while size := connection.recv_into(buffer):
                        outcome["hash"].update(buffer[:size])
                        outcome["octets"] += size
                        file.write(buffer[:size])
                    connection.sendall(b"!")
            except OSError as error:
                outcome["error"] = error

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        client.settimeout(seconds)
        client.connect(listener.getsockname()[:2])
        digest, octets = hashlib.sha256(), 0
        begin = time.monotonic()
        for data in blocks:
            digest.update(data)
            octets += len(data)
            client.sendall(data)
        mss = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        client.shutdown(socket.SHUT_WR)
        client.recv(1)  # everything has been read at the other end
        taken = time.monotonic() - begin
        thread.join(seconds)
    if "error" in outcome:
        raise outcome["error"]
    return Transfer(octets, digest.hexdigest(), outcome["octets"], outcome["hash"].hexdigest(), taken, mss)


class Listener:
    """Counts UDP datagrams that reach an address and port, and keeps their payloads."""

    def __init__(self, ns: str, address: str, port: int):
        self.socket = socket_in(ns, family_of(address), socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.setblocking(False)
        self.payloads: list[bytes] = []

    def read(self) -> list[bytes]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.payloads.append(self.socket.recv(70000))
        return self.payloads

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()


# --- raw packets ------------------------------------------------------------------------------------------------------


def ip_packet(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if src.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + src.packed + dst.packed + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), int.from_bytes(os.urandom(2)), 0, 64, protocol, 0) + src.packed + dst.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp_packet(source: str, source_port: int, target: str, target_port: int, payload: bytes) -> bytes:
    """A whole IP packet, whoever `source` is."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", source_port, target_port, length, 0)
    pseudo = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + struct.pack("!IHBB", length, 0, 0, 17)
    total = checksum(pseudo + head + payload) or 0xFFFF
    return ip_packet(source, target, 17, head[:6] + struct.pack("!H", total) + payload)


class RawSender:
    """Sends whole IP packets, with any source address, from a namespace."""

    def __init__(self, ns: str):
        self._four = socket_in(ns, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._six = socket_in(ns, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, packet: bytes) -> None:
        if packet[0] >> 4 == 6:
            self._six.sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))
        else:
            self._four.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))

    def __enter__(self) -> RawSender:
        return self

    def __exit__(self, *_) -> None:
        self._four.close()
        self._six.close()

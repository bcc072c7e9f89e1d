"""Small conversations over TCP, UDP and ICMP whose answer says who heard them, and from where it thinks they came."""
from __future__ import annotations

import pathlib
import select
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from traffic import family_of, in_ns, socket_in  # noqa: E402


class Server:
    """Answers on a TCP and a UDP port of an address (any: "0.0.0.0" or "::") with "NAME ADDRESS PORT", its own name and the asker's place."""

    def __init__(self, ns: str, address: str, port: int, name: str):
        self.name = name
        self._udp = socket_in(ns, family_of(address), socket.SOCK_DGRAM)
        self._tcp = socket_in(ns, family_of(address), socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (self._udp, self._tcp):
            sock.bind((address, port))
        self._tcp.listen(16)
        self._tcp.setblocking(False)
        self._open: list[socket.socket] = []
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _answer(self, peer) -> bytes:
        return f"{self.name} {peer[0]} {peer[1]}\n".encode()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._udp, self._tcp, self._wake, *self._open], [], [])
            if self._wake in ready:
                return
            for sock in ready:
                try:
                    if sock is self._udp:
                        _, peer = sock.recvfrom(70000)
                        sock.sendto(self._answer(peer), peer)
                    elif sock is self._tcp:
                        self._open.append(sock.accept()[0])
                    elif sock.recv(1 << 16):
                        sock.sendall(self._answer(sock.getpeername()))
                    else:
                        self._open.remove(sock)
                        sock.close()
                except OSError:
                    if sock in self._open:
                        self._open.remove(sock)
                        sock.close()

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._waker.send(b"x")
        self._thread.join()
        for sock in (self._udp, self._tcp, self._wake, self._waker, *self._open):
            sock.close()


class Conversation:
    """A TCP connection or a UDP socket that asks; None is no answer. `source`: address and port to ask from."""

    def __init__(self, kind: str, ns: str, target: str, port: int, source: tuple[str, int] | None = None, device: str | None = None,
                 seconds: float = 5.0):
        self._socket = socket_in(ns, family_of(target), socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        self._socket.settimeout(seconds)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if device:
            in_ns(ns, self._socket.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if source:
            self._socket.bind(source)
        self.connected = True
        try:
            self._socket.connect((target, port))
        except OSError:
            self.connected = False

    def ask(self) -> list[str] | None:
        """[name, address, port] of the answer."""
        if not self.connected:
            return None
        try:
            self._socket.sendall(b"who?")
            return self._socket.recv(1000).decode().split() or None
        except OSError:
            return None

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_) -> None:
        self._socket.close()


def ask(kind: str, ns: str, target: str, port: int, source: tuple[str, int] | None = None, seconds: float = 5.0) -> list[str] | None:
    with Conversation(kind, ns, target, port, source, seconds=seconds) as conversation:
        return conversation.ask()


class EchoSources:
    """The source addresses of ICMP echo requests that reach an interface."""

    def __init__(self, ns: str, interface: str):
        self._socket = socket_in(ns, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((interface, 3))
        self._socket.setblocking(False)

    def read(self) -> set[str]:
        found = set()
        while True:
            try:
                frame, where = self._socket.recvfrom(70000)
            except BlockingIOError:
                return found
            if where[2] == 4:  # PACKET_OUTGOING
                continue
            if frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[14 + (frame[14] & 15) * 4] == 8:
                found.add(socket.inet_ntop(socket.AF_INET, frame[26:30]))
            if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 128:
                found.add(socket.inet_ntop(socket.AF_INET6, frame[22:38]))

    def __enter__(self) -> EchoSources:
        return self

    def __exit__(self, *_) -> None:
        self._socket.close()

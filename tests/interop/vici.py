"""The VICI protocol of strongSwan's charon, as a small client: one request at a time over its Unix socket.

A message is a dict of str, list of str, and dict. Standard library only.
"""
from __future__ import annotations

import os
import socket
import struct

REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, EVENT_UNKNOWN, EVENT = range(8)
SECTION_START, SECTION_END, KEY_VALUE, LIST_START, LIST_ITEM, LIST_END = range(1, 7)


class ViciError(Exception):
    """charon refused a command, or does not know it; the text is charon's own."""


def encode(message: dict) -> bytes:
    out = bytearray()
    for name, value in message.items():
        key = bytes([len(name)]) + name.encode()
        if isinstance(value, dict):
            out += bytes([SECTION_START]) + key + encode(value) + bytes([SECTION_END])
        elif isinstance(value, (list, tuple)):
            out += bytes([LIST_START]) + key
            for item in value:
                out += bytes([LIST_ITEM]) + struct.pack("!H", len(str(item))) + str(item).encode()
            out += bytes([LIST_END])
        else:
            out += bytes([KEY_VALUE]) + key + struct.pack("!H", len(str(value))) + str(value).encode()
    return bytes(out)


def decode(data: bytes) -> dict:
    stack: list[dict] = [{}]
    items: list[str] | None = None
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        return data[at - count:at]

    while at < len(data):
        kind = take(1)[0]
        if kind == SECTION_END:
            stack.pop()
        elif kind == LIST_END:
            items = None
        elif kind == LIST_ITEM:
            assert items is not None
            items.append(take(struct.unpack("!H", take(2))[0]).decode(errors="replace"))
        else:
            name = take(take(1)[0]).decode()
            if kind == SECTION_START:
                stack.append(stack[-1].setdefault(name, {}))
            elif kind == LIST_START:
                items = stack[-1].setdefault(name, [])
            else:
                stack[-1][name] = take(struct.unpack("!H", take(2))[0]).decode(errors="replace")
    return stack[0]


class Vici:
    def __init__(self, path: str, timeout: float = 30.0):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        # Through the folder's descriptor, since a socket's path may have 107 bytes only.
        folder = os.open(os.path.dirname(path), os.O_PATH)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        except OSError:
            self._socket.close()
            raise
        finally:
            os.close(folder)

    def __enter__(self) -> Vici:
        return self

    def __exit__(self, *_) -> None:
        self._socket.close()

    def request(self, command: str, message: dict | None = None) -> dict:
        """The reply to a command; ViciError when it says success = no."""
        self._send(REQUEST, command, message or {})
        while True:
            kind, _, reply = self._receive()
            if kind == EVENT:
                continue
            return self._checked(command, kind, reply)

    def stream(self, command: str, event: str, message: dict | None = None) -> tuple[list[dict], dict]:
        """The events that come while a command runs, and its reply (not checked for success)."""
        self._send(REGISTER, event)
        if self._receive()[0] != CONFIRM:
            raise ViciError(f"charon knows no event {event!r}")
        self._send(REQUEST, command, message or {})
        events = []
        while True:
            kind, _, body = self._receive()
            if kind == EVENT:
                events.append(body)
            elif kind == RESPONSE:
                return events, body
            else:
                raise ViciError(f"charon knows no command {command!r}")

    @staticmethod
    def _checked(command: str, kind: int, reply: dict) -> dict:
        if kind != RESPONSE:
            raise ViciError(f"charon knows no command {command!r}")
        if reply.get("success", "yes") != "yes":
            raise ViciError(f"{command}: {reply.get('errmsg', 'failed')}")
        return reply

    def _send(self, kind: int, name: str, message: dict | None = None) -> None:
        body = bytes([kind, len(name)]) + name.encode() + encode(message or {})
        self._socket.sendall(struct.pack("!I", len(body)) + body)

    def _receive(self) -> tuple[int, str, dict]:
        body = self._exactly(struct.unpack("!I", self._exactly(4))[0])
        kind, rest, name = body[0], body[1:], ""
        if kind == EVENT:
            name, rest = rest[1:1 + rest[0]].decode(), rest[1 + rest[0]:]
        return kind, name, decode(rest)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise ViciError("charon closed its control socket")
            data += part
        return data

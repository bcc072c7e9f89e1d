"""A sniffer: every packet that comes in at the interfaces of a namespace, looked at in full while it passes.

    with Capture("ns", markers=[b"TOP-SECRET"], protected=["10.1.0.0/24"]) as capture:
        ...
        report = capture.report()     # everything that had arrived when it was asked
    assert not report.leaks

A process of its own does the looking (this file, run as a program). It counts what kinds of packets there were, finds
markers, finds packets in the clear with a protected address, and can write a pcap file. Standard library only.
"""
from __future__ import annotations

import dataclasses
import ipaddress
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import time

from processes import end_helper

SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 263, 6, 23
SO_RCVBUFFORCE = 33
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_ARP = 0x0003, 0x0800, 0x86DD, 0x0806
BUFFER = 128 << 20
ESP_KINDS = ("ESP", "ESP in UDP")


@dataclasses.dataclass
class Report:
    packets: int
    octets: int
    kinds: dict[str, int]      # packets of each kind
    kind_octets: dict[str, int]
    marker_hits: int           # packets in which a marker was found
    marker_samples: list[str]
    clear: int                 # packets in the clear from or to a protected address
    clear_samples: list[str]
    unseen: int                # packets that the kernel could not hand to us in time
    pcap_packets: int
    ike: list[str]             # the first IKE datagrams, as hexadecimal: "source|source port|port|payload"

    @property
    def esp(self) -> int:
        return sum(self.kinds.get(kind, 0) for kind in ESP_KINDS)

    @property
    def leaks(self) -> int:
        return self.marker_hits + self.clear

    def text(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items(), key=lambda item: -item[1])) or "nothing"


class Capture:
    def __init__(self, ns: str, markers: list[bytes] = (), protected: list[str] = (), interface: str = "",
                 pcap: str = "", pcap_octets: int = 8 << 20, keep_ike: int = 0):
        order = {"markers": [marker.hex() for marker in markers], "protected": list(protected), "interface": interface,
                 "pcap": pcap, "pcap_octets": pcap_octets, "keep_ike": keep_ike}
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", ns, "setpriv", "--pdeathsig", "KILL", sys.executable, __file__, json.dumps(order)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the sniffer in {ns} did not start")

    def report(self) -> Report:
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        return Report(**json.loads(self._process.stdout.readline()))

    def stop(self) -> None:
        end_helper(self._process)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_) -> None:
        self.stop()


# --- the process ------------------------------------------------------------------------------------------------------


class Networks:
    def __init__(self, prefixes: list[str]):
        nets = [ipaddress.ip_network(prefix) for prefix in prefixes]
        self._nets = {4: [], 6: []}
        for net in nets:
            self._nets[net.version].append((int(net.network_address), int(net.netmask)))

    def hold(self, version: int, address: bytes) -> bool:
        value = int.from_bytes(address)
        return any(value & mask == net for net, mask in self._nets[version])


def kind_of(data: bytearray, size: int) -> tuple[str, int, bytes, bytes]:
    """(kind, IP version or 0, source, destination)"""
    ether = data[12] << 8 | data[13]
    if ether == ETH_P_IP and size >= 34:
        source, target = bytes(data[26:30]), bytes(data[30:34])
        protocol, at, version = data[23], 14 + (data[14] & 15) * 4, 4
        if (data[20] << 8 | data[21]) & 0x1FFF:
            return "later fragment", version, source, target
    elif ether == ETH_P_IPV6 and size >= 54:
        source, target = bytes(data[22:38]), bytes(data[38:54])
        protocol, at, version = data[20], 54, 6
        if protocol == 44:
            if (data[56] << 8 | data[57]) & 0xFFF8:
                return "later fragment", version, source, target
            protocol, at = data[54], 62
    else:
        return ("ARP" if ether == ETH_P_ARP else f"ethertype {ether:04x}"), 0, b"", b""
    if protocol == 17 and size >= at + 8:
        ports = (data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3])
        if 500 in ports:
            return "IKE", version, source, target
        if 4500 in ports:
            if size >= at + 12 and not any(data[at + 8:at + 12]):
                return "IKE", version, source, target
            return ("NAT keepalive" if size < at + 16 else "ESP in UDP"), version, source, target
    name = {0: "IPv6 hop-by-hop (MLD)", 1: "ICMP", 6: "TCP", 17: "UDP", 50: "ESP", 58: "ICMPv6"}.get(protocol, f"protocol {protocol}")
    return name, version, source, target


def describe(kind: str, version: int, source: bytes, target: bytes, size: int) -> str:
    if not version:
        return f"{kind}, {size} B"
    return f"{kind} {ipaddress.ip_address(source)} > {ipaddress.ip_address(target)}, {size} B"


class Pcap:
    """Whole packets for the first `octets`, then headers, at most as much again."""

    def __init__(self, path: str, octets: int):
        self._file = open(path, "wb") if path else None
        self._whole, self._left, self.packets = octets, 2 * octets, 0
        if self._file:
            self._file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))

    def add(self, data: memoryview) -> None:
        size = len(data)
        kept = size if self._whole >= size else min(size, 96)
        if not self._file or self._left < kept:
            return
        now = time.time()
        self._file.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), kept, size))
        self._file.write(data[:kept])
        self._whole -= size
        self._left -= kept
        self.packets += 1

    def flush(self) -> None:
        if self._file:
            self._file.flush()


def sniff(order: dict) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    markers = [bytes.fromhex(marker) for marker in order["markers"]]
    protected = Networks(order["protected"])
    pcap = Pcap(order["pcap"], order["pcap_octets"])
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0 if order["interface"] else socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setblocking(False)
    if order["interface"]:
        sock.bind((order["interface"], ETH_P_ALL))
    report = Report(0, 0, {}, {}, 0, [], 0, [], 0, 0, [])
    buffer = bytearray(262144)
    view = memoryview(buffer)

    def take() -> bool:
        try:
            size = sock.recv_into(buffer)
        except BlockingIOError:
            return False
        except OSError:
            return True  # an interface went down: the others go on
        report.packets += 1
        report.octets += size
        kind, version, source, target = kind_of(buffer, size)
        report.kinds[kind] = report.kinds.get(kind, 0) + 1
        report.kind_octets[kind] = report.kind_octets.get(kind, 0) + size
        for marker in markers:
            if buffer.find(marker, 0, size) >= 0:
                report.marker_hits += 1
                if len(report.marker_samples) < 8:
                    report.marker_samples.append(describe(kind, version, source, target, size))
        if version and kind not in ESP_KINDS and kind != "IKE" and (protected.hold(version, source) or protected.hold(version, target)):
            report.clear += 1
            if len(report.clear_samples) < 8:
                report.clear_samples.append(describe(kind, version, source, target, size))
        if kind == "IKE" and len(report.ike) < order["keep_ike"]:
            at = 14 + (buffer[14] & 15) * 4 if version == 4 else 54
            ports = struct.unpack_from("!HH", buffer, at)
            report.ike.append(f"{ipaddress.ip_address(source)}|{ports[0]}|{ports[1]}|{buffer[at + 8:size].hex()}")
        pcap.add(view[:size])
        return True

    print("ready", flush=True)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    while True:
        ready = dict(poll.poll())
        for _ in range(256):
            if not take():
                break
        if sys.stdin.fileno() in ready:
            if not sys.stdin.readline():
                return
            while take():
                pass
            report.unseen += struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
            report.pcap_packets = pcap.packets
            pcap.flush()
            print(json.dumps(dataclasses.asdict(report)), flush=True)


if __name__ == "__main__":
    sniff(json.loads(sys.argv[1]))

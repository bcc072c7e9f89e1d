"""The demo: two sites, two gateways, a hybrid ML-KEM tunnel, and a look at the wire between them. `./run demo` calls it.

Everything happens in network namespaces that are made here and gone afterwards, also after Ctrl-C. Exit status 0 only
if everything was seen that is said to be seen.
"""
from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, Stopped, laboratory, signals_wait, stop_on_signals, why_not  # noqa: E402
from traffic import file_blocks, marked_blocks, ping, tcp_transfer, wait_until  # noqa: E402

FILE_OCTETS = 100_000_000
MARKER = b"QANAT-DEMO-PLAINTEXT-MARKER/" + os.urandom(8).hex().encode()


def picture() -> str:
    def box(*lines: str) -> list[str]:
        width = max(map(len, lines))
        return ["+" + "-" * (width + 2) + "+", *(f"| {line:^{width}} |" for line in lines), "+" + "-" * (width + 2) + "+"]

    parts = [box("site A", "10.1.0.2"), box("gateway A", "192.0.2.1"), box("the internet", "our wiretap"),
             box("gateway B", "198.51.100.1"), box("site B", "10.2.0.2")]
    links = ["-" * 4, "=" * 5, "=" * 5, "-" * 4]
    words = [" " * 4, " ESP ", " ESP ", " " * 4]
    rows = []
    for row in range(4):
        text = "  "
        for number, part in enumerate(parts):
            text += part[row]
            if number < len(links):
                text += words[number] if row == 1 else links[number] if row == 2 else " " * len(links[number])
        rows.append(text.rstrip())
    return "\n".join(rows)


class Show:
    """What was seen, in the order in which it was."""

    def __init__(self) -> None:
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.missing: list[str] = []
        self.begin = time.monotonic()

    def paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def chapter(self, text: str) -> None:
        print(f"\n{self.paint('== ' + text, '1')}", flush=True)

    def say(self, text: str = "") -> None:
        print(f"   {text}" if text else "", flush=True)

    def quote(self, command: str, output: str) -> None:
        self.say(self.paint("$ " + command, "36"))
        for line in output.rstrip().splitlines():
            self.say(line)

    def seen(self, condition, text: str) -> bool:
        mark = self.paint("[seen]", "32") if condition else self.paint("[NOT SEEN]", "31;1")
        print(f"   {mark} {text}", flush=True)
        if not condition:
            self.missing.append(text)
        return bool(condition)


def table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in rows]


def size_text(octets: int, datagrams: int) -> str:
    return f"{octets:,} B in {datagrams} datagram{'s' if datagrams != 1 else ''}"


def show_handshake(show: Show, tunnel: dict) -> None:
    ike = tunnel["ike"]
    rows = [["exchange", "request", "response", "milliseconds"]]
    for step in ike["handshake"]:
        rows.append([step["exchange"], size_text(step["request_bytes"], step["request_fragments"]),
                     size_text(step["response_bytes"], step["response_fragments"]),
                     f"{step['milliseconds']:.1f}" + (f" ({step['retransmissions']} sent again)" if step["retransmissions"] else "")])
    total = sum(step["milliseconds"] for step in ike["handshake"])
    rows.append(["together", "", "", f"{total:.1f}"])
    for line in table(rows):
        show.say(line)
    show.say()
    names = [step["exchange"] for step in ike["handshake"]]
    show.seen(any("IKE_INTERMEDIATE" in name for name in names), "an IKE_INTERMEDIATE exchange carried ML-KEM beside the classical key exchange")
    child = tunnel["children"][0]
    show.say(f"key exchange:   {' + '.join(ike['key_exchanges'])}, then {ike['suite']}")
    show.say(f"authentication: {ike['authentication']}, {ike['authentication_verdict']}")
    show.say(f"packets:        {child['suite']}, {'ESP in UDP' if child['encapsulation'] == 'udp' else 'ESP, native'}, inner MTU {child['inner_mtu']}")
    show.seen(ike["verdict"]["keys"] == "hybrid", f"verdict on the keys: {ike['verdict']['keys']} ({ike['verdict']['reason']})")
    show.seen(child["verdict"]["keys"] in ("hybrid", "inherited"),
              f"and on those of the packets: {child['verdict']['keys']} ({child['verdict']['reason']})")


def show_traffic(show: Show, lab: Lab) -> None:
    a, b = lab["a"], lab["b"]
    show.chapter("Ping from site A to site B, with a marker as its payload")
    result = ping(a.site, b.host4, count=10, size=1000, fill=MARKER, gap=0.05)
    show.seen(result.received == 10, f"{b.host4}: {result}")
    result = ping(a.site, b.host6, count=10, size=1000, fill=MARKER, gap=0.05)
    show.seen(result.received == 10, f"{b.host6}: {result}")

    show.chapter("A 100 MB file from site A to site B, the marker in every 512 octets of it, through TCP")
    source, target = lab.dir / "sent.bin", lab.dir / "received.bin"
    with source.open("wb") as file:
        for block in marked_blocks(MARKER, FILE_OCTETS):
            file.write(block)
    done = tcp_transfer(a.site, b.site, b.host4, file_blocks(str(source)), save_to=str(target))
    sums = []
    for path in (source, target):
        with path.open("rb") as file:
            sums.append(hashlib.file_digest(file, "sha256").hexdigest())
        show.say(f"{sums[-1]}  {path.name}  {path.stat().st_size:,} B")
        path.unlink()
    show.seen(sums[0] == sums[1] and done.received_octets == FILE_OCTETS,
              f"equal SHA-256 at both ends; {done.seconds:.1f} s, {done.megabits:,.0f} Mbit/s, segments of {done.mss} B")


def show_wire(show: Show, report, pcap: str) -> None:
    for kind, count in sorted(report.kinds.items(), key=lambda item: -item[1]):
        show.say(f"{count:>9,} packets  {report.kind_octets[kind]:>13,} B  {kind}")
    show.seen(report.unseen == 0, f"every one of {report.packets:,} packets was searched in full as it passed ({report.unseen} escaped the wiretap)")
    show.seen(report.esp > FILE_OCTETS // 1500, f"{report.esp:,} of them are ESP, enough to have carried the file")
    show.seen(report.marker_hits == 0,
              f"the marker was found in {report.marker_hits} packets" + "".join(f"; {sample}" for sample in report.marker_samples[:3]))
    show.seen(report.clear == 0,
              f"{report.clear} packets in the clear bore an address of site A or site B" + "".join(f"; {sample}" for sample in report.clear_samples[:3]))
    if pcap:
        show.say(f"capture (whole packets at first, then their headers): {pcap}")


def show_crash(show: Show, lab: Lab, gateway: Qanatd, wiretap) -> None:
    show.chapter("gateway A's daemon is killed (kill -9): does anything get out in the clear?")
    gateway.kill9()
    result = ping(lab["a"].site, lab["b"].host4, count=20, fill=MARKER, wait=0.5)
    report = wiretap.report()
    show.seen(result.received == 0 and report.leaks == 0,
              f"{result.sent} pings sent, {result.received} answered, and {report.leaks} packets in the clear on the wire")
    gateway.start()
    gateway.wait_up()
    back = wait_until(lambda: (p := ping(lab["a"].site, lab["b"].host4, wait=1)).received and p, "the tunnel carries again", 20)
    show.seen(back.received, "started again, and the tunnel is back")


def demo(show: Show, pcap: str) -> None:
    show.say("Two sites behind two gateways; between them a network that nobody trusts. All of it is made of network")
    show.say("namespaces on this machine, and gone afterwards.")
    print("\n" + picture())
    with laboratory("qdemo") as lab:
        a, b = lab["a"], lab["b"]
        lab.segment_before_the_wire()
        show.chapter("Without Qanat: what the wiretap sees")
        with lab.capture(markers=[MARKER]) as wiretap:
            ping(a.site, b.host4, count=2, fill=MARKER)
            report = wiretap.report()
        show.seen(report.marker_hits > 0, f"a ping's payload, in {report.marker_hits} packets: so the wiretap works")

        show.chapter("Two qanatd start, and gateway A calls gateway B")
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        config = lab.configure("a", [lab.tunnel("a", "b")])
        show.quote("cat qanat.toml    # gateway A's whole configuration", pathlib.Path(config).read_text().replace(str(lab.dir), "/lab"))
        show.say()
        with lab.capture(markers=[MARKER], pcap=str(lab.dir / "wire.pcap")) as wiretap:
            gw_b, gw_a = lab.start("b"), lab.start("a")
            tunnel = gw_a.wait_up()
            gw_b.wait_up()
            show.seen(True, "the tunnel is up")
            show.say()
            show_handshake(show, tunnel)
            show_traffic(show, lab)
            show.chapter("What the user sees")
            gw_a.wait_tunnel(lambda t: t["bytes_out"] >= FILE_OCTETS, "status counts the file")
            show.quote("qanat status", gw_a.cli("status").stdout)
            show.say()
            show.quote("qanat status site-b", gw_a.cli("status", "site-b").stdout)
            show.chapter("What the wiretap saw, from the first packet of the handshake on")
            show_wire(show, wiretap.report(), pcap)
            show_crash(show, lab, gw_a, wiretap)
            if pcap:
                shutil.copyfile(lab.dir / "wire.pcap", pcap)
        show.chapter("Both daemons are asked to end")
        stopped = [gw_a.stop(), gw_b.stop()]
        show.seen(stopped == [0, 0], f"they did, with exit status {stopped[0]} and {stopped[1]}")


def show_and_exit(title: str, demo: Callable[[Show], None], more_why_not: Callable[[], str | None] = lambda: None) -> int:
    """Runs a demo; its exit status."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if reason := why_not() or more_why_not():
        print(f"the demo {reason}" if reason.startswith("needs") else f"the demo cannot run: {reason}", file=sys.stderr)
        return 1
    stop_on_signals()
    show = Show()
    try:
        print(show.paint(title, "1") + "\n")
        demo(show)
    except Stopped as stopped:
        print("\n   interrupted; cleaned up")
        return 128 + stopped.number
    except Exception as error:  # noqa: BLE001 - the user gets a sentence, whatever it was
        show.seen(False, f"{type(error).__name__}: {error}")
    took = time.monotonic() - show.begin
    with signals_wait():
        if show.missing:
            print(f"\nNot everything was seen ({took:.0f} s):" + "".join(f"\n   - {text}" for text in show.missing), file=sys.stderr)
            return 1
        print(f"\n{show.paint('Everything was seen', '32;1')}, in {took:.0f} s; the namespaces are gone again.")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Two sites, two gateways, a hybrid ML-KEM tunnel, and a look at the wire.")
    parser.add_argument("--pcap", metavar="FILE", default="", help="keep what the wiretap recorded")
    options = parser.parse_args()
    return show_and_exit("Qanat, the demo", lambda show: demo(show, options.pcap))


if __name__ == "__main__":
    sys.exit(main())

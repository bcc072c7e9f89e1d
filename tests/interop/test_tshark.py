"""A second opinion on every message: tshark over captures of our daemon and strongSwan, without keys and with our key log.

For each run: nothing malformed and no expert error in any packet; an IKE_INTERMEDIATE, an IKE_AUTH and ESP packets are
decrypted from the key log (KEYLOG.md: one table a key generation, which judges that generation's messages).

    python3 tests/interop/test_tshark.py [NAME...]
"""
from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import time
import traceback

from meeting import PSK, Meeting, Wanted, expect  # noqa: I001 - makes the modules of tests/netns known
import lab
import traffic
from strongswan import in_root
from test_strongswan import leave, why_not

FIELDS = ("frame.number", "_ws.col.protocol", "isakmp.exchangetype", "isakmp.messageid", "isakmp.typepayload", "isakmp.key_exchange.dh_group",
          "isakmp.id.data.fqdn", "isakmp.enc.decrypted", "esp.spi", "esp.icv_good", "icmp.type", "icmpv6.type", "_ws.malformed",
          "_ws.expert.severity", "_ws.expert.message", "isakmp.frag.number", "isakmp.enc.data")
IKE_SA_INIT, IKE_AUTH, INFORMATIONAL, IKE_INTERMEDIATE = "34", "35", "37", "43"
KE, IDI, IDR, AUTH, TSI, TSR, DELETE = "34", "35", "36", "39", "44", "45", "42"  # payload types
EXPERT_ERROR = 0x800000
KE_NUMBERS = {"mlkem512": "35", "mlkem768": "36", "mlkem1024": "37"}


@dataclasses.dataclass
class Run:
    name: str
    initiator: str
    ike: str
    esp: str = "aes256gcm16"
    fragment: int = 0       # size on both sides
    raw_esp: bool = False
    outer: int = 4
    decrypts: bool = True   # tshark can decrypt this IKE suite

    @property
    def wanted(self) -> Wanted:
        return Wanted.of(self.ike, esp=self.esp, encapsulation="native" if self.raw_esp else "udp")


RUNS = (
    Run("hybrid GCM", "qanat", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"),
    Run("hybrid GCM, called", "strongswan", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"),
    Run("hybrid CBC-HMAC", "strongswan", "aes256-sha256-prfsha256-x25519-ke1_mlkem768", "aes256-sha256"),
    Run("hybrid CBC-HMAC, calling", "qanat", "aes256-sha384-prfsha384-ecp384-ke1_mlkem768", "aes128-sha256"),
    Run("fragmented mlkem1024", "qanat", "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", fragment=576),
    Run("fragmented mlkem1024, called", "strongswan", "aes128gcm16-prfsha256-ecp384-ke1_mlkem1024", "aes128gcm16", fragment=576),
    Run("two rounds", "qanat", "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem1024"),
    Run("native ESP", "qanat", "aes256gcm16-prfsha384-x25519-ke1_mlkem768", raw_esp=True),
    Run("IPv6, ChaCha20 in ESP", "qanat", "aes256gcm16-prfsha384-x25519-ke1_mlkem768", "chacha20poly1305", outer=6),
    Run("ChaCha20", "qanat", "chacha20poly1305-prfsha256-x25519-ke1_mlkem768", "chacha20poly1305", decrypts=False),
    Run("classical", "strongswan", "aes256gcm16-prfsha384-x25519"),
)


class Tshark:
    """tshark of a peer root over one capture in a folder."""

    def __init__(self, root: str, folder: pathlib.Path, capture: str):
        self.root, self.folder, self.capture = root, folder, capture

    def packets(self, tables: str | None = None) -> list[dict[str, list[str]]]:
        """Every packet: field -> its values. `tables`: a folder with key tables, inside ours; None: without keys."""
        config = self.folder / (tables or "no-keys")
        config.mkdir(exist_ok=True)
        command = [f"WIRESHARK_CONFIG_DIR=/mnt/{config.relative_to(self.folder)}", "tshark", "-n", "-r", f"/mnt/{self.capture}",
                   "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
                   "-T", "fields", "-E", "separator=/t", "-E", "aggregator=;", "-E", "occurrence=a"]
        for field in FIELDS:
            command += ["-e", field]
        done = subprocess.run(in_root(self.root, None, self.folder, command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        complaints = [line for line in done.stderr.splitlines() if "Running as user" not in line]
        expect(done.returncode == 0 and not complaints, f"tshark with {tables or 'no keys'}: " + "\n".join(complaints))
        return [{field: value.split(";") if value else [] for field, value in zip(FIELDS, line.split("\t"), strict=True)}
                for line in done.stdout.splitlines()]


def is_ike(packet: dict) -> bool:
    return bool(packet["isakmp.exchangetype"])


def generation_of(packet: dict, last: int) -> int | None:
    """The key generation of an IKE message; None: in the clear."""
    exchange = packet["isakmp.exchangetype"][0]
    if exchange == IKE_SA_INIT:
        return None
    return int(packet["isakmp.messageid"][0], 16) - 1 if exchange == IKE_INTERMEDIATE else last


def judge(packets: list[dict], what: str) -> None:
    """No packet is malformed, and none has an expert error."""
    for packet in packets:
        errors = [int(severity, 0) >= EXPERT_ERROR for severity in packet["_ws.expert.severity"]]
        expect(not packet["_ws.malformed"] and not any(errors), f"{what}: frame {packet['frame.number'][0]}: {packet['_ws.expert.message']}")


def judge_ike(packets: list[dict], run: Run, last: int, generation: int) -> None:
    """The messages of one generation, decrypted with its keys."""
    mine = [packet for packet in packets if is_ike(packet) and generation_of(packet, last) == generation]
    judge(mine, f"generation {generation}")
    bad = [packet["_ws.expert.message"] for packet in mine if any("ncorrect" in text for text in packet["_ws.expert.message"])]
    expect(not bad, f"generation {generation}: {bad}")
    kems = [name for name in run.wanted.exchanges if name.startswith("mlkem")]
    if generation < last:
        rounds = [packet for packet in mine if packet["isakmp.key_exchange.dh_group"] == [KE_NUMBERS[kems[generation]]] and KE in packet["isakmp.typepayload"]]
        expect(len(rounds) == 2, f"{len(rounds)} IKE_INTERMEDIATE messages show a KE payload with method {KE_NUMBERS[kems[generation]]}, not 2")
    if generation == last:
        auth = [packet for packet in mine if packet["isakmp.exchangetype"][0] == IKE_AUTH and AUTH in packet["isakmp.typepayload"]]
        expect(len(auth) == 2, f"{len(auth)} IKE_AUTH messages show AUTH, not 2")
        request, response = auth
        for payload in (IDI, TSI, TSR):
            expect(payload in request["isakmp.typepayload"], f"the IKE_AUTH request shows {request['isakmp.typepayload']}, without {payload}")
        for payload in (IDR, TSI, TSR):
            expect(payload in response["isakmp.typepayload"], f"the IKE_AUTH response shows {response['isakmp.typepayload']}, without {payload}")
        first = "qanat.example.com" if run.initiator == "qanat" else "swan.example.com"
        expect(request["isakmp.id.data.fqdn"][:1] == [first], f"IDi is {request['isakmp.id.data.fqdn']}")
        expect(any(packet["isakmp.exchangetype"][0] == INFORMATIONAL and DELETE in packet["isakmp.typepayload"] for packet in mine), "no Delete was decrypted")


def judge_esp(packets: list[dict]) -> None:
    esp = [packet for packet in packets if packet["esp.spi"]]
    judge(esp, "ESP")
    wrong = [packet["frame.number"][0] for packet in esp if packet["esp.icv_good"] not in (["True"], ["1"])]
    expect(esp and not wrong, f"{len(wrong)} of {len(esp)} ESP packets have no good ICV: frames {wrong[:5]}")
    expect({"8", "0"} <= {value for packet in esp for value in packet["icmp.type"]}, "no ping and its answer was decrypted")


def record(meeting: Meeting, run: Run, keylog: pathlib.Path) -> None:
    """A whole life on the wire: handshake, ping both ways, a little TCP, a Delete."""
    size = {"ike_fragment_size": run.fragment} if run.fragment else {}
    charon = {"fragment_size": run.fragment} if run.fragment else {}
    meeting.configure(ours={"ike": [run.ike], "esp": [run.esp], **size}, theirs={"proposals": run.ike, "esp_proposals": run.esp, "encap": not run.raw_esp},
                      initiator=run.initiator, raw_esp=run.raw_esp, charon=charon, keylog=str(keylog))
    with meeting.lab.capture(pcap=str(meeting.lab.dir / "wire.pcap")) as capture:
        meeting.bring_up(run.initiator)
        meeting.check(run.wanted, run.initiator)
        meeting.traffic(20000)
        result = traffic.ping(meeting.lab["a"].site, meeting.lab["b"].host4, count=3)
        expect(result.received == 3, f"{result}")
        meeting.ours.cli("down", "t")
        meeting.wait_gone_at_peer(10)
        capture.report()  # everything is in the file then


def look(meeting: Meeting, run: Run, keylog: pathlib.Path) -> str:
    """Everything that tshark must see in it."""
    folder = meeting.lab.dir
    shown = Tshark(os.environ["QANAT_PEER_FORKY"], folder, "wire.pcap")
    packets = shown.packets()
    ike, esp = [p for p in packets if is_ike(p)], [p for p in packets if p["esp.spi"]]
    expect(ike and esp, f"{len(ike)} IKE messages and {len(esp)} ESP packets are in the capture")
    judge(packets, "without keys")
    expect(PSK not in (keylog / "esp_sa").read_text(), "the PSK is in the key log")
    last = len(run.wanted.exchanges) - 1
    if run.fragment:
        fragments = [p for p in ike if p["isakmp.exchangetype"][0] == IKE_INTERMEDIATE and p["isakmp.frag.number"]]
        expect(len(fragments) >= 6, f"{len(fragments)} fragments of IKE_INTERMEDIATE, not 6 or more")
    made = sorted(path.parent.name for path in keylog.glob("gen*/ikev2_decryption_table"))
    expect(made == [f"gen{n}" for n in range(last + 1)] or not run.decrypts, f"the key log has {made}")
    for generation in range(last + 1):
        tables = folder / f"tables{generation}"
        tables.mkdir()
        shutil.copy(keylog / "esp_sa", tables)
        table = keylog / f"gen{generation}" / "ikev2_decryption_table"
        if table.exists():
            shutil.copy(table, tables)
        packets = shown.packets(tables.name)
        if run.decrypts:
            judge_ike(packets, run, last, generation)
        else:
            judge(packets, f"generation {generation}")
    judge_esp(packets)
    return f"{len(ike)} IKE messages, {len(esp)} ESP packets, {last + 1} generations"


def show(run: Run) -> None:
    with Meeting(os.environ["QANAT_PEER_FORKY"], run.outer) as meeting:
        meeting.lab.segment_before_the_wire()
        keylog = meeting.lab.dir / "keylog"
        try:
            record(meeting, run, keylog)
            seen = look(meeting, run, keylog)
        except Exception:
            print(meeting.logs(), flush=True)
            if keep := os.environ.get("QANAT_KEEP"):  # for debugging: the capture and the keys
                shutil.copytree(meeting.lab.dir, pathlib.Path(keep) / run.name.replace(" ", "-"), dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock", "*.vici"))
            raise
        print(f"{run.name:<30} {run.initiator:<10} ok     {meeting.proposal():<42} {seen}", flush=True)


def main() -> int:
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if reason := why_not(["forky"]):
        return leave(reason)
    chosen = [run for run in RUNS if not sys.argv[1:] or run.name in sys.argv[1:]]
    lab.stop_on_signals()
    begin, failed = time.monotonic(), []
    for run in chosen:
        try:
            show(run)
        except Exception as error:  # noqa: BLE001 - one run does not hide the others
            failed.append(run.name)
            print(f"{run.name:<30} {run.initiator:<10} FAILED {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc(file=sys.stdout)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} passed in {time.monotonic() - begin:.1f} s" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())

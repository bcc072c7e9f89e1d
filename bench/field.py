"""Where everything is measured, and who: two gateways joined by one veth, and the subjects that run in them.

    gwA 192.0.2.1 ---- wan ---- 192.0.2.2 gwB 198.51.100.1 ---- 198.51.100.2 load
    inside 10.1.0.1             10.2.0.1 inside

A subject is brought up in the same two namespaces as the one before it: same MTU, same congestion control, same load. The
load's ends stand in the gateways (inner addresses on their loopback), so that nothing but the tunnel and one veth is between
them; `load` is where many initiators call from.
"""
from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "netns"), str(ROOT / "tests" / "interop")]
from lab import Lab, Qanatd, build_dir, binary, toml_lines  # noqa: E402
from processes import run  # noqa: E402
from strongswan import MOUNTED, Connection, StrongSwan, in_root  # noqa: E402
from traffic import ping_until_answered, sysctl, wait_until  # noqa: E402

HYBRID = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
GATEWAY_ID, LOAD_NET = "gw.load", "10.64.0.0/10"


def program(name: str) -> str:
    return str(build_dir() / "bench" / name)


def peer_root() -> str | None:
    return os.environ.get("QANAT_PEER_FORKY") or None


def peer_version(package: str) -> str:
    lines = (pathlib.Path(peer_root()) / "qanat-root.txt").read_text().splitlines()
    return dict(line.split() for line in lines)[package]


class Field(Lab):
    def __init__(self, mtu: int = 1500):
        super().__init__(name="qb", mtu=mtu)

    def _make(self) -> None:
        self.psk = "qpsk1-" + "bench".ljust(43, "A")
        self.psk_file = self.write_psk("site.psk", self.psk)
        self.load, self.load4 = self.net, "198.51.100.2"
        for letter, host in (("a", 1), ("b", 2)):
            site = self[letter]
            site.outer4 = f"192.0.2.{host}"
            site.host4 = site.gw4
            site.dir.mkdir()
            site.dir.chmod(0o711)
            (site.dir / "state").mkdir()
        a, b = self["a"], self["b"]
        for ns in (a.gw, b.gw, self.load):
            run("ip", "netns", "add", ns)
            sysctl(ns, net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0, net__ipv4__ip_forward=1)
            self.ip(ns, "link set lo up")
        # An index that the other end does not have: the kernel is a second slower to see a carrier where they are equal.
        self.ip(a.gw, f"link add name wan index 100 mtu {self.mtu} type veth peer name wan mtu {self.mtu} netns {b.gw}",
                f"addr add {a.outer4}/24 dev wan", "link set wan up", f"addr add {a.gw4}/24 dev lo")
        self.ip(b.gw, f"link add name access index 101 type veth peer name eth0 netns {self.load}",
                f"addr add {b.outer4}/24 dev wan", "link set wan up", f"addr add {b.gw4}/24 dev lo",
                "addr add 198.51.100.1/24 dev access", "link set access up")
        self.ip(self.load, f"addr add {self.load4}/24 dev eth0", "link set eth0 up", "route add default via 198.51.100.1")
        ping_until_answered(a.gw, b.outer4)
        ping_until_answered(self.load, b.outer4)

    def offloads(self, on: bool) -> None:
        """Of the wire's veth; off is the honest stand-in for a wire."""
        word = "on" if on else "off"
        for letter in "ab":
            for feature in ("tso", "gso", "gro", "tx-udp-segmentation"):
                run("ip", "netns", "exec", self[letter].gw, "ethtool", "-K", "wan", feature, word)

    @contextlib.contextmanager
    def wire_without_offloads(self) -> Iterator[None]:
        self.offloads(False)
        try:
            yield
        finally:
            self.offloads(True)


def cpu_ns(pids: list[int]) -> int:
    """CPU time of processes with all their threads; finer than the ticks of /proc/PID/stat."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
    return total


def processor_ticks() -> tuple[int, int]:
    """Of all processors since boot: ticks that were not idle, and all."""
    ticks = [int(t) for t in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def resident(pid: int) -> int:
    """Octets of resident memory."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.M)[1]) * 1024


class Program:
    """A program of ours in a namespace, whose lines are read one by one."""

    def __init__(self, ns: str, *command: str):
        self.name = pathlib.Path(command[0]).name
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", ns, *command],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def line(self, seconds: float) -> str:
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"{self.name} said nothing for {seconds:.0f} s")
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}")
        return text.strip()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def blast(*arguments: str, seconds: float) -> dict:
    """One run of bench/blast.cpp, which enters the namespaces itself."""
    return json.loads(run(program("blast"), *arguments, timeout=seconds + 30).stdout)


# --- the subjects -----------------------------------------------------------------------------------------------------


class Subject:
    """One way for packets from gwA to gwB. `up` is a context manager; it ends with the wire as it was."""

    name = ""
    settings = ""

    def version(self) -> str:
        return ""

    @contextlib.contextmanager
    def up(self, field: Field, **_) -> Iterator[Subject]:
        yield self

    def ends(self, field: Field) -> tuple[str, str]:
        """The addresses between which packets go by this way."""
        return field["a"].gw4, field["b"].gw4

    def places(self, field: Field) -> tuple[str, str]:
        """The same as blast takes them, NAMESPACE/ADDRESS."""
        here, there = self.ends(field)
        return f"{field['a'].gw}/{here}", f"{field['b'].gw}/{there}"


class Bare(Subject):
    name = "bare"
    settings = "no tunnel, the veth between the gateways"

    def ends(self, field: Field) -> tuple[str, str]:
        return field["a"].outer4, field["b"].outer4


class Qanat(Subject):
    name = "qanat"
    settings = "one qanatd a gateway, ESP in UDP (encap = \"force\"), AES-GCM-256, ESN, replay window 1024; log level info, warning in the handshake rows"

    def version(self) -> str:
        return run(binary("qanatd"), "--version").stdout.split()[-1]

    @contextlib.contextmanager
    def up(self, field: Field, there: list[dict] | None = None, **more) -> Iterator[Qanat]:
        """`there` are further tunnels of gwB; `more` are settings of the tunnel between the two."""
        settings = {"encap": "force", "interface": None, "interface6": None, **more}
        tunnels = {"a": [field.tunnel("a", "b", routes=[field["b"].net4], **settings)],
                   "b": [field.tunnel("b", "a", routes=[field["a"].net4], start="respond", **settings), *(there or [])]}
        daemons = []
        try:
            for letter in "ba":
                daemons.append(start_qanatd(field, letter, tunnels[letter]))
            self.b, self.a = daemons
            self.a.wait_up("site-b")
            ping_until_answered(field["a"].gw, field["b"].gw4, source=field["a"].gw4)
            yield self
        finally:
            for daemon in daemons:
                stop_qanatd(daemon)


def start_qanatd(field: Field, letter: str, tunnels: list[dict], quiet: bool = False, seconds: float = 120) -> Qanatd:
    """quiet: without a log line for every tunnel."""
    # Limits that no load of ours reaches: all of it comes from one address.
    limits = {"half_open_limit": 1_000_000, "cookie_threshold": 1_000_000, "prefix_limit": 1_000_000}
    field.configure(letter, tunnels, outer=(4,), **limits)
    daemon = field.start(letter, *(["--log-level", "warning"] if quiet else []), wait=False)
    if quiet:
        wait_until(lambda: daemon.cli("status", "--json", check=False).returncode == 0, "qanatd answers", seconds, every=0.2)
    else:
        daemon.wait_log(r"\bready\b", seconds)
    return daemon


def stop_qanatd(daemon: Qanatd) -> None:
    daemon.stop(60)
    run("ip", "netns", "exec", daemon.site.gw, binary("qanatd"), "-c", str(daemon.site.dir / "qanat.toml"), "--purge")


class WireGuardGo(Subject):
    name = "wireguard-go"
    settings = "log off, TUN MTU 1420 (its default), one peer"

    def version(self) -> str:
        return peer_version("wireguard-go")

    @contextlib.contextmanager
    def up(self, field: Field, **_) -> Iterator[WireGuardGo]:
        work = {letter: field.dir / f"wg-{letter}" for letter in "ab"}
        for folder in work.values():
            folder.mkdir(exist_ok=True)
        processes: dict[str, subprocess.Popen] = {}

        def wg(letter: str, *arguments: str, text: str | None = None) -> str:
            inside = ["nsenter", "--target", str(processes[letter].pid), "--mount", "--net", "--root", "--wdns=/",
                      "wg", *arguments]
            return run(*inside, **({"input": text} if text else {})).stdout.strip()
        try:
            keys = {}
            for letter in "ab":
                with (work[letter] / "out").open("ab") as out:
                    processes[letter] = subprocess.Popen(
                        in_root(peer_root(), field[letter].gw, work[letter],
                                ["LOG_LEVEL=silent", "/usr/bin/wireguard-go", "-f", "wg0"]),
                        stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
                wait_until(lambda at=letter: run("ip", "-n", field[at].gw, "link", "show", "wg0", check=False).returncode == 0
                           and not run("nsenter", "--target", str(processes[at].pid), "--mount", "--root", "--wdns=/", "test", "-S",
                                       "/run/wireguard/wg0.sock", check=False).returncode, "wireguard-go stands", 15)
                private = wg(letter, "genkey")
                (work[letter] / "key").write_text(private + "\n")
                (work[letter] / "key").chmod(0o600)
                keys[letter] = wg(letter, "pubkey", text=private + "\n")
            for letter, other in (("a", "b"), ("b", "a")):
                wg(letter, "set", "wg0", "private-key", f"{MOUNTED}/key", "listen-port", "51820", "peer", keys[other],
                   "endpoint", f"{field[other].outer4}:51820", "allowed-ips", field[other].net4)
                field.ip(field[letter].gw, "link set wg0 up", f"route add {field[other].net4} dev wg0 src {field[letter].gw4}")
            ping_until_answered(field["a"].gw, field["b"].gw4, source=field["a"].gw4)
            yield self
        finally:
            for process in processes.values():
                process.terminate()
                process.wait()


# charon's own, for every row: no logs; its AES-GCM is the fast one (aesni: the openssl plugin makes a context a packet).
CHARON = {"plugins": {"aesni": {"load": 20}}}
LOG_OFF = {"default": -1}


class StrongSwanTunnel(Subject):
    name = "strongswan"
    settings = "kernel-libipsec, ESP in UDP, AES-GCM-256 of the aesni plugin, log off"

    def version(self) -> str:
        return peer_version("strongswan-charon")

    @contextlib.contextmanager
    def up(self, field: Field, **_) -> Iterator[StrongSwanTunnel]:
        peers = []
        try:
            for here, there in (("a", "b"), ("b", "a")):
                swan = StrongSwan(peer_root(), field[here].gw, str(field.dir / f"swan-{here}"))
                swan.configure(Connection(local=field[here].outer4, remote=field[there].outer4, psk=field.psk,
                                          local_id=f"{here}.example.com", remote_id=f"{there}.example.com",
                                          local_ts=[field[here].net4], remote_ts=[field[there].net4], proposals=HYBRID),
                               log_levels=LOG_OFF, charon=CHARON)
                peers.append(swan)
                swan.start()
            peers[0].initiate()
            ping_until_answered(field["a"].gw, field["b"].gw4, source=field["a"].gw4)
            yield self
        finally:
            for swan in peers:
                swan.stop()


class Relay(Subject):
    name = "relay"
    settings = "bench/relay.cpp: our sockets and TUN with a memcpy in place of the packet path"

    @contextlib.contextmanager
    def up(self, field: Field, **_) -> Iterator[Relay]:
        relays = []
        try:
            for here, there in (("a", "b"), ("b", "a")):
                relay = Program(field[here].gw, program("relay"), "relay0", field[here].outer4, field[there].outer4)
                relays.append(relay)
                relay.line(10)
                field.ip(field[here].gw, "link set relay0 mtu 1420 txqueuelen 1000 up",
                         f"route add {field[there].net4} dev relay0 src {field[here].gw4}")
            ping_until_answered(field["a"].gw, field["b"].gw4, source=field["a"].gw4)
            yield self
        finally:
            for relay in relays:
                relay.end()


# --- many initiators --------------------------------------------------------------------------------------------------


def load_address(number: int) -> str:
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}/32"


def load_tunnels(field: Field, count: int, auth: dict[str, dict] | None = None) -> tuple[list[dict], list[dict]]:
    """`count` tunnels as the initiators have them, and as a qanatd does that answers them, each with its own identity.

    auth: what stands in place of the PSK, {"load": function of the number, "gateway": settings}.
    """
    common = {"ike": [HYBRID], "esp": ["aes256gcm16"], "encap": "force", "mobike": False, "dpd": {"idle": "12h", "timeout": "1d"}}
    theirs, ours = [], []
    for number in range(count):
        name = f"t{number}.load"
        here = auth["load"](number) if auth else {"psk_file": field.psk_file}
        there = auth["gateway"] if auth else {"psk_file": field.psk_file}
        theirs.append({"name": f"t{number}", "peer": field["b"].outer4, "local_id": f"fqdn:{name}", "remote_id": f"fqdn:{GATEWAY_ID}",
                       "selectors": [{"local": load_address(number), "remote": field["b"].net4}], **common, **here})
        ours.append({"name": f"t{number}", "peer": "any", "local_id": f"fqdn:{GATEWAY_ID}", "remote_id": f"fqdn:{name}",
                     **common, **there})
    return theirs, ours


class IkeLoad:
    """bench/ike_load.cpp with these tunnels, calling gwB from `load`."""

    def __init__(self, field: Field, tunnels: list[dict]):
        self.field = field
        self.config = field.dir / "load.toml"
        self.config.write_text("[gateway]\n" + toml_lines({"address": field.load4}) +
                               "".join("\n[[tunnel]]\n" + toml_lines(tunnel) for tunnel in tunnels))
        self._standing: Program | None = None

    def run(self, count: int, in_flight: int, rate: float = 0, keep: bool = False, seconds: float = 120) -> dict:
        """What ike_load prints; with keep it stays until end()."""
        arguments = ["--count", str(count), "--in-flight", str(in_flight), "--seconds", str(seconds)]
        arguments += ["--rate", str(rate)] if rate else []
        arguments += ["--keep"] if keep else []
        load = Program(self.field.load, program("ike_load"), str(self.config), *arguments)
        try:
            result = json.loads(load.line(seconds + 60))
            if result["handshakes"] < count:
                raise RuntimeError(f"only {result['handshakes']} of {count} handshakes were made: {result}")
            if keep:
                self._standing, load = load, None
            return result
        finally:
            if load:
                load.end()

    def end(self) -> None:
        if self._standing:
            self._standing.end()
            self._standing = None

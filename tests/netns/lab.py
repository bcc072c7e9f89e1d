"""A laboratory of network namespaces: sites, gateways and the internet between them, which is gone afterwards.

    siteA 10.1.0.2 -- 10.1.0.1 gwA 192.0.2.1 --+
    siteB 10.2.0.2 -- 10.2.0.1 gwB 198.51.100.1 -- net (a router: captures, NAT and attackers live here)
    siteC 10.3.0.2 -- 10.3.0.1 gwC 203.0.113.1 --+       and the same in IPv6: fd00:1::/64, 2001:db8:a::/64, ...

    with Lab() as lab:
        lab.configure("a", [lab.tunnel("a", "b")])
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        a, b = lab.start("a"), lab.start("b")
        a.wait_up()

Leaving the `with` ends what was started, deletes the namespaces and the work folder: also after an exception, Ctrl-C or
SIGTERM; after SIGKILL a janitor does it, a small process that waits for our end. Nothing outside our own namespaces is
touched. Standard library only; needs root.
"""
from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from capture import Capture  # noqa: E402
from processes import Janitor, Stopped, pids_in, remove_namespaces, run, signals_wait, stop_on_signals  # noqa: E402
from traffic import ping_until_answered, sysctl, wait_until  # noqa: E402

SKIPPED = 77
CLIENT_TIMEOUT = 140  # `qanat up` itself gives up after 130 s


def build_dir() -> pathlib.Path:
    return pathlib.Path(os.environ.get("QANAT_BUILD_DIR") or pathlib.Path(__file__).resolve().parents[2] / "build" / "dev")


def binary(name: str) -> str:
    return str(build_dir() / "bin" / name)


class Site:
    """One letter of the lab: a gateway, the site behind it, and their addresses."""

    def __init__(self, prefix: str, letter: str, workdir: pathlib.Path):
        number = ord(letter) - ord("a") + 1
        self.letter = letter
        self.gw, self.site = f"{prefix}-gw{letter}", f"{prefix}-site{letter}"
        self.net4, self.net6 = f"10.{number}.0.0/24", f"fd00:{number}::/64"
        self.gw4, self.gw6 = f"10.{number}.0.1", f"fd00:{number}::1"
        self.host4, self.host6 = f"10.{number}.0.2", f"fd00:{number}::2"
        network = {"a": "192.0.2", "b": "198.51.100", "c": "203.0.113", "d": "198.18.4", "e": "198.18.5"}[letter]
        self.outer4, self.router4 = f"{network}.1", f"{network}.254"
        self.outer6, self.router6 = f"2001:db8:{letter}::1", f"2001:db8:{letter}::fe"
        self.dir = workdir / f"gw{letter}"

    def outer(self, version: int) -> str:
        return self.outer4 if version == 4 else self.outer6

    def host(self, version: int) -> str:
        return self.host4 if version == 4 else self.host6


class Lab:
    def __init__(self, name: str = "qn", sites: str = "ab", nat: str = "", mtu: int = 1500, extras: Sequence[str] = ()):
        """nat: the sites whose gateways stand behind a NAT, which the router in the middle makes. mtu: of the wire.
        extras: further namespaces, empty ones; lab.extras[name] is what the kernel calls them."""
        self.prefix = f"{name}{os.getpid()}"
        self.letters, self.nat, self.mtu = sites, nat, mtu
        self.net = f"{self.prefix}-net"
        self.extras = {name: f"{self.prefix}-{name}" for name in extras}
        self.daemons: list[Qanatd] = []
        self._undo = contextlib.ExitStack()

    def __getitem__(self, letter: str) -> Site:
        return self.sites[letter]

    # --- making it, and cleaning up

    def __enter__(self) -> Lab:
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="qanat-lab-"))
        self.dir.chmod(0o711)  # the daemon drops its rights, and still has to reach its files
        self.sites = {letter: Site(self.prefix, letter, self.dir) for letter in self.letters}
        self.names = [self.net] + [ns for site in self.sites.values() for ns in (site.gw, site.site)] + list(self.extras.values())
        try:
            self._janitor = Janitor(self.names, self.dir)
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        with signals_wait():
            with contextlib.suppress(Exception):
                self._undo.close()
            for daemon in self.daemons:
                with contextlib.suppress(Exception):
                    daemon.stop(seconds=5)
            remove_namespaces(self.names)
            shutil.rmtree(self.dir, ignore_errors=True)
            if hasattr(self, "_janitor"):
                self._janitor.dismiss()

    def _make(self) -> None:
        psk = "qpsk1-" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        self.psk = psk
        self.psk_file = self.write_psk("site.psk", psk)
        for ns in self.names:
            run("ip", "netns", "add", ns)
            sysctl(ns, net__ipv6__conf__all__accept_dad=0, net__ipv6__conf__default__accept_dad=0,
                   net__ipv4__icmp_ratelimit=0, net__ipv6__icmp__ratelimit=0,
                   net__ipv4__conf__all__rp_filter=0, net__ipv4__conf__default__rp_filter=0)
        self.ip(self.net, "link set lo up")
        sysctl(self.net, net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        for letter, site in self.sites.items():
            site.dir.mkdir()
            site.dir.chmod(0o711)
            (site.dir / "state").mkdir()
            sysctl(site.gw, net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1,
                   net__ipv4__conf__default__rp_filter=2)  # loose, as Debian has it
            # An index that the other end does not have: the kernel is a second slower to see a carrier where they are equal.
            self.ip(self.net, f"link add name {letter} index {100 + ord(letter)} mtu {self.mtu} type veth peer name wan mtu {self.mtu} netns {site.gw}",
                    f"addr add {site.router4}/24 dev {letter}", f"addr add {site.router6}/64 dev {letter} nodad", f"link set dev {letter} up",
                    f"route add {site.net4} via {site.outer4}", f"route add {site.net6} via {site.outer6}")
            self.ip(site.gw, "link set lo up", f"link add lan type veth peer name eth0 netns {site.site}",
                    f"addr add {site.outer4}/24 dev wan", f"addr add {site.outer6}/64 dev wan nodad", "link set wan up",
                    f"addr add {site.gw4}/24 dev lan", f"addr add {site.gw6}/64 dev lan nodad", "link set lan up",
                    f"route add default via {site.router4}", f"route add ::/0 via {site.router6}")
            self.ip(site.site, "link set lo up", f"addr add {site.host4}/24 dev eth0", f"addr add {site.host6}/64 dev eth0 nodad",
                    "link set eth0 up", f"route add default via {site.gw4}", f"route add ::/0 via {site.gw6}")
        if self.nat:
            inside = ", ".join(f'"{letter}"' for letter in self.nat)
            self.nft(self.net, f"table ip nat {{\n chain out {{\n  type nat hook postrouting priority srcnat\n"
                               f"  iifname {{ {inside} }} oifname != {{ {inside} }} masquerade\n }}\n}}\n")
        for site in self.sites.values():
            # Nothing may wait in a neighbour queue and come out later, when a test believes that nothing should.
            for ns, target in ((site.site, site.gw4), (site.site, site.gw6), (site.gw, site.router4), (site.gw, site.router6),
                               (self.net, site.outer4), (self.net, site.outer6), (site.gw, site.host4), (site.gw, site.host6)):
                ping_until_answered(ns, target, seconds=15)

    def write_psk(self, name: str, psk: str) -> str:
        path = self.dir / name
        path.write_text(psk + "\n")
        path.chmod(0o600)
        return str(path)

    # --- what tests do with it

    def segment_before_the_wire(self) -> None:
        """A veth carries super-packets whole, as no wire does; whoever captures wants to see the packets that a wire would have."""
        for site in self.sites.values():
            run("ip", "netns", "exec", site.gw, "ethtool", "-K", "wan", "tx-udp-segmentation", "off")

    def ip(self, ns: str, *commands: str) -> str:
        return run("ip", "-n", ns, "-batch", "-", input="\n".join(commands) + "\n").stdout

    def nft(self, ns: str, text: str) -> str:
        return run("ip", "netns", "exec", ns, "nft", "-f", "-", input=text).stdout

    def protection(self, letter: str) -> dict[str, str]:
        """What of ours stands in a gateway's kernel: routes of other tables, rules and nftables tables, as text."""
        ns = self[letter].gw
        out = {}
        for version in ("-4", "-6"):
            routes = run("ip", "-n", ns, version, "route", "show", "table", "all", check=False).stdout.splitlines()
            out[f"routes {version}"] = "\n".join(line for line in routes if re.search(r"\btable (?!local\b|main\b)", line))
            rules = run("ip", "-n", ns, version, "rule", "show").stdout.splitlines()
            out[f"rules {version}"] = "\n".join(line for line in rules if not re.match(r"(0|32766|32767):", line))
        out["nftables"] = run("ip", "netns", "exec", ns, "nft", "list", "ruleset").stdout.strip()
        return out

    def nft_dropped(self, letter: str) -> int:
        """Packets that our nftables rules have dropped."""
        text = run("ip", "netns", "exec", self[letter].gw, "nft", "-j", "list", "table", "inet", "qanat").stdout
        total = 0
        for entry in json.loads(text)["nftables"]:
            parts = entry.get("rule", {}).get("expr", [])
            if any("drop" in part for part in parts):
                total += sum(part["counter"]["packets"] for part in parts if isinstance(part.get("counter"), dict))
        return total

    def capture(self, **more) -> Capture:
        """A sniffer over everything that reaches the router in the middle."""
        more.setdefault("protected", [net for site in self.sites.values() for net in (site.net4, site.net6)])
        return self._undo.enter_context(Capture(self.net, **more))

    def tunnel(self, here: str, there: str, outer: int = 4, **more) -> dict:
        """The settings of a tunnel; `more` adds to them, and None takes a default away."""
        pair = sorted((here, there))
        number = (ord(pair[0]) - ord("a")) * 16 + (ord(pair[1]) - ord("a")) * 2
        side = pair.index(here)
        settings = {"name": f"site-{there}", "peer": self[there].outer(outer), "psk_file": self.psk_file,
                    "interface": f"10.255.0.{number + side}/31", "interface6": f"fd00:255::{number + side:x}/127",
                    "routes": [self[there].net4, self[there].net6]}
        settings |= more
        return {key: value for key, value in settings.items() if value is not None}

    def configure(self, letter: str, tunnels: Sequence[dict], outer: Sequence[int] = (4, 6), name: str = "qanat.toml", **gateway) -> str:
        """Writes a gateway's configuration; its path. `gateway` adds to [gateway]."""
        site = self[letter]
        settings = {"address": [site.outer(version) for version in outer], "control_socket": str(site.dir / "qanat.sock"),
                    "state_dir": str(site.dir / "state"), **gateway}
        text = "[gateway]\n" + toml_lines(settings)
        for tunnel in tunnels:
            text += "\n[[tunnel]]\n" + toml_lines(tunnel)
        path = site.dir / name
        path.write_text(text)
        return str(path)

    def start(self, letter: str, *arguments: str, wait: bool = True) -> Qanatd:
        """Starts the daemon of a gateway with its qanat.toml."""
        daemon = Qanatd(self[letter], arguments)
        self.daemons.append(daemon)
        daemon.start(wait)
        return daemon

    def pair(self, here: dict | None = None, there: dict | None = None, outer: int = 4, **both) -> tuple[Qanatd, Qanatd]:
        """Gateways a and b with a tunnel between them, which a initiates; both run, and the tunnel is up."""
        self.configure("b", [self.tunnel("b", "a", outer, **{"start": "respond", **both, **(there or {})})])
        self.configure("a", [self.tunnel("a", "b", outer, **{**both, **(here or {})})])
        b, a = self.start("b"), self.start("a")
        a.wait_up()
        b.wait_up()
        return a, b


def toml_value(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return str(value)


def toml_lines(settings: dict) -> str:
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in settings.items())


class Qanatd:
    """One daemon in a gateway's namespace, and `qanat` for it."""

    def __init__(self, site: Site, arguments: Sequence[str] = ()):
        self.site, self.arguments = site, list(arguments)
        self.wrap: list[str] = []  # a command that runs it with other rights
        self.log_file = site.dir / "qanatd.log"
        self.process: subprocess.Popen | None = None
        self._log_begin = 0

    @property
    def pid(self) -> int:
        assert self.process is not None, "qanatd does not run"
        return self.process.pid

    def start(self, wait: bool = True) -> None:
        assert self.process is None, "qanatd runs already"
        with self.log_file.open("ab") as log:
            self._log_begin = log.tell()
            # A session of its own: Ctrl-C is ours to hear, and the daemons end in order.
            command = [*self.wrap, binary("qanatd"), "-c", str(self.site.dir / "qanat.toml"), *self.arguments]
            self.process = subprocess.Popen(["ip", "netns", "exec", self.site.gw, *command],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_log(r"\bready\b")

    def restart(self) -> None:
        self.stop()
        self.start()

    # --- what it says

    def log(self) -> str:
        """Since the last start."""
        with self.log_file.open("rb") as file:
            file.seek(self._log_begin)
            return file.read().decode(errors="replace")

    def wait_log(self, pattern: str, seconds: float = 30.0) -> str:
        """The first log line that matches."""
        def found():
            line = next((line for line in self.log().splitlines() if re.search(pattern, line)), None)
            if line is None and self.process and self.process.poll() is not None:
                raise RuntimeError(f"qanatd of gw{self.site.letter} ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            return line
        return wait_until(found, f"gw{self.site.letter} logs /{pattern}/", seconds)

    def cli(self, *arguments: str, check: bool = True, timeout: float = CLIENT_TIMEOUT) -> subprocess.CompletedProcess:
        return run(binary("qanat"), "--socket", str(self.site.dir / "qanat.sock"), *arguments, check=check, timeout=timeout)

    def spawn_cli(self, *arguments: str) -> subprocess.Popen:
        """The same, not waited for."""
        return subprocess.Popen([binary("qanat"), "--socket", str(self.site.dir / "qanat.sock"), *arguments],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status_json(self) -> dict:
        return json.loads(self.cli("status", "--json").stdout)

    def tunnel(self, name: str | None = None) -> dict:
        """The first tunnel, or the one of that name."""
        tunnels = self.status_json()["tunnels"]
        return next(tunnel for tunnel in tunnels if name in (None, tunnel["name"]))

    def drops(self) -> dict[str, int]:
        return self.status_json()["drops"]

    def ike_counters(self) -> dict[str, int]:
        return self.status_json()["ike_counters"]

    def wait_tunnel(self, condition: Callable[[dict], object], what: str, name: str | None = None, seconds: float = 30.0) -> dict:
        last: dict = {}

        def look():
            last.clear()
            last.update(self.tunnel(name))
            return condition(last) and last
        try:
            return wait_until(look, what, seconds)
        except TimeoutError as error:
            raise TimeoutError(f"gw{self.site.letter}: {error}; the tunnel: wanted {last.get('wanted')}, {last.get('actual')}, "
                               f"reason {last.get('reason')!r}") from None

    def wait_up(self, name: str | None = None, seconds: float = 30.0) -> dict:
        return self.wait_tunnel(lambda t: t["actual"] == "up" and t["children"], "the tunnel is up", name, seconds)

    def wait_not_up(self, name: str | None = None, seconds: float = 60.0) -> dict:
        return self.wait_tunnel(lambda t: t["actual"] != "up", "the tunnel goes down", name, seconds)

    # --- its end

    def stop(self, seconds: float = 20.0) -> int | None:
        """SIGTERM; its exit status, None when it did not run."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"qanatd of gw{self.site.letter} did not end on SIGTERM in {seconds:.0f} s:\n{self.log()[-2000:]}") from None

    def kill9(self) -> None:
        """As a crash: the daemon alone; its helper has to notice by itself."""
        process, self.process = self.process, None
        assert process is not None
        process.kill()
        process.wait()
        wait_until(lambda: not pids_of_qanat(self.site.gw), "the helper ends with its daemon", 20)


def pids_of_qanat(ns: str) -> list[int]:
    out = []
    for pid in pids_in(ns):
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("qanat"):
                out.append(pid)
    return out


# --- running tests ----------------------------------------------------------------------------------------------------


class CheckFailed(AssertionError):
    pass


def check(condition, what: str) -> None:
    """One line for what was seen; the end of this test when it is not so."""
    if not condition:
        raise CheckFailed(what)
    print(f"    ok   {what}", flush=True)


def say(text: str) -> None:
    print(f"         {text}", flush=True)


def why_not() -> str | None:
    """Why nothing can be shown on this machine; None when it can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    for tool in ("ip", "nft", "setpriv"):
        if shutil.which(tool) is None:
            return f"there is no program '{tool}'"
    for name in ("qanatd", "qanat"):
        if not os.access(binary(name), os.X_OK):
            return f"there is no {binary(name)}: build it first (./run build)"
    return None


def main(tests: Sequence[Callable[[], None]], seconds: int, later: Sequence[Callable[[], None]] = ()) -> int:
    """Runs tests by name or all; each makes its own lab. The exit status for ctest.

    `later` are for what is not built yet: they run when they are named.
    """
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if reason := why_not():
        print(f"{'FAILED' if os.environ.get('QANAT_CI') else 'skipped'}: {reason}")
        return 1 if os.environ.get("QANAT_CI") else SKIPPED
    wanted = sys.argv[1:]
    chosen = [test for test in (*tests, *later) if any(word in test.__name__ for word in wanted)] if wanted else list(tests)
    if not chosen:
        print(f"no test matches {wanted}; there are: {' '.join(test.__name__ for test in (*tests, *later))}")
        return 2
    stop_on_signals()
    signal.alarm(seconds)
    failed = []
    for test in chosen:
        title = (test.__doc__ or test.__name__).strip().splitlines()[0]
        print(f"{test.__name__}: {title}", flush=True)
        begin = time.monotonic()
        try:
            test()
        except Stopped as stopped:
            why = f"all of it took more than {seconds} s" if stopped.number == signal.SIGALRM else "cleaned up"
            print(f"    STOPPED by {stopped} in {test.__name__}: {why}")
            if stopped.number == signal.SIGALRM:
                traceback.print_exc()
            return 128 + stopped.number
        except Exception as error:  # noqa: BLE001 - one failure does not hide the others
            failed.append(test.__name__)
            print(f"    FAIL {error}")
            if not isinstance(error, CheckFailed):
                traceback.print_exc(file=sys.stdout)
            else:
                frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name != "check"]
                print("".join(f"         {pathlib.Path(frame.filename).name}:{frame.lineno} in {frame.name}\n" for frame in frames[-3:]), end="")
        print(f"    {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} passed" + (f"; failed: {' '.join(failed)}" if failed else ""))
    return 1 if failed else 0


@contextlib.contextmanager
def daemon_logs_on_failure(lab: Lab):
    """Prints the end of every daemon's log when what is inside fails."""
    try:
        yield
    except Exception:
        for daemon in lab.daemons:
            print(f"    --- log of gw{daemon.site.letter}, its end:")
            with contextlib.suppress(OSError):
                print("".join(f"        {line}\n" for line in daemon.log_file.read_text(errors="replace").splitlines()[-25:]), end="")
        raise


@contextlib.contextmanager
def laboratory(*arguments, **more):
    """A Lab that shows its daemons' logs when a test fails in it."""
    with Lab(*arguments, **more) as lab, daemon_logs_on_failure(lab):
        yield lab

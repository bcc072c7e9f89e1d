"""strongSwan as a peer: charon from a peer root (tools/peer-root.sh), in a network namespace, carrying ESP in user space.

    swan = StrongSwan(root=os.environ["QANAT_PEER_FORKY"], netns="t1-swan", workdir="/tmp/t1/swan")
    swan.configure(Connection(local="10.99.0.2", remote="10.99.0.1", psk="secret", local_id="swan.example",
                              local_ts=["10.2.0.0/16"], remote_ts=["10.1.0.0/16"]))
    swan.start()
    swan.initiate()
    swan.list_sas()     # [{"name": "c", "state": "ESTABLISHED", "ke": ..., "children": [{...}]}]
    swan.stop()

The caller makes the namespace, its addresses and routes, and names it (with a prefix of its own); this module makes
and ends only its charon. charon has a mount namespace of its own, so that its /proc, /dev, /sys and /run vanish with it,
and it is killed when the thread that started it dies. Standard library only; needs root.

    python3 tests/interop/strongswan.py --self-check [--prefix NAME] [--all]
"""
from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from vici import Vici, ViciError  # noqa: E402

MOUNTED = "/mnt"  # where a root sees the work folder

ENTER_ROOT = f"""
root=$1 work=$2; shift 2
for dir in proc dev sys; do mount --rbind "/$dir" "$root/$dir"; done
mount -t tmpfs none "$root/run"
mount --bind "$work" "$root{MOUNTED}"
exec chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
"""


def in_root(root: str | pathlib.Path, netns: str | None, workdir: str | pathlib.Path, command: Sequence[str]) -> list[str]:
    """The argument list that runs a command in a peer root, in a namespace (None: ours); workdir is /mnt in it.

    For strongSwan's tools and for the root's tshark. The process keeps its pid, and its mounts end with it.
    """
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", ENTER_ROOT, "sh", str(root), str(workdir), *command]
    if netns is not None:
        enter = ["ip", "netns", "exec", netns, *enter]
    return ["setpriv", "--pdeathsig", "KILL", *enter]


@dataclasses.dataclass
class Connection:
    """One swanctl connection with one child, both named; extra settings go verbatim into their section.

    auth and remote_auth are "psk" or swanctl's words for signatures ("pubkey", "rsa/pss-sha256", "ed25519"); then the
    certificates come from give(). ppk is the secret (RFC 8784) of extra = {"ppk_id": ...}. more_children are further
    children by name, each with its settings.
    """

    local: str | Sequence[str]
    remote: str | Sequence[str]
    psk: str
    local_ts: Sequence[str]
    remote_ts: Sequence[str]
    local_id: str | None = None
    remote_id: str | None = None
    proposals: str = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
    esp_proposals: str = "aes256gcm16"
    name: str = "c"
    child: str = "n"
    encap: bool = True  # False: native ESP, and then give StrongSwan raw_esp = True (6.1)
    mobike: bool = False
    fragmentation: str = "yes"
    dpd_delay: str = "0s"
    rekey_time: str = "0s"  # of both; 0s: only when a test asks
    start_action: str = "none"
    auth: str = "psk"
    remote_auth: str = "psk"
    cert: str | None = None  # of local: a file name in x509
    ppk: str | None = None
    more_children: dict = dataclasses.field(default_factory=dict)
    extra: dict = dataclasses.field(default_factory=dict)
    child_extra: dict = dataclasses.field(default_factory=dict)

    def sections(self) -> tuple[dict, dict]:
        """This connection, and its secrets by their kind."""
        local, remote = {"auth": self.auth}, {"auth": self.remote_auth}
        if self.cert:
            local["certs"] = self.cert
        if self.local_id:
            local["id"] = self.local_id
        if self.remote_id:
            remote["id"] = self.remote_id
        child = {"local_ts": list(self.local_ts), "remote_ts": list(self.remote_ts), "esp_proposals": self.esp_proposals,
                 "rekey_time": self.rekey_time, "start_action": self.start_action, **self.child_extra}
        connection = {"version": 2, "local_addrs": self.local, "remote_addrs": self.remote, "proposals": self.proposals,
                      "encap": self.encap, "mobike": self.mobike, "fragmentation": self.fragmentation,
                      "dpd_delay": self.dpd_delay, "rekey_time": self.rekey_time, "over_time": "0s", **self.extra,
                      "local": local, "remote": remote,
                      "children": {self.child: child, **{name: {**child, **more} for name, more in self.more_children.items()}}}
        secrets = {}
        if "psk" in (self.auth, self.remote_auth):
            secrets["ike"] = {"secret": '"' + self.psk + '"'}
            if self.remote_id and self.remote_id != "%any":
                secrets["ike"]["id-1"] = self.remote_id
        if self.ppk:
            secrets["ppk"] = {"secret": '"' + self.ppk + '"', "id-1": self.extra["ppk_id"]}
        return connection, secrets

    def covers_everything(self) -> bool:
        return any(ts in ("0.0.0.0/0", "::/0") for ts in self.remote_ts)


def render(settings: dict, indent: str = "") -> str:
    """Settings as strongSwan's configuration files spell them."""
    lines = []
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key} {{", render(value, indent + "  ") + f"{indent}}}"]
        elif isinstance(value, bool):
            lines.append(f"{indent}{key} = {'yes' if value else 'no'}")
        elif isinstance(value, (list, tuple)):
            lines.append(f"{indent}{key} = {','.join(map(str, value))}")
        else:
            lines.append(f"{indent}{key} = {value}")
    return "\n".join(lines) + "\n"


def merge(into: dict, more: dict) -> dict:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


class StrongSwan:
    def __init__(self, root: str, netns: str, workdir: str, version: str | None = None):
        self.root, self.netns = pathlib.Path(root), netns
        self.workdir = pathlib.Path(workdir).resolve()
        self.workdir.mkdir(parents=True, exist_ok=True)
        packages = dict(line.split() for line in (self.root / "qanat-root.txt").read_text().splitlines())
        self.version = version or re.match(r"[0-9.]+", packages["strongswan-charon"])[0]
        self.connections: list[Connection] = []
        self._process: subprocess.Popen | None = None

    @property
    def has_mlkem(self) -> bool:
        return [int(part) for part in self.version.split(".")] >= [6, 1]

    # --- before and at the start

    def configure(self, *connections: Connection, raw_esp: bool = False, allow_peer_ts: bool | None = None,
                  log_levels: dict | None = None, charon: dict | None = None) -> None:
        """Writes both configuration files; charon's own settings in `charon` are merged last.

        allow_peer_ts lets the peer's selectors contain the tunnel's outer addresses; with 0.0.0.0/0 it must be off, or IKE
        loops into charon's own TUN, so that is the default there. log_levels = {"ike": 4, "chd": 4, "enc": 3} print keys.
        """
        self.connections = list(connections)
        if allow_peer_ts is None:
            allow_peer_ts = not any(c.covers_everything() for c in connections)
        libipsec: dict = {"load": 10, "allow_peer_ts": allow_peer_ts}
        if raw_esp:
            if not self.has_mlkem:
                raise ValueError(f"strongSwan {self.version} has no raw_esp: it carries ESP in UDP only")
            libipsec["raw_esp"] = True
        plugins = {"include": None, "vici": {"load": True, "socket": f"unix://{MOUNTED}/charon.vici"},
                   "kernel-libipsec": libipsec}
        plugins |= {name: {"load": False} for name in ("stroke", "bypass-lan", "dhcp", "farp", "resolve", "updown", "attr",
                                                    "forecast", "connmark", "unity")}
        levels = {"default": 1, **(log_levels or {})}
        settings = {"charon": merge({
            "load_modular": True, "plugins": plugins, "install_routes": True, "retransmit_tries": 3, "retransmit_timeout": 2,
            "filelog": {"f": {"path": f"{MOUNTED}/charon.log", "flush_line": True, "time_format": "%H:%M:%S", **levels}},
        }, charon or {}), "swanctl": {"socket": f"unix://{MOUNTED}/charon.vici"}}
        text = render(settings).replace("include = None", "include /etc/strongswan.d/charon/*.conf")
        (self.workdir / "strongswan.conf").write_text(text)
        self._write_swanctl()

    def _write_swanctl(self) -> None:
        conns, secrets = {}, {}
        for number, connection in enumerate(self.connections, 1):
            conns[connection.name], of_this = connection.sections()
            secrets |= {f"{kind}-{number}": secret for kind, secret in of_this.items()}
        file = self.workdir / "swanctl.conf"
        file.write_text(render({"connections": conns, "secrets": secrets}))
        file.chmod(0o600)

    def give(self, kind: str, file: str | pathlib.Path) -> str:
        """Puts a file where swanctl finds it (kind: x509, x509ca, x509crl, private); its name there."""
        folder = self.workdir / kind
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
        return pathlib.Path(file).name

    def start(self, timeout: float = 20.0) -> None:
        """Starts charon, waits for its control socket and loads the connections."""
        assert self._process is None, "charon runs already"
        (self.workdir / "charon.vici").unlink(missing_ok=True)
        output = (self.workdir / "charon.out").open("ab")
        self._process = subprocess.Popen(
            in_root(self.root, self.netns, self.workdir,
                    ["STRONGSWAN_CONF=" + MOUNTED + "/strongswan.conf", "/usr/lib/ipsec/charon"]),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        output.close()
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self._vici(5) as vici:
                    vici.request("version")
                break
            except (OSError, ViciError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    text = self.log()[-3000:] or (self.workdir / "charon.out").read_text()[-3000:]
                    self.stop()
                    raise RuntimeError(f"charon {self.version} did not start in {timeout:.0f} s:\n{text}") from None
                time.sleep(0.05)
        self.load()

    def load(self) -> str:
        """Loads (or loads again) what configure() wrote; RuntimeError with swanctl's words when it refuses any of it."""
        done = self.swanctl("--load-all", "--noprompt", "--clear", "--file", MOUNTED + "/swanctl.conf")
        if done.returncode != 0 or "loading connection" in done.stderr:
            words = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(("opening directory", "no "))]
            raise RuntimeError("swanctl --load-all: " + "\n".join(words))
        return done.stdout

    def swanctl(self, *args: str, timeout: float = 60.0) -> subprocess.CompletedProcess:
        """Runs swanctl beside charon, in its namespaces; for what has no method here."""
        command = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--root", "--wdns=/", "env",
                   f"STRONGSWAN_CONF={MOUNTED}/strongswan.conf", f"SWANCTL_DIR={MOUNTED}", "LC_ALL=C.UTF-8", "swanctl", *args]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    @property
    def pid(self) -> int:
        assert self._process is not None, "charon does not run"
        return self._process.pid

    # --- while it runs

    def initiate(self, child: str | None = None, timeout: float = 30.0) -> str:
        """Brings a child up (the first one by default); returns charon's log of it. ViciError with that log on failure."""
        return self._controlled("initiate", {"child": child or self.connections[0].child}, timeout)

    def terminate(self, ike: str | None = None, child: str | None = None, timeout: float = 30.0) -> str:
        what = {"child": child} if child else {"ike": ike or self.connections[0].name}
        return self._controlled("terminate", what, timeout)

    def rekey(self, ike: str | None = None, child: str | None = None, reauth: bool = False) -> int:
        """Asks for a rekey of an IKE SA or a Child SA by name, without waiting for it; how many match."""
        what = {"ike": ike or self.connections[0].name, "reauth": "yes" if reauth else "no"}
        if child:  # by number: those that were rekeyed lately have its name, too
            installed = [c["uniqueid"] for sa in self.list_sas() for c in sa["children"] if (c["name"], c["state"]) == (child, "INSTALLED")]
            if len(installed) != 1:
                return len(installed)
            what = {"child-id": installed[0]}
        with self._vici() as vici:
            reply = vici.request("rekey", what)
        return int(reply.get("matches", 0))

    def list_sas(self) -> list[dict]:
        """Every IKE SA as a dict, in VICI's words with ours added: name, ke (all key exchanges), children (a list).

        A rekeyed child stays in the list for 5 s (charon.delete_rekeyed_delay).
        """
        with self._vici() as vici:
            events, _ = vici.stream("list-sas", "list-sa")
        found = []
        for event in events:
            for name, sa in event.items():
                exchanges = [sa.get("dh-group", "")] + [sa[f"ake{n}"] for n in range(1, 8) if f"ake{n}" in sa]
                sa["name"], sa["ke"] = name, "+".join(exchanges)
                sa["children"] = [{"key": key, **child} for key, child in sa.pop("child-sas", {}).items()]
                found.append(sa)
        return found

    def wait_for(self, condition, what: str, timeout: float = 15.0) -> list[dict]:
        """Waits until condition(list_sas()) holds."""
        deadline = time.monotonic() + timeout
        while True:
            sas = self.list_sas()
            if condition(sas):
                return sas
            if time.monotonic() > deadline:
                raise TimeoutError(f"strongSwan: {what} did not happen in {timeout:.0f} s; its SAs: {sas}\n{self.log()[-2000:]}")
            time.sleep(0.05)

    def wait_established(self, timeout: float = 15.0) -> list[dict]:
        return self.wait_for(lambda sas: any(sa["state"] == "ESTABLISHED" and any(c["state"] == "INSTALLED" for c in sa["children"])
                                             for sa in sas), "an established tunnel", timeout)

    def log(self) -> str:
        file = self.workdir / "charon.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def command(self, *args: str) -> list[str]:
        """The argument list that runs a tool of the root in charon's network namespace."""
        return in_root(self.root, self.netns, self.workdir, args)

    # --- the end

    def stop(self, timeout: float = 10.0) -> int | None:
        """Ends charon, which says goodbye to its peers; its exit status, None when it did not run."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """Ends charon without a word, as a crash would."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()

    def __enter__(self) -> StrongSwan:
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _vici(self, timeout: float = 30.0) -> Vici:
        return Vici(str(self.workdir / "charon.vici"), timeout)

    def _controlled(self, command: str, what: dict, timeout: float) -> str:
        with self._vici(timeout + 5) as vici:
            lines, reply = vici.stream(command, "control-log", {**what, "timeout": int(timeout * 1000), "loglevel": 1})
        log = "\n".join(f"[{line.get('group')}] {line.get('msg')}" for line in lines)
        if reply.get("success") != "yes":
            raise ViciError(f"{command} {what}: {reply.get('errmsg', 'failed')}\n{log}")
        return log


# --- self-check: two strongSwans, a tunnel, traffic through it ----------------------------------------------------------

RECEIVER = """
import hashlib, socket, sys
s = socket.create_server((sys.argv[1], 9), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.settimeout(20); print("ready", flush=True)
c, _ = s.accept(); h = hashlib.sha256(); n = 0
while d := c.recv(65536): h.update(d); n += len(d)
print(n, h.hexdigest())
"""
SENDER = """
import hashlib, os, socket, sys
d = os.urandom(1 << 20); c = socket.create_connection((sys.argv[2], 9), 20, (sys.argv[1], 0)); c.sendall(d); c.close()
print(len(d), hashlib.sha256(d).hexdigest())
"""


def _ip(*args: str, netns: str | None = None) -> None:
    subprocess.run(["ip", *(["-n", netns] if netns else []), *args], check=True)


def _transfer(source: tuple[str, str], target: tuple[str, str]) -> None:
    """1 MB through TCP from (namespace, address) to (namespace, address)."""
    run = ["ip", "netns", "exec"]
    with subprocess.Popen([*run, target[0], sys.executable, "-c", RECEIVER, target[1]], stdout=subprocess.PIPE, text=True) as receiver:
        try:
            assert receiver.stdout and receiver.stdout.readline() == "ready\n"
            sent = subprocess.run([*run, source[0], sys.executable, "-c", SENDER, source[1], target[1]],
                                  capture_output=True, text=True, timeout=60)
            if sent.returncode != 0:
                raise RuntimeError("the transfer failed: " + sent.stderr[-500:])
            received = receiver.communicate(timeout=30)[0]
            if received.strip() != sent.stdout.strip():
                raise RuntimeError(f"sent {sent.stdout!r}, received {received!r}")
        finally:
            receiver.kill()


def _check(roots: tuple[str, str], prefix: str, work: pathlib.Path, ike: str, esp: str, *, six: bool = False,
           native: bool = False, outer_six: bool = False) -> None:
    names = [f"{prefix}-a", f"{prefix}-b"]
    outer = ["2001:db8:99::1", "2001:db8:99::2"] if outer_six else ["10.99.0.1", "10.99.0.2"]
    inner = ["2001:db8:1::1", "2001:db8:2::1"] if six else ["10.1.0.1", "10.2.0.1"]
    nets = ["2001:db8:1::/48", "2001:db8:2::/48"] if six else ["10.1.0.0/16", "10.2.0.0/16"]
    swans: list[StrongSwan] = []
    begin = time.monotonic()
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1])
        for i, name in enumerate(names):
            _ip("link", "set", "lo", "up", netns=name)
            _ip("addr", "add", outer[i] + ("/64" if outer_six else "/24"), "dev", "wire",
                *(["nodad"] if outer_six else []), netns=name)
            _ip("link", "set", "wire", "up", netns=name)
            _ip("addr", "add", inner[i], "dev", "lo", netns=name)
            swan = StrongSwan(roots[i], name, str(work / f"{name}"))
            swans.append(swan)
            swan.configure(Connection(local=outer[i], remote=outer[1 - i], psk="0123456789abcdefghij",
                                      local_id=f"{'ab'[i]}.example.com", remote_id=f"{'ba'[i]}.example.com",
                                      local_ts=[nets[i]], remote_ts=[nets[1 - i]], proposals=ike, esp_proposals=esp,
                                      encap=not native), raw_esp=native)
            swan.start()
        swans[0].initiate()
        up = time.monotonic()
        swans[1].wait_established()
        _transfer((names[0], inner[0]), (names[1], inner[1]))
        _transfer((names[1], inner[1]), (names[0], inner[0]))
        sa = swans[0].list_sas()[0]
        child = sa["children"][0]
        assert int(child["bytes-in"]) > 1 << 20 and int(child["bytes-out"]) > 1 << 20, child
        assert swans[0].rekey(child="n") == 1 and swans[0].rekey(ike="c") == 1
        swans[0].wait_for(lambda sas: len(sas) == 1 and sas[0]["uniqueid"] != sa["uniqueid"] and
                          any(c["spi-in"] != child["spi-in"] for c in sas[0]["children"]), "the rekeys")
        _transfer((names[0], inner[0]), (names[1], inner[1]))
        swans[0].terminate()
        print(f"ok   {swans[0].version} - {swans[1].version}  {sa['ke']} {child['encr-alg']}"
              f"{'-' + child['integ-alg'] if 'integ-alg' in child else ''} {'UDP' if child.get('encap') == 'yes' else 'native'}"
              f" IPv{'6' if six else '4'} in IPv{'6' if outer_six else '4'}  ({up - begin:.1f} s to up, {time.monotonic() - begin:.1f} s)")
    except BaseException:
        for swan in swans:
            print(f"--- {swan.netns}:\n{swan.log()[-3500:]}", file=sys.stderr)
        raise
    finally:
        for swan in swans:
            swan.stop()
        for name in names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def _cached_root(peer: str) -> str:
    tool = pathlib.Path(__file__).resolve().parents[2] / "tools" / "peer-root.sh"
    return subprocess.run([tool, "--check", peer], stdout=subprocess.PIPE, text=True).stdout.strip()


def main() -> int:
    import argparse
    import os
    import tempfile
    parser = argparse.ArgumentParser(description="Two strongSwans in network namespaces: proves that the peers work here.")
    parser.add_argument("--self-check", action="store_true", required=True)
    parser.add_argument("--all", action="store_true", help="every ESP algorithm, IPv6 and native ESP too")
    parser.add_argument("--prefix", default=f"qs{os.getpid()}", help="the namespaces' names begin with it")
    options = parser.parse_args()
    roots = {peer: os.environ.get(f"QANAT_PEER_{peer.upper()}") or _cached_root(peer) for peer in ("forky", "bookworm")}
    missing = [peer for peer, root in roots.items() if not root]
    if os.geteuid() != 0 or missing:
        reason = "needs root, for network namespaces" if os.geteuid() != 0 else f"no peer root: make it with tools/peer-root.sh {missing[0]}"
        print(f"{'FAILED' if os.environ.get('QANAT_CI') else 'skipped'}: {reason}")
        return 1 if os.environ.get("QANAT_CI") else 77
    forky, bookworm = roots["forky"], roots["bookworm"]
    hybrid, classical = "aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes256gcm16-prfsha384-x25519"
    work = pathlib.Path(tempfile.mkdtemp(prefix="qanat-swan-"))
    try:
        _check((forky, forky), options.prefix, work, hybrid, "aes256gcm16")
        _check((forky, bookworm), options.prefix, work, classical, "aes256gcm16")
        if options.all:
            for esp in ("aes128gcm16", "chacha20poly1305", "aes256-sha256"):
                _check((forky, forky), options.prefix, work, hybrid, esp)
                _check((bookworm, forky), options.prefix, work, classical, esp)
            _check((forky, forky), options.prefix, work, hybrid, "aes256gcm16", native=True)
            _check((forky, forky), options.prefix, work, hybrid, "aes256gcm16", six=True)
            _check((forky, forky), options.prefix, work, hybrid, "aes256gcm16", outer_six=True)
            _check((forky, forky), options.prefix, work, hybrid, "aes256gcm16", six=True, outer_six=True)
            for group in ("ecp256", "ecp384"):
                for kem in ("mlkem512", "mlkem1024"):
                    _check((forky, forky), options.prefix, work, f"aes256-sha256-prfsha256-{group}-ke1_{kem}", "aes256gcm16")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The package under a real systemd: Debian 12 in a container (systemd-nspawn) is gateway a of the laboratory, and boots there.

What an operator does, in order: install, write the configuration, enable, reload, restart, stop, boot, upgrade, purge. The
units' own fences (seccomp, namespaces, capabilities, devices) are those of the package, put up by systemd. Needs root.
"""
from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from test_deb import EXPOSURE, ROOT, packed  # noqa: E402
from lab import SKIPPED, Lab, check, laboratory, main, say  # noqa: E402
from processes import run  # noqa: E402
from traffic import SteadyPing, ping, ping_until_answered, wait_until  # noqa: E402

# An overlay of the root, so that it boots twice with what was installed in it.
BOOT = """
mount -t overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" none "$2/root"
exec systemd-nspawn --quiet --register=no --keep-unit --boot --directory="$2/root" --machine=qanat --hostname=gateway \
  --network-namespace-path="/run/netns/$3" --capability=CAP_NET_ADMIN,CAP_NET_RAW,CAP_IPC_LOCK --bind=/dev/net/tun \
  --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" --bind-ro="$2/files:/mnt" --resolv-conf=off --timezone=off --link-journal=no
"""


class Machine:
    """The container: boot(), halt(), and commands in it."""

    def __init__(self, lab: Lab, root: str, deb: pathlib.Path):
        self.netns, self.base = lab["a"].gw, root
        self.dir = lab.dir / "machine"
        for name in ("up", "work", "root", "files"):
            (self.dir / name).mkdir(parents=True)
        shutil.copy(deb, self.dir / "files" / "qanat.deb")
        self.process: subprocess.Popen | None = None

    def boot(self) -> None:
        self.console = (self.dir / "console").open("ab")
        environment = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec", BOOT, "sh", self.base, str(self.dir), self.netns],
                                        stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console, env=environment, start_new_session=True)
        self.leader = wait_until(self._leader, "systemd is process 1 of the container", 20)
        try:
            self("rm -f /usr/sbin/policy-rc.d")  # of the root's making: packages start nothing
            wait_until(lambda: self("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"), "it has booted", 60)
        except TimeoutError:
            print((self.dir / "console").read_text(errors="replace")[-3000:])
            raise

    def _leader(self) -> int | None:
        if self.process.poll() is not None:
            raise RuntimeError("systemd-nspawn has ended: " + (self.dir / "console").read_text(errors="replace")[-2000:])
        for child in run("pgrep", "-P", str(self.process.pid), check=False).stdout.split():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/ns/pid") != os.readlink("/proc/self/ns/pid") and "systemd" in pathlib.Path(f"/proc/{child}/comm").read_text():
                    return int(child)
        return None

    def halt(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)  # nspawn asks systemd to power off
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.console.close()
        self.process = None

    def __call__(self, script: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess:
        """Runs a shell script in it."""
        return run("nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--",
                   "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", script,
                   check=check, timeout=timeout)

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        run("nsenter", "--target", str(self.leader), "--mount", "--pid", "--", "sh", "-ec", f"umask 077; cat >{path}; chmod {mode} {path}", input=text)

    def show(self, unit: str, name: str) -> str:
        return self(f"systemctl show -P {name} {unit}").stdout.strip()

    def journal(self, since: str = "") -> list[str]:
        return self(f"journalctl -u qanatd -u qanat-blackhole -o cat --no-pager {since}").stdout.splitlines()

    def wait_up(self, seconds: float = 30) -> None:
        def up() -> bool:
            done = self("qanat status --json", check=False)
            return done.returncode == 0 and all(t["actual"] == "up" for t in json.loads(done.stdout)["tunnels"])
        wait_until(up, "its tunnel is up", seconds)


def peer_root() -> str:
    tool = ROOT / "tools" / "peer-root.sh"
    return os.environ.get("QANAT_PEER_SYSTEMD") or subprocess.run([tool, "--check", "systemd"], stdout=subprocess.PIPE, text=True).stdout.strip()


@contextlib.contextmanager
def machine() -> Iterator[tuple[Lab, Machine]]:
    with laboratory() as lab, packed() as folder:
        lab.configure("b", [lab.tunnel("b", "a", start="respond", dpd={"idle": 1, "timeout": 3})])
        made = Machine(lab, peer_root(), folder / "qanat.deb")
        try:
            made.boot()
            yield lab, made
        except Exception:
            if made.process is not None and made.process.poll() is None:
                say("\n".join(made("journalctl --no-pager -o short-monotonic -n 60; systemctl --no-pager --failed", check=False).stdout.splitlines()))
            raise
        finally:
            made.halt()


def config(lab: Lab, **tunnel) -> str:
    path = pathlib.Path(lab.configure("a", [lab.tunnel("a", "b", psk_file="b.psk", **tunnel)], control_socket="/run/qanat/qanat.sock", state_dir="/var/lib/qanat"))
    return path.read_text()


def complaints(lines: list[str]) -> list[str]:
    """What a journal of a gateway that is well has not: refusals, faults, warnings of the daemon's and of systemd's about the unit."""
    pattern = r"warning|error|denied|not permitted|seccomp|SIGSYS|core-dump|Failed|unknown lvalue|ignoring"
    found = [line for line in lines if re.search(pattern, line, re.I)]
    # A host that may not raise limits itself cannot give its container LimitMEMLOCK=infinity.
    capabilities = int(re.search(r"^CapEff:\s+(\w+)", pathlib.Path("/proc/self/status").read_text(), re.M)[1], 16)
    return [line for line in found if "memory-not-locked" not in line or capabilities >> 24 & 1]


def life() -> None:
    """install, enable, reload, restart, crash, stop, boot, upgrade, purge"""
    with machine() as (lab, a):
        site, target = lab["a"].site, lab["b"].host4
        say(a("systemctl --version | head -n 1").stdout.strip())
        done = a("dpkg -i /mnt/qanat.deb 2>&1")
        check("not started: write /etc/qanat/qanat.toml" in done.stdout, "dpkg -i says what to do next")
        check(a("systemctl is-active qanatd qanat-blackhole", check=False).stdout.split() == ["inactive"] * 2, "and starts nothing")
        a("systemctl start qanatd")
        check(a.show("qanatd", "ActiveState") == "inactive" and a.show("qanatd", "ConditionResult") == "no", "without a configuration the unit is passed over, and does not fail")

        b = lab.start("b")
        a.write("/etc/qanat/b.psk", lab.psk + "\n", "0600")
        a.write("/etc/qanat/qanat.toml", config(lab))
        say(a("qanat check /etc/qanat/qanat.toml").stdout.strip())
        a("systemctl enable --now qanat-blackhole qanatd 2>&1")
        a.wait_up()
        b.wait_up()
        check(ping_until_answered(site, target).received, "systemctl enable --now: the tunnel is up, and carries")
        journal = a.journal()
        bad = complaints(journal)
        check(any("tunnel-up" in line for line in journal) and not bad, f"the journal tells of it, and complains of nothing {bad}")
        status = a("cat /proc/$(systemctl show -P MainPID qanatd)/status").stdout
        check(re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M),
              "the daemon has no capability, and both seccomp lists")
        check(a("stat -c '%U %a' /var/lib/qanat /var/lib/qanat/posture.db").stdout.split()[:2] == ["qanat", "700"] and
              a("stat -c %U /var/lib/qanat/posture.db").stdout.strip() == "qanat", "the ledger is in /var/lib/qanat, and the daemon's own")
        for unit, most in EXPOSURE.items():
            line = a(f"systemd-analyze security --no-pager {unit} | tail -n 1").stdout.strip()
            level = re.search(r": ([0-9.]+)", line)
            check(level and float(level[1]) * 10 <= most, line)

        with SteadyPing(site, target) as steady:
            a.write("/etc/qanat/qanat.toml", config(lab, health={"rate": "high"}))
            a("systemctl reload qanatd")
            wait_until(lambda: any("reloaded" in line for line in a.journal()), "systemctl reload applies it")
            lost = steady.stop()
        check(lost.lost == 0 and a.show("qanatd", "ActiveState") == "active", f"and loses nothing: {lost}")
        a.write("/etc/qanat/qanat.toml", "[gateway\n")
        a("systemctl reload qanatd")
        wait_until(lambda: any("reload-refused" in line for line in a.journal()), "a file with a fault is refused")
        check(a.show("qanatd", "ActiveState") == "active" and ping(site, target, count=2).lost == 0, "and changes nothing")
        a.write("/etc/qanat/qanat.toml", config(lab))

        a("systemctl restart qanatd")
        a.wait_up()
        check(ping_until_answered(site, target).received, "systemctl restart: it carries again")
        before = a.show("qanatd", "MainPID")
        a("kill -9 $(systemctl show -P MainPID qanatd)")
        wait_until(lambda: a.show("qanatd", "MainPID") not in ("0", before), "killed: systemd starts it again")
        a.wait_up()
        check(ping_until_answered(site, target).received, "and it carries again")

        with lab.capture() as capture:
            begin = time.monotonic()
            a("systemctl stop qanatd")
            took = time.monotonic() - begin
            check(a.show("qanatd", "Result") == "success" and took < 8, f"systemctl stop: it ends in order, in {took:.1f} s")
            check(ping(site, target, count=3, wait=0.5).received == 0 and capture.report().leaks == 0, "and its prefixes stay inside")
            check(a("pgrep -c qanat", check=False).stdout.strip() == "0", "nothing of it runs any more")

        a("qanatd --purge -c /etc/qanat/qanat.toml; systemctl disable qanatd 2>&1")
        a.halt()
        check(not any(lab.protection("a").values()), "purged, and halted: nothing of ours is in the kernel")
        a.boot()
        boot = {unit: int(a.show(unit, "ActiveEnterTimestampMonotonic")) for unit in ("qanat-blackhole.service", "network-pre.target", "network.target")}
        check(0 < boot["qanat-blackhole.service"] <= boot["network-pre.target"], f"at boot the barrier stands before any interface is set up: {boot}")
        with lab.capture() as capture:
            check(ping(site, target, count=3, wait=0.5).received == 0 and capture.report().leaks == 0, "without the daemon nothing leaves in the clear")
        a("systemctl enable --now qanatd 2>&1")
        a.wait_up()
        check(ping_until_answered(site, target).received, "and with it the tunnel carries")
        after = complaints(a.journal("-b"))
        check(not after, f"the journal of this boot complains of nothing {after}")

        before = a.show("qanatd", "MainPID")
        a("dpkg -i /mnt/qanat.deb 2>&1")
        check(a.show("qanatd", "MainPID") not in ("0", before), "an upgrade restarts what runs")
        a.wait_up()
        done = a("dpkg -P qanat 2>&1")
        check("stay until the next boot" in done.stdout, "purging the package says what stays")
        check(a("ls -d /var/lib/qanat", check=False).returncode != 0 and a("pgrep -c qanat", check=False).stdout.strip() == "0", "the daemon and its state are gone")
        check(a("systemctl is-system-running", check=False).stdout.strip() == "running", "and no unit has failed")


def why_not() -> str | None:
    if shutil.which("systemd-nspawn") is None:
        return "there is no systemd-nspawn: apt-get install systemd-container"
    return None if peer_root() else "no root with systemd: make it with tools/peer-root.sh systemd"


if __name__ == "__main__":
    if reason := why_not():
        print(f"{'FAILED' if os.environ.get('QANAT_CI') else 'skipped'}: {reason}")
        sys.exit(1 if os.environ.get("QANAT_CI") else SKIPPED)
    sys.exit(main([life], 230))

"""The Debian package: what is in it, what lintian and systemd say of it, and what it does when it is installed.

It is installed by dpkg into an overlay of this system, in a mount namespace of its own: its scripts run, its dependencies
are judged, and nothing of it is left. Needs root.
"""
from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "netns"))
from lab import Qanatd, build_dir, check, laboratory, main, say  # noqa: E402
from processes import run  # noqa: E402
from traffic import ping_until_answered  # noqa: E402

FILES = {"usr/sbin/qanatd", "usr/bin/qanat", "lib/systemd/system/qanatd.service", "lib/systemd/system/qanat-blackhole.service",
         "usr/lib/sysusers.d/qanat.conf", "usr/lib/tmpfiles.d/qanat.conf", "etc/qanat/qanat.toml.example", "usr/share/man/man1/qanat.1.gz",
         "usr/share/man/man8/qanatd.8.gz", "usr/share/man/man5/qanat.toml.5.gz", "usr/share/bash-completion/completions/qanat",
         "usr/share/zsh/vendor-completions/_qanat", "usr/share/qanat/grafana/qanat.json", "usr/share/doc/qanat/copyright",
         "usr/share/doc/qanat/changelog.gz", "usr/share/doc/qanat/config.md", "usr/share/lintian/overrides/qanat"}
EXPOSURE = {"qanatd.service": 35, "qanat-blackhole.service": 30}  # of systemd-analyze security, in tenths; less is better
# Under an overlay of /: PROGRAM and its arguments, in a chroot with /proc, /dev and the folder of the test as /mnt.
ENTER = """
work=$1; shift
mount -t tmpfs -o mode=0755 none "$work/over"
mkdir "$work/over/up" "$work/over/do" "$work/over/root"
mount -t overlay -o "lowerdir=/,upperdir=$work/over/up,workdir=$work/over/do" none "$work/over/root"
mount --rbind /proc "$work/over/root/proc"
mount --rbind /dev "$work/over/root/dev"
mount -t tmpfs none "$work/over/root/run"
mount --bind "$work" "$work/over/root/mnt"
exec chroot "$work/over/root" sh -c "$1"
"""


@contextlib.contextmanager
def packed() -> Iterator[pathlib.Path]:
    """A folder with qanat.deb of this build in it."""
    with tempfile.TemporaryDirectory(prefix="qanat-package-") as name:
        folder = pathlib.Path(name)
        version = re.search(r"^CMAKE_PROJECT_VERSION:STATIC=(.*)$", (build_dir() / "CMakeCache.txt").read_text(), re.M)[1]
        run(sys.executable, str(ROOT / "tools" / "package_files.py"), "--bin", str(build_dir() / "bin"), "--version", version,
            "--out", str(build_dir() / "package"))
        run("cpack", "-G", "DEB", "--config", str(build_dir() / "CPackConfig.cmake"), "-B", str(folder / "cpack"), cwd=str(folder), timeout=120)
        shutil.move(next((folder / "cpack").glob("*.deb")), folder / "qanat.deb")
        shutil.rmtree(folder / "cpack")
        (folder / "over").mkdir()
        yield folder


def installed(folder: pathlib.Path, script: str) -> subprocess.CompletedProcess:
    """Runs a shell script in an overlay of this system, after dpkg -i. Every call begins anew."""
    return run("unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", ENTER, "sh", str(folder),
               f"set -e; export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8; dpkg --no-triggers -i /mnt/qanat.deb >/mnt/dpkg.log 2>&1\n{script}",
               timeout=120, check=False)


def contents() -> None:
    """the package has its files, with root as owner, and depends on what the programs are linked with"""
    with packed() as folder:
        deb = str(folder / "qanat.deb")
        listed = [line.split() for line in run("dpkg-deb", "--contents", deb).stdout.splitlines()]
        files = {words[5].removeprefix("./") for words in listed if not words[0].startswith("d")}
        check(not FILES - files, f"{len(files)} files{': lacks ' + ', '.join(FILES - files) if FILES - files else ''}")
        check(not any("usr/local" in words[5] for words in listed), "nothing in /usr/local, which is the operator's")
        check(all(words[1] == "root/root" for words in listed), "all of them are root's")
        loose = [words[5] for words in listed if "w" in words[0][4:] and not words[0].startswith("l")]
        check(not loose, f"nobody else may write to any of them {loose or ''}")
        control = folder / "control"
        run("dpkg-deb", "--control", deb, str(control))
        check((control / "conffiles").read_text() == "/etc/qanat/qanat.toml.example\n", "the example is a conffile")
        depends = re.search(r"^Depends: (.*)$", (control / "control").read_text(), re.M)[1]
        say(f"Depends: {depends}")
        check("libc6" in depends and "nftables" in depends and "libsqlite3-0" in depends, "it depends on libraries, and on nft")
        check("libssl" not in depends or not os.environ.get("QANAT_OPENSSL_ROOT"), "a private OpenSSL is no dependency")
        run("dpkg-deb", "--extract", deb, str(folder / "tree"))
        for program in ("usr/sbin/qanatd", "usr/bin/qanat"):
            linked = run("ldd", str(folder / "tree" / program)).stdout
            check("not found" not in linked, f"{program} finds all its libraries")
            check(run("file", str(folder / "tree" / program), check=False).stdout.count("not stripped") == 0, f"{program} is stripped")


def installation() -> None:
    """dpkg -i: user, folders, programs that run, pages that show, and nothing that starts by itself"""
    with packed() as folder:
        done = installed(folder, r"""
            cat /mnt/dpkg.log
            getent passwd qanat
            stat -c '%a %U' /var/lib/qanat
            qanatd --version
            qanat version | head -n 1
            ls /etc/qanat
            cd /etc/qanat
            qanat genpsk -o berlin.psk
            printf '[gateway]\naddress = "203.0.113.1"\n[[tunnel]]\nname = "berlin"\npeer = "198.51.100.7"\npsk_file = "berlin.psk"\nroutes = ["10.1.0.0/16"]\n' >qanat.toml
            qanat check qanat.toml
            for page in 1:qanat 8:qanatd 5:qanat.toml; do
              man -l --warnings -E UTF-8 /usr/share/man/man${page%%:*}/${page#*:}.${page%%:*}.gz 2>/mnt/man.log | head -n 4 | tail -n 1
              cat /mnt/man.log
            done
            bash -c '. /usr/share/bash-completion/completions/qanat; COMP_WORDS=(qanat pos); COMP_CWORD=1; _qanat; echo completes ${COMPREPLY[*]}'
            """)
        for line in done.stdout.splitlines():
            say(line)
        check(done.returncode == 0, f"installed, and used{': ' + done.stderr if done.returncode else ''}")
        out = done.stdout
        check("not started: write /etc/qanat/qanat.toml" in out, "it says what to do next, and starts nothing")
        check(re.search(r"^qanat:.*:/(usr/sbin/nologin|sbin/nologin)$", out, re.M), "the user qanat is there, and cannot log in")
        check("700 qanat" in out, "/var/lib/qanat is for that user alone")
        check("is fine: 1 tunnel" in out and "completes posture" in out, "qanat check, and completion")
        for title in ("qanat - ", "qanatd - ", "qanat.toml - "):
            check(re.search(rf"^ *{re.escape(title)}", out, re.M), f"a manual page: {title}")
        check("warning:" not in out, "the pages have no faults")


def removal() -> None:
    """dpkg -r leaves what an operator wrote, dpkg -P nothing of ours"""
    with packed() as folder:
        done = installed(folder, """
            echo 'mine = 1' >/etc/qanat/qanat.toml
            dpkg --no-triggers -i /mnt/qanat.deb >/dev/null
            dpkg --no-triggers -r qanat >/dev/null 2>&1
            ls /etc/qanat /var/lib/qanat -d /usr/sbin/qanatd 2>&1 || true
            dpkg --no-triggers -P qanat >/dev/null 2>&1
            ls /etc/qanat/qanat.toml /etc/qanat/qanat.toml.example /var/lib/qanat 2>&1 || true
            """)
        out = done.stdout
        check(done.returncode == 0, f"an upgrade, removed, purged {done.stderr}")
        check("cannot access '/usr/sbin/qanatd'" in out and "\n/var/lib/qanat\n" in out, "removed: the state stays")
        check("cannot access '/var/lib/qanat'" in out and "cannot access '/etc/qanat/qanat.toml.example'" in out and "\n/etc/qanat/qanat.toml\n" in out,
              "purged: the state is gone, and the operator's own file stays")


def units() -> None:
    """systemd takes both units, and finds them well locked up"""
    if shutil.which("systemd-analyze") is None:
        say("skipped: there is no systemd-analyze")
        return
    with packed() as folder:
        done = installed(folder, """
            touch /etc/qanat/qanat.toml
            systemd-analyze verify --man=no --recursive-errors=no /lib/systemd/system/qanatd.service /lib/systemd/system/qanat-blackhole.service 2>&1
            for unit in qanatd qanat-blackhole; do
              systemd-analyze security --no-pager --offline=yes /lib/systemd/system/$unit.service | tail -n 1
            done
            """)
        out = done.stdout.strip()
        check(done.returncode == 0, f"systemd-analyze verify{': ' + out + done.stderr if done.returncode else ''}")
        lines = out.splitlines()
        check(len(lines) == 2, f"it has nothing to say but two levels: {out}")
        for unit, level in zip(EXPOSURE, lines, strict=True):
            found = re.search(rf"{re.escape(unit)}: ([0-9.]+)", level)
            check(found and float(found[1]) * 10 <= EXPOSURE[unit], level.strip())


def the_units_rights_are_enough() -> None:
    """a tunnel comes up between daemons that have no more rights than the unit gives"""
    unit = (ROOT / "packaging" / "qanatd.service").read_text()
    capabilities = re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M)[1].lower().split()
    umask = re.search(r"^UMask=(.*)$", unit, re.M)[1]
    with laboratory() as lab:
        lab.configure("a", [lab.tunnel("a", "b")])
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        daemons = []
        for letter in "ba":
            daemon = Qanatd(lab[letter])
            daemon.wrap = ["setpriv", "--no-new-privs", "--bounding-set", ",".join(["-all", *("+" + name.removeprefix("cap_") for name in capabilities)]),
                           "sh", "-c", f'umask {umask}; exec "$@"', "sh"]
            lab.daemons.append(daemon)
            daemon.start()
            daemons.append(daemon)
        daemons[1].wait_up()
        check(ping_until_answered(lab["a"].site, lab["b"].host4).received, "the tunnel carries")
        check((lab["a"].dir / "state" / "posture.db").exists(), "the ledger is kept")
        check([daemon.stop() for daemon in daemons] == [0, 0], "and they end with exit status 0")


def lintian() -> None:
    """lintian finds no error"""
    if shutil.which("lintian") is None:
        say("skipped: there is no lintian (apt-get install lintian)")
        return
    with packed() as folder:
        done = run("lintian", "--allow-root", "--tag-display-limit", "0", str(folder / "qanat.deb"), timeout=120, check=False)
        for line in done.stdout.splitlines():
            say(line)
        errors = [line for line in done.stdout.splitlines() if line.startswith("E:")]
        check(not errors, "no error" if not errors else "; ".join(errors))


if __name__ == "__main__":
    sys.exit(main([contents, installation, removal, units, the_units_rights_are_enough, lintian], 200))

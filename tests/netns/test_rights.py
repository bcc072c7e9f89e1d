"""What /proc says of qanatd and its helper while a tunnel is up: no rights, no cores, no secrets where they do not belong."""
from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import stat
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Qanatd, binary, check, laboratory, main, pids_of_qanat, run, say  # noqa: E402
from traffic import ping, wait_until  # noqa: E402

DAC_READ_SEARCH, NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 1 << 2, 1 << 10, 1 << 12, 1 << 13
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def proc_status(pid: int) -> dict[str, str]:
    return dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def caps(status: dict[str, str], name: str) -> int:
    return int(status[name].strip(), 16)


def ids(status: dict[str, str], name: str) -> list[int]:
    return [int(word) for word in status[name].split()]


def core_limits(pid: int) -> list[str]:
    line = next(line for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max core file size"))
    return line.split()[4:6]


def helper_of(daemon: Qanatd, name: str = "qanat-netd") -> int:
    others = {pathlib.Path(f"/proc/{pid}/comm").read_text().strip(): pid for pid in pids_of_qanat(daemon.site.gw) if pid != daemon.pid}
    check(set(others) == {"qanat-netd", "qanat-conf"}, f"qanatd is {daemon.pid}, beside it {others}")
    return others[name]


def the_daemon_has_no_rights() -> None:
    """qanatd: another user, no capability, no new rights, a system call filter, in every thread"""
    with laboratory() as lab:
        a, _ = lab.pair()
        for task in sorted(os.listdir(f"/proc/{a.pid}/task")):
            status = proc_status(int(task))
            name = status["Name"].strip()
            check(0 not in ids(status, "Uid") + ids(status, "Gid") and not status["Groups"].split(),
                  f"thread {name}: uid {ids(status, 'Uid')[0]}, gid {ids(status, 'Gid')[0]}, no further group")
            held = {key: caps(status, key) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
            check(not any(held.values()), f"thread {name}: {', '.join(f'{key} {value:x}' for key, value in held.items())}")
            check(status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2", f"thread {name}: NoNewPrivs 1, Seccomp 2 (a filter)")


def the_helper_has_three() -> None:
    """the helper: NET_ADMIN, NET_RAW and NET_BIND_SERVICE and nothing else; it listens to nobody"""
    with laboratory() as lab:
        a, _ = lab.pair()
        pid = helper_of(a)
        status = proc_status(pid)
        held = {key: caps(status, key) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        allowed = NET_ADMIN | NET_RAW | NET_BIND_SERVICE
        check(all(value & ~allowed == 0 for value in held.values()), f"helper: {', '.join(f'{key} {value:x}' for key, value in held.items())}")
        check(held["CapEff"] & NET_ADMIN, "helper: it has NET_ADMIN, which it is there for")
        check(0 not in ids(status, "Uid"), f"helper: uid {ids(status, 'Uid')[0]}")
        check(status["NoNewPrivs"].strip() == "1", "helper: NoNewPrivs 1")
        check(core_limits(pid) == ["0", "0"], "helper: no core")
        sockets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        listening = run("ss", "-N", lab["a"].gw, "-Hlntup").stdout if os.path.exists("/usr/bin/ss") or os.path.exists("/bin/ss") else ""
        check(f"pid={pid}," not in listening, f"helper: no port is open in it ({len(sockets)} descriptors)")


def the_reader_may_only_read() -> None:
    """qanat-conf: it reads files of root for a reload, and has no other right"""
    with laboratory() as lab:
        a, _ = lab.pair()
        pid = helper_of(a, "qanat-conf")
        status = proc_status(pid)
        held = {key: caps(status, key) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        check(all(value & ~DAC_READ_SEARCH == 0 for value in held.values()), f"reader: {', '.join(f'{key} {value:x}' for key, value in held.items())}")
        check(0 not in ids(status, "Uid"), f"reader: uid {ids(status, 'Uid')[0]}")
        check(status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2", "reader: NoNewPrivs 1, Seccomp 2 (a filter)")
        check(core_limits(pid) == ["0", "0"], "reader: no core")


def nothing_can_look_inside() -> None:
    """no core dump, and no process of the same user can read its memory"""
    with laboratory() as lab:
        a, _ = lab.pair()
        for name, pid in (("qanatd", a.pid), ("helper", helper_of(a)), ("reader", helper_of(a, "qanat-conf"))):
            check(core_limits(pid) == ["0", "0"], f"{name}: core limit 0, soft and hard")
            owner = os.stat(f"/proc/{pid}/mem").st_uid
            check(owner == 0, f"{name}: /proc/PID belongs to root, so it is not dumpable")
        uid = ids(proc_status(a.pid), "Uid")[0]
        refused = in_child_as(uid, a.pid)
        check(refused == {"mem": False, "ptrace": False, "environ": False},
              f"a process of its own user (uid {uid}) can read neither memory nor environment, nor trace it")
        before = set(os.listdir(lab["a"].dir))
        pid = a.pid
        os.kill(pid, signal.SIGSEGV)
        a.process.wait(20)
        a.process = None
        wait_until(lambda: not pids_of_qanat(lab["a"].gw), "the helper ends too")
        after = set(os.listdir(lab["a"].dir)) | set(os.listdir("."))
        check(not [name for name in after - before if "core" in name.lower() and name not in os.listdir(pathlib.Path(__file__).parent)],
              "SIGSEGV: it ends, and leaves no core")


def in_child_as(uid: int, pid: int) -> dict[str, bool]:
    """What a process of another user id can do to `pid`."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        result = 0
        for bit, path in ((1, f"/proc/{pid}/mem"), (4, f"/proc/{pid}/environ")):
            try:
                with open(path, "rb") as file:
                    file.read(1)
                result |= bit
            except PermissionError:
                pass
            except OSError:
                result |= bit  # it could be opened
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
            libc.ptrace(PTRACE_DETACH, pid, None, None)
            result |= 2
        os.write(write, bytes([result]))
        os._exit(0)
    os.close(write)
    bits = os.read(read, 1)[0]
    os.close(read)
    os.waitpid(child, 0)
    return {"mem": bool(bits & 1), "ptrace": bool(bits & 2), "environ": bool(bits & 4)}


def secrets_stay_inside() -> None:
    """the pre-shared key is in no log, no status and no error, also at the most talkative level"""
    with laboratory() as lab:
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("a", [lab.tunnel("a", "b")])
        b = lab.start("b", "--log-level", "debug")
        a = lab.start("a", "--log-level", "debug")
        a.wait_up()
        ping(lab["a"].site, lab["b"].host4, count=3)
        forms = [lab.psk, lab.psk[6:], lab.psk.encode().hex()]
        for daemon in (a, b):
            texts = {"the log": daemon.log(), "qanat status": daemon.cli("status").stdout, "qanat status --json": daemon.cli("status", "--json").stdout,
                     "a tunnel's page": daemon.cli("status", daemon.tunnel()["name"]).stdout,
                     "the command line": pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_text(),
                     "the environment": pathlib.Path(f"/proc/{daemon.pid}/environ").read_text(errors="replace")}
            for what, text in texts.items():
                check(not any(form in text for form in forms), f"gw{daemon.site.letter}: not in {what} ({len(text)} characters)")
        broken = lab.configure("a", [lab.tunnel("a", "b", psk=lab.psk, psk_file=None, mtu="x")], name="broken.toml")
        done = run(binary("qanat"), "check", broken, check=False)
        check(done.returncode == 1 and not any(form in done.stdout + done.stderr for form in forms),
              "not in the complaints about a configuration that holds it")


def the_control_socket_is_private() -> None:
    """the control socket is for root, the daemon's user and the control group alone"""
    with laboratory() as lab:
        a, _ = lab.pair()
        path = lab["a"].dir / "qanat.sock"
        info = path.stat()
        check(stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) & 0o007 == 0,
              f"mode {stat.S_IMODE(info.st_mode):o}, uid {info.st_uid}, gid {info.st_gid}")
        other = 61234  # nobody has this id
        tool = run("setpriv", "--reuid", str(other), "--regid", str(other), "--clear-groups",
                   binary("qanat"), "--socket", str(path), "status", check=False)
        if tool.returncode in (126, 127) and "socket" not in tool.stderr:
            say(f"uid {other} cannot run {binary('qanat')} here: asking the kernel instead")
            check(not can_connect(other, path), f"uid {other} may not connect")
        else:
            check(tool.returncode == 3 and "may not use" in tool.stderr,
                  f"uid {other} gets exit status 3: {tool.stderr.strip().splitlines()[0] if tool.stderr else ''}")
        check(a.cli("status").returncode == 0, "root may")
        check(a.stop() == 0, "stopped, exit status 0")


def can_connect(uid: int, path: pathlib.Path) -> bool:
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    return run("setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "/usr/bin/python3", "-c", code, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main([the_daemon_has_no_rights, the_helper_has_three, the_reader_may_only_read, nothing_can_look_inside, secrets_stay_inside,
                   the_control_socket_is_private], seconds=100))

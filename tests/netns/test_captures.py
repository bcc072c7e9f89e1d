"""Captures: real packets of a tunnel by the API and by the command, read with tshark; filters, bounds, tenants, kill -9, readers that go."""
from __future__ import annotations

import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Qanatd, binary, check, laboratory, main, say  # noqa: E402
from test_api import in_gateway, make_certificate  # noqa: E402
from test_vrf import INSIDE, OFFICE, accounts, far_site  # noqa: E402
from traffic import ping, wait_until  # noqa: E402

CAPTURES = "/client/v4/accounts/{}/pcaps"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def begin(daemon: Qanatd, method: str, path: str, body: dict | None = None) -> tuple[UnixConnection, http.client.HTTPResponse]:
    line = UnixConnection(str(daemon.site.dir / "qanat.sock"))
    line.request(method, path, json.dumps(body) if body is not None else None)
    return line, line.getresponse()


def ask(daemon: Qanatd, method: str, path: str, body: dict | None = None) -> tuple[int, bytes]:
    line, reply = begin(daemon, method, path, body)
    octets = reply.read()
    line.close()
    return reply.status, octets


def result(daemon: Qanatd, method: str, path: str, body: dict | None = None):
    status, octets = ask(daemon, method, path, body)
    assert status == 200, f"{method} {path}: {status} {octets.decode()}"
    return json.loads(octets)["result"]


def start(daemon: Qanatd, tunnel: str | None, account: str = "default", **more) -> str:
    body = {"type": "simple", "system": "magic-transit", "tunnel": tunnel, "time_limit": 60, "packet_limit": 10000, **more}
    made = result(daemon, "POST", CAPTURES.format(account), body)
    wait_until(lambda: state(daemon, made["id"], account)["status"] == "running", "the capture runs", 5)
    return f"{CAPTURES.format(account)}/{made['id']}"


def state(daemon: Qanatd, name: str, account: str = "default") -> dict:
    return result(daemon, "GET", name if name.startswith("/") else f"{CAPTURES.format(account)}/{name}")


def is_running(daemon: Qanatd) -> bool:
    return any(one["status"] == "running" for one in result(daemon, "GET", CAPTURES.format("default")))


def finish(daemon: Qanatd, path: str) -> dict:
    """Stops it, and waits for its end."""
    result(daemon, "PUT", f"{path}/stop")
    return wait_until(lambda: (one := state(daemon, path))["status"] == "success" and one, "the capture has ended", 5)


def download(daemon: Qanatd, path: str, file: pathlib.Path) -> pathlib.Path:
    status, octets = ask(daemon, "GET", f"{path}/download")
    check(status == 200, f"the download answers {status}")
    file.write_bytes(octets)
    return file


def packets(file: pathlib.Path) -> list[list[str]]:
    """Source, destination, protocol, interface, direction (1 in, 2 out), time of each."""
    fields = ["ip.src", "ip.dst", "ip.proto", "frame.interface_name", "frame.packet_flags_direction", "frame.time_epoch", "ip.len", "frame.len"]
    out = subprocess.run(["tshark", "-r", str(file), "-T", "fields", *(word for name in fields for word in ("-e", name))],
                         capture_output=True, text=True, timeout=60)
    check(out.returncode == 0, f"tshark reads {file.name} {out.stderr.strip() if out.returncode else ''}")
    return [line.split("\t") for line in out.stdout.splitlines()]


def what_a_tunnel_carries() -> None:
    """what fits the filter and nothing else, both ways, named by the tunnel, with the time of day; the counts are tshark's"""
    with laboratory() as lab:
        a, _ = lab.pair()
        name = a.tunnel()["name"]
        here, there = lab["a"].host4, lab["b"].host4
        everything = start(a, name)
        asked = start(a, name, filter_v1={"destination_address": there, "protocol": 1})
        answered = start(a, name, filter_v1={"source_address": lab["b"].net4, "destination_address": here, "protocol": 1}, snap_length=64)
        began = time.time()
        ping(lab["a"].site, there, count=25, size=700)
        counted = {kind: finish(a, path) for kind, path in (("all", everything), ("asked", asked), ("answered", answered))}
        out = packets(download(a, asked, lab.dir / "asked.pcapng"))
        check(len(out) == 25 == counted["asked"]["packets_captured"], f"{len(out)} of 25 echo requests")
        check(all(p[0] == here and p[1] == there and p[3] == name and int(p[4], 0) == 2 for p in out), f"into {name}: {out[0]}")
        check(all(began - 2 < float(p[5]) < time.time() + 2 for p in out), f"at the time of day: {out[0][5]}")
        check([float(p[5]) for p in out] == sorted(float(p[5]) for p in out), "in the order of time")
        back = packets(download(a, answered, lab.dir / "answered.pcapng"))
        check(len(back) == 25 and all(int(p[4], 0) == 1 for p in back), f"{len(back)} of 25 answers, out of the tunnel")
        check(all(int(p[6]) == 700 and int(p[7]) == 700 for p in back) and counted["answered"]["bytes_captured"] == 25 * 64,
              "64 octets of each are kept, and their whole length is told")
        both = packets(download(a, everything, lab.dir / "all.pcapng"))
        check(len(both) == counted["all"]["packets_captured"] >= 50, f"without a filter: {len(both)}")
        # What went in and what came out, as the host saw it, are in the list of everything.
        check(sum(1 for p in both if p[0] == here and p[1] == there) == 25, "the requests are among them")


def it_ends_by_itself() -> None:
    """after its time, its packets, its octets, or with its tunnel; more than the bound are refused"""
    with laboratory() as lab:
        a, _ = lab.pair()
        name = a.tunnel()["name"]
        few = start(a, name, packet_limit=7)
        small = start(a, name, byte_limit=2000, filter_v1={"destination_address": lab["b"].host4})
        brief = start(a, name, time_limit=2)
        ping(lab["a"].site, lab["b"].host4, count=10, size=700)
        done = [wait_until(lambda p=path: (one := state(a, p))["status"] == "success" and one, "it has ended", 8) for path in (few, small, brief)]
        check(done[0]["packets_captured"] == 7, "after 7 packets")
        check(done[1]["bytes_captured"] == 1400, f"before 2000 octets: {done[1]['bytes_captured']}")
        check(done[2]["finished_on"] >= done[2]["submitted"], "after 2 s")
        check(len(packets(download(a, few, lab.dir / "few.pcapng"))) == 7, "and tshark sees 7")
        for _ in range(4):
            start(a, name)
        status, octets = ask(a, "POST", CAPTURES.format("default"),
                             {"type": "simple", "system": "magic-transit", "tunnel": name, "time_limit": 1, "packet_limit": 1})
        check(status == 409 and b"run already" in octets, f"a fifth is refused: {octets.decode()[:160]}")
        ping(lab["a"].site, lab["b"].host4, count=5)
        check(a.tunnel()["actual"] == "up", "the tunnel goes on")


def readers_that_go() -> None:
    """a follower that goes ends its capture; a deletion under a slow reader takes nothing from it, and the daemon is as before"""
    with laboratory() as lab:
        a, _ = lab.pair()
        name = a.tunnel()["name"]
        path = start(a, name)
        line, reply = begin(a, "GET", f"{path}/download?follow=true")
        ping(lab["a"].site, lab["b"].host4, count=20, size=1000)
        check(len(reply.read(5000)) == 5000, "packets come while it runs")
        reply.close()
        line.close()
        wait_until(lambda: state(a, path)["status"] == "success", "it ends when its reader has gone", 10)
        big = start(a, name)
        ping(lab["a"].site, lab["b"].host4, count=1500, size=1400, gap=0.0005)
        counted = finish(a, big)
        line, reply = begin(a, "GET", f"{big}/download")
        got = reply.read(1000)
        check(result(a, "DELETE", big)["id"] in big, "it is deleted while it is being read")
        status, _ = ask(a, "GET", f"{big}/download")
        check(status == 404, f"nobody else gets it: {status}")
        got += reply.read()
        line.close()
        file = lab.dir / "slow.pcapng"
        file.write_bytes(got)
        check(len(packets(file)) == counted["packets_captured"] > 2000, f"its reader gets all {counted['packets_captured']} packets")
        for _ in range(10):  # and many that break off
            again = start(a, name, packet_limit=50)
            ping(lab["a"].site, lab["b"].host4, count=30)
            wait_until(lambda p=again: state(a, p)["status"] == "success", "it has ended", 5)
            line, reply = begin(a, "GET", f"{again}/download")
            reply.read(10)
            line.close()
        check(a.tunnel()["actual"] == "up", "the tunnel goes on")


def by_the_command() -> None:
    """qanat capture writes a file, or to tshark; what it may not overwrite it leaves alone"""
    with laboratory() as lab:
        a, _ = lab.pair()
        name = a.tunnel()["name"]
        there = lab["b"].host4
        file = lab.dir / "cli.pcapng"
        command = [binary("qanat"), "--socket", str(lab["a"].dir / "qanat.sock"), "capture", name, "--to", there, "--protocol", "icmp"]
        running = subprocess.Popen([*command, "--packets", "10", "-w", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: is_running(a), "it has begun", 10)
        ping(lab["a"].site, there, count=15)
        out, err = running.communicate(timeout=20)
        check(running.returncode == 0 and "10 packets" in err and str(file) in err, f"it says: {err.strip()}")
        check(len(packets(file)) == 10 and file.stat().st_mode & 0o777 == 0o600, "10 packets, mode 0600")
        check(result(a, "GET", CAPTURES.format("default")) == [], "nothing of it is left in the daemon")
        again = a.cli("capture", name, "-w", str(file), check=False)
        check(again.returncode == 1 and "is there already" in again.stderr, again.stderr.strip())
        wrong = a.cli("capture", "nobody", "-w", str(lab.dir / "none.pcapng"), check=False)
        check(wrong.returncode == 1 and "there is no tunnel" in wrong.stderr, wrong.stderr.strip())
        pipe = subprocess.Popen([*command, "--seconds", "5", "-w", "-"], stdout=subprocess.PIPE)
        tshark = subprocess.Popen(["tshark", "-l", "-r", "-", "-T", "fields", "-e", "ip.dst"], stdin=pipe.stdout, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        pipe.stdout.close()
        wait_until(lambda: is_running(a), "it has begun", 10)
        ping(lab["a"].site, there, count=6)
        lines = tshark.communicate(timeout=20)[0].split()
        check(lines == [there] * 6, f"tshark at the pipe saw {len(lines)}")


def over_kill9() -> None:
    """the list tells what a kill -9 has ended; its packets are nowhere, and another capture begins"""
    with laboratory() as lab:
        a, _ = lab.pair()
        name = a.tunnel()["name"]
        path = start(a, name)
        ping(lab["a"].site, lab["b"].host4, count=5, fill=b"nowhere on the disk")
        a.kill9()
        a.start()
        a.wait_up()
        one = state(a, path)
        check(one["status"] == "unknown" and one["tunnel"] == name and "restart" in one["error_message"], f"after kill -9: {one['status']}: {one['error_message']}")
        check(ask(a, "GET", f"{path}/download")[0] == 404, "there is nothing to download")
        kept = [file.name for file in (lab["a"].dir / "state").rglob("*") if file.is_file() and b"nowhere on the disk" in file.read_bytes()]
        check(not kept, f"no packet stands in state_dir: {kept}")
        again = start(a, name)
        ping(lab["a"].site, lab["b"].host4, count=5)
        check(finish(a, again)["packets_captured"] >= 10, "another one works")


def tenants() -> None:
    """two accounts with the same addresses: each sees its own packets, and a token of one gets nothing of the other's"""
    with laboratory(sites="abc", extras=["red"]) as lab:
        plain = lab.configure
        lab.configure = lambda letter, tunnels, **more: plain(letter, tunnels, **more, **(make_certificate(lab["a"].dir) if letter == "a" else {}))
        a, _, _ = accounts(lab)
        for account, tunnel in (("blue", "site-b"), ("red", "site-c")):
            status, octets = ask(a, "POST", CAPTURES.format(account), {"type": "simple", "system": "magic-transit", "time_limit": 9,
                                                                      "packet_limit": 9, "tunnel": "site-c" if account == "blue" else "site-b"})
            check(status == 400 and b"there is no tunnel" in octets, f"{account} may not name the other's tunnel")
        wish = {"protocol": 1, "destination_address": OFFICE}
        whole = {account: start(a, None, account, filter_v1=wish) for account in ("blue", "red")}
        ping(far_site(lab, "blue"), OFFICE, count=9, source=INSIDE)
        ping(far_site(lab, "red"), OFFICE, count=4, source=INSIDE)
        for account, tunnel, count in (("blue", "site-b", 9), ("red", "site-c", 4)):
            finish(a, whole[account])
            seen = packets(download(a, whole[account], lab.dir / f"{account}.pcapng"))
            check(len(seen) == count and {p[3] for p in seen} == {tunnel}, f"{account}: {len(seen)} of {count}, of {tunnel} alone")
        bearer = a.cli("token", "create", "blue", "--account", "blue", "--scope", "capture").stdout.strip()
        poor = a.cli("token", "create", "poor", "--account", "blue", "--scope", "read,write").stdout.strip()
        strange = whole["red"].rpartition("/")[2]
        requests = {("GET", CAPTURES.format("blue"), bearer): 200, ("GET", whole["blue"], bearer): 200,
                    ("GET", CAPTURES.format("red"), bearer): 403, ("GET", whole["red"] + "/download", bearer): 403,
                    ("GET", f"{CAPTURES.format('blue')}/{strange}", bearer): 404, ("GET", f"{CAPTURES.format('blue')}/{strange}/download", bearer): 404,
                    ("PUT", f"{CAPTURES.format('blue')}/{strange}/stop", bearer): 404, ("DELETE", f"{CAPTURES.format('blue')}/{strange}", bearer): 404,
                    ("GET", CAPTURES.format("blue"), poor): 403, ("GET", "/client/v4/accounts/blue/pc%61ps", poor): 403,
                    ("GET", whole["blue"] + "/download", poor): 403, ("GET", CAPTURES.format("blue"), "qanat_x"): 401,
                    ("GET", "/client/v4/accounts/blue/magic/routes", bearer): 403}
        got = in_gateway(a, "ask", *map(json.dumps, requests))
        for (request, wanted), reply in zip(requests.items(), got, strict=True):
            check(reply[0] == wanted, f"{request[0]} {request[1]}: {reply[0]}")
        check(len(result(a, "GET", CAPTURES.format("red"))) == 1, "and red still has its capture")


if __name__ == "__main__":
    if shutil.which("tshark") is None:
        say("skipped: tshark is not there")
        sys.exit(1 if os.environ.get("QANAT_CI") else 77)
    sys.exit(main([what_a_tunnel_carries, it_ends_by_itself, readers_that_go, by_the_command, over_kill9, tenants], 240))

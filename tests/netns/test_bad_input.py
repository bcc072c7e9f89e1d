"""Bad input from every side: a clear error and nothing lost."""
from __future__ import annotations

import json
import os
import pathlib
import random
import re
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, binary, check, laboratory, main, pids_in, run, say  # noqa: E402
from traffic import RawSender, SteadyPing, ip_packet, ping, udp_packet, wait_until  # noqa: E402

DATAGRAMS = 20_000
BATCH = 100  # then a pause, so that the socket's buffer holds them beside the pings: this is about content, not about flooding

# What stands in the file instead, and what the complaint must hold.
BROKEN = [
    ('mtu = "x"', "mtu"),
    ("mtu = 100", "576"),
    ("rotues = []", "did you mean 'routes'"),
    ('pq = "maybe"', "require"),
    ('routes = ["10.2.0.1/24"]', "10.2.0."),
    ('routes = ["10.2.0.0/33"]', "prefix"),
    ('peer = "not an address"', "peer"),
    ('esp = ["rot13"]', "rot13"),
    ('ike = ["aes256gcm16-prfsha384-modp768"]', "ike"),
    ('interface = "10.255.0.0/24"', "/31"),
    ('remote_id = "nonsense:x"', "remote_id"),
    ('psk_file = "/nonexistent/key"', "psk_file"),
    ("dpd = { idl = 3 }", "did you mean 'idle'"),
    ("replay_window = -1", "replay_window"),
    ('encap = "sometimes"', "force"),
    ("ike_lifetime = \"soon\"", "ike_lifetime"),
    ("x = = 3", "TOML"),
    ("name = \"\\u001b[2J\"", "name"),
]


def configuration_errors() -> None:
    """each mistake in the configuration: file:line:column, exit status, and the network is not touched"""
    with laboratory() as lab:
        good = lab.tunnel("a", "b")
        untouched = lab.protection("a")
        links = run("ip", "-n", lab["a"].gw, "-br", "link").stdout
        for line, expected in BROKEN:
            key = line.split(" =")[0]
            path = lab.configure("a", [{k: v for k, v in good.items() if k != key}], name="broken.toml")
            text = pathlib.Path(path).read_text() + line + "\n"
            pathlib.Path(path).write_text(text)
            check_one(lab, path, line, expected, len(text.splitlines()))
        for what, octets in (("an empty file", b""), ("random octets", os.urandom(4096)),
                             ("a NUL", b"[gateway]\naddress = \"\0\"\n"), ("ten thousand brackets", b"x = " + b"[" * 10_000)):
            path = lab["a"].dir / "broken.toml"
            path.write_bytes(octets)
            done = daemon_with(lab, str(path))
            check(done.returncode == 1 and "broken.toml" in done.stderr and "\x1b" not in done.stderr, f"{what}: {first_line(done.stderr)}")
        done = daemon_with(lab, str(lab["a"].dir / "absent.toml"))
        check(done.returncode == 1 and "absent.toml" in done.stderr, f"no such file: {first_line(done.stderr)}")
        loose = pathlib.Path(lab.write_psk("loose.psk", "qpsk1-" + "A" * 43))
        loose.chmod(0o644)
        path = lab.configure("a", [{**good, "psk_file": str(loose)}], name="broken.toml")
        done = daemon_with(lab, path)
        check(done.returncode == 1 and "loose.psk" in done.stderr, f"a key that everybody may read: {first_line(done.stderr)}")
        check(lab.protection("a") == untouched and run("ip", "-n", lab["a"].gw, "-br", "link").stdout == links and not pids_in(lab["a"].gw),
              "no route, rule, interface or process came of it")


def first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return re.sub(r"\S*/(?=\w+\.toml)", "", lines[0])[:150] if lines else "(nothing)"


def daemon_with(lab: Lab, path: str, *more: str):
    return run("ip", "netns", "exec", lab["a"].gw, binary("qanatd"), "-c", path, *more, check=False, timeout=20)


def check_one(lab: Lab, path: str, line: str, expected: str, number: int) -> None:
    daemon, checker = daemon_with(lab, path), run(binary("qanat"), "check", path, check=False)
    place = re.search(r"broken\.toml:(\d+):(\d+): error: ", daemon.stderr)
    check(daemon.returncode == 1 and checker.returncode == 1 and place and int(place[1]) == number and expected in daemon.stderr,
          f"{line}: {first_line(daemon.stderr)}")
    if "\x1b" in daemon.stderr + checker.stderr:
        check(False, "no control characters in a complaint")


def command_line_misuse() -> None:
    """the command line: exit status 2 for what cannot be meant, 1 for what fails, 3 without a daemon, and one clear line"""
    with laboratory() as lab:
        nowhere = str(lab.dir / "nowhere.sock")
        for arguments, status, expected in (
                ([], 2, "--help"), (["statsu"], 2, "did you mean 'status'"), (["up"], 2, "NAME"), (["status", "--jsno"], 2, "jsno"),
                (["--socket", "x" * 200, "status"], 2, "107"), (["check", "/nonexistent.toml"], 1, "nonexistent"),
                (["genpsk", "-o", lab.psk_file], 1, "not overwritten"),
                (["--socket", nowhere, "status"], 3, "no socket"), (["--socket", nowhere, "up", "x"], 3, "no socket"),
                (["--help"], 0, "status"), (["--socket", nowhere, "version"], 0, "not reached")):
            done = run(binary("qanat"), *arguments, check=False)
            check(done.returncode == status and expected in done.stdout + done.stderr,
                  f"qanat {' '.join(arguments)[:40]}: exit {done.returncode}, {first_line(done.stderr or done.stdout)}")
        good = lab.configure("a", [lab.tunnel("a", "b")])
        for arguments, status in ((["--bogus"], 2), (["--protect", "--purge"], 2), (["--log-level", "loud", "-c", good], 1), (["--version"], 0)):
            done = run("ip", "netns", "exec", lab["a"].gw, binary("qanatd"), *arguments, check=False, timeout=20)
            check(done.returncode == status and (done.stderr or done.stdout).strip(),
                  f"qanatd {' '.join(arguments)[:30]}: exit {done.returncode}, {first_line(done.stderr or done.stdout)}")
        a, _ = lab.pair()
        for arguments, status in ((["status", "nobody"], 1), (["up", "nobody"], 1), (["down", "../../x"], 1), (["status", "\x1b[2J"], 1)):
            for form in ([], ["--json"]):
                done = a.cli(*arguments, *form, check=False)
                check(done.returncode == status and "\x1b" not in done.stdout + done.stderr,
                      f"{arguments!r} {''.join(form)}: exit {done.returncode}, {first_line(done.stderr or done.stdout)}")
        second = daemon_with(lab, str(lab["a"].dir / "qanat.toml"))
        check(second.returncode != 0,
              f"a second daemon beside the first: exit {second.returncode}, {first_line(second.stderr[second.stderr.rstrip().rfind(chr(10)) + 1:])}")
        check(ping(lab["a"].site, lab["b"].host4, count=5).lost == 0 and a.cli("status").returncode == 0,
              "and the first one goes on: ping and status answer")


def control_socket_garbage() -> None:
    """garbage on the control socket: 4xx or the end of the connection, and the next one is served"""
    with laboratory() as lab:
        a, _ = lab.pair()
        path = str(lab["a"].dir / "qanat.sock")
        requests: list[tuple[str, bytes, set[int]]] = [
            ("random octets", os.urandom(3000), {0, 400, 431}), ("NULs", bytes(3000), {0, 400, 431}),
            ("TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + os.urandom(300), {0, 400, 431}),
            ("a header of 100 KB", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", {431}),
            ("10,000 header lines", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", {431}),
            ("a long target", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
            ("a body of 10 MB announced", b"POST /v1/purge HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000, {413}),
            ("a negative length", b"POST /v1/purge HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", {400}),
            ("both lengths", b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400, 405}),
            ("an unknown method", b"BREW /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405}),
            ("DELETE on status", b"DELETE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", {405}),
            ("GET on purge", b"GET /v1/purge HTTP/1.1\r\nHost: x\r\n\r\n", {405}),
            ("no such page", b"GET /v2/everything HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
            ("a path upwards", b"GET /v1/status/..%2f..%2fetc HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
            ("broken percent", b"GET /v1/status/%zz HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}), ("HTTP/9.9", b"GET / HTTP/9.9\r\n\r\n", {0, 400, 505}),
            ("no answer wanted", b"", {0}),
        ]
        for what, request, allowed in requests:
            status = raw_request(path, request)
            check(status in allowed, f"{what}: {'closed' if status == 0 else status}")
        idle = []
        for _ in range(40):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(5)
            sock.connect(path)
            sock.sendall(b"GET / HT")
            idle.append(sock)
        check(a.cli("status").returncode == 0, "40 clients that say half a request: the next one is served")
        for sock in idle:
            sock.close()
        check(json.loads(a.cli("status", "--json").stdout)["tunnels"][0]["actual"] == "up",
              "the tunnel is up, and ping loses nothing: " + str(ping(lab["a"].site, lab["b"].host4, count=10)))
        check(a.process.poll() is None, "the daemon is the same process")


def raw_request(path: str, request: bytes) -> int:
    """The status of the answer; 0 when the connection ended without one."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path)
        try:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it stopped listening to us, and may have answered before
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        match = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
        return int(match[1]) if match else 0


def mutated(dice: random.Random, octets: bytes) -> bytes:
    data = bytearray(octets)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        kind = dice.randrange(6)
        if kind == 0 and data:
            data[dice.randrange(len(data))] = dice.randrange(256)
        elif kind == 1 and data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        elif kind == 2:
            del data[dice.randrange(len(data) + 1):]
        elif kind == 3:
            at = dice.randrange(len(data) + 1)
            data[at:at] = dice.randbytes(dice.randrange(64))
        elif kind == 4 and len(data) > 4:
            at = dice.randrange(len(data) - 2)
            data[at:at + 2] = dice.choice((b"\0\0", b"\xff\xff", b"\0\x04", b"\x7f\xff"))
        elif data:
            at = dice.randrange(len(data))
            data += data[at:at + 200]
    return bytes(data[:1472])


def hostile_packets(lab: Lab, dice: random.Random, ike: list[tuple[int, bytes]], tunnel: dict, outer: int = 4):
    """Whole IP packets to gateway a, endlessly: random and mutated, from a stranger and as if from the peer."""
    target = lab["a"].outer(outer)
    room = 1472 if outer == 4 else 1452
    sources = (lab["a"].router4, lab["b"].outer4) if outer == 4 else (lab["a"].router6, lab["b"].outer6)
    spis = [int(child[key], 16).to_bytes(4) for child in tunnel["children"] for key in ("spi_in", "spi_out")]
    sa = bytes.fromhex(tunnel["ike"]["spi_i"][2:]) + bytes.fromhex(tunnel["ike"]["spi_r"][2:])
    while True:
        source = dice.choice(sources)
        port = dice.choice((500, 4500))
        marker = b"" if port == 500 else bytes(4)
        from_port = dice.choice((port, port, dice.randrange(1, 65536)))
        kind = dice.randrange(8)
        if kind == 0:
            payload = dice.randbytes(dice.randrange(1473))
        elif kind == 1:  # a header that is right, with the live SPIs, and anything after it
            body = dice.randbytes(dice.randrange(1200))
            head = bytes([dice.choice((46, 53, 0, 33, 41)), 0x20, dice.choice((34, 35, 36, 37, 43)), dice.choice((0x08, 0x20, 0x28, 0))])
            number = dice.randrange(4)
            if dice.randrange(2):  # as the peer's next request would look, but for the keys
                body = bytes([dice.choice((0, 41, 42)), 0]) + (4 + len(body)).to_bytes(2) + body
                head, number = bytes([46, 0x20, dice.choice((36, 37)), 0]), 0
            payload = marker + sa + head + number.to_bytes(4) + (28 + len(body)).to_bytes(4) + body
        elif kind in (2, 3, 4):  # a message of the true handshake, damaged
            at, octets = dice.choice(ike)
            port = from_port = at
            payload = mutated(dice, octets)
        elif kind == 5:  # ESP in UDP for a live SPI
            port = from_port = 4500
            payload = dice.choice(spis) + dice.randrange(1 << 32).to_bytes(4) + dice.randbytes(dice.randrange(1400))
        elif kind == 6:  # native ESP for a live or any SPI
            spi = dice.choice((*spis, dice.randbytes(4), bytes(4)))
            esp = spi + dice.randrange(1 << 32).to_bytes(4) + dice.randbytes(dice.randrange(1400))
            yield ip_packet(source, target, 50, esp[:dice.choice((room, room, 3, 8, 40))])
            continue
        else:
            payload = dice.choice((b"", b"\xff", bytes(4), bytes(27), bytes(28), b"\xff" * 1472, marker + sa, dice.choice(spis)))
        yield udp_packet(source, from_port, target, port, payload[:room])


def ike_datagrams(capture) -> list[tuple[int, bytes]]:
    """(port, UDP payload) of the messages of both ends while the tunnel came up: what comes back to its sender is bad input, too."""
    out = []
    for line in capture.report().ike:
        _, _, port, payload = line.split("|")
        out.append((int(port), bytes.fromhex(payload)))
    return out


def total(daemon: Qanatd) -> dict[str, int]:
    status = daemon.status_json()
    return {f"{part}.{key}": value for part in ("drops", "ike_counters") for key, value in status[part].items()}


def hostile_over_ipv4() -> None:
    """20,000 random and mutated datagrams on 500, 4500 and protocol 50, also as if from the peer, during a live tunnel"""
    hostile(4, "force")


def hostile_over_ipv6() -> None:
    """the same over IPv6, with native ESP"""
    hostile(6, "auto")


def hostile(outer: int, encap: str) -> None:
    seed = int.from_bytes(os.urandom(4))
    say(f"seed {seed}")
    dice = random.Random(seed)
    with laboratory() as lab, lab.capture(keep_ike=100) as capture:
        a, b = lab.pair(outer=outer, encap=encap)
        known = ike_datagrams(capture)
        check(len(known) >= 6, f"{len(known)} messages of the handshake to damage")
        tunnel = a.tunnel()
        before, pid = total(a), a.pid
        with RawSender(lab.net) as sender, SteadyPing(lab["a"].site, lab["b"].host4) as steady:
            packets = hostile_packets(lab, dice, known, tunnel, outer)
            for number in range(DATAGRAMS):
                sender.send(next(packets))
                if number % BATCH == BATCH - 1:
                    time.sleep(0.015)
            answered = steady.stop()
        check(answered.lost == 0 and answered.sent > 50, f"ping meanwhile: {answered}")
        check(a.process.poll() is None and a.pid == pid, "the daemon is the same process")
        after = wait_until(lambda: (now := total(a)) and sum(now.values()) - sum(before.values()) > DATAGRAMS // 4 and now, "the counters grow")
        grown = {key: value - before.get(key, 0) for key, value in after.items() if value > before.get(key, 0)}
        for key, value in sorted(grown.items(), key=lambda item: -item[1]):
            say(f"{value:>7} {key}")
        check(len(grown) >= 6 and grown.get("drops.auth_failed") and grown.get("drops.no_sa") and grown.get("ike_counters.malformed")
              and grown.get("ike_counters.icv_failed"), f"{sum(grown.values())} counted under {len(grown)} named reasons")
        now = a.tunnel()
        check(now["actual"] == "up" and now["ike"]["spi_i"] == tunnel["ike"]["spi_i"] and now["children"][0]["spi_in"] == tunnel["children"][0]["spi_in"],
              "the same IKE SA and Child SA are up: nothing that was not authenticated changed them")
        check(now["ike"]["remote"] == tunnel["ike"]["remote"], f"the peer's address is still {now['ike']['remote']}")
        done = ping(lab["b"].site, lab["a"].host4, count=20)
        check(done.lost == 0 and b.process.poll() is None, f"afterwards, the other way: {done}")


def hostile_during_handshake() -> None:
    """the same storm while the tunnel is being made again and again: it comes up each time"""
    dice = random.Random(7)
    with laboratory() as lab, lab.capture(keep_ike=100) as capture:
        a, b = lab.pair(encap="force")
        known = ike_datagrams(capture)
        packets = hostile_packets(lab, dice, known, a.tunnel())
        with RawSender(lab.net) as sender:
            for attempt in range(5):
                b.cli("down", "site-a", check=False)
                a.cli("down", "site-b")
                b.cli("up", "site-a", check=False)
                for _ in range(5):
                    for _ in range(BATCH):
                        sender.send(next(packets))
                    time.sleep(0.01)
                a.cli("up", "site-b")
                a.wait_up(seconds=60)
        check(ping(lab["a"].site, lab["b"].host4, count=5).lost == 0, f"up {attempt + 1} times, and carries")


if __name__ == "__main__":
    sys.exit(main([configuration_errors, command_line_misuse, control_socket_garbage, hostile_over_ipv4, hostile_over_ipv6,
                   hostile_during_handshake], seconds=210))

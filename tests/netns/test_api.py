"""The listener for HTTPS: TLS and tokens, the page, events as they happen, another certificate, and 10,000 connections."""
from __future__ import annotations

import http.client
import json
import os
import pathlib
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as laboratories  # noqa: E402
from lab import Lab, Qanatd, check, laboratory, main, say  # noqa: E402
from processes import run  # noqa: E402
from traffic import SteadyPing, wait_until  # noqa: E402

PORT = 8443
DESCRIPTORS = 1024  # of the daemon, while ten times as many connections want one; its unit gives 65,536


def make_certificate(folder: pathlib.Path, days: int = 365) -> dict:
    """As docs/https.md says to make one; the keys of [gateway] for it."""
    qanat = laboratories.binary("qanat")
    if not (folder / "ca").exists():
        run(qanat, "pki", "ca", "--name", "Test CA", "--key", "ecdsa-p256", "--out", str(folder / "ca"))
    for old in ("localhost.crt", "localhost.key"):
        (folder / old).unlink(missing_ok=True)
    run(qanat, "pki", "issue", "--tls", "--ca", str(folder / "ca"), "--key", "ecdsa-p256", "--days", str(days),
        "--id", "fqdn:localhost", "--id", "127.0.0.1", "--out", str(folder))
    return {"api": f"127.0.0.1:{PORT}", "api_certificate": str(folder / "localhost.crt"), "api_key": str(folder / "localhost.key")}


def in_gateway(daemon: Qanatd, mode: str, *arguments: str, timeout: float = 120) -> dict:
    """Runs a part of this file in the gateway's namespace; what it prints last, as JSON."""
    done = run("ip", "netns", "exec", daemon.site.gw, sys.executable, __file__, "--inside", mode, str(daemon.site.dir / "ca" / "ca.crt"),
               *arguments, timeout=timeout)
    return json.loads(done.stdout.splitlines()[-1])


def start_with_api(lab: Lab) -> Qanatd:
    site = lab["a"]
    lab.configure("a", [lab.tunnel("a", "b")], **make_certificate(site.dir))
    return lab.start("a")


def token(daemon: Qanatd, *scopes: str) -> str:
    return daemon.cli("token", "create", "test", "--scope", ",".join(scopes)).stdout.strip()


# --- in the namespace


def tls(ca: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def ask(ca: str, method: str, path: str, bearer: str = "", body: str | None = None) -> tuple[int, dict, str]:
    connection = http.client.HTTPSConnection("localhost", PORT, context=tls(ca), timeout=10)
    connection.request(method, path, body, {"Authorization": f"Bearer {bearer}"} if bearer else {})
    reply = connection.getresponse()
    out = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read().decode()
    connection.close()
    return out


def inside_ask(ca: str, *requests: str) -> list:
    return [ask(ca, *json.loads(request)) for request in requests]


def inside_guess(ca: str, address: str, count: str) -> dict:
    """The statuses that an address gets for wrong tokens."""
    out: dict[str, int] = {}
    for _ in range(int(count)):
        connection = http.client.HTTPSConnection("localhost", PORT, context=tls(ca), timeout=10, source_address=(address, 0))
        connection.request("GET", "/v1/status", headers={"Authorization": "Bearer qanat_0123456789abcdef_guess"})
        status = str(connection.getresponse().status)
        out[status] = out.get(status, 0) + 1
        connection.close()
    return out


def inside_refused(ca: str) -> dict:
    """How far clients come that do not speak TLS 1.3, or no TLS."""
    old = tls(ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        with socket.create_connection(("127.0.0.1", PORT), 10) as plain:
            old.wrap_socket(plain, server_hostname="localhost").close()
        tls12 = "taken"
    except ssl.SSLError as error:
        tls12 = str(error)
    with socket.create_connection(("127.0.0.1", PORT), 10) as plain:
        plain.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        octets = b""
        while piece := plain.recv(4096):
            octets += piece
    return {"tls12": tls12, "plain": octets.hex()}


def inside_events(ca: str, bearer: str, since: str, wanted: str) -> dict:
    """Reads the stream until an event has this name."""
    connection = http.client.HTTPSConnection("localhost", PORT, context=tls(ca), timeout=30)
    connection.request("GET", "/v1/events/stream", headers={"Authorization": f"Bearer {bearer}", "Last-Event-ID": since})
    reply = connection.getresponse()
    print("open", flush=True)
    for line in reply:
        if line.startswith(b"id: "):
            number = line[4:].strip().decode()
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            if event["event"] == wanted:
                return {"type": reply.headers["content-type"], "id": number, **event}
    raise AssertionError("the stream ended")


def inside_certificate(ca: str) -> dict:
    with socket.create_connection(("127.0.0.1", PORT), 10) as plain, tls(ca).wrap_socket(plain, server_hostname="localhost") as secure:
        return {"version": secure.version(), "serial": secure.getpeercert()["serialNumber"]}


def timed(ca: str, bearer: str, count: int) -> list[float]:
    """Seconds that a request takes, each with a connection and a handshake of its own; all of them are answered."""
    out = []
    for _ in range(count):
        begin = time.monotonic()
        status, _, _ = ask(ca, "GET", "/v1/version", bearer)
        assert status == 200, f"status {status}"
        out.append(time.monotonic() - begin)
        time.sleep(0.05)
    return out


def inside_flood(ca: str, bearer: str, count: str) -> dict:
    """Requests alone, and while so many connections that never finish theirs are being made and held."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kept = http.client.HTTPSConnection("localhost", PORT, context=tls(ca), timeout=10)

    def ask_again() -> int:  # on the same connection: http.client raises when the server has closed it
        kept.request("GET", "/v1/version", headers={"Authorization": f"Bearer {bearer}"})
        reply = kept.getresponse()
        reply.read()
        return reply.status
    statuses = [ask_again()]
    alone = timed(ca, bearer, 20)
    # A process of its own: what slows the flood's Python must not look like a slow server.
    flood = subprocess.Popen([sys.executable, __file__, "--inside", "hold", ca, count], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert flood.stdout.readline().strip() == "begun"
    during = timed(ca, bearer, 40)
    held = json.loads(flood.stdout.readline())
    statuses.append(ask_again())
    after = timed(ca, bearer, 20)
    statuses.append(ask_again())
    flood.stdin.close()
    flood.wait(30)
    return {"alone": alone, "during": during, "after": after, "kept": statuses, **held}


def inside_hold(_: str, count: str) -> dict:
    """Makes connections from forty addresses: half are silent, half begin a request, or a ClientHello, that never ends."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print("begun", flush=True)
    sockets, refused = [], 0
    for number in range(int(count)):
        one = socket.socket()
        one.settimeout(5)
        one.bind((f"127.0.{number % 40}.9", 0))
        try:
            one.connect(("127.0.0.1", PORT))
            if number % 2:
                one.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" if number % 4 == 1 else b"GET / HTTP/1.1\r\nHost")
        except OSError:
            refused += 1
        sockets.append(one)
    print(json.dumps({"made": len(sockets) - refused, "refused": refused}), flush=True)
    sys.stdin.read()
    return {}


# --- what must be seen


def tls_and_tokens() -> None:
    """TLS 1.3 alone; without a token nothing but the page and the health; scopes are held to; status says by which keys"""
    with laboratory() as lab:
        a = start_with_api(lab)
        reader, writer = token(a, "read"), token(a, "read", "write")
        requests = [("GET", "/v1/health"), ("GET", "/v1/status"), ("GET", "/v1/status", reader), ("POST", "/v1/reload/check", reader),
                    ("POST", "/v1/reload/check", writer), ("GET", "/client/v4/accounts/default/magic/routes", "qanat_x"), ("GET", "/nothing"),
                    ("GET", "/v1/openapi.json", reader), ("POST", "/v1/purge", writer)]
        got = in_gateway(a, "ask", *map(json.dumps, requests))
        for request, reply, status in zip(requests, got, (200, 401, 200, 403, 200, 401, 404, 200, 403), strict=True):
            check(reply[0] == status, f"{request[0]} {request[1]}: {reply[0]}")
        check(json.loads(got[5][2])["errors"][0]["code"] == 10000, "below /client/v4 refusals are in the envelope")
        check("default-src 'none'" in got[6][1]["content-security-policy"], "the page has its policy")
        check(got[2][1]["cache-control"] == "no-store" and got[1][1]["www-authenticate"].startswith("Bearer"), "headers")
        api = json.loads(got[2][2])["api"]
        check(api["listen"] == f"127.0.0.1:{PORT}" and api["hybrid"] + api["classical"] == 3, f"status: {api}")
        guesses = in_gateway(a, "guess", "127.0.0.5", "40")
        check(guesses.get("429", 0) > 10 and guesses.get("401", 0) >= 19, f"who guesses is slowed down: {guesses}")
        check(in_gateway(a, "guess", "127.0.0.6", "1") == {"401": 1}, "and nobody else is")
        refused = in_gateway(a, "refused")
        check("taken" not in refused["tls12"] and "HTTP".encode().hex() not in refused["plain"], f"TLS 1.2: {refused['tls12']}")
        check(a.status_json()["api"]["failed_tls"] == 2, "both are counted")


def events_and_certificates() -> None:
    """events come as they happen, and again from where a reader was; a reload shows another certificate"""
    with laboratory() as lab:
        a = start_with_api(lab)
        reader = token(a, "read")
        first = in_gateway(a, "certificate")
        check(first["version"] == "TLSv1.3", first["version"])
        stream = subprocess.Popen(["ip", "netns", "exec", lab["a"].gw, sys.executable, __file__, "--inside", "events",
                                   str(lab["a"].dir / "ca" / "ca.crt"), reader, "0", "reloaded"], stdout=subprocess.PIPE, text=True)
        check(stream.stdout.readline().strip() == "open", "the stream is open before anything happens")
        make_certificate(lab["a"].dir, days=100)
        said = a.cli("reload").stdout
        check("api_certificate" in said, f"reload says what it changes: {said.strip()}")
        event = json.loads(stream.communicate(timeout=20)[0])
        check(event["event"] == "reloaded" and event["type"] == "text/event-stream", f"event {event['id']} came")
        again = in_gateway(a, "events", reader, f"{event['id'].split('.')[0]}.{event['number'] - 1}", "reloaded")
        check(again["id"] == event["id"], "and comes again for whoever has the one before")
        second = in_gateway(a, "certificate")
        check(second["serial"] != first["serial"], "the next connection sees the new certificate")


def ten_thousand_connections() -> None:
    """10,000 connections that never finish a request: other clients, the control socket and a tunnel do not feel them"""
    with laboratory() as lab:
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.start("b")
        lab.configure("a", [lab.tunnel("a", "b")], **make_certificate(lab["a"].dir))
        a = Qanatd(lab["a"])
        a.wrap = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
        lab.daemons.append(a)
        a.start()
        a.wait_up()
        reader = token(a, "read")
        with SteadyPing(lab["a"].site, lab["b"].host4) as steady:
            seen = in_gateway(a, "flood", reader, "10000", timeout=200)
            a.cli("status")
            pings = steady.stop()
        # Times are told, not judged: whoever was not answered within ten seconds has given up, and failed.
        for when in ("alone", "during", "after"):
            say(f"{when}: median {statistics.median(seen[when]) * 1000:.1f} ms, worst {max(seen[when]) * 1000:.1f} ms")
        check(seen["made"] >= 9_900, f"{seen['made']} connections were made from forty addresses, {seen['refused']} refused")
        check(len(seen["during"]) == 40 and len(seen["after"]) == 20, "60 new clients were answered meanwhile, and `qanat status` too")
        check(seen["kept"] == [200] * 3, "a connection that asks now and then keeps its place")
        check(pings.sent > 100 and pings.lost == 0, f"the tunnel loses nothing: {pings}")
        api = a.status_json()["api"]
        check(api["connections"] <= 512 and api["closed_idle"] > 9_000, f"those that do nothing make room: {api}")
        held = len(os.listdir(f"/proc/{a.pid}/fd"))
        check(held < DESCRIPTORS, f"{held} of {DESCRIPTORS} descriptors are in use")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        result = globals()[f"inside_{sys.argv[2]}"](*sys.argv[3:])
        print(json.dumps(result), flush=True)
        sys.exit(0)
    sys.exit(main([tls_and_tokens, events_and_certificates, ten_thousand_connections], 270))

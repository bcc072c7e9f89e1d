#!/usr/bin/env python3
"""The page of a real daemon in Chromium, over hybrid TLS: page.test.mjs with tunnels that the API has made, and peers that come and go.

As a program of its own, with QANAT_WEB_DRIVER_SOCKET set, it is the driver of world.mjs: it passes its words to the laboratory.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib
import shutil
import socket
import socketserver
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
CANNOT = 77


def pass_on(words: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(os.environ["QANAT_WEB_DRIVER_SOCKET"])
        line.sendall(json.dumps(words).encode() + b"\n")
        answer = json.loads(line.makefile().readline())
    if "error" in answer:
        print(answer["error"], file=sys.stderr)
        return CANNOT if answer.get("cannot") else 1
    print(json.dumps(answer))
    return 0


if "QANAT_WEB_DRIVER_SOCKET" in os.environ:
    sys.exit(pass_on(sys.argv[1:]))

sys.path.insert(0, str(HERE.parent / "netns"))
from lab import SKIPPED, Lab, check, laboratory, main, say  # noqa: E402
from processes import run  # noqa: E402
from record import UnixConnection  # noqa: E402
from traffic import ping, wait_until  # noqa: E402

PORT = 8443
LOSS = 'table inet weather {\n chain forward {\n  type filter hook forward priority 0\n  ip daddr %s numgen random mod 100 < 40 drop\n }\n}\n'


class Cannot(Exception):
    pass


def certificate(folder: pathlib.Path) -> tuple[str, str, str]:
    """Certificate, key, and what Chromium is told to trust: the hash of its public key."""
    cert, key = folder / "api.crt", folder / "api.key"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=qanat",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert))
    key.chmod(0o600)
    pem = run("openssl", "x509", "-in", str(cert), "-noout", "-pubkey").stdout
    der = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-")))
    return str(cert), str(key), base64.b64encode(hashlib.sha256(der).digest()).decode()


class Stage:
    """Gateway a has an API, and tunnels to b and c that were made through it; b runs, c comes when it is asked for."""

    def __init__(self, lab: Lab):
        self.lab = lab
        cert, key, self.spki = certificate(lab.dir)
        for there in "bc":
            lab.configure(there, [lab.tunnel(there, "a", start="respond", interface6=None)])
        lab.configure("a", [], api=f"127.0.0.1:{PORT}", api_certificate=cert, api_key=key)
        self.b, self.a = lab.start("b"), lab.start("a")
        self.c = None
        self.weather = False
        self.ids = {f"site-{there}": self.make(there) for there in "bc"}
        self.a.wait_up("site-b", 60)

    def ask(self, method: str, target: str, body: dict | None = None) -> dict:
        line = UnixConnection(str(self.lab["a"].dir / "qanat.sock"))
        line.request(method, target, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"} if body is not None else {})
        reply = line.getresponse()
        text = reply.read()
        line.close()
        check(reply.status < 300, f"{method} {target}: {reply.status} {'' if reply.status < 300 else text.decode()}")
        return json.loads(text) if text else {}

    def make(self, there: str) -> str:
        settings = self.lab.tunnel("a", there)
        base = "/client/v4/accounts/default/magic"
        made = self.ask("POST", f"{base}/ipsec_tunnels", {
            "name": settings["name"], "cloudflare_endpoint": self.lab["a"].outer4, "customer_endpoint": settings["peer"],
            "interface_address": settings["interface"], "psk": self.lab.psk,
            "health_check": {"enabled": True, "type": "request", "rate": "high", "direction": "bidirectional"}})["result"]
        nexthop = settings["interface"].split("/")[0]
        number = int(nexthop.rpartition(".")[2])
        self.ask("POST", f"{base}/routes", {"prefix": self.lab[there].net4, "nexthop": f"{nexthop.rpartition('.')[0]}.{number ^ 1}", "priority": 100})
        return made["id"]

    def token(self, *scopes: str) -> str:
        made = self.ask("POST", "/v1/tokens", {"name": "-".join(scopes), "scopes": list(scopes)})
        return made["secret"]

    # --- the words of world.mjs

    def waiting(self) -> dict:
        if self.c is not None:
            raise Cannot("c is up already")
        return {"name": "site-c"}

    def up(self, name: str) -> dict:
        assert name == "site-c"
        self.c = self.lab.start("c")
        self.a.spawn_cli("up", name)
        return {}

    def steady(self) -> dict:
        if self.weather:
            self.lab.nft(self.lab.net, "delete table inet weather")
            self.weather = False
        if self.c is None:
            self.up("site-c")
        for name, key in self.ids.items():
            if self.a.tunnel(name)["actual"] != "up":  # a new PSK was generated, which the peer has not
                self.ask("PUT", f"/client/v4/accounts/default/magic/ipsec_tunnels/{key}", {"psk": self.lab.psk})
        good = wait_until(lambda: [t for t in self.a.status_json()["tunnels"] if t["actual"] == "up" and t["health"]["state"] in ("healthy", "")],
                          "a tunnel is up and healthy", 90)
        return {"name": good[0]["name"]}

    def degrade(self, name: str) -> dict:
        self.lab.nft(self.lab.net, LOSS % self.lab[name[-1]].outer4)
        self.weather = True
        return {}

    def traffic(self, name: str) -> dict:
        ping(self.lab["a"].site, self.lab[name[-1]].host4, count=50, size=600)
        return {}

    def captures(self) -> dict:
        line = UnixConnection(str(self.lab["a"].dir / "qanat.sock"))
        line.request("GET", "/client/v4/accounts/default/pcaps")
        if line.getresponse().status != 200:
            raise Cannot("this daemon does not capture")
        return {}

    def expire(self, token: str) -> dict:
        self.ask("DELETE", f"/v1/tokens/{token.split('_')[1]}")
        return {}

    def stop(self) -> dict:
        self.a.stop()
        return {}

    def start(self) -> dict:
        self.a.start()
        return {}

    def do(self, words: list[str]) -> dict:
        word, *rest = words
        if word == "token":
            return {"token": self.token("read")}
        if word not in ("waiting", "up", "steady", "degrade", "traffic", "captures", "expire", "stop", "start"):
            raise Cannot(f"no word '{word}'")
        return getattr(self, word)(*rest)


class Line(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        try:
            answer = self.server.stage.do(json.loads(self.rfile.readline()))
        except Cannot as error:
            answer = {"error": str(error), "cannot": True}
        except BaseException as error:  # noqa: BLE001 - it is told to the test that asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


def the_page_of_a_real_daemon() -> None:
    """log in over hybrid TLS, a tunnel comes up, a path degrades, a PSK, a restart, an expired token, by keyboard, on a phone"""
    with laboratory(sites="abc") as lab:
        stage = Stage(lab)
        path = str(lab.dir / "driver.sock")
        server = socketserver.ThreadingUnixStreamServer(path, Line)
        server.daemon_threads = True
        server.stage = stage
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "QANAT_WEB_BASE": f"https://127.0.0.1:{PORT}/", "QANAT_WEB_TOKEN": stage.token("read", "write", "capture"),
                       "QANAT_WEB_READER": stage.token("read"), "QANAT_WEB_SPKI": stage.spki, "QANAT_WEB_DRIVER": str(HERE / "test_page.py"),
                       "QANAT_WEB_DRIVER_SOCKET": path}
        environment.setdefault("QANAT_WEB_SHOTS", str(HERE.parents[1] / "build" / "web" / "daemon"))
        try:
            done = subprocess.run(["ip", "netns", "exec", lab["a"].gw, shutil.which("node"), "run.mjs", "page"], cwd=HERE, env=environment, timeout=540)
        finally:
            server.shutdown()
        if done.returncode == SKIPPED:
            sys.exit(SKIPPED)
        check(done.returncode == 0, "the tests of the page")


if __name__ == "__main__":
    if shutil.which("node") is None or shutil.which("openssl") is None:
        say("skipped: needs node and openssl")
        sys.exit(1 if os.environ.get("QANAT_CI") else SKIPPED)
    sys.exit(main([the_page_of_a_real_daemon], 560))

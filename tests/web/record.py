"""Records what a real gateway answers, for the mock server of the page's tests: tests/web/recorded/*.json.

    QANAT_BUILD_DIR=build/dev python3 tests/web/record.py

Three sites: a hybrid tunnel, one with classical keys whose path loses packets, one that the peer refuses, and one that an operator
keeps down. Needs root, for network namespaces. The files are committed; run it again when the shapes of the API change.
"""
from __future__ import annotations

import http.client
import json
import pathlib
import socket
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "netns"))
from lab import Lab, Qanatd  # noqa: E402
from traffic import ping, wait_until  # noqa: E402


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


def ask(daemon: Qanatd, method: str, target: str) -> dict:
    connection = UnixConnection(str(daemon.site.dir / "qanat.sock"))
    connection.request(method, target)
    reply = connection.getresponse()
    body = json.loads(reply.read())
    connection.close()
    return {"method": method, "target": target, "status": reply.status, "body": body}


def main() -> None:
    with Lab("qw", sites="abc") as lab:
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("c", [lab.tunnel("c", "a", start="respond", pq="off")])
        refused = lab.tunnel("a", "c", name="site-d", peer=lab["b"].outer6, interface="10.255.9.0/31", interface6=None, routes=["10.4.0.0/24"])
        held = lab.tunnel("a", "b", name="site-b-2", peer="198.51.100.9", interface="10.255.9.2/31", interface6=None,
                          routes=[{"prefix": lab["b"].net4, "priority": 200}], start="respond")
        lab.configure("a", [lab.tunnel("a", "b"), lab.tunnel("a", "c"), refused, held])
        b, c, a = lab.start("b"), lab.start("c"), lab.start("a")
        a.wait_up("site-b")
        a.wait_up("site-c")
        lab.nft(lab.net, 'table inet weather {\n chain forward {\n  type filter hook forward priority 0\n  oifname "c" numgen random mod 100 < 12 drop\n }\n}\n')
        for size in (64, 700, 1200):
            ping(lab["a"].site, lab["b"].host4, count=30, size=size)
            ping(lab["a"].site, lab["c"].host4, count=30, size=size)
        answers = [ask(a, "POST", "/v1/tunnels/site-b/rekey/child"), ask(a, "POST", "/v1/tunnels/site-b-2/down")]
        wait_until(lambda: a.tunnel("site-c")["health"]["state"] == "degraded", "site-c degrades", 90)
        wait_until(lambda: a.tunnel("site-d")["failed_attempts"] > 0, "site-d has failed", 90)
        time.sleep(6)
        for target in ("/v1/status", "/v1/status/site-b", "/v1/status/nowhere", "/v1/posture", "/v1/routes", "/v1/version", "/v1/events",
                       f"/v1/routes/{lab['b'].host4}", f"/v1/routes/{lab['c'].host6}", "/v1/routes/8.8.8.8", "/v1/routes/nonsense"):
            answers.append(ask(a, "GET", target))
        answers += [ask(a, "POST", "/v1/tunnels/nowhere/up"), ask(a, "POST", "/v1/tunnels/site-b-2/rekey/child"), ask(a, "POST", "/v1/status")]
    (HERE / "recorded" / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
    for answer in answers:
        print(answer["status"], answer["method"], answer["target"])


if __name__ == "__main__":
    main()

"""The API under load: tunnels made by bulk calls over HTTPS while another one carries numbered packets, and many objects listed.

Each round is a gateway with an empty store and one tunnel of its file that is up. The tunnels of the measured calls have keys and are
called at once (nobody answers); the rest, made so that there is something to list, wait for their keys.
"""
from __future__ import annotations

import http.client
import json
import ssl
import sys
import time

BULK = 100    # tunnels a call
LISTS = 10    # of each round
STALE = 0.6   # seconds between two lists: the state that is shown is older then, and is asked for anew
RATE = 1000   # packets a second each way through the tunnel that is up
PATH = "/client/v4/accounts/default/magic/ipsec_tunnels"
OURS = "192.0.2.1"


# --- in the gateway's namespace: a client with one connection, as an SDK has -------------------------------------------


def wish(number: int, psk: str | None) -> dict:
    out = {"name": f"t{number:05}", "cloudflare_endpoint": OURS, "customer_endpoint": f"198.18.{number >> 8}.{number & 255}",
           "interface_address": f"10.200.{number >> 7}.{(number & 127) * 2}/31", "description": "made by ./run bench api",
           "health_check": {"enabled": True, "type": "request", "direction": "bidirectional", "rate": "low"}}
    return out | ({"psk": psk} if psk else {})


class Client:
    def __init__(self, port: str, ca: str, token: str):
        self.line = http.client.HTTPSConnection("localhost", int(port), context=ssl.create_default_context(cafile=ca), timeout=120)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, body: str | None = None) -> tuple[float, bytes]:
        """Seconds from the first octet of the request to the last of the answer."""
        begin = time.perf_counter()
        self.line.request(method, PATH, body, self.headers)
        reply = self.line.getresponse()
        text = reply.read()
        taken = time.perf_counter() - begin
        if reply.status != 200:
            raise RuntimeError(f"{method}: {reply.status} {text[:500].decode(errors='replace')}")
        return taken, text

    def make(self, begin: int, end: int, psk: str | None) -> list[float]:
        """Tunnels begin..end-1, in bulk calls; the seconds of each call."""
        bodies = [json.dumps({"ipsec_tunnels": [wish(number, psk) for number in range(at, min(at + BULK, end))]}) for at in range(begin, end, BULK)]
        return [self.ask("POST", body)[0] for body in bodies]


def inside_make(client: Client, begin: str, end: str, psk: str) -> dict:
    return {"seconds": client.make(int(begin), int(end), psk or None)}


def inside_list(client: Client, count: str) -> dict:
    seconds, size, found = [], 0, 0
    for _ in range(LISTS):
        time.sleep(STALE)
        taken, text = client.ask("GET")
        seconds.append(taken)
        size, found = len(text), len(json.loads(text)["result"]["ipsec_tunnels"])
        if found != int(count):
            raise RuntimeError(f"{found} of {count} tunnels are listed")
    return {"seconds": seconds, "size": size}


# --- the benchmark ------------------------------------------------------------------------------------------------------


def one_round(report, tunnels: int, objects: int) -> None:
    from field import run
    from lab import Lab
    from stream import Stream
    from test_api import PORT, make_certificate
    with Lab("qb") as lab:
        a, b = lab["a"], lab["b"]
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.start("b")
        lab.configure("a", [lab.tunnel("a", "b")], **make_certificate(a.dir))
        gateway = lab.start("a")
        gateway.wait_up("site-b", 60)
        token = gateway.cli("token", "create", "bench", "--scope", "read,write").stdout.strip()

        def client(mode: str, *arguments: str) -> dict:
            done = run("ip", "netns", "exec", a.gw, sys.executable, __file__, mode, str(PORT), str(a.dir / "ca" / "ca.crt"), token, *arguments,
                       timeout=600)
            return json.loads(done.stdout)

        def beside(what: str, mode: str, *arguments: str) -> dict:
            """The client's work, with packets through the tunnel that is up."""
            with Stream((a.site, a.host4), (b.site, b.host4), RATE) as stream:
                time.sleep(0.5)
                result = client(mode, *arguments)
                time.sleep(0.5)
                flows = stream.stop()
            report.add(f"{what}: lost", "qanat", sum(flow.lost for flow in flows), "packets")
            report.add(f"{what}: longest silence", "qanat", max(flow.longest_silence_ms for flow in flows), "ms")
            report.add(f"{what}: packets sent", "qanat", sum(flow.sent for flow in flows), "packets")
            return result

        made = beside("made", "make", "0", str(tunnels), lab.psk)["seconds"]
        report.add("made", "qanat", sum(made), "s")
        report.add("made: slowest call", "qanat", max(made) * 1000, "ms")
        client("make", str(tunnels), str(objects - 1), "")  # with that of the file: `objects`
        listed = beside("listed", "list", str(objects))
        for seconds in listed["seconds"]:
            report.add("listed", "qanat", seconds * 1000, "ms")
        report.add("listed: answer", "qanat", listed["size"] / 1e6, "MB")
        one_more = client("make", str(objects), str(objects + 1), "")["seconds"]
        report.add("one more made", "qanat", one_more[0] * 1000, "ms")


def measure(options, subjects: list) -> None:
    from field import Qanat
    from report import Report
    qanat = next((s for s in subjects if isinstance(s, Qanat)), None)
    if qanat is None:
        return
    report = Report("api", f"{options.api_tunnels:,} tunnels made by bulk calls, {options.api_objects:,} listed, over HTTPS", options)
    report.subject(qanat)
    for _ in range(options.rounds):
        one_round(report, options.api_tunnels, options.api_objects)
    report.finish()


if __name__ == "__main__":
    mode, *where_and_who = sys.argv[1:5]
    print(json.dumps({"make": inside_make, "list": inside_list}[mode](Client(*where_and_who), *sys.argv[5:])))

"""What the API has made, on the disk: encrypted with a key file, under another key after a restart, and protected at boot without any."""
from __future__ import annotations

import http.client
import json
import os
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, binary, check, laboratory, main, run, say  # noqa: E402
from traffic import ping_until_answered, socket_in, wait_until  # noqa: E402

MARKER = b"qanat-store-marker-" + os.urandom(6).hex().encode()
PSK = "qpsk1-" + "A" * 20 + "bcdefghijklmnopqrstuv" + "wA"
TUNNELS = "/client/v4/accounts/default/magic/ipsec_tunnels"
ROUTES = "/client/v4/accounts/default/magic/routes"


class Local(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path: pathlib.Path):
        super().__init__("qanat", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self.path))


def ask(daemon: Qanatd, method: str, path: str, body: dict | None = None) -> dict:
    connection = Local(daemon.site.dir / "qanat.sock")
    connection.request(method, path, json.dumps(body) if body is not None else None)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    check(reply.status in (200, 201), f"{method} {path}: {reply.status}" + ("" if reply.status < 300 else f" {text[:300]}"))
    return json.loads(text)


def make_by_api(lab: Lab, a: Qanatd) -> None:
    """A tunnel to gateway b and a route through it, made by the API alone."""
    inside = lab.tunnel("a", "b")["interface"]
    peer_inside = lab.tunnel("b", "a")["interface"].partition("/")[0]
    ask(a, "POST", TUNNELS, {"name": "site-b", "cloudflare_endpoint": lab["a"].outer4, "customer_endpoint": lab["b"].outer4,
                             "interface_address": inside, "psk": PSK})
    ask(a, "POST", ROUTES, {"prefix": lab["b"].net4, "nexthop": peer_inside, "priority": 100})


def answering(lab: Lab) -> Qanatd:
    psk = lab.write_psk("api.psk", PSK)
    lab.configure("b", [lab.tunnel("b", "a", start="respond", psk_file=psk, interface6=None, routes=[lab["a"].net4])])
    return lab.start("b")


def genpsk(path: pathlib.Path) -> str:
    run(binary("qanat"), "genpsk", "-o", str(path))
    return str(path)


def on_the_disk(lab: Lab) -> bytes:
    state = lab["a"].dir / "state"
    return b"".join(file.read_bytes() for file in sorted(state.glob("objects.db*")))


def does_not_start(a: Qanatd, why: str) -> None:
    a.start(wait=False)
    wait_until(lambda: a.process.poll() is not None, "it ends by itself", 20)
    log = a.log()
    check(a.process.returncode != 0 and why in log, f"it does not start, and says: {why}")
    a.process = None


def a_key_file() -> None:
    """encrypted when a key file is named, refused without it and with another, changed for another by one restart, over kill -9"""
    with laboratory() as lab:
        folder = lab["a"].dir
        old, new = genpsk(folder / "old.key"), genpsk(folder / "new.key")
        answering(lab)
        lab.configure("a", [])
        a = lab.start("a")
        make_by_api(lab, a)
        a.wait_up("site-b")
        check(PSK.encode() in on_the_disk(lab), "control: without a key file the pre-shared key stands on the disk")
        a.kill9()

        lab.configure("a", [], store_key_file=old)
        a.start()
        a.wait_up("site-b", seconds=60)
        check(PSK.encode() not in on_the_disk(lab), "with one it does not, not even what was written before")
        a.stop()

        before = on_the_disk(lab)
        lab.configure("a", [])
        does_not_start(a, "name the key file that it was written with in [gateway] store_key_file")
        lab.configure("a", [], store_key_file=new)
        does_not_start(a, "encrypted with another key file than [gateway] store_key_file")
        check(on_the_disk(lab) == before, "and nothing on the disk was changed")

        lab.configure("a", [], store_key_file=new, store_key_file_before=old)
        a.start()
        a.wait_up("site-b", seconds=60)
        check(True, "the old one named in store_key_file_before: it starts, the tunnel comes up")
        a.kill9()
        lab.configure("a", [], store_key_file=old)
        does_not_start(a, "encrypted with another key file")
        lab.configure("a", [], store_key_file=new)
        a.start()
        a.wait_up("site-b", seconds=60)
        check(ping_until_answered(lab["a"].site, lab["b"].host4).received, "under the new key alone, after kill -9: traffic flows")
        say(f"{len(ask(a, 'GET', '/v1/audit')['audit'])} lines of the audit log are still there")


def protected_at_boot() -> None:
    """qanatd --protect, as a boot does it: prefixes of tunnels and routes that the API has made, without the store's key"""
    with laboratory() as lab:
        key = genpsk(lab["a"].dir / "store.key")
        sock = socket_in(lab["a"].site, socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)

        def talk() -> None:
            for _ in range(20):
                try:
                    sock.sendto(MARKER * 3, (lab["b"].host4, 7777))
                except OSError:
                    pass  # "no route to host"
                time.sleep(0.005)
            time.sleep(0.05)

        def once(mode: str) -> int:
            return run("ip", "netns", "exec", lab["a"].gw, binary("qanatd"), mode, "-c", str(lab["a"].dir / "qanat.toml"), check=False).returncode

        answering(lab)
        lab.configure("a", [], store_key_file=key)
        a = lab.start("a")
        make_by_api(lab, a)
        a.wait_up("site-b")
        barrier = lab.protection("a")["routes -4"]
        check(once("--protect") == 1, "while the daemon runs --protect refuses")
        check(lab.protection("a")["routes -4"] == barrier, "and takes nothing away of what the daemon has made")
        a.stop()
        check(once("--purge") == 0, "as after a boot: nothing of ours stands in the kernel")
        with lab.capture(markers=[MARKER]) as control:
            talk()
            check(control.report().marker_hits > 0, "control: unprotected, the marker is seen outside")
        lab.configure("a", [])  # the key is not there yet
        check(once("--protect") == 0, "qanatd --protect: done")
        check(lab["b"].net4 in lab.protection("a")["routes -4"], "the API's route is unreachable")
        with lab.capture(markers=[MARKER]) as capture:
            talk()
            report = capture.report()
            check(report.leaks == 0 and report.unseen == 0, "nothing in the clear outside")
            lab.configure("a", [], store_key_file=key)
            a.start()
            talk()
            a.wait_up("site-b", seconds=60)
            check(ping_until_answered(lab["a"].site, lab["b"].host4, fill=MARKER).received, "the daemon starts on what was left, and the tunnel carries")
            report = capture.report()
            check(report.leaks == 0 and report.unseen == 0, "and still nothing in the clear")


if __name__ == "__main__":
    sys.exit(main([a_key_file, protected_at_boot], 210))

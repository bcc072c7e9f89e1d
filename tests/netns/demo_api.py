"""The control plane's demo: Cloudflare's own SDK builds tunnels, strongSwan answers, a browser looks on. `./run demo api` calls it.

Everything happens in network namespaces that are made here and gone afterwards, also after Ctrl-C. Exit status 0 only
if everything was seen that is said to be seen. The pictures of the page stay in build/demo/api.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parent
sys.path[:0] = [str(HERE), str(TESTS / "interop"), str(TESTS / "sdk"), str(TESTS / "web")]
from demo import Show, show_and_exit, show_handshake, table  # noqa: E402
from lab import Lab, Qanatd, laboratory  # noqa: E402
from processes import run  # noqa: E402
from stream import Stream  # noqa: E402
from strongswan import Connection, StrongSwan  # noqa: E402
from test_page import certificate  # noqa: E402
from traffic import marked_blocks, ping, tcp_transfer, wait_until  # noqa: E402

PORT = 8443
SHOTS = TESTS.parent / "build" / "demo" / "api"
VIEWS = ("overview", "overview-dark", "tunnel", "routes", "posture", "events", "capture", "login", "phone")
PUBLISHED = ("overview", "tunnel", "routes", "posture", "events", "capture", "phone")
IMAGES = TESTS.parent / "docs" / "images"  # what --publish writes, for the README
MOST_OCTETS = 600_000
LOOKED_AT = 20  # seconds that the page stays open before its pictures are taken
PICTURE = """
     npm "cloudflare" 7.x            Chromium
      unmodified  \\                   /
                   \\  HTTPS, hybrid  /
                    +---------------+                        +---------------------+
     site A --------|    qanatd     |====== ESP, hybrid =====|  berlin: strongSwan |---- site B
     10.1.0.0/24    |   192.0.2.1   |                        |    198.51.100.1     |     10.2.0.0/24
                    |               |                        +---------------------+
                    |               |===== ESP, classical ===|  madrid: pq = off   |---- site C
                    +---------------+                        +---------------------+     10.3.0.0/24
"""


class Sdk:
    """The unmodified package: one call at a time, as a program that has nothing else would make it."""

    def __init__(self, show: Show, daemon: Qanatd, token: str, spki_file: pathlib.Path):
        self.show, self.ns = show, daemon.site.gw
        self.environment = {"QANAT_SDK_DIR": os.environ["QANAT_SDK_DIR"], "QANAT_API": f"https://127.0.0.1:{PORT}",
                            "NODE_EXTRA_CA_CERTS": str(spki_file), "QANAT_TOKEN": token}

    def call(self, path: str, *names: str, shown: dict | None = None, **wish) -> dict:
        """`names`: the id, where the call has one. `shown`: what is printed instead of the wish, where it has a secret."""
        said = ", ".join([*(f'"{name[:8]}..."' for name in names), brief(shown if shown is not None else wish)])
        self.show.say(self.show.paint(f"> await cf.magicTransit.{path}({said})", "36"))
        pairs = [f"{name}={value}" for name, value in self.environment.items()]
        done = run("ip", "netns", "exec", self.ns, "env", *pairs, "node", str(TESTS / "sdk" / "call.mjs"), path, *names, json.dumps(wish),
                   check=False, timeout=60)
        if not done.stdout.strip():
            raise RuntimeError(f"the SDK failed: {done.stderr.strip()[-1500:]}")
        return json.loads(done.stdout)


def brief(value, most: int = 130) -> str:
    """JSON as a person would write it in JavaScript, cut where it is long; ... stands for what is left out."""
    if value is ...:
        text = "..."
    elif isinstance(value, dict) and not value:
        text = "{}"
    elif isinstance(value, dict):
        text = "{ " + ", ".join(f"{key}: {brief(item, 1000)}" for key, item in value.items()) + " }"
    elif isinstance(value, list):
        text = "[" + ", ".join(brief(item, 1000) for item in value) + "]"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[:most - 3] + "..."


def tell_gateway(show: Show, lab: Lab) -> tuple[Qanatd, Sdk, str, str]:
    show.chapter("A gateway without a single tunnel, and an API on its own listener")
    cert, key, spki = certificate(lab.dir)
    config = pathlib.Path(lab.configure("a", [], outer=[4], api=f"127.0.0.1:{PORT}", api_certificate=cert, api_key=key))
    show.quote("cat qanat.toml    # all of it", config.read_text().replace(str(lab.dir), "/lab"))
    gateway = lab.start("a")
    show.say()
    token = gateway.cli("token", "create", "demo", "--scope", "read,write,capture").stdout.strip()
    show.quote("qanat token create demo --scope read,write,capture", token[:13] + "...   (shown this once; kept as a hash)")
    return gateway, Sdk(show, gateway, token, pathlib.Path(cert)), token, spki


def tell_making(show: Show, lab: Lab, sdk: Sdk) -> dict:
    """Both tunnels with their routes; what came back, and berlin's new key."""
    show.chapter("The npm package `cloudflare`, unmodified but for its base URL, makes two tunnels")
    a, b, c = lab["a"], lab["b"], lab["c"]
    health = {"enabled": True, "type": "request", "direction": "bidirectional", "rate": "mid"}
    out = {}
    berlin = {"name": "berlin", "cloudflare_endpoint": a.outer4, "customer_endpoint": b.outer4, "interface_address": "10.255.0.0/31"}
    out["berlin"] = sdk.call("ipsecTunnels.create", **berlin, health_check={**health, "target": b.gw4}, shown={**berlin, "health_check": ...})
    made = sdk.call("ipsecTunnels.pskGenerate", out["berlin"]["id"], body={})
    out["psk"] = made["psk"]
    show.seen(len(made["psk"]) == 49, f"a key of 256 random bits, for the peer: {made['psk'][:9]}...")
    madrid = {"name": "madrid", "cloudflare_endpoint": a.outer4, "customer_endpoint": c.outer4, "interface_address": "10.255.0.4/31"}
    out["madrid"] = sdk.call("ipsecTunnels.create", **madrid, psk=lab.psk, health_check=health, shown={**madrid, "psk": ..., "health_check": ...})
    routes = ((b.net4, "10.255.0.1"), (c.net4, "10.255.0.5"))
    out["routes"] = [sdk.call("routes.create", prefix=prefix, nexthop=hop, priority=100)["id"] for prefix, hop in routes]
    listed = sdk.call("ipsecTunnels.list")["ipsec_tunnels"]
    show.seen([t["name"] for t in listed] == ["berlin", "madrid"], "it lists both")
    show.seen(all("psk" not in t for t in listed), "and no key is ever read back")
    return out


def tell_up(show: Show, lab: Lab, gateway: Qanatd, sdk: Sdk, made: dict, swan: StrongSwan) -> None:
    show.chapter("strongSwan 6.1 gets the generated key, and both tunnels come up")
    a, b = lab["a"], lab["b"]
    swan.configure(Connection(local=b.outer4, remote=a.outer4, psk=made["psk"], local_id=b.outer4, remote_id=a.outer4,
                              local_ts=["0.0.0.0/0"], remote_ts=["0.0.0.0/0"]))
    # libipsec's default route goes before the main table; without this, what comes out of the tunnel goes in again.
    lab.ip(b.gw, f"rule add to {b.net4} lookup main priority 100")
    swan.start()
    lab.configure("c", [lab.tunnel("c", "a", start="respond", pq="off", interface="10.255.0.5/31", interface6=None, routes=[a.net4])], outer=[4])
    lab.start("c")
    for name in ("berlin", "madrid"):
        gateway.cli("up", name)
    tunnel = gateway.wait_up("berlin")
    gateway.wait_up("madrid")
    swan.wait_established(20)
    show_handshake(show, tunnel)
    show.say()
    status = {name: sdk.call("ipsecTunnels.get", made[name]["id"])["ipsec_tunnel"]["pq_status"] for name in ("berlin", "madrid")}
    show.seen(status["berlin"]["state"] == "hybrid", f"the SDK reads it, too: pq_status {brief(status['berlin'])}")
    show.seen(status["madrid"]["state"] == "classical" and status["madrid"]["reason"], f"and why madrid is not: {status['madrid']['reason']}")


def tell_traffic(show: Show, lab: Lab, gateway: Qanatd, swan: StrongSwan) -> None:
    show.chapter("Traffic from site A to sites B and C")
    for there in "bc":
        result = ping(lab["a"].site, lab[there].host4, count=10, size=1000)
        show.seen(result.received == 10, f"{lab[there].host4}: {result}")
    done = tcp_transfer(lab["a"].site, lab["b"].site, lab["b"].host4, marked_blocks(b"api", 10_000_000))
    show.seen(done.intact, f"10 MB by TCP through strongSwan, {done.megabits:,.0f} Mbit/s, equal SHA-256 at both ends")
    tunnel = gateway.wait_tunnel(lambda t: t["bytes_out"] > 10_000_000, "status counts it", "berlin")
    child = next(c for sa in swan.list_sas() for c in sa["children"] if c["state"] == "INSTALLED")
    for line in table([["counted by", "sent", "received"],
                       ["qanat", f"{tunnel['packets_out']:,} packets, {tunnel['bytes_out']:,} B", f"{tunnel['packets_in']:,} packets, {tunnel['bytes_in']:,} B"],
                       ["strongSwan", f"{int(child['packets-out']):,} packets, {int(child['bytes-out']):,} B",
                        f"{int(child['packets-in']):,} packets, {int(child['bytes-in']):,} B"]]):
        show.say(line)
    show.seen(int(child["bytes-in"]) > 10_000_000, "both ends have counted it")
    show.say()
    show.quote("qanat status", gateway.cli("status").stdout)


def tell_changes(show: Show, lab: Lab, sdk: Sdk, made: dict) -> None:
    show.chapter("Changes under traffic: 1,000 packets/s each way through berlin")
    berlin, madrid = made["berlin"]["id"], made["madrid"]["id"]
    with Stream((lab["a"].site, lab["a"].host4), (lab["b"].site, lab["b"].host4), 1000) as stream:
        edited = sdk.call("ipsecTunnels.update", berlin, description="first floor", health_check={"rate": "high"})["modified_ipsec_tunnel"]
        show.seen(edited["health_check"]["rate"] == "high" and edited["health_check"]["direction"] == "bidirectional",
                  "a part of a health check changes; what was not named stays")
        both = [{"id": berlin, "description": "Berlin, first floor"}, {"id": madrid, "description": "Madrid"}]
        changed = sdk.call("ipsecTunnels.bulkUpdate", body={"ipsec_tunnels": both}, shown={"body": {"ipsec_tunnels": ["berlin", "madrid"]}})
        show.seen([t["description"] for t in changed["modified_ipsec_tunnels"]] == ["Berlin, first floor", "Madrid"], "two in one call")
        wrong = [{"id": berlin, "description": "half"}, {"id": madrid, "interface_address": "10.255.0.4/24"}]
        refused = sdk.call("ipsecTunnels.bulkUpdate", body={"ipsec_tunnels": wrong}, shown={"body": {"ipsec_tunnels": ["berlin", "madrid, wrong"]}})
        show.say(brief(refused, 220))
        after = sdk.call("ipsecTunnels.get", berlin)["ipsec_tunnel"]["description"]
        show.seen(refused.get("refused") == "BadRequestError" and after == "Berlin, first floor", "one that is wrong: neither was changed")
        flows = stream.stop()
    show.seen(all(flow.sent > 500 and flow.lost == 0 for flow in flows),
              f"{sum(flow.sent for flow in flows):,} packets meanwhile, {sum(flow.lost for flow in flows)} lost")


def tell_page(show: Show, lab: Lab, gateway: Qanatd, token: str, spki: str) -> None:
    show.chapter(f"The page, in Chromium, while packets flow ({LOOKED_AT} s and a picture of each view)")
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    a, b, c = lab["a"], lab["b"], lab["c"]
    environment = {**os.environ, "QANAT_WEB_BASE": f"https://127.0.0.1:{PORT}/", "QANAT_WEB_TOKEN": token, "QANAT_WEB_SPKI": spki,
                   "QANAT_WEB_SHOTS": str(SHOTS), "QANAT_WEB_SECONDS": str(LOOKED_AT)}
    with Stream((a.site, a.host4), (b.site, b.host4), 300, size=900), Stream((a.site, a.host4), (c.site, c.host4), 100, size=400, port=7008):
        done = subprocess.run(["ip", "netns", "exec", a.gw, "node", str(TESTS / "web" / "shots.mjs"), "berlin", b.host4], env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
    for view in VIEWS:
        file = SHOTS / f"{view}.png"
        whole = file.exists() and file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and file.stat().st_size > 5000
        show.seen(whole, f"{file.relative_to(TESTS.parent)}" + (f", {file.stat().st_size // 1024} KB" if whole else ""))
    show.seen(done.returncode == 0, "no request to anybody else, no violation of its policy, no error"
              + (f": {done.stderr.strip()[-1500:]}" if done.returncode else ""))
    api = gateway.status_json()["api"]
    show.seen(api["hybrid"] > 0, f"by X25519MLKEM768: {api['hybrid']} connections of the browser and the SDK; by X25519 alone: {api['classical']}")


def tell_deletion(show: Show, lab: Lab, gateway: Qanatd, sdk: Sdk, made: dict, swan: StrongSwan) -> None:
    show.chapter("The SDK deletes them")
    refused = sdk.call("ipsecTunnels.delete", made["berlin"]["id"])
    show.seen(refused.get("refused") == "ConflictError", f"not while routes lead there: {refused['errors'][0]['message']}")
    for route in made["routes"]:
        sdk.call("routes.delete", route)
    for name in ("berlin", "madrid"):
        gone = sdk.call("ipsecTunnels.delete", made[name]["id"])
        show.seen(gone.get("deleted") is True, f"{name} is deleted")
    swan.wait_for(lambda sas: not sas, "no SA left", 20)
    show.seen(True, "strongSwan has heard of it, and has no SA left")
    wait_until(lambda: not gateway.status_json()["tunnels"], "the tunnels leave the status", 15)
    wait_until(lambda: lab["b"].net4 not in "".join(lab.protection("a").values()), "the route leaves the kernel", 15)
    show.seen(True, "no tunnel in the status, no route of it in the kernel")
    show.quote("GET /v1/audit    # who changed what", "\n".join(audit_lines(gateway)))


def audit_lines(gateway: Qanatd) -> list[str]:
    from record import ask  # the control socket, by http.client
    entries = ask(gateway, "GET", "/v1/audit")["body"]["audit"]
    return table([[entry["time"], entry["who"], entry["what"], entry["name"]] for entry in entries[-6:]])


def demo(show: Show) -> None:
    show.say("A gateway that knows no tunnel; Cloudflare's official client, a strongSwan, a peer with yesterday's keys, and a browser.")
    show.say("All of it is made of network namespaces on this machine, and gone afterwards.")
    print(PICTURE)
    with laboratory("qda", sites="abc") as lab:
        gateway, sdk, token, spki = tell_gateway(show, lab)
        swan = StrongSwan(os.environ["QANAT_PEER_FORKY"], lab["b"].gw, str(lab["b"].dir / "swan"))
        try:
            with lab.capture() as wiretap:
                made = tell_making(show, lab, sdk)
                tell_up(show, lab, gateway, sdk, made, swan)
                tell_traffic(show, lab, gateway, swan)
                tell_changes(show, lab, sdk, made)
                tell_page(show, lab, gateway, token, spki)
                report = wiretap.report()
            tell_deletion(show, lab, gateway, sdk, made, swan)
            show.chapter("What a wiretap between all of them saw, from the first handshake until the deletion")
            show.say(report.text())
            show.seen(report.esp > 5000 and report.clear == 0 and report.unseen == 0,
                      f"{report.esp:,} packets of ESP, and {report.clear} in the clear with an address of a site"
                      + "".join(f"; {sample}" for sample in report.clear_samples[:3]))
            show.chapter("The daemon is asked to end")
            stopped = gateway.stop()
            show.seen(stopped == 0, f"it did, with exit status {stopped}")
        finally:
            swan.stop()


def why_not_here() -> str | None:
    if not os.environ.get("QANAT_PEER_FORKY"):
        return "needs strongSwan's root (QANAT_PEER_FORKY; ./run demo api makes it)"
    for name, package in (("QANAT_SDK_DIR", "cloudflare"), ("QANAT_WEB_NPM", "playwright-core")):
        if not (pathlib.Path(os.environ.get(name, "")) / "node_modules" / package).is_dir():
            return f"needs npm's package {package} ({name}; ./run demo api installs it)"
    return next((f"needs {tool}" for tool in ("node", "openssl") if shutil.which(tool) is None), None)


def publish(show: Show) -> None:
    demo(show)
    if not show.missing:
        IMAGES.mkdir(exist_ok=True)
        for view in PUBLISHED:
            shutil.copyfile(SHOTS / f"{view}.png", IMAGES / f"{view}.png")
        total = sum(file.stat().st_size for file in IMAGES.glob("*.png"))
        show.seen(total < MOST_OCTETS, f"the pictures are in docs/images, {total // 1024} KB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="./run demo api", description="Cloudflare's own SDK, a strongSwan, and the page in Chromium.")
    parser.add_argument("--publish", action="store_true", help="put the pictures into docs/images, for the README")
    sys.exit(show_and_exit("Qanat, its control plane", publish if parser.parse_args().publish else demo, why_not_here))

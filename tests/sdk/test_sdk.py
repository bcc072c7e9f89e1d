"""The official `cloudflare` package of npm, unmodified, against our daemon's HTTPS.

    python3 tests/sdk/test_sdk.py conversation    every call and error class
    python3 tests/sdk/test_sdk.py alerts          policies, webhooks and silences, with a receiver
    python3 tests/sdk/test_sdk.py tunnel          a tunnel made only by it comes up with strongSwan 6.1, and its deletion takes it down

Needs root, node, and QANAT_SDK_DIR: the folder with node_modules that ./run makes from package-lock.json. `tunnel` needs
QANAT_PEER_FORKY too.
"""
from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "interop"), str(HERE.parent / "netns")]
import lab  # noqa: E402
from meeting import Meeting, expect  # noqa: E402
from processes import run  # noqa: E402
from receiver import Receiver  # noqa: E402
from strongswan import Connection  # noqa: E402
from test_strongswan import leave, why_not  # noqa: E402
from traffic import wait_until  # noqa: E402

PORT = 8443


def certificate(folder: pathlib.Path) -> dict:
    """A CA and a certificate for localhost, as the documentation says to make them; the keys of [gateway] for it."""
    run(lab.binary("qanat"), "pki", "ca", "--name", "Test CA", "--key", "ecdsa-p256", "--out", str(folder / "ca"))
    run(lab.binary("qanat"), "pki", "issue", "--tls", "--ca", str(folder / "ca"), "--key", "ecdsa-p256", "--id", "fqdn:localhost",
        "--id", "127.0.0.1", "--out", str(folder))
    return {"api": f"127.0.0.1:{PORT}", "api_certificate": str(folder / "localhost.crt"), "api_key": str(folder / "localhost.key")}


def token(daemon: lab.Qanatd, name: str, scopes: str) -> str:
    return daemon.cli("token", "create", name, "--scope", scopes).stdout.strip()


def node(daemon: lab.Qanatd, script: str, *arguments: str, check: bool = True, **more: str):
    site = daemon.site
    environment = {"QANAT_SDK_DIR": os.environ["QANAT_SDK_DIR"], "QANAT_API": f"https://localhost:{PORT}",
                   "NODE_EXTRA_CA_CERTS": str(site.dir / "ca" / "ca.crt"), "QANAT_ENDPOINT": site.outer4, **more}
    pairs = [f"{name}={value}" for name, value in environment.items()]
    return run("ip", "netns", "exec", site.gw, "env", *pairs, "node", str(HERE / script), *arguments, check=check, timeout=120)


def conversation() -> None:
    with lab.Lab(name="qs", sites="a") as place:
        site = place["a"]
        place.configure("a", [], outer=[4], **certificate(site.dir))
        daemon = place.start("a")
        said = node(daemon, "conversation.mjs", check=False, QANAT_TOKEN=token(daemon, "sdk", "read,write,capture"),
                    QANAT_READER=token(daemon, "reader", "read"))
        print(said.stdout + said.stderr, flush=True)
        expect(said.returncode == 0, "the conversation failed")
        api = daemon.status_json()["api"]
        print(f"    {api}", flush=True)
        expect(api["hybrid"] + api["classical"] > 0, "no handshake was counted")
        expect(api["refused"] > 0 and api["rate_limited"] > 0, "refusals were not counted")


def alerts() -> None:
    with lab.Lab(name="qs", sites="a") as place:
        site = place["a"]
        keys = certificate(site.dir)
        place.configure("a", [], outer=[4], webhooks=True, webhook_allow=["127.0.0.0/8", "::1/128"], webhook_ca=str(site.dir / "ca" / "ca.crt"), **keys)
        daemon = place.start("a")
        with Receiver(site.gw, keys["api_certificate"], keys["api_key"], site.dir / "hooks.jsonl") as receiver:
            said = node(daemon, "alerts.mjs", check=False, QANAT_TOKEN=token(daemon, "sdk", "read,write"), QANAT_HOOK=receiver.url)
            print(said.stdout + said.stderr, flush=True)
            expect(said.returncode == 0, "a call failed")
            got = [one for one in receiver.got() if one["path"] == "/hook"]
            expect(len(got) == 2 and all(one["auth"] == "sdk-secret" and "test message" in one["body"]["text"] for one in got),
                   f"two test messages with the secret: {got}")


def tunnel() -> None:
    with Meeting(os.environ["QANAT_PEER_FORKY"], name="qs") as meeting:
        a, b, ours = meeting.lab["a"], meeting.lab["b"], meeting.ours
        try:
            meeting.lab.configure("a", [], outer=[4], **certificate(a.dir))
            ours.start()
            secret = token(ours, "sdk", "read,write")
            wish = {"tunnel": {"name": "branch", "cloudflare_endpoint": a.outer4, "customer_endpoint": b.outer4,
                               "interface_address": "10.255.0.0/31", "health_check": {"enabled": False}},
                    "prefix": b.net4, "nexthop": "10.255.0.1"}
            made = json.loads(node(ours, "tunnel.mjs", "make", json.dumps(wish), QANAT_TOKEN=secret).stdout)
            meeting.swan.configure(Connection(local=b.outer4, remote=a.outer4, psk=made["psk"], local_id=b.outer4, remote_id=a.outer4,
                                              local_ts=["0.0.0.0/0"], remote_ts=["0.0.0.0/0"]))
            meeting.lab.ip(b.gw, f"rule add to {b.net4} lookup main priority 100")
            meeting.swan.start()
            ours.cli("up", "branch")
            meeting.wait_up()
            expect(meeting.tunnel["ike"]["verdict"]["keys"] == "hybrid", f"the keys are {meeting.tunnel['ike']['verdict']}")
            meeting.traffic()
            print("    the tunnel that the SDK made carries traffic, with hybrid keys", flush=True)

            # It outlives the daemon: acknowledged is persisted.
            ours.restart()
            ours.cli("up", "branch")
            meeting.wait_up()
            meeting.traffic(100_000)
            print("    and again after a restart of qanatd", flush=True)

            gone = json.loads(node(ours, "tunnel.mjs", "remove", made["tunnel"], made["route"], QANAT_TOKEN=secret).stdout)
            expect(gone["deleted"] is True, f"the deletion says {gone}")
            meeting.wait_gone_at_peer()
            wait_until(lambda: not ours.status_json()["tunnels"], "the tunnel leaves the status", 15)
            wait_until(lambda: "10.2.0.0" not in "".join(meeting.lab.protection("a").values()), "its route leaves the kernel", 15)
            print("    its deletion has taken it down on both sides", flush=True)
        except Exception:
            print(meeting.logs(60), flush=True)
            raise


def main() -> int:
    part = sys.argv[1]
    if reason := lab.why_not() or (why_not(["forky"]) if part == "tunnel" else None):
        return leave(reason)
    if not shutil.which("node") or not os.path.isdir(os.path.join(os.environ.get("QANAT_SDK_DIR", ""), "node_modules", "cloudflare")):
        return leave("no SDK: QANAT_SDK_DIR has no node_modules/cloudflare, or there is no node; ./run test installs both")
    {"conversation": conversation, "alerts": alerts, "tunnel": tunnel}[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main())

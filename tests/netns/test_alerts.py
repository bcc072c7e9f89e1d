"""Notifications: a real receiver gets them when a path is cut, when a tunnel falls to classical keys, before a certificate ends."""
from __future__ import annotations

import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, check, laboratory, main, say  # noqa: E402
from processes import run  # noqa: E402
from receiver import Receiver  # noqa: E402
from test_api import make_certificate  # noqa: E402
from traffic import wait_until  # noqa: E402

ALERTING = "http://q/client/v4/accounts/default/alerting/v3"


def ask(daemon: Qanatd, method: str, path: str, body=None) -> tuple[int, dict]:
    more = ["-d", json.dumps(body)] if body is not None else []
    done = run("curl", "-s", "-m", "30", "-w", "\n%{http_code}", "-X", method, "--unix-socket", str(daemon.site.dir / "qanat.sock"), ALERTING + path, *more,
               timeout=40)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


def made(daemon: Qanatd, path: str, body: dict) -> str:
    status, reply = ask(daemon, "POST", path, body)
    assert status == 200, f"{path}: {status} {reply}"
    return reply["result"]["id"]


def policy(daemon: Qanatd, hook: str, alert_type: str, **filters) -> str:
    return made(daemon, "/policies", {"name": alert_type, "alert_type": alert_type, "mechanisms": {"webhooks": [{"id": hook}]}, "filters": filters})


def webhook_keys(lab: Lab, days: int = 365) -> tuple[dict, dict]:
    """[gateway] of a, and what the receiver shows."""
    api = make_certificate(lab["a"].dir, days)
    return {"webhooks": True, "webhook_allow": ["127.0.0.0/8", "::1/128"], "webhook_ca": str(lab["a"].dir / "ca" / "ca.crt")}, api


def receiver_of(lab: Lab, api: dict) -> Receiver:
    return Receiver(lab["a"].gw, api["api_certificate"], api["api_key"], lab["a"].dir / "hooks.jsonl")


def words(receiver: Receiver) -> list[str]:
    return [one["body"]["data"].get("new_status") or one["body"]["data"].get("keys") or one["body"]["data"]["certificate"] for one in receiver.told()]


def a_cut_path_is_told() -> None:
    """what is cut is told with the secret; a receiver that is down gets it later; kill -9 neither loses nor doubles it"""
    with laboratory() as lab:
        keys, api = webhook_keys(lab)
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("a", [lab.tunnel("a", "b", dpd={"idle": 2, "timeout": 6})], **keys)
        b, a = lab.start("b"), lab.start("a")
        a.wait_up()
        with receiver_of(lab, api) as receiver:
            hook = made(a, "/destinations/webhooks", {"name": "ops", "url": receiver.url, "secret": "netns-secret"})
            check(receiver.got()[0]["id"] == "test" and receiver.got()[0]["auth"] == "netns-secret", "the test message has come, with the secret")
            for path, why in (("/refuse", "it answered 403"), ("/redirect", "redirects are not followed"), ("/mute", "it took too long")):
                status, reply = ask(a, "POST", "/destinations/webhooks", {"name": "x", "url": receiver.url.replace("/hook", path)})
                check(status == 400 and why in reply["errors"][0]["message"], f"{path}: {reply['errors'][0]['message']}")
            status, reply = ask(a, "POST", "/destinations/webhooks", {"name": "x", "url": f"https://{lab['a'].outer4}:9443/"})
            check(status == 400, f"an address of the host: {reply['errors'][0]['message']}")
            policy(a, hook, "magic_tunnel_health_check_event", new_health=["down", "healthy"])
            receiver.answer(503)
            b.kill9()
            first = wait_until(lambda: [one for one in receiver.got() if one["status"] == 503], "an attempt, answered 503", 90)[0]
            body = first["body"]
            check(body["data"]["new_status"] == "down" and body["alert_event"] == "ALERT_STATE_EVENT_START" and first["auth"] == "netns-secret",
                  f"it says: {body['text']}")
            wait_until(lambda: "webhook-failing" in a.log(), "the log says that it fails")
            a.kill9()
            receiver.answer(200)
            a.start()
            told = wait_until(receiver.told, "after kill -9 and a start it arrives", 30)
            check(told[0]["id"] == first["id"], "the same notification")
            wait_until(lambda: ask(a, "GET", "/history")[1]["result"], "it is in the history")
            b.start()
            a.wait_up(seconds=60)
            wait_until(lambda: words(receiver) == ["down", "healthy"], "its end is told", 90)
            a.restart()
            a.wait_up()
            time.sleep(15)
            check(words(receiver) == ["down", "healthy"], f"a restart tells nothing twice: {words(receiver)}")
            history = ask(a, "GET", "/history")[1]["result"]
            check([one["outcome"] for one in history] == ["delivered: 200", "delivered: 200"], f"history: {[one['outcome'] for one in history]}")
            check(ask(a, "GET", f"/destinations/webhooks/{hook}")[1]["result"]["last_success"] > "2020", "and the webhook says when it worked")
            check("qanat_alert_notifications_queued 0" in a.cli("metrics").stdout, "metrics")
            database = b"".join(file.read_bytes() for file in (lab["a"].dir / "state").glob("objects.db*"))
            say(f"objects.db: {len(database)} B")


def keys_and_certificates_are_told() -> None:
    """a tunnel that fell to classical keys, our listener's certificate and both sides' own"""
    with laboratory() as lab:
        keys, api = webhook_keys(lab, days=5)
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("a", [lab.tunnel("a", "b")], **keys, **api)
        b, a = lab.start("b"), lab.start("a")
        a.wait_tunnel(lambda t: t["actual"] == "up" and t["children"][0]["verdict"]["keys"] == "hybrid", "it is hybrid")
        with receiver_of(lab, api) as receiver:
            hook = made(a, "/destinations/webhooks", {"name": "ops", "url": receiver.url})
            policy(a, hook, "qanat_certificate_expiration", days_before=["7"])
            told = wait_until(receiver.told, "the certificate of the listener is told of")
            check(told[0]["body"]["data"]["days_left"] in (4, 5) and "listener" in told[0]["body"]["text"], told[0]["body"]["text"])
            policy(a, hook, "qanat_classical_keys")
            b.stop()
            lab.configure("b", [lab.tunnel("b", "a", start="respond", pq="off")])
            b.start()
            a.wait_tunnel(lambda t: t["actual"] == "up" and t["children"][0]["verdict"]["keys"] == "classical", "it is classical", seconds=60)
            wait_until(lambda: words(receiver)[1:] == ["classical"], "that is told", 20)
            say(receiver.told()[1]["body"]["text"])


def without_the_setting_nothing_connects() -> None:
    """off by default: the API says which line to write, and the sandbox refuses sockets"""
    with laboratory(sites="a") as lab:
        lab.configure("a", [])
        a = lab.start("a")
        status, reply = ask(a, "POST", "/destinations/webhooks", {"name": "x", "url": "https://example.com/"})
        check(status == 409 and "webhooks = true" in reply["errors"][0]["message"], reply["errors"][0]["message"])


if __name__ == "__main__":
    sys.exit(main([a_cut_path_is_told, keys_and_certificates_are_told, without_the_setting_nothing_connects], 270))

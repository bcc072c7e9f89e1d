"""What an operator sees of a gateway: metrics that promtool takes, the harvest ledger over restarts, explain, events, the bundle."""
from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Qanatd, check, laboratory, main, say  # noqa: E402
from traffic import ping, wait_until  # noqa: E402


def samples(text: str) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#")}


def metrics_are_what_prometheus_takes() -> None:
    """promtool check metrics finds nothing to say; traffic, keys and handshakes are in it"""
    promtool = shutil.which("promtool") or os.environ.get("QANAT_PROMTOOL")
    if not promtool:
        if os.environ.get("QANAT_CI"):
            raise AssertionError("promtool is not there: apt-get install prometheus")
        say("skipped: promtool is not there (package prometheus)")
        return
    with laboratory() as lab:
        a, _ = lab.pair()
        ping(lab["a"].site, lab["b"].host4, count=5)
        name = a.tunnel()["name"]
        wait_until(lambda: samples(a.cli("metrics").stdout)[f'qanat_tunnel_sent_packets_total{{tunnel="{name}"}}'] >= 5, "packets are counted")
        text = a.cli("metrics").stdout
        found = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        check(found.returncode == 0 and not found.stdout + found.stderr, f"promtool check metrics: {found.stdout + found.stderr or 'nothing to say'}")
        values = samples(text)
        check(values[f'qanat_tunnel_up{{tunnel="{name}"}}'] == 1 and values[f'qanat_tunnel_quantum_safe{{tunnel="{name}"}}'] == 1, "up, and quantum-safe")
        check(values['qanat_handshakes_total{keys="hybrid",kem="mlkem768"}'] == 1, "one hybrid handshake")
        check(values['qanat_handshake_exchange_duration_seconds_count{exchange="IKE_INTERMEDIATE"}'] == 1, "and the time of its IKE_INTERMEDIATE")


def harvested(daemon: Qanatd) -> dict:
    return json.loads(daemon.cli("posture", "--json").stdout)["tunnels"][0]


def the_ledger_is_kept() -> None:
    """what went under classical keys is counted, survives kill -9, and a fall from hybrid keys is told"""
    with laboratory() as lab:
        a, b = lab.pair(there={"pq": "off"})
        ping(lab["a"].site, lab["b"].host4, count=20, size=1000)
        first = wait_until(lambda: harvested(a)["ledger"]["classical_bytes"] >= 40_000 and harvested(a), "20 echo requests and answers are in the ledger")
        check(first["keys"] == "classical" and first["code"] == "no_intermediate", f"why: {first['code']}: {first['reason']}")
        file = lab["a"].dir / "state" / "posture.db"
        check(file.exists() and file.stat().st_mode & 0o777 == 0o600, f"{file.name} is there, mode 0600")
        wait_until(lambda: (lab["a"].dir / "state" / "posture.db-wal").stat().st_size > 0, "it is written")
        time.sleep(7)  # the ledger is written every 5 s
        a.kill9()
        a.start()
        a.wait_up()
        again = harvested(a)
        check(again["ledger"]["classical_bytes"] >= first["ledger"]["classical_bytes"],
              f"after kill -9: {again['ledger']['classical_bytes']} B, before {first['ledger']['classical_bytes']} B")
        b.stop()
        lab.configure("b", [lab.tunnel("b", "a")])
        b.start()
        a.wait_tunnel(lambda t: t["actual"] == "up" and t["children"][0]["verdict"]["keys"] == "hybrid", "it is hybrid", seconds=60)
        b.stop()
        lab.configure("b", [lab.tunnel("b", "a", pq="off")])
        b.start()
        a.wait_tunnel(lambda t: t["actual"] == "up" and t["children"][0]["verdict"]["keys"] == "classical", "it is classical again", seconds=60)
        check("fell-to-classical" in a.cli("events").stdout and "it was hybrid before" in a.cli("posture").stdout, "and that is told")


def explain_and_bundle() -> None:
    """explain shows the handshake; the bundle holds what helps, and not the pre-shared key"""
    with laboratory() as lab:
        a, _ = lab.pair()
        name = a.tunnel()["name"]
        page = a.cli("explain", name).stdout
        check(all(word in page for word in ("IKE_SA_INIT (x25519)", "IKE_INTERMEDIATE (mlkem768)", "IKE_AUTH", "we offered", "chosen")), "explain: steps and choice")
        check("through " + name in a.cli("route", "get", lab["b"].host4).stdout, "route get names the tunnel")
        check("tunnel-up" in a.cli("events", name).stdout, "events of the tunnel")
        folder = lab.dir / "bundle"
        a.cli("debug", "bundle", "-o", str(folder), "-c", str(lab["a"].dir / "qanat.toml"))
        files = {file.name: file.read_text() for file in folder.iterdir()}
        check(name in files["status.json"] and "tunnel-up" in files["events.json"] and name in files["config.toml"], f"bundle: {', '.join(sorted(files))}")
        check(not any(lab.psk in text for text in files.values()), "the pre-shared key is in none of them")


if __name__ == "__main__":
    sys.exit(main([metrics_are_what_prometheus_takes, the_ledger_is_kept, explain_and_bundle], 240))

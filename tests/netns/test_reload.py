"""Another configuration for a running daemon: by SIGHUP and `qanat reload`, with traffic through a tunnel that it does not touch."""
from __future__ import annotations

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, check, laboratory, main, say  # noqa: E402
from stream import Stream  # noqa: E402
from traffic import wait_until  # noqa: E402

RATE = 1000  # packets a second each way


def sas(daemon: Qanatd, name: str) -> tuple:
    tunnel = daemon.tunnel(name)
    return tunnel["ike"]["spi_i"], [child["spi_in"] for child in tunnel["children"]]


def three(lab: Lab) -> Qanatd:
    """Gateway a with tunnels to b and c, both up."""
    for letter in "bc":
        lab.configure(letter, [lab.tunnel(letter, "a", start="respond", old_keys=1)])
        lab.start(letter)
    lab.configure("a", [lab.tunnel("a", "b", old_keys=1), lab.tunnel("a", "c", old_keys=1)])
    a = lab.start("a")
    for name in ("site-b", "site-c"):
        a.wait_up(name)
    time.sleep(1)
    return a


def stream(lab: Lab, there: str, port: int) -> Stream:
    return Stream((lab["a"].site, lab["a"].host4), (lab[there].site, lab[there].host4), RATE, port=port)


def hang_up(a: Qanatd, pattern: str) -> None:
    """SIGHUP, until the log has one line more of this kind."""
    lines = a.log().count(pattern)
    os.kill(a.pid, signal.SIGHUP)
    wait_until(lambda: a.log().count(pattern) > lines, f"the log says {pattern} again", 20)


def lost_nothing(flows: tuple, what: str) -> None:
    for way, flow in zip(("there", "back"), flows, strict=True):
        check(flow.sent > 0 and flow.lost == 0 and flow.doubled == 0, f"{what}, {way}: {flow}")


def under_traffic() -> None:
    """in place, new keys, a new IKE SA, a bad file, a tunnel that goes and comes: nothing lost where nothing changed"""
    with laboratory(sites="abc") as lab:
        a = three(lab)
        config = lab["a"].dir / "qanat.toml"
        untouched = sas(a, "site-c")
        before = sas(a, "site-b")
        with stream(lab, "c", 7008) as other:
            with stream(lab, "b", 7007) as changed:
                lab.configure("a", [lab.tunnel("a", "b", old_keys=1, mss="off", child_lifetime="30m"), lab.tunnel("a", "c", old_keys=1)])
                shown = a.cli("check", "--diff", str(config)).stdout
                check("tunnel site-b" in shown and "child_lifetime" in shown and "site-c" not in shown, f"qanat check --diff:\n{shown}")
                hang_up(a, "reloaded")
                wait_until(lambda: sas(a, "site-b")[0] == before[0] and len(sas(a, "site-b")[1]) == 1 and sas(a, "site-b")[1] != before[1],
                           "site-b has new packet keys under the same IKE SA", 10)

                proposal = "aes128gcm16-prfsha256-x25519-ke1_mlkem768"
                lab.configure("a", [lab.tunnel("a", "b", old_keys=1, mss="off", child_lifetime="30m", ike=[proposal]), lab.tunnel("a", "c", old_keys=1)])
                begin = time.monotonic()
                said = a.cli("reload").stdout
                check("is in force" in said and "new IKE SA" in said, f"qanat reload ({(time.monotonic() - begin) * 1000:.0f} ms):\n{said}")
                wait_until(lambda: a.tunnel("site-b")["ike"]["suite"] == "aes128gcm16-prfsha256" and len(a.tunnel("site-b")["children"]) == 1,
                           "site-b has a new IKE SA by the new proposal", 20)

                good = config.read_text()
                config.write_text(good.replace("site-b", "site-b\x01"))
                hang_up(a, "reload-refused")
                config.write_text(good + "rotues = []\n")
                refused = a.cli("reload", check=False)
                check(refused.returncode == 1 and "did you mean 'routes'" in refused.stderr, f"a bad file changes nothing: {refused.stderr.strip()}")
                config.write_text(good)
                lost_nothing(changed.stop(), "the tunnel that was changed")

            lab.configure("a", [lab.tunnel("a", "c", old_keys=1)])
            hang_up(a, "tunnel-removed")
            wait_until(lambda: lab["b"].net4 not in lab.protection("a")["routes -4"], "the barrier of the removed tunnel goes", 10)
            check(len(a.status_json()["tunnels"]) == 1, "the tunnel is gone from qanat status")

            # The key of the tunnel that comes is root's, and the daemon is another user by now.
            lab.configure("a", [lab.tunnel("a", "c", old_keys=1), lab.tunnel("a", "b", old_keys=1, psk_file=lab.write_psk("new.psk", lab.psk))])
            a.cli("reload")
            a.wait_up("site-b")
            check(lab["b"].net4 in lab.protection("a")["routes -4"], "a tunnel that comes has its barrier")
            lost_nothing(other.stop(), "the tunnel that no reload touched")
        check(sas(a, "site-c") == untouched, "it has the SAs that it had")
        say(f"six reloads; {len(a.log().splitlines())} lines in the log")


if __name__ == "__main__":
    sys.exit(main([under_traffic], seconds=120))

"""Crashes, orders, and peers that do not agree: tunnels come back, and who is refused learns why, at both ends."""
from __future__ import annotations

import base64
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, check, laboratory, main, say  # noqa: E402
from traffic import marked_blocks, ping, ping_until_answered, tcp_transfer, wait_until  # noqa: E402

FAST_DPD = {"idle": 2, "timeout": 6}  # a dead peer is noticed soon


def carries(lab: Lab, here: str = "a", there: str = "b", seconds: float = 60) -> None:
    result = ping_until_answered(lab[here].site, lab[there].host4, seconds=seconds)
    check(result.received, f"{here} > {there}: ping is answered")


def crash_and_restart() -> None:
    """kill -9 of either daemon, and a restart: the tunnel is back; the other one is never touched"""
    with laboratory() as lab:
        a, b = lab.pair(dpd=FAST_DPD)
        for daemon, other in ((a, b), (b, a)):
            pid = other.pid
            daemon.kill9()
            check(ping(lab["a"].site, lab["b"].host4, wait=0.5).received == 0, f"gw{daemon.site.letter} is killed: no answer")
            daemon.start()
            a.wait_up(seconds=90)
            carries(lab, seconds=90)
            check(other.process.poll() is None and other.pid == pid, f"gw{other.site.letter} is the same process")
            wait_until(lambda: len(a.tunnel()["children"]) == 1 and len(b.tunnel()["children"]) == 1, "one Child SA is left at each end", 60)


def clean_restart() -> None:
    """SIGTERM: exit status 0, the peer is told, and the tunnel is back after a start"""
    with laboratory() as lab:
        a, b = lab.pair()
        check(a.stop() == 0, "gateway a: exit status 0")
        said = b.wait_tunnel(lambda t: t["actual"] != "up", "gateway b hears the Delete")
        check(not said["children"], f"gateway b says: {said['actual']}, {said['reason'] or 'no reason'}")
        a.start()
        a.wait_up()
        carries(lab)
        check(b.stop() == 0, "gateway b: exit status 0")
        a.wait_not_up()
        b.start()
        a.wait_up(seconds=90)
        carries(lab)


def down_and_up() -> None:
    """qanat down keeps a tunnel down, at both ends; qanat up brings it back"""
    with laboratory() as lab:
        a, b = lab.pair()
        say("qanat down: " + a.cli("down", "site-b").stdout.strip())
        ours = a.tunnel()
        check(ours["wanted"] == "down" and ours["actual"] == "down" and not ours["children"], "gateway a: wanted down, and down")
        b.wait_not_up()
        check(ping(lab["a"].site, lab["b"].host4, count=3, wait=2).received == 0, "it stays down, with traffic that asks for it")
        check(a.tunnel()["actual"] == "down", "and says so")
        say("qanat up: " + a.cli("up", "site-b").stdout.strip())
        check(a.tunnel()["actual"] == "up", "qanat up comes back when it is up")
        carries(lab)
        check(a.cli("up", "site-b").returncode == 0 and a.cli("down", "site-b").returncode == 0 and a.cli("down", "site-b").returncode == 0,
              "twice is no error")


def both_initiate() -> None:
    """both sides call each other at once: a tunnel stands, and traffic flows, five times"""
    with laboratory() as lab:
        lab.configure("a", [lab.tunnel("a", "b", dpd=FAST_DPD)])
        lab.configure("b", [lab.tunnel("b", "a", dpd=FAST_DPD)])
        a, b = lab.start("a", wait=False), lab.start("b", wait=False)
        for attempt in range(5):
            if attempt:
                a.stop()
                b.stop()
                a.start(wait=False)
                b.start(wait=False)
            a.wait_log(r"\bready\b")
            b.wait_log(r"\bready\b")
            a.wait_up()
            b.wait_up()
            carries(lab)
            carries(lab, "b", "a")
        done = tcp_transfer(lab["a"].site, lab["b"].site, lab["b"].host4, marked_blocks(b"restart", 1 << 20))
        check(done.intact, f"1 MB through the last of them; Child SAs: {len(a.tunnel()['children'])} and {len(b.tunnel()['children'])}")


def peer_any() -> None:
    """peer = "any": the hub knows its branch by identity, whatever its address; a foreign identity is refused"""
    with laboratory(sites="abc") as lab:
        branch, hub = "fqdn:branch.example", "fqdn:hub.example"
        lab.configure("b", [lab.tunnel("b", "a", peer="any", local_id=hub, remote_id=branch)])
        lab.configure("a", [lab.tunnel("a", "b", local_id=branch, remote_id=hub)])
        lab.configure("c", [lab.tunnel("c", "b", local_id="fqdn:stranger.example", remote_id=hub)])
        b = lab.start("b")
        waiting = b.tunnel()
        check(waiting["actual"] == "waiting" and waiting["wanted"] == "on call", f"the hub waits: wanted {waiting['wanted']}, {waiting['actual']}")
        a = lab.start("a")
        a.wait_up()
        check(b.wait_up()["ike"]["remote_id"].endswith("branch.example"), "up; the hub names the branch")
        carries(lab)
        c = lab.start("c")
        refused = c.wait_tunnel(lambda t: t["actual"] != "up" and "AUTHENTICATION_FAILED" in t["reason"], "the stranger is refused")
        say(f"gateway c: {refused['reason']}")
        line = b.wait_log("peer-refused.*stranger")
        say(f"gateway b: {line[25:]}")
        check("remote_id" in line, "the hub's log names the identity, and the setting")
        check(b.tunnel()["actual"] == "up", "the branch's tunnel stands")


def two_sites_behind_one_nat() -> None:
    """two branches behind one NAT address, each with its own tunnel to the hub"""
    with laboratory(sites="abc", nat="ac") as lab:
        hub = "fqdn:hub.example"
        lab.configure("b", [lab.tunnel("b", letter, peer="any", local_id=hub, remote_id=f"fqdn:{letter}.example") for letter in "ac"])
        for letter in "ac":
            lab.configure(letter, [lab.tunnel(letter, "b", local_id=f"fqdn:{letter}.example", remote_id=hub,
                                              routes=[lab["b"].net4, lab["b"].net6, lab["c" if letter == "a" else "a"].net4])])
        b = lab.start("b")
        branches = {letter: lab.start(letter) for letter in "ac"}
        for letter, daemon in branches.items():
            check(daemon.wait_up()["ike"]["nat_local"], f"gateway {letter} is up, behind a NAT")
        remotes = {name: b.wait_up(name)["ike"]["remote"] for name in ("site-a", "site-c")}
        check(all(lab["b"].router4 in remote for remote in remotes.values()) and len(set(remotes.values())) == 2,
              f"the hub sees one address, two ports: {remotes}")
        for letter in "ac":
            carries(lab, letter, "b")
            carries(lab, "b", letter)
            done = tcp_transfer(lab[letter].site, lab["b"].site, lab["b"].host4, marked_blocks(b"nat", 1 << 20))
            check(done.intact, f"{letter} > b: 1 MB arrives whole")
        carries(lab, "a", "c")
        branches["a"].kill9()
        branches["a"].start()
        branches["a"].wait_up(seconds=90)
        carries(lab, "a", "b")
        check(ping(lab["c"].site, lab["b"].host4, count=5).lost == 0, "the other branch did not notice")


def refused_pair(lab: Lab, here: dict, there: dict) -> tuple[Qanatd, Qanatd]:
    lab.configure("b", [lab.tunnel("b", "a", **{"start": "respond", **there})])
    lab.configure("a", [lab.tunnel("a", "b", **here)])
    b = lab.start("b")
    return lab.start("a"), b


def reason(daemon: Qanatd, *words: str) -> str:
    """The tunnel's reason, once it holds all of the words."""
    found = daemon.wait_tunnel(lambda t: all(word in t["reason"] for word in words), f"the reason names {words}", seconds=40)
    check(found["actual"] != "up", f"gw{daemon.site.letter} says: {found['reason']}")
    check(found["reason"] in daemon.cli("status").stdout, f"gw{daemon.site.letter}: qanat status shows it")
    return found["reason"]


def up_means_that_it_carries() -> None:
    """when a tunnel that is being made says that it is up, its first packet passes, twenty times"""
    with laboratory() as lab:
        lab.configure("b", [lab.tunnel("b", "a", start="respond")])
        lab.configure("a", [lab.tunnel("a", "b")])
        lab.start("b")
        a = lab.start("a", wait=False)
        for attempt in range(20):
            if attempt:
                a.stop()
                a.start(wait=False)
            a.wait_log("tunnel-up")
            first = ping(lab["a"].site, lab["b"].host4, wait=2)
            check(first.received == 1, f"start {attempt + 1}: the first ping after 'tunnel-up' is answered")


def psk_mismatch() -> None:
    """different PSKs: refused, and both ends say what to compare"""
    with laboratory() as lab:
        other = lab.write_psk("other.psk", "qpsk1-" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))
        a, b = refused_pair(lab, {"psk_file": other}, {})
        reason(a, "AUTHENTICATION_FAILED", "PSK")
        line = b.wait_log("peer-refused")
        check("PSK" in line, f"gwb logs: {line[25:]}")
        done = a.cli("up", "site-b", check=False)
        check(done.returncode == 1 and "PSK" in done.stderr, f"qanat up: exit {done.returncode}, {done.stderr.strip()}")
        lab.configure("a", [lab.tunnel("a", "b")])
        a.restart()
        a.wait_up()
        carries(lab)


def proposal_mismatch() -> None:
    """IKE and ESP proposals with nothing in common: what was offered, what is accepted, and which setting to change"""
    ike_a, ike_b = "aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes128gcm16-prfsha256-ecp256-ke1_mlkem1024"
    with laboratory() as lab:
        a, b = refused_pair(lab, {"ike": [ike_a]}, {"ike": [ike_b]})
        text = reason(a, "NO_PROPOSAL_CHOSEN")
        check("x25519" in text and "mlkem768" in text, "gwa names what it offered")
        line = b.wait_log("peer-refused")
        say(f"gwb logs: {line[25:]}")
        check("x25519" in line and "mlkem768" in line and "ecp256" in line and "mlkem1024" in line and "ike" in line.lower(),
              "gwb names what was offered, what is accepted, and the setting")
    with laboratory() as lab:
        a, b = refused_pair(lab, {"esp": ["aes256gcm16"]}, {"esp": ["chacha20poly1305"]})
        text = reason(a, "esp")
        check("aes256gcm16" in text, "gwa names its ESP proposals and the setting")
        line = b.wait_log("peer-refused")
        say(f"gwb logs: {line[25:]}")
        check("aes256gcm16" in line and "chacha20poly1305" in line and "esp" in line, "gwb names what was offered, what is accepted, and the setting")


def policy_mismatch() -> None:
    """pq = "require" against "off", each side calling: refused with the reason"""
    for here, there in (("require", "off"), ("off", "require")):
        with laboratory() as lab:
            a, b = refused_pair(lab, {"pq": here}, {"pq": there})
            text = reason(a, "NO_PROPOSAL_CHOSEN")
            line = b.wait_log("peer-refused")
            say(f"gwb logs: {line[25:]}")
            demanding = text if here == "require" else line
            check("mlkem" in demanding.lower() or "ML-KEM" in demanding, f"{here} calls {there}: the demanding side names ML-KEM")
            check("pq" in line or "ML-KEM" in line or "mlkem" in line, "the refusing side names what to change")
            check(ping(lab["a"].site, lab["b"].host4, wait=0.5).received == 0, "and nothing passes")


def classical_with_a_reason() -> None:
    """pq = "prefer" against "off": a classical tunnel, named as such, with the reason, whoever calls"""
    for here, there in (("prefer", "off"), ("off", "prefer")):
        with laboratory() as lab:
            a, b = lab.pair(here={"pq": here}, there={"pq": there})
            for daemon in (a, b):
                verdict = daemon.tunnel()["ike"]["verdict"]
                check(verdict["keys"] == "classical" and verdict["reason"],
                      f"{here} calls {there}, gw{daemon.site.letter}: {verdict['keys']}, {verdict['reason']}")
                check("classical" in daemon.cli("status").stdout, f"gw{daemon.site.letter}: qanat status says classical")
            carries(lab)
    with laboratory() as lab:
        a, b = lab.pair(pq="require")
        check(a.tunnel()["ike"]["verdict"]["keys"] == "hybrid" and b.tunnel()["ike"]["verdict"]["keys"] == "hybrid",
              "require calls require: hybrid at both ends")


if __name__ == "__main__":
    sys.exit(main([crash_and_restart, clean_restart, down_and_up, both_initiate, peer_any, two_sites_behind_one_nat, psk_mismatch,
                   proposal_mismatch, policy_mismatch, classical_with_a_reason,
                   up_means_that_it_carries], seconds=270))

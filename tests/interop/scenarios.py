"""What is more than a tunnel that comes up: policy, classical peers, clean failures, ends and returns."""
from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from cases import CLASSICAL, USUAL, Case, both, up
from meeting import Meeting, Wanted, expect
from vici import ViciError

NOT_ALIKE = "0123456789abcdefghij"  # a PSK that the other side does not have
FAST_DPD = {"idle": 1, "timeout": 3}


# --- policy -----------------------------------------------------------------------------------------------------------


def classical(reason: str, proposal: str = CLASSICAL, esp: str = "aes256gcm16"):
    return up(Wanted.of(proposal, reason=reason, esp=esp), theirs={"proposals": proposal, "esp_proposals": esp})


def refused(ours: dict, theirs: dict, by_us: str, by_them: str | None = None):
    """No IKE SA, no traffic, and our side says why: /by_us/ as initiator in the status, as responder in the log."""
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(ours, theirs, initiator)
        meeting.start(initiator)
        if initiator == "strongswan":
            try:
                meeting.swan.initiate()
            except ViciError as error:
                expect(re.search(by_them or by_us, str(error)), f"strongSwan was told something else than /{by_them or by_us}/: {error}")
            else:
                raise AssertionError("strongSwan's initiation succeeded")
            meeting.ours.wait_log(by_us, 10)
        else:
            meeting.ours.wait_tunnel(lambda t: re.search(by_us, t["reason"]), f"a reason with /{by_us}/ in the status", seconds=10)
            meeting.ours.wait_log(by_us, 10)
        meeting.no_traffic()
        expect(meeting.ours.tunnel()["actual"] != "up", "our tunnel is up")
        expect(not any(sa["state"] == "ESTABLISHED" for sa in meeting.swan.list_sas()), "strongSwan has an established IKE SA")
    return run


def policy() -> Iterator[Case]:
    required = {"pq": "require"}
    no_choice = r"NO_PROPOSAL_CHOSEN|NO_PROP"
    for initiator, reason in (("strongswan", "(?i)no additional key exchange|IKE_INTERMEDIATE"), ("qanat", "(?i)without an additional key exchange|IKE_INTERMEDIATE")):
        yield Case("policy", "classical peer, prefer", initiator, classical(reason))
    yield from both("policy", "classical CBC peer, prefer", classical(".", "aes256-sha256-prfsha256-modp2048"))
    yield Case("policy", "classical peer, require", "strongswan",
               refused(required, {"proposals": CLASSICAL}, 'pq = .*prefer', no_choice))
    yield Case("policy", "classical peer, require", "qanat", refused(required, {"proposals": CLASSICAL}, "NO_PROPOSAL_CHOSEN.*mlkem768"))
    yield from both("policy", "pq off, peer offers both", up(Wanted.of(CLASSICAL, reason='pq = "off"'), ours={"pq": "off"},
                                                             theirs={"proposals": f"{USUAL},{CLASSICAL}"}))
    yield Case("policy", "pq off, peer demands", "strongswan", refused({"pq": "off"}, {}, r"(?i)pq|ML-KEM|mlkem|additional", no_choice))
    yield Case("policy", "pq off, peer demands", "qanat", refused({"pq": "off"}, {}, no_choice))


def legacy() -> Iterator[Case]:
    """strongSwan 5.9.8 of Debian 12, which knows neither IKE_INTERMEDIATE nor ML-KEM."""
    reason = "(?i)does not support IKE_INTERMEDIATE|without an additional key exchange"
    yield from both("legacy", "5.9.8", classical(reason), peer="bookworm")
    yield from both("legacy", "5.9.8 CBC", classical(reason, "aes256-sha256-prfsha256-modp2048", "aes256-sha256"), peer="bookworm")
    yield from both("legacy", "5.9.8 IPv6", classical(reason), peer="bookworm", outer=6)
    no_choice = r"NO_PROPOSAL_CHOSEN|NO_PROP"
    yield Case("legacy", "5.9.8, require", "strongswan", refused({"pq": "require"}, {"proposals": CLASSICAL}, 'pq = .*prefer', no_choice), peer="bookworm")
    yield Case("legacy", "5.9.8, require", "qanat", refused({"pq": "require"}, {"proposals": CLASSICAL}, "NO_PROPOSAL_CHOSEN.*mlkem768"), peer="bookworm")


# --- failures ---------------------------------------------------------------------------------------------------------


def selectors_differ(meeting: Meeting, initiator: str) -> None:
    """TS_UNACCEPTABLE: no Child SA, the reason on our side."""
    meeting.configure({"selectors": [{"local": "10.1.0.0/24", "remote": "10.77.0.0/24"}]}, {}, initiator)
    meeting.start(initiator)
    if initiator == "strongswan":
        with contextlib.suppress(ViciError):
            meeting.swan.initiate()
        meeting.ours.wait_log("(?i)TS_UNACCEPTABLE|selector", 10)
    else:
        meeting.ours.wait_tunnel(lambda t: re.search("(?i)TS_UNACCEPTABLE|selector", t["reason"]), "the reason in the status", seconds=10)
    meeting.no_traffic()
    expect(meeting.ours.tunnel()["actual"] != "up", "our tunnel is up")
    expect(not any(sa["children"] for sa in meeting.swan.list_sas()), "strongSwan has a Child SA")


def esp_differs(meeting: Meeting, initiator: str) -> None:
    """NO_PROPOSAL_CHOSEN for ESP: no Child SA, the reason on our side."""
    meeting.configure({"esp": ["aes128gcm16"]}, {"esp_proposals": "aes256gcm16"}, initiator)
    meeting.start(initiator)
    if initiator == "strongswan":
        with contextlib.suppress(ViciError):
            meeting.swan.initiate()
        meeting.ours.wait_log("(?i)no Child SA", 10)
    else:
        meeting.ours.wait_tunnel(lambda t: "NO_PROPOSAL_CHOSEN" in t["reason"] and "esp" in t["reason"], "the reason in the status", seconds=10)
    meeting.no_traffic()


def failures() -> Iterator[Case]:
    failed = "AUTHENTICATION_FAILED|AUTH_FAILED"
    psk = "(?i)compare the PSK"
    yield from both("failures", "wrong PSK", refused({"psk": NOT_ALIKE}, {}, psk, failed))
    nobody = "fqdn:nobody.example.com"
    # As initiator we are told no more than AUTHENTICATION_FAILED, and name the identities in use.
    yield Case("failures", "our ID is unknown there", "qanat", refused({"local_id": nobody}, {}, "nobody.example.com"))
    yield Case("failures", "our ID is unknown there", "strongswan", refused({"local_id": nobody}, {}, "qanat.example.com", failed))
    yield Case("failures", "their ID is another", "qanat", refused({"remote_id": nobody}, {}, "nobody.example.com"))
    yield Case("failures", "their ID is another", "strongswan", refused({"remote_id": nobody}, {}, "swan.example.com", failed))
    yield from both("failures", "selectors differ", selectors_differ)
    yield from both("failures", "ESP differs", esp_differs)
    yield from both("failures", "IKE differs", refused({"ike": ["aes128gcm16-prfsha256-x25519-ke1_mlkem768"]}, {},
                                                       "(?i)NO_PROPOSAL_CHOSEN|aes256gcm16|aes128gcm16|propos", "NO_PROPOSAL_CHOSEN|NO_PROP"))


# --- ends and returns -------------------------------------------------------------------------------------------------


def they_delete(meeting: Meeting, initiator: str) -> None:
    """strongSwan deletes the IKE SA; our side says so. What we began comes back by itself."""
    meeting.configure(initiator=initiator)
    meeting.bring_up(initiator)
    before = meeting.tunnel["ike"]["spi_i"]
    meeting.swan.terminate()
    if initiator == "strongswan":
        meeting.ours.wait_tunnel(lambda t: t["actual"] == "waiting" and t["ike"] is None and not t["children"], "the tunnel waits for the peer", seconds=10)
        meeting.no_traffic()
        meeting.swan.initiate()
    meeting.ours.wait_tunnel(lambda t: t["actual"] == "up" and t["ike"]["spi_i"] != before, "a new tunnel", seconds=15)
    meeting.wait_up()
    meeting.traffic(10000)


def they_delete_the_child(meeting: Meeting, initiator: str) -> None:
    """strongSwan deletes the Child SA only: ours is gone as well, and the tunnel can be had again."""
    meeting.configure(initiator=initiator)
    meeting.bring_up(initiator)
    old = meeting.tunnel["children"][0]["spi_in"]
    meeting.swan.terminate(child="n")
    meeting.ours.wait_tunnel(lambda t: old not in [child["spi_in"] for child in t["children"]], "the old Child SA is gone", seconds=10)
    if initiator == "strongswan":
        with contextlib.suppress(ViciError):  # we may have deleted the IKE SA that was left without a child
            meeting.swan.terminate()
        meeting.swan.initiate()
    meeting.wait_up()
    meeting.traffic(10000)


def we_delete(meeting: Meeting, initiator: str) -> None:
    """`qanat down`: nothing left at the peer, and nothing passes; `qanat up` where we may begin."""
    meeting.configure(initiator=initiator)
    meeting.bring_up(initiator)
    meeting.ours.cli("down", "t")
    meeting.wait_gone_at_peer(10)
    tunnel = meeting.ours.tunnel()
    expect(tunnel["actual"] == "down" and tunnel["ike"] is None, f"our tunnel is {tunnel['actual']}")
    meeting.no_traffic()
    meeting.ours.cli("up", "t")
    meeting.wait_up()
    meeting.traffic(10000)


def we_stop(meeting: Meeting, initiator: str) -> None:
    """SIGTERM: the peer hears of it at once."""
    meeting.configure(initiator=initiator)
    meeting.bring_up(initiator)
    expect(meeting.ours.stop() == 0, "qanatd did not end cleanly")
    meeting.wait_gone_at_peer(5)


def they_die(meeting: Meeting, initiator: str) -> None:
    """strongSwan is killed: our side notices by itself, and the tunnel returns with strongSwan."""
    meeting.configure(ours={"dpd": FAST_DPD}, initiator=initiator)
    meeting.bring_up(initiator)
    meeting.swan.kill()
    down = meeting.ours.wait_not_up(seconds=15)
    expect(down["reason"], "no reason in the status")
    meeting.no_traffic()
    meeting.swan.start()
    if initiator == "strongswan":
        meeting.swan.initiate()
    meeting.wait_up()
    meeting.traffic(10000)


def they_restart_at_once(meeting: Meeting, initiator: str) -> None:
    """strongSwan is killed and calls again before we noticed: one tunnel, the new one."""
    meeting.configure(initiator=initiator)
    meeting.bring_up(initiator)
    before = meeting.tunnel["ike"]["spi_i"]
    meeting.swan.kill()
    meeting.swan.start()
    meeting.swan.initiate()
    meeting.ours.wait_tunnel(lambda t: t["actual"] == "up" and t["ike"]["spi_i"] != before and len(t["children"]) == 1, "the new tunnel alone", seconds=15)
    meeting.wait_up()
    meeting.traffic(10000)


def we_die(meeting: Meeting, initiator: str) -> None:
    """Our daemon is killed and started again: the tunnel is back, and is the only one at the peer."""
    fast = {"dpd_delay": "1s", "child_extra": {"dpd_action": "restart", "close_action": "start"}} if initiator == "strongswan" else {}
    meeting.configure(theirs=fast, initiator=initiator, charon={"retransmit_timeout": 0.3, "retransmit_tries": 1})
    meeting.bring_up(initiator)
    before = meeting.tunnel["ike"]["spi_i"]
    meeting.ours.kill9()
    meeting.no_traffic()
    meeting.ours.start()
    tunnel = meeting.ours.wait_up(seconds=20)
    expect(tunnel["ike"]["spi_i"] != before, "the old SA lives")
    meeting.swan.wait_for(lambda sas: len(sas) == 1 and sas[0]["state"] == "ESTABLISHED" and len(sas[0]["children"]) == 1 and
                          int(sas[0]["initiator-spi"], 16) == int(tunnel["ike"]["spi_i"], 16), "one tunnel, the new one", 15)
    meeting.traffic(10000)


def watched(pattern: str, **settings):
    """A side that checks the other's liveness is answered, and the same SA stays; /pattern/ in strongSwan's log shows it."""
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(initiator=initiator, **settings)
        meeting.bring_up(initiator)
        meeting.swan.wait_for(lambda _: len(re.findall(pattern, meeting.swan.log())) >= 2, f"twice {pattern!r}", 15)
        tunnel = meeting.ours.tunnel()
        expect(tunnel["actual"] == "up" and tunnel["ike"]["spi_i"] == meeting.tunnel["ike"]["spi_i"], "the tunnel was replaced")
        meeting.traffic(10000)
    return run


def by_command(meeting: Meeting, _: str) -> None:
    """`qanat up` on a tunnel that waits for the peer begins it itself and waits until it is up."""
    meeting.configure(ours={"start": "respond"})
    meeting.start("qanat")
    done = meeting.ours.cli("up", "t")
    expect(done.returncode == 0, done.stderr)
    expect(meeting.ours.tunnel()["actual"] == "up", "`qanat up` came back before the tunnel was up")
    meeting.wait_up()
    meeting.check(Wanted(), "qanat")
    meeting.traffic(10000)


def life() -> Iterator[Case]:
    for name, run in (("they delete the IKE SA", they_delete), ("they delete the Child SA", they_delete_the_child), ("we delete", we_delete),
                      ("we stop", we_stop), ("they die", they_die), ("they restart at once", they_restart_at_once), ("we die", we_die),
                      ("they watch", watched("parsed INFORMATIONAL response", theirs={"dpd_delay": "1s"})),
                      ("we watch", watched("parsed INFORMATIONAL request", ours={"dpd": FAST_DPD}))):
        yield from both("life", name, run)
    yield Case("life", "qanat up", "qanat", by_command)


def all_scenarios() -> Iterator[Case]:
    for make in (policy, legacy, failures, life):
        yield from make()

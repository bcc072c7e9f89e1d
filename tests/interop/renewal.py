"""Keys that change under traffic: rekeys of IKE and Child SAs by either side, one-sided PFS, reauthentication, more Child SAs."""
from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import traffic
from cases import CLASSICAL, USUAL, Case, both
from meeting import KE_WORDS, Meeting, expect

TWO = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem1024"
EVERY = (("strongswan", "child"), ("qanat", "child"), ("strongswan", "ike"), ("qanat", "ike"), ("strongswan", "child"), ("qanat", "child"))


def exchanges_of(child: dict) -> str:
    """Of strongSwan's Child SA: "x25519-mlkem768", or nothing when it took its keys from the IKE SA alone."""
    words = {value: key for key, value in KE_WORDS.items()}
    return "-".join(words[child[key]] for key in ("dh-group", *(f"ake{n}" for n in range(1, 8))) if child.get(key))


def renewed(expected: dict[str, str], verdict: str, rounds: Sequence[tuple[str, str]] = EVERY, ike_verdict: str = "hybrid", **settings):
    """Every rekey of the rounds, with traffic that loses nothing.

    expected: the key exchanges of a Child SA by who began its rekey, as strongSwan names them; verdict: ours of that Child SA.
    """
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(initiator=initiator, **settings)
        meeting.bring_up(initiator)
        with meeting.nothing_lost():
            for who, what in rounds:
                tunnel = meeting.rekey(who, what)
                expect(tunnel["ike"]["verdict"]["keys"] == ike_verdict, f"{what} by {who}: our verdict of the IKE SA is {tunnel['ike']['verdict']}")
                if what == "child":
                    used = exchanges_of(meeting.their_child())
                    expect(used == expected[who], f"Child SA rekeyed by {who}: the key exchanges are {used or 'none'}, not {expected[who] or 'none'}")
                    mine = tunnel["children"][0]["verdict"]
                    expect(mine["keys"] == verdict, f"Child SA rekeyed by {who}: our verdict is {mine}, not {verdict}")
                if what == "ike":
                    expect(tunnel["ike"]["role"] == ("initiator" if who == "qanat" else "responder"), f"IKE SA rekeyed by {who}: our role is {tunnel['ike']['role']}")
        meeting.traffic(10000)
    return run


def alike(keys: str) -> dict[str, str]:
    return {"qanat": keys, "strongswan": keys}


def esp(proposal: str) -> dict:
    """strongSwan's ESP proposal with the key exchanges of an IKE proposal."""
    return {"proposals": proposal, "esp_proposals": "aes256gcm16-" + proposal.split("-prfsha384-")[1]}


def rekey() -> Iterator[Case]:
    yield from both("rekey", "hybrid", renewed(alike("x25519-mlkem768"), "hybrid", ours={"pq": "require"}, theirs=esp(USUAL)))
    yield from both("rekey", "hybrid, two additional", renewed(alike("x25519-mlkem768-mlkem1024"), "hybrid", ours={"ike": [TWO]}, theirs=esp(TWO)))
    yield from both("rekey", "classical", renewed(alike("x25519"), "classical", ike_verdict="classical", theirs=esp(CLASSICAL)))
    yield from both("rekey", "classical, 5.9.8", renewed(alike("x25519"), "classical", ike_verdict="classical", theirs=esp(CLASSICAL)), peer="bookworm")
    yield from both("rekey", "no PFS", renewed(alike(""), "inherited", ours={"pfs": False}, rounds=EVERY[:3]))
    yield from both("rekey", "native ESP", renewed(alike("x25519-mlkem768"), "hybrid", theirs={**esp(USUAL), "encap": False}, raw_esp=True, rounds=EVERY[:4]))
    yield from both("rekey", "narrow selectors", narrow)
    yield from both("rekey", "small fragments", renewed(alike("x25519-mlkem768"), "hybrid", ours={"ike_fragment_size": 576}, theirs=esp(USUAL),
                                                         charon={"fragment_size": 576}, rounds=EVERY[:4]))
    yield from both("rekey", "reauthentication by us", reauthenticated("qanat"))
    yield from both("rekey", "reauthentication by them", reauthenticated("strongswan"))


def narrow(meeting: Meeting, initiator: str) -> None:
    """The selectors in use stay the same through rekeys by either side, although our side would take more."""
    meeting.configure(initiator=initiator, theirs=esp(USUAL))
    meeting.bring_up(initiator)
    first = meeting.mirrored()["children"][0]
    for who in ("strongswan", "qanat"):
        child = meeting.rekey(who, "child")["children"][0]
        expect((child["local_ts"], child["remote_ts"]) == (first["local_ts"], first["remote_ts"]),
               f"after the rekey by {who} the selectors are {child['local_ts']} == {child['remote_ts']}")
    meeting.traffic(10000)


def by_time(**settings):
    """Without a command, because the time has come: new keys of both kinds, and nothing lost."""
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(initiator=initiator, **settings)
        meeting.bring_up(initiator)
        before = meeting.mirrored()
        with meeting.nothing_lost():
            meeting.mirrored(lambda t: t["ike"]["spi_i"] != before["ike"]["spi_i"] and
                             t["children"][0]["spi_in"] != before["children"][0]["spi_in"], seconds=75)
        meeting.traffic(10000)
    return run


def by_packets(meeting: Meeting, initiator: str) -> None:
    """rekey_packets: the thousandth packet brings new keys, again and again."""
    meeting.configure(initiator=initiator, ours={"rekey_packets": 1000}, theirs=esp(USUAL))
    meeting.bring_up(initiator)
    seen = {meeting.mirrored()["children"][0]["spi_in"]}
    with meeting.nothing_lost(rate=800):
        end = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < end:
            seen.add(meeting.ours.tunnel()["children"][0]["spi_in"])
            time.sleep(0.1)
    expect(len(seen) >= 3, f"{len(seen) - 1} rekeys, not 2 or more")
    meeting.mirrored()


def reauthenticated(who: str):
    """A whole new IKE SA by the wish of one side, before the old one goes."""
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(initiator=initiator, theirs=esp(USUAL))
        meeting.bring_up(initiator)
        with meeting.nothing_lost():
            tunnel = meeting.rekey(who, "reauth")
        expect(tunnel["ike"]["authentication"] == "PSK" and tunnel["ike"]["verdict"]["keys"] == "hybrid", f"the new IKE SA: {tunnel['ike']}")
        meeting.traffic(10000)
    return run


# --- one-sided PFS ----------------------------------------------------------------------------------------------------


def followed(expected: dict[str, str], verdict: str, **settings):
    return renewed(expected, verdict, rounds=EVERY[:2] * 2, **settings)


def pfs() -> Iterator[Case]:
    """strongSwan refuses an offer with key exchanges when it has none, and one without when it has: seen between two of them."""
    yield from both("pfs", "only we have it", followed(alike(""), "inherited", theirs={"esp_proposals": "aes256gcm16"}))
    yield from both("pfs", "theirs is classical", followed(alike("x25519"), "inherited", theirs={"esp_proposals": "aes256gcm16-x25519"}))
    yield from both("pfs", "theirs is another group", renewed({"strongswan": "ecp384"}, "inherited", rounds=EVERY[:1] * 2, theirs={"esp_proposals": "aes256gcm16-ecp384"}))
    # Of strongSwan's two proposals we take the one with a key exchange, although it comes second.
    yield from both("pfs", "theirs is optional, ours off", followed({"qanat": "", "strongswan": "x25519"}, "inherited", ours={"pfs": False},
                                                                    theirs={"esp_proposals": "aes256gcm16,aes256gcm16-x25519"}))
    yield from both("pfs", "theirs is optional, preferred", followed({"qanat": "", "strongswan": "x25519"}, "inherited", ours={"pfs": False},
                                                                     theirs={"esp_proposals": "aes256gcm16-x25519,aes256gcm16"}))
    for name, keys in (("classical", "x25519"), ("hybrid", "x25519-ke1_mlkem768")):
        used = keys.replace("ke1_", "")
        yield from both("pfs", f"only they have it, {name}", renewed({"strongswan": used}, "hybrid" if "mlkem" in keys else "inherited", rounds=EVERY[:1] * 2,
                                                                     ours={"pfs": False}, theirs={"esp_proposals": "aes256gcm16-" + keys}))


def lifetimes() -> Iterator[Case]:
    yield from both("lifetimes", "by our time", by_time(ours={"child_lifetime": 30, "ike_lifetime": 60}, theirs=esp(USUAL)))
    yield from both("lifetimes", "by our packets", by_packets)
    yield from both("lifetimes", "by their time", by_time(theirs={**esp(USUAL), "extra": {"rekey_time": "4s", "rand_time": "0s", "over_time": "60s"},
                                                             "child_extra": {"rekey_time": "3s", "rand_time": "0s", "life_time": "60s"}}))
    yield from both("lifetimes", "only they have PFS, our time", only_theirs_in_time)


def only_theirs_in_time(meeting: Meeting, initiator: str) -> None:
    """They refuse our rekey without a key exchange: before the old keys end there are new ones all the same, and nothing is lost."""
    meeting.configure(initiator=initiator, ours={"pfs": False, "child_lifetime": 30}, theirs={"esp_proposals": "aes256gcm16-x25519"})
    meeting.bring_up(initiator)
    before = meeting.mirrored()["children"][0]["spi_in"]
    with meeting.nothing_lost():
        meeting.mirrored(lambda t: t["children"][0]["spi_in"] != before, seconds=40)
        time.sleep(2)
    meeting.mirrored()


# --- more than one Child SA -------------------------------------------------------------------------------------------


WIDE_SITE = "10.2.8.0/24"
MORE = {"esp_proposals": "aes256gcm16-x25519-ke1_mlkem768", "more_children": {"m": {"local_ts": [WIDE_SITE]}}}


def second_network(meeting: Meeting) -> str:
    """A host at strongSwan's site that only its second child covers."""
    b = meeting.lab["b"]
    host = WIDE_SITE.replace("0/24", "2")
    meeting.lab.ip(b.site, f"addr add {host}/32 dev eth0")
    meeting.lab.ip(b.gw, f"route add {WIDE_SITE} via {b.host4} dev lan")
    return host


def children_in_use(meeting: Meeting, names: set[str]) -> None:
    meeting.swan.wait_for(lambda sas: {child["name"] for sa in sas for child in sa["children"] if child["state"] == "INSTALLED"} == names and len(sas) == 1,
                          f"the Child SAs {names}, and no others", 10)
    meeting.mirrored()


def answered(meeting: Meeting, host: str) -> None:
    traffic.ping_until_answered(meeting.lab["a"].site, host, 5, source=meeting.lab["a"].host4)


def they_add_a_child(meeting: Meeting, initiator: str) -> None:
    """strongSwan's second child: both carry, each is rekeyed and deleted alone."""
    meeting.configure(initiator=initiator, ours={"routes": [meeting.lab["b"].net4, WIDE_SITE]}, theirs=MORE)
    meeting.bring_up(initiator)
    host = second_network(meeting)
    meeting.swan.initiate("m")
    children_in_use(meeting, {"n", "m"})
    answered(meeting, host)
    answered(meeting, meeting.lab["b"].host4)
    spis = {name: meeting.their_child(name)["spi-in"] for name in "nm"}
    with meeting.nothing_lost():
        expect(meeting.swan.rekey(child="m") == 1, "strongSwan finds no child to rekey")
        meeting.mirrored(lambda t: len(t["children"]) == 2 and "0x" + spis["m"] not in [child["spi_out"] for child in t["children"]])
        children_in_use(meeting, {"n", "m"})
        expect(meeting.their_child("n")["spi-in"] == spis["n"], "the other Child SA was rekeyed")
        answered(meeting, host)
        meeting.swan.terminate(child="m")
        children_in_use(meeting, {"n"})
    meeting.traffic(10000)


def we_ask_on_demand(meeting: Meeting, initiator: str) -> None:
    """A packet of ours that no Child SA covers brings a second one; the IKE SA is the same."""
    net = meeting.lab["b"].net4
    meeting.configure(initiator=initiator, ours={"routes": [net, WIDE_SITE]}, theirs=MORE)
    meeting.bring_up(initiator)
    before = meeting.mirrored()["ike"]["spi_i"]
    host = second_network(meeting)
    answered(meeting, host)
    children_in_use(meeting, {"n", "m"})
    expect(meeting.tunnel["ike"]["spi_i"] == before, "there is another IKE SA")
    answered(meeting, meeting.lab["b"].host4)
    old = {child["spi_in"] for child in meeting.tunnel["children"]}
    with meeting.nothing_lost():
        meeting.ours.cli("rekey", "t")
        meeting.mirrored(lambda t: len(t["children"]) == 2 and not old & {child["spi_in"] for child in t["children"]})
        meeting.ours.cli("rekey", "t", "--ike")
        meeting.mirrored(lambda t: t["ike"]["spi_i"] != before and len(t["children"]) == 2)
        answered(meeting, host)
    meeting.traffic(10000)


def refused_child(meeting: Meeting, initiator: str) -> None:
    """A second child that our selectors do not allow: TS_UNACCEPTABLE, and the first goes on."""
    a, b = meeting.lab["a"], meeting.lab["b"]
    meeting.configure(initiator=initiator, ours={"selectors": [{"local": a.net4, "remote": b.net4}]}, theirs=MORE)
    meeting.bring_up(initiator)
    from vici import ViciError
    with meeting.nothing_lost():
        try:
            meeting.swan.initiate("m")
        except ViciError as error:
            expect(re.search("TS_UNACCEPT", str(error)), f"strongSwan was told something else: {error}")
        else:
            raise AssertionError("the second Child SA came up")
        children_in_use(meeting, {"n"})
    meeting.rekey("qanat", "child")


def children() -> Iterator[Case]:
    yield from both("children", "they add one", they_add_a_child)
    yield from both("children", "we add one on demand", we_ask_on_demand)
    yield from both("children", "one is refused", refused_child)


def all_renewals() -> Iterator[Case]:
    for make in (rekey, pfs, lifetimes, children):
        yield from make()

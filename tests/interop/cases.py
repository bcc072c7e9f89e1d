"""The matrix of tunnels that must come up between our daemon and strongSwan, each side as initiator."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from meeting import INITIATORS, Meeting, Wanted, expect  # noqa: I001 - makes the modules of tests/netns known
import traffic

USUAL = "aes256gcm16-prfsha384-x25519-ke1_mlkem768"
CLOUD = "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024"
CLASSICAL = "aes256gcm16-prfsha384-x25519"


@dataclasses.dataclass(frozen=True)
class Case:
    group: str
    name: str
    initiator: str
    run: Callable[[Meeting, str], None]
    peer: str = "forky"
    outer: int = 4
    nat: str = ""  # which side is behind a NAT that the router makes: a (we), b (they)

    @property
    def title(self) -> str:
        return f"{self.group}/{self.name}"


def up(wanted: Wanted, octets: int = 1 << 20, inner: int = 4, **settings) -> Callable[[Meeting, str], None]:
    """A case whose tunnel comes up, is what was wanted, and carries traffic both ways."""
    def run(meeting: Meeting, initiator: str) -> None:
        if inner == 6:
            a, b = meeting.lab["a"], meeting.lab["b"]
            meeting.configure(initiator=initiator, ours={"routes": [b.net6]}, theirs={"local_ts": [b.net6], "remote_ts": [a.net6]}, **settings)
        else:
            meeting.configure(initiator=initiator, **settings)
        meeting.bring_up(initiator)
        meeting.check(wanted, initiator)
        meeting.traffic(octets, inner)
    return run


def both(group: str, name: str, run: Callable[[Meeting, str], None], **more) -> Iterator[Case]:
    for initiator in INITIATORS:
        yield Case(group, name, initiator, run, **more)


def exact(ike: str, esp: str = "aes256gcm16", **wanted):
    """Both sides with the same one proposal."""
    return up(Wanted.of(ike, esp=esp, **wanted), ours={"ike": [ike], "esp": [esp]}, theirs={"proposals": ike, "esp_proposals": esp})


def keys() -> Iterator[Case]:
    for group in ("x25519", "ecp256", "ecp384"):
        for kem in ("mlkem512", "mlkem768", "mlkem1024"):
            yield from both("keys", f"{group}+{kem}", exact(f"aes256gcm16-prfsha384-{group}-ke1_{kem}"))
    yield from both("keys", "x25519+mlkem768+mlkem1024", exact("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke2_mlkem1024"))


def suites() -> Iterator[Case]:
    for words in ("aes128gcm16-prfsha256", "aes256gcm16-prfsha384", "chacha20poly1305-prfsha256", "aes256-sha256-prfsha256"):
        yield from both("suites", f"ike {words}", exact(f"{words}-x25519-ke1_mlkem768"))
    for words in ("aes128gcm16", "aes256gcm16", "chacha20poly1305", "aes256-sha256"):
        yield from both("suites", f"esp {words}", exact(USUAL, words))


def defaults() -> Iterator[Case]:
    """Nothing set on our side, against what strongSwan is usually given."""
    for proposal, name in ((USUAL, "usual"), (CLOUD, "ecp384+mlkem1024"), ("aes128gcm16-prfsha256-ecp256-ke1_mlkem512", "ecp256+mlkem512"),
                           ("aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_none", "ML-KEM optional")):
        yield from both("defaults", name, up(Wanted.of(proposal), theirs={"proposals": proposal}))
    yield from both("defaults", "our PQ required", up(Wanted.of(USUAL), ours={"pq": "require"}, theirs={"proposals": f"{USUAL},{CLASSICAL}"}))
    yield from both("defaults", "esp aes256-sha256", up(Wanted.of(USUAL, esp="aes256-sha256"), theirs={"esp_proposals": "aes256-sha256"}))
    yield from both("defaults", "mobike offered", up(Wanted.of(USUAL), theirs={"mobike": True}))


def paths() -> Iterator[Case]:
    """Ways over the wire: native ESP, IPv6, fragments of IKE."""
    for esp in ("aes256gcm16", "aes256-sha256"):
        native = up(Wanted.of(USUAL, esp=esp, encapsulation="native"), theirs={"encap": False, "esp_proposals": esp}, raw_esp=True)
        yield from both("paths", f"native {esp}", native)
    yield from both("paths", "our encap forced", up(Wanted.of(USUAL), ours={"encap": "force"}, theirs={"encap": False}))
    yield from both("paths", "IPv6 outside", up(Wanted.of(USUAL)), outer=6)
    yield from both("paths", "IPv6 inside", up(Wanted.of(USUAL), inner=6))
    yield from both("paths", "IPv6 in IPv6", up(Wanted.of(USUAL), inner=6), outer=6)
    for size in (576, 1280):
        yield from both("paths", f"fragments of {size}", fragmented(up(Wanted.of(CLOUD), ours={"ike_fragment_size": size}, theirs={"proposals": CLOUD},
                                                                       charon={"fragment_size": size}), 3 if size == 576 else 2))
    yield from both("paths", "IPv6, fragments", fragmented(up(Wanted.of(CLOUD), theirs={"proposals": CLOUD}, charon={"fragment_size": 1280}), 2), outer=6)
    yield Case("paths", "we behind a NAT", "qanat", behind_nat(up(Wanted(), theirs={"encap": False, "remote": "%any"}, raw_esp=True)), nat="a")
    yield Case("paths", "they behind a NAT", "strongswan", behind_nat(up(Wanted(), ours={"peer": "any"}, theirs={"encap": False}, raw_esp=True)), nat="b")
    yield Case("paths", "cookies demanded by us", "strongswan", cookies(up(Wanted(), gateway={"cookie_threshold": 0})))
    yield from both("paths", "no fragments", up(Wanted.of(USUAL), theirs={"fragmentation": "no"}))


def fragmented(run, fragments: int):
    """The same, and both IKE_INTERMEDIATE messages came in at least that many datagrams."""
    def wrapped(meeting: Meeting, initiator: str) -> None:
        run(meeting, initiator)
        step = next(step for step in meeting.tunnel["ike"]["handshake"] if step["exchange"].startswith("IKE_INTERMEDIATE"))
        for side in ("request_fragments", "response_fragments"):
            expect(step[side] >= fragments, f"{side} of {step['exchange']}: {step[side]}, not {fragments} or more")
        expect(meeting.tunnel["ike"]["fragmentation"], "our status denies that fragmentation was agreed")
    return wrapped


def behind_nat(run):
    """The same, and our status shows where the NAT is."""
    def wrapped(meeting: Meeting, initiator: str) -> None:
        run(meeting, initiator)
        ike = meeting.tunnel["ike"]
        expect((ike["nat_local"], ike["nat_remote"]) == (initiator == "qanat", initiator != "qanat"), f"NAT: {ike['nat_local']}, {ike['nat_remote']}")
    return wrapped


def cookies(run):
    """The same, after strongSwan had to return a cookie."""
    def wrapped(meeting: Meeting, initiator: str) -> None:
        run(meeting, initiator)
        expect("N(COOKIE)" in meeting.swan.log(), "no cookie was demanded")
    return wrapped


def strict_rp_filter(run):
    """The same on a gateway whose kernel drops what comes from where it would not answer to (RHEL's default)."""
    def wrapped(meeting: Meeting, initiator: str) -> None:
        traffic.sysctl(meeting.lab["a"].gw, net__ipv4__conf__all__rp_filter=1, net__ipv4__conf__default__rp_filter=1, net__ipv4__conf__wan__rp_filter=1)
        run(meeting, initiator)
    return wrapped


def identities() -> Iterator[Case]:
    for name, ours, theirs in (("FQDN", "fqdn:a.qanat.example.com", "fqdn:b.swan.example.com"), ("KEY_ID", "keyid:tunnel-17_acme", "keyid:swan-4"),
                               ("RFC822", "rfc822:ipsec@qanat.example.com", "rfc822:ops@swan.example.com"),
                               ("mixed", "rfc822:ipsec@qanat.example.com", "keyid:swan-4")):
        yield from both("identities", name, up(Wanted(), ours={"local_id": ours, "remote_id": theirs}, theirs={"local_id": theirs, "remote_id": ours}))
    addresses = up(Wanted(), ours={"local_id": None, "remote_id": None}, theirs={"local_id": None, "remote_id": None})
    yield from both("identities", "IPv4", addresses)
    yield from both("identities", "IPv6", addresses, outer=6)


def selectors() -> Iterator[Case]:
    everything = "0.0.0.0/0"
    yield from both("selectors", "any, any", up(Wanted(local_ts=(everything,), remote_ts=(everything,)),
                                                theirs={"local_ts": [everything], "remote_ts": [everything]}))
    yield from both("selectors", "any, route 0.0.0.0/0", up(Wanted(local_ts=(everything,), remote_ts=(everything,)), ours={"routes": [everything]},
                                                            theirs={"local_ts": [everything], "remote_ts": [everything]}))
    covering = up(Wanted(), ours={"routes": ["10.2.0.0/24", "198.51.100.0/24"]})
    yield from both("selectors", "a route covers the peer", covering)
    yield from both("selectors", "route 0.0.0.0/0, strict rp_filter", strict_rp_filter(up(Wanted(), ours={"routes": [everything]},
                                                                                          theirs={"local_ts": [everything], "remote_ts": [everything]})))
    narrow = Wanted(local_ts=("10.1.0.0/24",), remote_ts=("10.2.0.0/24",))
    yield from both("selectors", "any, their prefixes", up(narrow))
    yield from both("selectors", "our prefixes, any", up(narrow, ours={"selectors": [{"local": "10.1.0.0/24", "remote": "10.2.0.0/24"}]},
                                                         theirs={"local_ts": [everything], "remote_ts": [everything]}))
    yield from both("selectors", "wide, narrow", up(narrow, ours={"selectors": [{"local": "10.1.0.0/16", "remote": "10.2.0.0/16"}]}))
    yield from both("selectors", "routes", up(Wanted(remote_ts=("10.2.0.0/24",), local_ts=("10.1.0.0/24",)), ours={"selectors": "routes"}))
    two = Wanted(local_ts=("10.1.0.0/24", "10.1.8.0/24"), remote_ts=("10.2.0.0/24",))
    yield from both("selectors", "two prefixes", up(two, theirs={"remote_ts": ["10.1.0.0/24", "10.1.8.0/24"]}))


def all_cases() -> list[Case]:
    import proofs  # these build on this module
    import renewal
    import scenarios
    return [case for make in (keys, suites, defaults, paths, identities, selectors, scenarios.all_scenarios, renewal.all_renewals, proofs.all_proofs)
            for case in make()]

"""Who the peer is and what joins the keys: certificates of every kind, PPKs (RFC 8784), childless IKE SAs (RFC 6023), MOBIKE (RFC 4555)."""
from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterator

import traffic
from cases import CLASSICAL, USUAL, Case, both
from credentials import Authority, QanatAuthority
from lab import binary
from meeting import Meeting, Wanted, expect
from renewal import esp, exchanges_of
from scenarios import NOT_ALIKE, refused

OUR_ID, THEIR_ID = "qanat.example.com", "swan.example.com"


# --- certificates -----------------------------------------------------------------------------------------------------


class Papers:
    """What both sides of one meeting show, and whom they believe."""

    def __init__(self, meeting: Meeting, ours: str | None, theirs: str | None, by_qanat: bool = False):
        """ours, theirs: the kind of key in each side's certificate (credentials.KINDS); None: that side has a PSK."""
        self.meeting = meeting
        self.here: dict = {}    # keys of [[tunnel]]
        self.there: dict = {}   # of Connection
        self.folder = meeting.lab.dir / "papers"
        kinds = dict.fromkeys(kind for kind in (ours, theirs) if kind)
        self.folder.mkdir()
        self.of = {kind: QanatAuthority(binary("qanat"), self.folder / kind, kind) if by_qanat else Authority(meeting.root, self.folder / kind, kind)
                   for kind in kinds}
        if ours:
            self.ours(self.of[ours], *self.of[ours].issue("qanat", OUR_ID))
        if theirs:
            self.theirs(self.of[theirs], *self.of[theirs].issue("swan", THEIR_ID), kind=theirs)
        if ours and theirs:
            self.here["psk"] = None

    def ours(self, authority: Authority, certificate: pathlib.Path, key: pathlib.Path) -> None:
        """The certificate that we show, and strongSwan's anchor for it."""
        self.here |= {"cert_file": str(certificate), "key_file": self.private(key)}
        self.there["remote_auth"] = "pubkey"
        self.meeting.swan.give("x509ca", shutil.copy(authority.certificate, self.folder / f"for-swan-{authority.kind}-{authority.name}.crt"))

    def theirs(self, authority: Authority, certificate: pathlib.Path, key: pathlib.Path, kind: str = "") -> None:
        """The certificate that strongSwan shows, and our anchor for it."""
        self.here["ca_files"] = [str(authority.certificate)]
        self.there |= {"auth": "ike:rsa/pss-sha256" if kind == "rsa" else "pubkey", "cert": self.meeting.swan.give("x509", certificate)}
        self.meeting.swan.give("private", key)

    def private(self, key: pathlib.Path) -> str:
        target = self.meeting.lab["a"].dir / key.name
        shutil.copy(key, target)
        target.chmod(0o600)
        return str(target)


def signed(ours: str | None, theirs: str | None, authentication: str, change: Callable[[Papers], None] = lambda _: None,
           schemes: tuple[str, str] = ("", ""), by_qanat: bool = False, **settings):
    """A tunnel with certificates; authentication: what our status says of strongSwan's proof begins with it.

    schemes: what strongSwan calls our signature and its own.
    """
    def run(meeting: Meeting, initiator: str) -> None:
        papers = Papers(meeting, ours, theirs, by_qanat)
        change(papers)
        meeting.configure(papers.here, {**esp(USUAL), **papers.there}, initiator, **settings)
        meeting.bring_up(initiator)
        meeting.check(Wanted(authentication=authentication), initiator)
        ike = meeting.tunnel["ike"]
        if theirs:
            expect("swan" in ike["authentication"], f"our status does not name the certificate: {ike['authentication']}")
            expect(not ike["authentication_verdict"].startswith("quantum-safe"), f"our status calls it {ike['authentication_verdict']}")
        for who, scheme in ((f"'{OUR_ID}'", schemes[0]), (f"'{THEIR_ID}' (myself)", schemes[1])):
            expect(f"authentication of {who} with {scheme}" in meeting.swan.log(), f"strongSwan's log does not show {scheme} for {who}")
        meeting.traffic(10000)
        meeting.rekey("strongswan", "ike")
        expect(meeting.tunnel["ike"]["authentication"].startswith(authentication), f"after the rekey: {meeting.tunnel['ike']['authentication']}")
    return run


def not_believed(by_us: str, by_them: str | None = None, change: Callable[[Papers], None] = lambda _: None, kind: str = "ecdsa256"):
    """No tunnel with these certificates, and our side says why."""
    def run(meeting: Meeting, initiator: str) -> None:
        papers = Papers(meeting, kind, kind)
        change(papers)
        refused(papers.here, papers.there, by_us, by_them or by_us)(meeting, initiator)
    return run


def below_an_intermediate(papers: Papers) -> None:
    """Both sides' certificates come from a CA that the other does not know; the root that it knows has signed that."""
    root = papers.of["ecdsa256"]
    middle = root.intermediate("middle")
    certificate, key = middle.issue("qanat-below", OUR_ID)
    chain = papers.folder / "chain.crt"
    chain.write_text(certificate.read_text() + middle.certificate.read_text())
    papers.ours(root, chain, key)
    papers.theirs(root, *middle.issue("swan-below", THEIR_ID))
    papers.meeting.swan.give("x509ca", middle.certificate)  # which charon sends along, as it is no root


def strangers_certificate(papers: Papers) -> None:
    other = Authority(papers.meeting.root, papers.folder / "other", "ecdsa256")
    papers.theirs(papers.of["ecdsa256"], *other.issue("stranger", THEIR_ID))


def expired_certificate(papers: Papers) -> None:
    papers.theirs(papers.of["ecdsa256"], *papers.of["ecdsa256"].issue("expired", THEIR_ID, expired=True))


def another_name(papers: Papers) -> None:
    """strongSwan takes its certificate's subject as its identity then; ours is told to expect that name, which is not in it."""
    papers.theirs(papers.of["ecdsa256"], *papers.of["ecdsa256"].issue("somebody", "somebody.example.com"))


def revoked_certificate(papers: Papers) -> None:
    papers.here["crl_files"] = [str(papers.of["ecdsa256"].revoke("swan"))]


def others_revoked(papers: Papers) -> None:
    authority = papers.of["ecdsa256"]
    authority.issue("somebody", "somebody.example.com")
    papers.here["crl_files"] = [str(authority.revoke("somebody"))]


def small(papers: Papers) -> None:
    papers.here["ike_fragment_size"] = 576


def pkcs1(papers: Papers) -> None:
    """strongSwan's default for RSA keys is PKCS#1 v1.5."""
    papers.there["auth"] = "pubkey"


def certificates() -> Iterator[Case]:
    pss = "RSA_EMSA_PSS_SHA2_"
    for kind, words, ours, theirs in (("ecdsa256", "ECDSA P-256", "ECDSA_WITH_SHA256_DER", "ECDSA_WITH_SHA256_DER"),
                                      ("ecdsa384", "ECDSA P-384", "ECDSA_WITH_SHA384_DER", "ECDSA_WITH_SHA384_DER"),
                                      ("ecdsa521", "ECDSA P-521", "ECDSA_WITH_SHA512_DER", "ECDSA_WITH_SHA512_DER"),
                                      ("rsa", "RSA-3072", pss, pss), ("ed25519", "Ed25519", "ED25519", "ED25519")):
        yield from both("certificates", kind, signed(kind, kind, words, schemes=(ours, theirs)))
        if kind in ("ecdsa256", "rsa", "ed25519"):
            yield from both("certificates", f"{kind} by qanat pki", signed(kind, kind, words, schemes=(ours, theirs), by_qanat=True))
    yield from both("certificates", "rsa, strongSwan's default", signed("rsa", "rsa", "RSA-3072", pkcs1, schemes=(pss, "RSA_EMSA_PKCS1_SHA2_")))
    yield from both("certificates", "ECDSA here, Ed25519 there", signed("ecdsa256", "ed25519", "Ed25519", schemes=("ECDSA_WITH_SHA256_DER", "ED25519")))
    yield from both("certificates", "we ECDSA, they PSK", signed("ecdsa256", None, "PSK", schemes=("ECDSA_WITH_SHA256_DER", "pre-shared key")))
    yield from both("certificates", "we PSK, they RSA-PSS", signed(None, "rsa", "RSA-3072", schemes=("pre-shared key", pss)))
    yield from both("certificates", "below an intermediate CA", signed("ecdsa256", "ecdsa256", "ECDSA", below_an_intermediate))
    yield from both("certificates", "fragments of 576", signed("rsa", "rsa", "RSA-3072", small, charon={"fragment_size": 576}))
    yield from both("certificates", "a CRL with another", signed("ecdsa256", "ecdsa256", "ECDSA", others_revoked))
    failed = "AUTH_FAILED|AUTHENTICATION_FAILED"
    for name, change, why in (("of a stranger's CA", strangers_certificate, "(?i)ca_files|issuer|trust"), ("expired", expired_certificate, "(?i)expired"),
                              ("another name", another_name, "(?i)swan.example.com|somebody"), ("revoked", revoked_certificate, "(?i)revoked")):
        yield from both("certificates", f"theirs is {name}" if name != "another name" else "theirs has another name", not_believed(why, failed, change))


# --- PPK --------------------------------------------------------------------------------------------------------------


PPK, PPK_ID = "qpsk1-cG9zdC1xdWFudHVtIHByZXNoYXJlZCBrZXksIDMyIQ", "berlin-2026"


def our_ppk(meeting: Meeting, policy: str, secret: str = PPK, name: str = PPK_ID) -> dict:
    return {"ppk": policy, "ppk_id": name, "ppk_file": meeting.lab.write_psk("ours.ppk", secret)} if policy != "none" else {}


def their_ppk(policy: str) -> dict:
    return {"ppk": PPK, "extra": {"ppk_id": PPK_ID, "ppk_required": policy == "require"}} if policy != "none" else {}


def with_ppk(ours: str, theirs: str, used: bool, proposal: str = USUAL, **more):
    """A tunnel whose keys hold the PPK, or do not."""
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(our_ppk(meeting, ours, **more), {**esp(proposal), **their_ppk(theirs)}, initiator)
        meeting.bring_up(initiator)
        wanted = "hybrid" if proposal == USUAL else "ppk" if used else "classical"
        for what, who in (("begin", ""), ("child", "strongswan"), ("ike", "strongswan"), ("ike", "qanat")):
            tunnel = meeting.rekey(who, what) if who else meeting.mirrored()
            verdict = tunnel["ike"]["verdict"]
            expect(verdict["keys"] == wanted, f"our verdict ({what} {who}) is {verdict}, not {wanted}")
            expect(not used or "PPK" in verdict["reason"] or wanted == "ppk", f"our verdict ({what} {who}) does not name the PPK: {verdict}")
            expect(used or "PPK went" not in verdict["reason"], f"our verdict ({what} {who}) claims a PPK: {verdict}")
            if what == "begin":
                expect(("using PPK" in meeting.swan.log()) == used, f"strongSwan used a PPK: {not used}")
        meeting.traffic(10000)
    return run


def without_ppk(ours: str, theirs: str, by_us: str, by_them: str = "AUTH|PPK", **more):
    def run(meeting: Meeting, initiator: str) -> None:
        refused(our_ppk(meeting, ours, **more), their_ppk(theirs), by_us, by_them)(meeting, initiator)
    return run


def ppk() -> Iterator[Case]:
    for ours in ("require", "prefer"):
        for theirs in ("require", "optional"):
            yield from both("ppk", f"ours {ours}, theirs {theirs}", with_ppk(ours, theirs, True))
    yield from both("ppk", "classical with a PPK", with_ppk("require", "require", True, CLASSICAL))
    yield from both("ppk", "ours prefer, theirs none", with_ppk("prefer", "none", False))
    yield from both("ppk", "ours none, theirs optional", with_ppk("none", "optional", False))
    # strongSwan with a PPK of another name does not take the peer's NO_PPK_AUTH; as initiator it goes on without.
    yield Case("ppk", "another name, both optional", "strongswan", with_ppk("prefer", "optional", False, name="paris-2026"))
    yield Case("ppk", "another name, both optional", "qanat", without_ppk("prefer", "optional", "(?i)ppk", name="paris-2026"))
    yield from both("ppk", "ours require, theirs none", without_ppk("require", "none", "(?i)ppk"))
    yield Case("ppk", "ours none, theirs require", "qanat", without_ppk("none", "require", "(?i)AUTHENTICATION_FAILED"))
    yield Case("ppk", "ours none, theirs require", "strongswan", without_ppk("none", "require", "ready"))  # which leaves without a word
    yield from both("ppk", "another key", without_ppk("require", "require", "(?i)ppk", secret=NOT_ALIKE * 2))
    yield from both("ppk", "another name, ours require", without_ppk("require", "optional", "(?i)ppk", name="paris-2026"))


# --- childless --------------------------------------------------------------------------------------------------------


def begun_childless(ours: bool, theirs: str, childless: bool):
    """A tunnel whose first Child SA comes from IKE_AUTH or, with key exchanges of its own, from CREATE_CHILD_SA."""
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure({"childless": ours}, {**esp(USUAL), "extra": {"childless": theirs}}, initiator)
        meeting.bring_up(initiator)
        child = meeting.mirrored()["children"][0]
        used = exchanges_of(meeting.their_child())
        expect(used == ("x25519-mlkem768" if childless else ""), f"the first Child SA has the key exchanges {used or 'none'}")
        expect(child["verdict"]["keys"] == "hybrid", f"our verdict of the first Child SA is {child['verdict']}")
        meeting.traffic(10000)
        meeting.rekey("qanat", "child")
        meeting.rekey("strongswan", "child")
    return run


def childless() -> Iterator[Case]:
    for theirs in ("prefer", "force"):
        yield Case("childless", f"theirs {theirs}", "strongswan", begun_childless(False, theirs, True))
    for theirs in ("allow", "force"):
        yield Case("childless", f"ours, theirs {theirs}", "qanat", begun_childless(True, theirs, True))
    yield Case("childless", "ours, theirs never", "qanat", begun_childless(True, "never", False))
    yield Case("childless", "theirs force, ours not", "qanat", refused({}, {"extra": {"childless": "force"}}, "(?i)INVALID_SYNTAX|childless"))


# --- MOBIKE -----------------------------------------------------------------------------------------------------------


ELSEWHERE = "198.51.100.77"


def they_move(meeting: Meeting, initiator: str) -> None:
    """strongSwan gets another address: the same IKE SA goes on from there. libipsec cannot move an SA: charon rekeys it, and
    what is under way meanwhile is lost on its side, so a loss is counted but not judged."""
    a, b = meeting.lab["a"], meeting.lab["b"]
    meeting.configure(ours={"mobike": True}, theirs={**esp(USUAL), "mobike": True, "local": "%any"}, initiator=initiator)
    meeting.bring_up(initiator)
    before = meeting.mirrored()
    expect(before["ike"]["mobike"], "our status denies that MOBIKE was agreed")
    meeting.lab.ip(meeting.lab.net, f"route replace {b.net4} via {ELSEWHERE}")
    meeting.lab.ip(b.gw, f"addr add {ELSEWHERE}/24 dev wan", f"addr del {b.outer4}/24 dev wan", f"addr replace {ELSEWHERE}/24 dev wan",
                   f"route replace default via {b.router4}")
    moved = meeting.mirrored(lambda t: t["ike"]["remote"].startswith(ELSEWHERE + ":"), seconds=20)
    expect(moved["ike"]["spi_i"] == before["ike"]["spi_i"], "the IKE SA was replaced")
    for source, target in ((a, b), (b, a)):
        traffic.ping_until_answered(source.site, target.host4, 5)
    with meeting.nothing_lost():
        meeting.rekey("strongswan", "child")
        meeting.rekey("qanat", "child")
    meeting.traffic(10000)


def not_agreed(ours: bool, theirs: bool):
    def run(meeting: Meeting, initiator: str) -> None:
        meeting.configure(ours={"mobike": ours}, theirs={"mobike": theirs}, initiator=initiator)
        meeting.bring_up(initiator)
        expect(not meeting.mirrored()["ike"]["mobike"], "our status says that MOBIKE was agreed")
        meeting.traffic(10000)
    return run


def mobike() -> Iterator[Case]:
    yield Case("mobike", "they move", "strongswan", they_move)
    yield from both("mobike", "ours off", not_agreed(False, True))
    yield from both("mobike", "theirs off", not_agreed(True, False))


def all_proofs() -> Iterator[Case]:
    for make in (certificates, ppk, childless, mobike):
        yield from make()

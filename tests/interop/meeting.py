"""Our daemon (gateway a) and a strongSwan (gateway b) in one laboratory, and what both must say of a tunnel between them.

    with Meeting(roots["forky"]) as meeting:
        meeting.configure(ours={"pq": "require"}, theirs={"proposals": "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024"})
        meeting.bring_up(initiator="strongswan")
        meeting.check(Wanted.of("aes256gcm16-prfsha384-ecp384-ke1_mlkem1024"))
        meeting.traffic()
"""
from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "netns")]
import traffic  # noqa: E402
from lab import Lab, Qanatd  # noqa: E402
from stream import Stream  # noqa: E402
from strongswan import Connection, StrongSwan  # noqa: E402

INITIATORS = ("strongswan", "qanat")
PSK = "qpsk1-aW50ZXJvcCBrZXksIG5vdCBhIHNlY3JldCAgISEhICE"  # 256 bits in the form of qanat genpsk
CHILD_WORDS = {"aes128gcm16": ("AES_GCM_16", "128", None), "aes256gcm16": ("AES_GCM_16", "256", None),
               "chacha20poly1305": ("CHACHA20_POLY1305", None, None),
               "aes128-sha256": ("AES_CBC", "128", "HMAC_SHA2_256_128"), "aes256-sha256": ("AES_CBC", "256", "HMAC_SHA2_256_128"),
               "aes256-sha384": ("AES_CBC", "256", "HMAC_SHA2_384_192"), "aes256-sha512": ("AES_CBC", "256", "HMAC_SHA2_512_256")}
KE_WORDS = {"x25519": "CURVE_25519", "ecp256": "ECP_256", "ecp384": "ECP_384", "modp2048": "MODP_2048", "modp3072": "MODP_3072",
            "mlkem512": "ML_KEM_512", "mlkem768": "ML_KEM_768", "mlkem1024": "ML_KEM_1024"}


def expect(condition, what: str) -> None:
    if not condition:
        raise AssertionError(what)


@dataclasses.dataclass
class Wanted:
    """What a tunnel must have become."""

    suite: str = "aes256gcm16"           # of the IKE SA, without the PRF
    prf: str = "prfsha384"
    exchanges: tuple[str, ...] = ("x25519", "mlkem768")
    esp: str = "aes256gcm16"
    encapsulation: str = "udp"
    reason: str = ""                     # of the verdict: a regular expression
    local_ts: tuple[str, ...] | None = None  # of the Child SA, as we see it
    remote_ts: tuple[str, ...] | None = None
    authentication: str = "PSK"          # what proved strongSwan's identity, at the beginning of our word for it

    @staticmethod
    def of(proposal: str, **more) -> Wanted:
        """From an IKE proposal that leaves no choice."""
        words = [word for word in proposal.split("-") if not word.endswith("_none")]
        prf = next(word for word in words if word.startswith("prf"))
        at = words.index(prf)
        exchanges = tuple(re.sub(r"^ke\d_", "", word) for word in words[at + 1:])
        return Wanted(suite="-".join(words[:at]), prf=prf, exchanges=exchanges, **more)

    @property
    def hybrid(self) -> bool:
        return any(name.startswith("mlkem") for name in self.exchanges)


class Meeting:
    def __init__(self, root: str, outer: int = 4, nat: str = "", name: str = "qi"):
        self.root, self.outer = root, outer
        self.swan: StrongSwan | None = None
        self.ours: Qanatd | None = None
        self._lab = Lab(name=name, nat=nat)

    def __enter__(self) -> Meeting:
        self.lab = self._lab.__enter__()
        self.ours = Qanatd(self.lab["a"])
        self.lab.daemons.append(self.ours)  # the lab ends it when we fail
        self.swan = StrongSwan(self.root, self.lab["b"].gw, str(self.lab["b"].dir / "swan"))
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if self.swan is not None:
                self.swan.kill() if kind else self.swan.stop()
            if kind is None and self.ours.process is not None:
                status = self.ours.stop()
                expect(status == 0, f"qanatd ended with status {status} on SIGTERM")
        finally:
            self._lab.__exit__()

    # --- before

    def configure(self, ours: dict | None = None, theirs: dict | None = None, initiator: str = "qanat", gateway: dict | None = None,
                  raw_esp: bool = False, charon: dict | None = None, keylog: str | None = None) -> None:
        """Both sides, alike but for what is given: keys of [[tunnel]] (None removes one), and of Connection."""
        a, b = self.lab["a"], self.lab["b"]
        here = {"name": "t", "peer": b.outer(self.outer), "psk": PSK, "local_id": "qanat.example.com", "remote_id": "swan.example.com",
                "routes": [b.net4], "start": "initiate" if initiator == "qanat" else "respond", **(ours or {})}
        if psk := here.pop("psk"):
            here["psk_file"] = self.lab.write_psk("ours.psk", psk)
        self.lab.configure("a", [{key: value for key, value in here.items() if value is not None}], outer=[self.outer], **(gateway or {}))
        there = {"local": b.outer(self.outer), "remote": a.outer(self.outer), "psk": PSK, "local_id": "swan.example.com",
                 "remote_id": "qanat.example.com", "local_ts": [b.net4], "remote_ts": [a.net4], **(theirs or {})}
        self.swan.configure(Connection(**there), raw_esp=raw_esp,
                            charon={"retransmit_timeout": 1, "retransmit_tries": 2, **(charon or {})})
        self.ours.arguments = ["--log-level", "debug", *(["--keylog", keylog] if keylog else [])]
        if self.swan.connections[0].covers_everything():
            # libipsec's default route goes before the main table; without this, what comes out of the tunnel goes in again.
            self.lab.ip(b.gw, f"rule add to {b.net4} lookup main priority 100")

    # --- the tunnel

    def start(self, initiator: str) -> None:
        """Both daemons; the initiator last."""
        for who in sorted(INITIATORS, key=lambda name: name == initiator):
            (self.ours if who == "qanat" else self.swan).start()

    def bring_up(self, initiator: str) -> None:
        self.start(initiator)
        if initiator == "strongswan":
            self.swan.initiate()
        self.wait_up()

    def wait_up(self) -> None:
        self.swan.wait_established(20)
        self.tunnel = self.ours.wait_up(seconds=20)

    def wait_gone_at_peer(self, seconds: float = 20) -> None:
        self.swan.wait_for(lambda sas: not sas, "no SA left", seconds)

    # --- what must be seen

    def proposal(self) -> str:
        ike = (getattr(self, "tunnel", None) or {}).get("ike")
        return "-".join([ike["suite"], *ike["key_exchanges"]]) if ike else ""

    def check(self, wanted: Wanted, initiator: str) -> None:
        """Both sides say the same of the one tunnel, and it is what was wanted."""
        ike, child = self.tunnel["ike"], self.tunnel["children"][0]
        keys = "hybrid" if wanted.hybrid else "classical"
        expect(ike["suite"] == f"{wanted.suite}-{wanted.prf}", f"our IKE suite is {ike['suite']}")
        expect(tuple(ike["key_exchanges"]) == wanted.exchanges, f"our key exchanges are {ike['key_exchanges']}")
        for where, verdict in (("IKE SA", ike["verdict"]), ("Child SA", child["verdict"])):
            expect(verdict["keys"] == keys, f"our verdict of the {where} is {verdict}, not {keys}")
            reason = wanted.reason or (" and ".join(x for x in wanted.exchanges if x.startswith("mlkem")) if wanted.hybrid else ".")
            expect(re.search(reason, verdict["reason"]), f"the reason of our verdict of the {where} is {verdict['reason']!r}, not /{reason}/")
        expect(ike["role"] == ("initiator" if initiator == "qanat" else "responder"), f"our role is {ike['role']}")
        expect(ike["authentication"].startswith(wanted.authentication), f"our authentication is {ike['authentication']}")
        expect(child["suite"] == wanted.esp, f"our ESP suite is {child['suite']}")
        expect(child["encapsulation"] == wanted.encapsulation, f"our encapsulation is {child['encapsulation']}")
        self._check_steps(ike, wanted)

        sas = self.swan.list_sas()
        expect(len(sas) == 1 and len(sas[0]["children"]) == 1, f"strongSwan has {[(sa['name'], len(sa['children'])) for sa in sas]}")
        theirs, their_child = sas[0], sas[0]["children"][0]
        expect(theirs["ke"] == "+".join(KE_WORDS[name] for name in wanted.exchanges), f"strongSwan's key exchanges are {theirs['ke']}")
        expect((theirs["encr-alg"], theirs.get("encr-keysize"), theirs.get("integ-alg")) == CHILD_WORDS[wanted.suite],
               f"strongSwan's IKE suite is {theirs['encr-alg']} {theirs.get('encr-keysize')} {theirs.get('integ-alg')}")
        expect(theirs["prf-alg"] == wanted.prf.replace("prfsha", "PRF_HMAC_SHA2_"), f"strongSwan's PRF is {theirs['prf-alg']}")
        expect((their_child["encr-alg"], their_child.get("encr-keysize"), their_child.get("integ-alg")) == CHILD_WORDS[wanted.esp],
               f"strongSwan's ESP suite is {their_child['encr-alg']} {their_child.get('encr-keysize')} {their_child.get('integ-alg')}")
        expect((their_child.get("encap") == "yes") == (wanted.encapsulation == "udp"), f"strongSwan's encapsulation: {their_child.get('encap')}")
        expect((int(theirs["initiator-spi"], 16), int(theirs["responder-spi"], 16)) == (int(ike["spi_i"], 16), int(ike["spi_r"], 16)), "the IKE SPIs differ")
        expect((their_child["spi-in"], their_child["spi-out"]) == (child["spi_out"][2:], child["spi_in"][2:]), "the ESP SPIs differ")
        expect(self._selectors(their_child["local-ts"]) == self._selectors(child["remote_ts"]) and
               self._selectors(their_child["remote-ts"]) == self._selectors(child["local_ts"]),
               f"the selectors differ: ours {child['local_ts']} {child['remote_ts']}, strongSwan's {their_child['remote-ts']} {their_child['local-ts']}")
        for name, given in (("local_ts", wanted.local_ts), ("remote_ts", wanted.remote_ts)):
            expect(given is None or self._selectors(child[name]) == self._selectors(given), f"our {name} is {child[name]}, not {given}")

    @staticmethod
    def _check_steps(ike: dict, wanted: Wanted) -> None:
        exchanges = [step["exchange"].split(" ")[0] for step in ike["handshake"]]
        expect(exchanges[0] == "IKE_SA_INIT" and exchanges[-1] == "IKE_AUTH" and
               exchanges.count("IKE_INTERMEDIATE") == len(wanted.exchanges) - 1, f"our handshake was {exchanges}")

    # --- new keys

    def rekey(self, who: str, what: str) -> dict:
        """New keys at the wish of "qanat" or "strongswan": what is "child", "ike" or "reauth"; our tunnel with them.

        Both sides then have the same one IKE SA and Child SA, the old ones gone or going.
        """
        before = self.mirrored()
        if who == "qanat":
            self.ours.cli("rekey", "t", *([] if what == "child" else [f"--{what}"]))
        else:
            expect(self.swan.rekey(**({"child": "n"} if what == "child" else {"ike": "c", "reauth": what == "reauth"})) == 1, f"strongSwan finds no {what}")
        old_ike, old_child = before["ike"]["spi_i"], before["children"][0]["spi_in"]
        try:
            return self.mirrored(lambda t: (t["children"][0]["spi_in"] != old_child) == (what != "ike") and
                                 (t["ike"]["spi_i"] != old_ike) == (what != "child"))
        except TimeoutError as error:
            raise AssertionError(f"{what} rekeyed by {who}: {error}") from None

    def mirrored(self, condition=lambda _: True, seconds: float = 15.0) -> dict:
        """Our tunnel, once strongSwan's one IKE SA and its Child SAs in use are ours, and condition(our tunnel) holds."""
        seen = ["nothing"]

        def look():
            tunnel = self.ours.tunnel()
            if tunnel["actual"] != "up" or not tunnel["children"]:
                seen[0] = f"our tunnel is {tunnel['actual']}: {tunnel['reason']!r}"
                return None
            sas = self.swan.list_sas()
            ike = tunnel["ike"]
            ours = sorted((child["spi_out"][2:], child["spi_in"][2:]) for child in tunnel["children"])
            theirs = sorted((child["spi-in"], child["spi-out"]) for sa in sas for child in sa["children"] if child["state"] == "INSTALLED")
            states = [(sa["state"], sa["initiator-spi"]) for sa in sas]
            seen[0] = f"ours: IKE {ike['spi_i']}, Child SAs {ours}; strongSwan's: {states}, {theirs}"
            same = ours == theirs and len(sas) == 1 and sas[0]["state"] == "ESTABLISHED" and int(sas[0]["initiator-spi"], 16) == int(ike["spi_i"], 16)
            return tunnel if same and condition(tunnel) else None

        try:
            self.tunnel = traffic.wait_until(look, "", seconds)
        except TimeoutError:
            raise TimeoutError(f"not the same at both sides within {seconds:.0f} s: {seen[0]}") from None
        return self.tunnel

    def their_child(self, name: str = "n") -> dict:
        """strongSwan's Child SA in use of that name."""
        return next(child for sa in self.swan.list_sas() for child in sa["children"] if child["name"] == name and child["state"] == "INSTALLED")

    @contextlib.contextmanager
    def nothing_lost(self, rate: int = 200):
        """Numbered packets both ways while something goes on: not one may be lost or doubled."""
        a, b = self.lab["a"], self.lab["b"]
        for source, target in ((a, b), (b, a)):
            traffic.ping_until_answered(source.site, target.host4, 5)
        with Stream((a.site, a.host4), (b.site, b.host4), rate) as stream:
            yield
            for name, flow in zip(("to strongSwan", "from strongSwan"), stream.stop(), strict=True):
                expect(flow.sent > 0 and flow.lost == 0 and flow.doubled == 0, f"packets {name}: {flow}")

    @staticmethod
    def _selectors(texts) -> set[str]:
        return {text.replace("|/0", "") for text in texts}

    def traffic(self, octets: int = 1 << 20, inner: int = 4) -> None:
        """Pings, and octets through TCP each way with equal SHA-256 at the ends; then the counters of both sides show them."""
        a, b = self.lab["a"], self.lab["b"]
        before = self.ours.tunnel()
        for source, target in ((a, b), (b, a)):
            traffic.ping_until_answered(source.site, target.host(inner), 5)
            done = traffic.tcp_transfer(source.site, target.site, target.host(inner), iter([os.urandom(octets)]), 20)
            expect(done.intact, f"{done.received_octets} of {done.octets} octets arrived, SHA-256 equal: {done.sent_sha256 == done.received_sha256}")
        child = self.their_child()
        expect(int(child["bytes-in"]) > octets and int(child["bytes-out"]) > octets, f"strongSwan counts {child['bytes-in']} in, {child['bytes-out']} out")
        self.ours.wait_tunnel(lambda t: t["bytes_in"] - before["bytes_in"] > octets and t["bytes_out"] - before["bytes_out"] > octets,
                              "our counters show the traffic", seconds=10)

    def no_traffic(self) -> None:
        a, b = self.lab["a"], self.lab["b"]
        for source, target in ((a, b), (b, a)):
            result = traffic.ping(source.site, target.host4, count=3, wait=0.3)
            expect(result.received == 0, "a ping was answered where there must be no tunnel")

    def milliseconds(self) -> float:
        """What the handshake took, as our side measured it."""
        ike = (getattr(self, "tunnel", None) or {}).get("ike")
        return sum(step["milliseconds"] for step in ike["handshake"]) if ike else 0.0

    def logs(self, lines: int = 40) -> str:
        """The end of what both sides have to say."""
        out = []
        for who, text in (("qanatd", self._text(self.lab["a"].dir / "qanatd.log")), ("strongSwan", self.swan.log())):
            out += [f"    --- {who}'s log, its end:", *("        " + line for line in text.splitlines()[-lines:])]
        return "\n".join(out)

    @staticmethod
    def _text(path: pathlib.Path) -> str:
        with contextlib.suppress(OSError):
            return path.read_text(errors="replace")
        return ""

"""What a handshake costs the responder, whoever it is, with the same initiators; and how long it takes.

CPU is that of the whole responder process (for qanat its helper too), the Deletes of the IKE SAs included. Every handshake
is one of another identity, unless --identities says fewer. "openssl" is the sum of the bare operations that the responder cannot do without, from
bench_ike: what is above it is overhead.
"""
from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
from collections.abc import Iterator

from field import (CHARON, GATEWAY_ID, HYBRID, LOAD_NET, LOG_OFF, Connection, Field, IkeLoad, Qanat, StrongSwan, StrongSwanTunnel, Subject, binary,
                   cpu_ns, load_tunnels, peer_root, run, start_qanatd, stop_qanatd)
from lab import pids_of_qanat
from report import Report
from small import google_benchmark

SIGNED = {"ecdsa-p256": ("ecdsa_p256_sign", "ecdsa_p256_verify"), "mldsa65": ("mldsa65_sign", "mldsa65_verify")}
EXCHANGES = ("x25519_keygen", "x25519_derive", "mlkem768_encaps")


class Certificates:
    """A CA, the gateway's certificate and one for every initiator."""

    def __init__(self, folder: pathlib.Path, key: str, count: int):
        self.folder = folder
        folder.mkdir()

        def pki(*arguments: str) -> None:
            run(binary("qanat"), "pki", *arguments)
        pki("ca", "--key", key, "--name", "Bench CA", "--out", str(folder / "ca"))
        names = [GATEWAY_ID, *(f"t{number}.load" for number in range(count))]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: pki("issue", "--key", key, "--ca", str(folder / "ca"), "--id", f"fqdn:{name}", "--out", str(folder)), names))
        self.ca = folder / "ca" / "ca.crt"

    def settings(self, name: str) -> dict:
        return {"cert_file": str(self.folder / f"{name}.crt"), "key_file": str(self.folder / f"{name}.key"), "ca_files": [str(self.ca)]}

    def auth(self) -> dict:
        return {"load": lambda number: self.settings(f"t{number}.load"), "gateway": self.settings(GATEWAY_ID)}


@contextlib.contextmanager
def qanat_answers(field: Field, tunnels: list[dict], _certificates: Certificates | None) -> Iterator[list[int]]:
    daemon = start_qanatd(field, "b", tunnels, quiet=True)
    try:
        yield pids_of_qanat(field["b"].gw)
    finally:
        stop_qanatd(daemon)


@contextlib.contextmanager
def strongswan_answers(field: Field, _tunnels: list[dict], certificates: Certificates | None) -> Iterator[list[int]]:
    """One connection for all identities, without what slows charon down under many initiators from one address."""
    swan = StrongSwan(peer_root(), field["b"].gw, str(field.dir / "swan-load"))
    auth: dict = {"psk": field.psk}
    if certificates:
        auth |= {"auth": "pubkey", "remote_auth": "pubkey", "cert": swan.give("x509", certificates.folder / f"{GATEWAY_ID}.crt")}
        swan.give("private", certificates.folder / f"{GATEWAY_ID}.key")
        swan.give("x509ca", certificates.ca)
    swan.configure(Connection(local=field["b"].outer4, remote="%any", local_id=GATEWAY_ID, remote_id="%any", local_ts=[field["b"].net4],
                              remote_ts=[LOAD_NET], proposals=HYBRID, extra={"unique": "never"}, **auth),
                   log_levels=LOG_OFF,
                   charon={**CHARON, "install_routes": False, "dos_protection": False, "half_open_timeout": 60, "ikesa_table_size": 4096,
                           "ikesa_table_segments": 16, "threads": 16})
    swan.start()
    try:
        yield [swan.pid]
    finally:
        swan.kill()


ANSWERS = {"qanat": qanat_answers, "strongswan": strongswan_answers}


def one_round(report: Report, field: Field, case: str, subject: Subject, count: int, in_flight: int, tunnels: tuple[list[dict], list[dict]],
              certificates: Certificates | None, half_rate: bool) -> None:
    theirs, ours = tunnels
    load = IkeLoad(field, theirs)
    with ANSWERS[subject.name](field, ours, certificates) as pids:
        before = cpu_ns(pids)
        result = load.run(count, in_flight)
        report.add(f"{case} cpu", subject.name, (cpu_ns(pids) - before) / 1000 / count, "us")
        rate = report.add(f"{case} rate", subject.name, result["handshakes"] / result["seconds"], "handshakes/s")
        report.add(f"{case} p50", subject.name, result["p50_ms"], f"ms, {in_flight} at a time")
        report.add(f"{case} p99", subject.name, result["p99_ms"], f"ms, {in_flight} at a time")
        if half_rate:
            result = load.run(max(10, count // 2), in_flight * 16, rate=rate / 2)
            report.add(f"{case} p50 at half rate", subject.name, result["p50_ms"], "ms")
            report.add(f"{case} p99 at half rate", subject.name, result["p99_ms"], "ms")


def measure(options, subjects: list[Subject]) -> None:
    subjects = [s for s in subjects if isinstance(s, (Qanat, StrongSwanTunnel))]
    report = Report("handshake", "What a handshake costs the responder (X25519 + ML-KEM-768)", options)
    report.subject(*subjects)
    report.machine["settings"]["strongswan handshakes"] = "one connection with remote id %any, install_routes = no, dos_protection = no, unique = never, 4096 buckets"
    counts = {"psk": options.handshakes, **{kind: options.signed_handshakes for kind in SIGNED}}
    identities = {case: min(count, options.identities or count) for case, count in counts.items()}
    report.machine["identities"] = identities
    with Field() as field:
        report.say(f"certificates for {identities['mldsa65']} initiators")
        certificates = {kind: Certificates(field.dir / kind, kind, identities[kind]) for kind in SIGNED}
        tunnels = {"psk": load_tunnels(field, identities["psk"])}
        tunnels |= {kind: load_tunnels(field, identities[kind], made.auth()) for kind, made in certificates.items()}
        for _ in range(options.rounds):
            bare = google_benchmark("bench_ike", "--benchmark_filter=^bare/", f"--benchmark_min_time={options.min_time}")
            exchanges = sum(bare[f"bare/{name}"].microseconds for name in EXCHANGES) if f"bare/{EXCHANGES[0]}" in bare else None
            if exchanges is not None:
                report.add("psk cpu", "openssl", exchanges, "us")
                for kind, (sign, verify) in SIGNED.items():
                    verified = 1 + identities[kind] / counts[kind]  # the peer's AUTH, and each certificate once
                    report.add(f"{kind} cpu", "openssl",
                               exchanges + bare[f"bare/{sign}"].microseconds + verified * bare[f"bare/{verify}"].microseconds, "us")
            for case in tunnels:
                for subject in subjects:
                    if case == "mldsa65" and subject.name != "qanat":
                        continue  # no peer has it
                    one_round(report, field, case, subject, counts[case], options.in_flight, tunnels[case], certificates.get(case), case == "psk")
    for case in tunnels:
        report.ratios(f"{case} cpu", "strongswan", "openssl")
        report.ratios(f"{case} rate", "strongswan")
    if report.values("psk cpu", "qanat") and report.values("psk cpu", "openssl"):
        report.ratio("psk of bare", report.values("psk cpu", "openssl"), "openssl", report.values("psk cpu", "qanat"))
    report.finish()

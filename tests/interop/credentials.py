"""Certificates for the two sides of a meeting, made by strongSwan's pki tool in its root or by `qanat pki`.

    authority = Authority(root, folder, "rsa")
    authority.issue("swan", "swan.example.com")  # folder/swan.crt, folder/swan.key
    authority.certificate                        # folder/ca.crt
"""
from __future__ import annotations

import pathlib
import shlex
import subprocess

from strongswan import MOUNTED, in_root

OURS = {"ecdsa256": "ecdsa-p256", "ecdsa384": "ecdsa-p384", "ecdsa521": "ecdsa-p521", "rsa": "rsa-3072", "ed25519": "ed25519"}  # in qanat pki's words
KINDS = {"ecdsa256": "--type ecdsa --size 256", "ecdsa384": "--type ecdsa --size 384", "ecdsa521": "--type ecdsa --size 521",
         "rsa": "--type rsa --size 3072", "ed25519": "--type ed25519"}


class Authority:
    """A CA and what it issues; every key is of one kind (KINDS). Each name gives NAME.crt and NAME.key in the folder."""

    def __init__(self, root: str, folder: pathlib.Path, kind: str, name: str = "ca"):
        self.root, self.folder, self.kind, self.name = root, folder, kind, name
        folder.mkdir(parents=True, exist_ok=True)
        self._pki(f"{self._key(name)}; pki --self --ca --in {name}.key --type priv --lifetime 30 --dn 'CN=Qanat interop {name}' --outform pem > {name}.crt")

    @property
    def certificate(self) -> pathlib.Path:
        return self.folder / f"{self.name}.crt"

    def issue(self, name: str, *alternative: str, expired: bool = False) -> tuple[pathlib.Path, pathlib.Path]:
        """A certificate for CN=name with these alternative names, and its key."""
        names = " ".join("--san " + shlex.quote(text) for text in alternative)
        dates = "--not-before '01.01.20 00:00:00' --not-after '01.01.21 00:00:00'" if expired else "--lifetime 10"
        self._pki(f"{self._key(name)}; pki --issue --in {name}.key --type priv --cacert {self.name}.crt --cakey {self.name}.key "
                  f"{dates} --dn 'CN={name}' {names} --outform pem > {name}.crt")
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def intermediate(self, name: str) -> Authority:
        """A CA below this one, in the same folder."""
        below = object.__new__(Authority)
        below.root, below.folder, below.kind, below.name = self.root, self.folder, self.kind, name
        self._pki(f"{self._key(name)}; pki --issue --ca --in {name}.key --type priv --cacert {self.name}.crt --cakey {self.name}.key "
                  f"--lifetime 20 --dn 'CN=Qanat interop {name}' --outform pem > {name}.crt")
        return below

    def revoke(self, name: str) -> pathlib.Path:
        """A CRL with that certificate on it."""
        self._pki(f"pki --signcrl --cacert {self.name}.crt --cakey {self.name}.key --reason key-compromise --cert {name}.crt --outform pem > {self.name}.crl")
        return self.folder / f"{self.name}.crl"

    def _key(self, name: str) -> str:
        return f"pki --gen {KINDS[self.kind]} --outform pem > {name}.key; chmod 600 {name}.key"

    def _pki(self, script: str) -> None:
        done = subprocess.run(in_root(self.root, None, self.folder, ["sh", "-ec", f"cd {MOUNTED}; umask 022; {script}"]),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"pki: {done.stderr[-1500:]}")


class QanatAuthority:
    """The same by `qanat pki`: one command for the CA, one for each certificate."""

    def __init__(self, qanat: str, folder: pathlib.Path, kind: str, name: str = "ca"):
        self.qanat, self.folder, self.kind, self.name = qanat, folder, kind, name
        self.certificate = folder / "ca.crt"
        self._pki("ca", "--name", f"Qanat interop {name}", "--out", str(folder))

    def issue(self, name: str, alternative: str) -> tuple[pathlib.Path, pathlib.Path]:
        """A certificate for that name under CN=alternative, and its key."""
        folder = self.folder / name
        self._pki("issue", "--ca", str(self.folder), "--id", f"fqdn:{alternative}", "--out", str(folder))
        return folder / f"{alternative}.crt", folder / f"{alternative}.key"

    def _pki(self, *arguments: str) -> None:
        done = subprocess.run([self.qanat, "pki", *arguments, "--key", OURS[self.kind]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"qanat pki {arguments[0]}: {done.stderr[-1500:]}")

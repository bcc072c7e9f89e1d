"""A WAN: a hub, sites behind it, some of them by two paths, and an Internet beyond the hub.

    siteA 10.1.0.2 -- gwA, the hub 192.0.2.1 ----------------+-- 203.0.114.1 -- inet 203.0.114.80
    siteB 10.2.0.2 -- gwB 198.51.100.1, and 198.51.101.1 -- net     (from the hub alone)
    siteC 10.3.0.2 -- gwC 203.0.113.1, ... ------------------+

A site of `double` has a second uplink with an address of its own; the router's end of it is called like the site, with a 2
(`b2`), and cut() takes one of them away as a broken line does: packets vanish, and no interface goes down.
"""
from __future__ import annotations

import contextlib
import json
import pathlib
import sys
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from lab import Lab, Qanatd, daemon_logs_on_failure, toml_lines  # noqa: E402
from processes import run  # noqa: E402
from traffic import ping_until_answered  # noqa: E402

SECOND = {"b": "198.51.101", "c": "203.0.115", "d": "198.19.4"}
INTERNET, OUTSIDE = "203.0.114.80", "203.0.114.1"  # a host there, and the hub's address
NAT = [{"sources": ["10.0.0.0/8"], "out_interface": "inet"}]  # of the hub


class Wan(Lab):
    def __init__(self, sites: str = "abc", double: str = "b", name: str = "qw", **more):
        super().__init__(name, sites, extras=["inet"], **more)
        self.double = double
        self.inet = self.extras["inet"]

    def _make(self) -> None:
        super()._make()
        for letter in self.double:
            site, network = self[letter], SECOND[letter]
            self.ip(self.net, f"link add name {letter}2 index {200 + ord(letter)} type veth peer name wan2 netns {site.gw}",
                    f"addr add {network}.254/24 dev {letter}2", f"link set dev {letter}2 up")
            # What comes from the second address leaves by the second line; with one routing table all of it would take the first.
            self.ip(site.gw, f"addr add {network}.1/24 dev wan2", "link set wan2 up", f"route add default via {network}.254 table 102",
                    f"rule add from {network}.1 lookup 102 priority 102")
            ping_until_answered(site.gw, f"{network}.254", seconds=15)
        hub = self["a"]
        self.ip(self.inet, "link set lo up", f"link add name eth0 index 100 type veth peer name inet netns {hub.gw}",
                f"addr add {INTERNET}/24 dev eth0", "link set eth0 up")
        self.ip(hub.gw, f"addr add {OUTSIDE}/24 dev inet", "link set inet up")
        ping_until_answered(hub.gw, INTERNET, seconds=15)
        if not NAT:
            self.ip(self.inet, f"route add 10.0.0.0/8 via {OUTSIDE}")

    def seen_outside(self, letter: str) -> str:
        """The address that the Internet sees for a site's host."""
        return OUTSIDE if NAT else self[letter].host4

    def configure_hub(self, tunnels: list[dict], **gateway) -> str:
        path = self.configure("a", tunnels, outer=(4,), **gateway)
        add_sections(path, "nat", *NAT)
        return path

    def outer_of(self, letter: str, path: int) -> str:
        return self[letter].outer4 if path == 1 else f"{SECOND[letter]}.1"

    def ends(self, letter: str, number: int, path: int = 1, hub: dict | None = None, site: dict | None = None, **both) -> tuple[dict, dict]:
        """The settings of a tunnel from the hub to a site by one of its paths, at the hub and at the site."""
        outer = self.outer_of(letter, path)
        common = {"psk_file": self.psk_file, **both}
        at_hub = {"name": letter, "peer": outer, "interface": f"10.255.0.{2 * number}/31", "routes": [self[letter].net4], **common, **(hub or {})}
        at_site = {"name": "hub", "peer": self["a"].outer4, **({"local": outer} if path != 1 else {}), "start": "respond",
                   "interface": f"10.255.0.{2 * number + 1}/31", "routes": ["0.0.0.0/0"], **common, **(site or {})}
        return at_hub, at_site

    def two_paths(self, letter: str, number: int, **both) -> tuple[list[dict], list[dict]]:
        """Both tunnels to a site with two uplinks, the first one preferred; at the hub and at the site."""
        first = self.ends(letter, number, 1, {"name": f"{letter}-1"}, {"name": "hub-1"}, **both)
        second = self.ends(letter, number + 1, 2, {"name": f"{letter}-2", "routes": [{"prefix": self[letter].net4, "priority": 200}]},
                           {"name": "hub-2", "routes": [{"prefix": "0.0.0.0/0", "priority": 200}]}, **both)
        return [first[0], second[0]], [first[1], second[1]]

    def cut(self, line: str) -> None:
        """Whatever goes by this interface of the router vanishes."""
        self.nft(self.net, f'table inet cut_{line} {{\n chain forward {{\n  type filter hook forward priority 0\n'
                           f'  iifname "{line}" counter drop\n  oifname "{line}" counter drop\n }}\n}}\n')

    def mend(self, line: str) -> None:
        run("ip", "netns", "exec", self.net, "nft", "delete", "table", "inet", f"cut_{line}")

    # --- many tunnels between the hub and one site

    def many(self, count: int, letter: str = "b", changed: dict[int, dict] | None = None) -> tuple[list[dict], list[dict]]:
        """`count` tunnels with identities, addresses and prefixes of their own; their traffic begins and ends in the gateways.

        changed: further settings at the hub, by the tunnel's number.
        """
        hub, site = [], []
        for number in range(count):
            near, far = many_pair(number)
            ours, theirs = f"fqdn:t{number}.hub", f"fqdn:t{number}.site"
            common = {"psk_file": self.psk_file, "name": f"t{number:04}"}
            first = f"10.128.{number >> 7}.{(number & 127) * 2}"
            second = f"10.128.{number >> 7}.{(number & 127) * 2 + 1}"
            hub.append({**common, "peer": self[letter].outer4, "local_id": ours, "remote_id": theirs, "interface": f"{first}/31",
                        "routes": [f"{far}/32"], **((changed or {}).get(number, {}))})
            site.append({**common, "peer": self["a"].outer4, "local_id": theirs, "remote_id": ours, "interface": f"{second}/31",
                         "routes": [f"{near}/32"], "start": "respond"})
        return hub, site

    def local_ends(self, letter: str = "b") -> None:
        """The addresses of many() are local to both gateways, without being added one by one."""
        self.ip(self["a"].gw, "route add local 10.64.0.0/16 dev lo")
        self.ip(self[letter].gw, "route add local 10.96.0.0/16 dev lo")


def many_pair(number: int) -> tuple[str, str]:
    """The two ends of the traffic through tunnel `number` of many(): at the hub, at the site."""
    return f"10.64.{number >> 8}.{number & 255}", f"10.96.{number >> 8}.{number & 255}"


def add_sections(config: str, name: str, *sections: dict) -> None:
    """Appends [[name]] sections to a configuration."""
    with open(config, "a", encoding="utf-8") as file:
        for section in sections:
            file.write(f"\n[[{name}]]\n" + toml_lines(section))


def health(daemon: Qanatd, tunnel: str) -> str:
    return daemon.tunnel(tunnel)["health"]["state"]


def health_changes(daemon: Qanatd, tunnel: str) -> list[str]:
    """The states that the tunnel went to, by the events that the daemon keeps."""
    events = json.loads(daemon.cli("events", tunnel, "--json").stdout)["events"]
    return [event["fields"]["to"] for event in events if event["event"] == "health-changed"]


@contextlib.contextmanager
def wan(*arguments, **more) -> Iterator[Wan]:
    """A Wan that shows its daemons' logs when something fails in it."""
    with Wan(*arguments, **more) as lab, daemon_logs_on_failure(lab):
        yield lab

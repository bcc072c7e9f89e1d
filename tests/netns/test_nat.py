"""Source NAT of what comes out of the tunnels: by the kernel, written and removed by the helper; and what stays out of it."""
from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from flows import Conversation, EchoSources, Server, ask  # noqa: E402
from lab import Lab, Qanatd, check, laboratory, main, run, say, toml_lines  # noqa: E402
from traffic import SteadyPing, ping, ping_until_answered, wait_until  # noqa: E402

PORT = 7070


def nat_table(lab: Lab, letter: str = "a") -> str:
    return run("ip", "netns", "exec", lab[letter].gw, "nft", "list", "table", "inet", "qanat_nat", check=False).stdout


def configure_hub(lab: Lab, *rules: dict) -> None:
    path = pathlib.Path(lab.configure("a", [lab.tunnel("a", "b", start="respond")]))
    path.write_text(path.read_text() + "".join("\n[[nat]]\n" + toml_lines(rule) for rule in rules))


def branch_and_hub(lab: Lab, *rules: dict) -> tuple[Qanatd, Qanatd]:
    """Site b has its default routes through gateway a; site c, which has no tunnel, is the Internet."""
    configure_hub(lab, *rules)
    lab.configure("b", [lab.tunnel("b", "a", routes=["0.0.0.0/0", "::/0"])])
    hub, branch = lab.start("a"), lab.start("b")
    branch.wait_up()
    hub.wait_up()
    return hub, branch


def seen_as(lab: Lab, version: int) -> dict[str, str]:
    """From which address the Internet sees site b, by TCP, UDP and ICMP."""
    b, c = lab["b"], lab["c"]
    with Server(c.site, "0.0.0.0" if version == 4 else "::", PORT, "internet"), EchoSources(c.site, "eth0") as echoes:
        out = {kind: (ask(kind, b.site, c.host(version), PORT) or ["", "nothing"])[1] for kind in ("tcp", "udp")}
        out["icmp"] = "nothing"
        if ping(b.site, c.host(version), count=3).lost == 0:
            out["icmp"] = " ".join(sorted(echoes.read()))
    return out


def everybody_is(lab: Lab, version: int, address: str, what: str) -> None:
    seen = seen_as(lab, version)
    check(set(seen.values()) == {address}, f"{what}: the Internet sees {seen}")


def masquerade() -> None:
    """masquerade to one interface: TCP, UDP and ICMP of both families; the gateway's own LAN sees who is there"""
    with laboratory(sites="abc") as lab, lab.capture(protected=["10.2.0.0/24", "10.1.0.0/24", "fd00:2::/64", "fd00:1::/64"]) as capture:
        branch_and_hub(lab, {"sources": [lab["b"].net4, lab["b"].net6], "out_interface": "wan"})
        ping_until_answered(lab["b"].site, lab["c"].host4)
        everybody_is(lab, 4, lab["a"].outer4, "IPv4")
        everybody_is(lab, 6, lab["a"].outer6, "IPv6")
        with Server(lab["a"].site, "0.0.0.0", PORT, "lan"):
            for kind in ("tcp", "udp"):
                answer = ask(kind, lab["b"].site, lab["a"].host4, PORT)
                check(answer and answer[:2] == ["lan", lab["b"].host4], f"{kind} to the gateway's LAN comes from {answer}")
        with Server(lab["b"].site, "0.0.0.0", PORT, "branch"):
            answer = ask("tcp", lab["a"].site, lab["b"].host4, PORT)
            check(answer and answer[:2] == ["branch", lab["a"].host4], f"tcp from the LAN to the branch comes from {answer}")
        report = capture.report()
        check(report.leaks == 0, f"no address of a site is seen outside in {report.packets} packets{report.clear_samples[:2]}")
        text = nat_table(lab)
        check("masquerade" in text and lab.nft_dropped("a") == 0, "and the filter against plaintext dropped none of it")


def rules_in_order_and_reload() -> None:
    """the first rule that fits; a reload changes the rules, and neither connections nor pings that are under way notice"""
    with laboratory(sites="abc") as lab:
        fixed = "192.0.2.77"
        lab.ip(lab["a"].gw, f"addr add {fixed}/24 dev wan")
        hub, _ = branch_and_hub(lab, {"sources": "10.2.0.0/25", "out_interface": "wan", "translate": fixed}, {"out_interface": "wan"})
        ping_until_answered(lab["b"].site, lab["c"].host4)
        everybody_is(lab, 4, fixed, "the first rule")
        everybody_is(lab, 6, lab["a"].outer6, "the second one, for what is left")
        configure_hub(lab, {"sources": "10.2.0.128/25", "out_interface": "wan", "translate": fixed}, {"out_interface": "wan"})
        say(hub.cli("check", "--diff", str(lab["a"].dir / "qanat.toml")).stdout.strip())
        with Server(lab["c"].site, "0.0.0.0", PORT, "internet"), SteadyPing(lab["b"].site, lab["c"].host4) as steady, \
                Conversation("tcp", lab["b"].site, lab["c"].host4, PORT) as old:
            check(old.ask()[1] == fixed, "a connection begins under the old rules")
            hub.cli("reload")
            wait_until(lambda: "10.2.0.128" in nat_table(lab), "the helper has the new rules")
            check(old.ask()[1] == fixed, "and goes on as it began")
            answer = ask("tcp", lab["b"].site, lab["c"].host4, PORT)
            check(answer and answer[1] == lab["a"].outer4, f"a new one is translated by the new rules: {answer}")
            check((done := steady.stop()).lost == 0, f"pings all the while: {done}")


def comes_and_goes() -> None:
    """no rule, no table; stopping leaves it, a start without rules removes it, and purge does"""
    with laboratory(sites="abc") as lab:
        hub, _ = branch_and_hub(lab)
        ping_until_answered(lab["b"].site, lab["a"].host4)
        check(not nat_table(lab), "without [[nat]] there is no table")
        lab.ip(lab.net, f"route replace {lab['b'].net4} via {lab['a'].outer4}")
        everybody_is(lab, 4, lab["b"].host4, "without a rule")
        configure_hub(lab, {"out_interface": "wan"})
        hub.cli("reload")
        wait_until(lambda: nat_table(lab), "a reload adds it")
        everybody_is(lab, 4, lab["a"].outer4, "with a rule that a reload has brought")
        hub.stop()
        check("masquerade" in nat_table(lab), "it stays when the daemon stops, as the filter does")
        configure_hub(lab)
        hub.start()
        wait_until(lambda: not nat_table(lab), "a start without rules removes it")
        configure_hub(lab, {"out_interface": "wan"})
        hub.cli("reload")
        wait_until(lambda: nat_table(lab), "it is back")
        hub.cli("purge")
        check(not lab.protection("a")["nftables"], "qanat purge removes it")


if __name__ == "__main__":
    sys.exit(main([masquerade, rules_in_order_and_reload, comes_and_goes], seconds=170))

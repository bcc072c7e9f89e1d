#!/usr/bin/env python3
"""Makes what the Debian package has beside the programs: manual pages, completion, changelog.

    tools/package_files.py --bin DIR --version VERSION --out DIR      (cmake/QanatPackage.cmake calls it)
    tools/package_files.py --self-test

qanat(1) and qanatd(8) come from the programs' own --help, qanat.toml(5) from docs/config.md: there is nothing to keep in
step. Completion comes from `qanat completion`. Dates are those of the last commit, so that the same source makes the same
files.
"""
from __future__ import annotations

import argparse
import email.utils
import gzip
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
AUTHORS = "Qanat authors <qanat@localhost.invalid>"


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
                          env=os.environ | {"QANAT_SOCKET": "", "COLUMNS": "100"}).stdout


def date() -> float:
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return float(epoch)
    done = subprocess.run(["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 and done.stdout.strip() else (ROOT / "CHANGELOG.md").stat().st_mtime


# --- roff -------------------------------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + text if text.startswith(".") else text


def inline(text: str) -> str:
    """Markdown within a line: `code`, **strong**, *emphasis*, [text](address)."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    out = ""
    for part in re.split(r"(`[^`]+`|\*\*.+?\*\*|\*[^*\s][^*]*\*)", text):
        if part.startswith("`") and part.endswith("`") and len(part) > 1:
            out += f"\\fB{escaped(part[1:-1])}\\fR"
        elif part.startswith("**"):
            out += f"\\fB{inline(part[2:-2])}\\fR"
        elif part.startswith("*") and len(part) > 2:
            out += f"\\fI{escaped(part[1:-1])}\\fR"
        else:
            out += escaped(part)
    return out


def verbatim(lines: list[str]) -> list[str]:
    return [".PP", ".in +4n", ".nf", *(escaped(line) for line in lines), ".fi", ".in"]


def cells(line: str) -> list[str]:
    """Of a table's row; a bar within code does not end a cell."""
    return [cell.strip() for cell in re.findall(r"(?:`[^`]*`|[^|`])+", line.strip().strip("|"))]


def roff_of_markdown(text: str) -> list[str]:
    """Headings, paragraphs, code, tables (the first column is what is described)."""
    out: list[str] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("```"):
            end = at + next(i for i, later in enumerate(lines[at:]) if later.startswith("```"))
            out += verbatim(lines[at:end])
            at = end + 1
        elif match := re.match(r"(#+) (.*)", line):
            if len(match[1]) > 1:
                heading = escaped(match[2].replace("`", ""))
                out.append(f".SH {heading.upper()}" if len(match[1]) == 2 else f".SS {heading}")
        elif line.startswith("|"):
            rows = [line]
            while at < len(lines) and lines[at].startswith("|"):
                rows.append(lines[at])
                at += 1
            head = cells(rows[0])
            for row in map(cells, rows[2:]):
                value = f" (default: {inline(row[1])})" if head[1:2] == ["default"] and row[1] not in ("-", "needed") else ""
                value = " (needed)" if head[1:2] == ["default"] and row[1] == "needed" else value
                out += [".TP", f"{inline(row[0])}{value}", inline(row[-1])]
        elif line.strip():
            paragraph = [line]
            while at < len(lines) and lines[at].strip() and not re.match(r"```|#|\|", lines[at]):
                paragraph.append(lines[at])
                at += 1
            out += [".PP", inline(" ".join(part.strip() for part in paragraph))]
    return out


def page(name: str, section: int, about: str, when: float, body: list[str]) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime(when))
    head = [f'.TH {name.upper()} {section} "{day}" "Qanat" "Qanat"', ".nh", ".ad l", ".SH NAME", f"{escaped(name)} \\- {escaped(about)}"]
    return "\n".join([*head, *body]) + "\n"


def help_of(program: str, *words: str) -> list[str]:
    return [line.rstrip() for line in output(program, *words, "--help").strip().splitlines()]


def commands_of(lines: list[str]) -> list[str]:
    """The names that stand under Subcommands: in a help text."""
    start = next(i for i, line in enumerate(lines) if re.match(r"subcommands:", line, re.I))
    return [match[1] for line in lines[start + 1:] if (match := re.match(r"  (\S+)", line))]


def qanat_1(program: str, when: float) -> str:
    whole = help_of(program)
    body = [".SH SYNOPSIS", "\\fBqanat\\fR [\\fB\\-\\-json\\fR] [\\fB\\-\\-socket\\fR \\fIPATH\\fR] \\fICOMMAND\\fR ...",
            ".SH DESCRIPTION", "\\fBqanat\\fR asks the daemon \\fBqanatd\\fR(8) through its control socket, and makes keys, certificates and "
            "checks without it. Every command takes \\fB\\-\\-json\\fR, for scripts.", *verbatim(whole), ".SH COMMANDS"]
    for command in commands_of(whole):
        lines = help_of(program, command)
        body += [f".SS qanat {command}", *verbatim(lines)]
        if any(re.match(r"subcommands:", line, re.I) for line in lines):
            for sub in commands_of(lines):
                body += [f".SS qanat {command} {sub}", *verbatim(help_of(program, command, sub))]
    body += [".SH EXIT STATUS", ".TP", "\\fB0\\fR", "done", ".TP", "\\fB1\\fR", "it was tried, and did not work", ".TP", "\\fB2\\fR",
             "the command line is wrong", ".TP", "\\fB3\\fR", "the daemon cannot be reached", ".SH ENVIRONMENT", ".TP",
             "\\fBQANAT_SOCKET\\fR", "The control socket, where \\fB\\-\\-socket\\fR does not say it.", ".SH SEE ALSO",
             "\\fBqanatd\\fR(8), \\fBqanat.toml\\fR(5), /usr/share/doc/qanat"]
    return page("qanat", 1, "what the tunnels of qanatd do, and how safe they are", when, body)


def qanatd_8(program: str, when: float) -> str:
    body = [".SH SYNOPSIS", "\\fBqanatd\\fR [\\fB\\-c\\fR \\fIFILE\\fR] [\\fB\\-\\-protect\\fR | \\fB\\-\\-purge\\fR]", ".SH DESCRIPTION",
            "\\fBqanatd\\fR ends IPsec tunnels (IKEv2 with ML\\-KEM beside a classical key exchange, ESP in user space) and steers packets between "
            "them. It begins as root, forks a small helper that keeps the right to change routes, and becomes the user \\fBqanat\\fR "
            "without any right.", *verbatim(help_of(program)), ".SH SIGNALS", ".TP", "\\fBSIGHUP\\fR",
            "Reads the configuration again, as \\fBqanat reload\\fR does: only the difference is applied; a file with an error changes nothing.",
            ".TP", "\\fBSIGTERM\\fR, \\fBSIGINT\\fR", "Says goodbye to the peers and ends.", ".SH FILES", ".TP", "/etc/qanat/qanat.toml",
            "The configuration, \\fBqanat.toml\\fR(5).", ".TP", "/run/qanat/qanat.sock", "The control socket.", ".TP", "/var/lib/qanat",
            "What outlives the daemon: the harvest ledger.", ".SH SECURITY",
            "Routes that keep protected traffic from leaving in the clear outlive the daemon, also a crash. \\fBqanat purge\\fR or "
            "\\fBqanatd \\-\\-purge\\fR removes them; qanat\\-blackhole.service sets them up at boot, before the network.", ".SH SEE ALSO",
            "\\fBqanat\\fR(1), \\fBqanat.toml\\fR(5), /usr/share/doc/qanat"]
    return page("qanatd", 8, "quantum-safe IPsec gateway", when, body)


def qanat_toml_5(when: float) -> str:
    body = [".SH DESCRIPTION", *roff_of_markdown((ROOT / "docs" / "config.md").read_text()), ".SH SEE ALSO",
            "\\fBqanat\\fR(1), \\fBqanatd\\fR(8)"]
    return page("qanat.toml", 5, "what qanatd runs by", when, body)


# --- the rest ---------------------------------------------------------------------------------------------------------


def changelog(version: str, when: float) -> str:
    """In Debian's form: the first section of CHANGELOG.md, as far as a list of changes goes."""
    section = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)[1]
    entries, current = [], ""
    for line in section.splitlines()[1:]:
        if line.startswith("- "):
            entries, current = entries + ([current] if current else []), line[2:]
        elif line.startswith("  ") and current:
            current += " " + line.strip()
    entries += [current] if current else []
    text = f"qanat ({version}) unstable; urgency=medium\n\n"
    for entry in entries:
        words, line = entry.replace("`", "").split(), "  *"
        for word in words:
            if len(line) + 1 + len(word) > 78:
                text, line = text + line + "\n", "   "
            line += " " + word
        text += line + "\n"
    return text + f"\n -- {AUTHORS}  {email.utils.formatdate(when, localtime=False)}\n"


def write(path: pathlib.Path, text: str) -> None:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    else:
        path.write_text(text)


def self_test() -> int:
    assert inline("a `b-c` **d** [e](f) *g*") == "a \\fBb\\-c\\fR \\fBd\\fR e \\fIg\\fR", inline("a `b-c` **d** [e](f) *g*")
    assert cells("| `a` | \"x|y\" |") == ["`a`", '"x', 'y"'] and cells("| `x|y` | z |") == ["`x|y`", "z"]
    made = roff_of_markdown("# T\n\n## A b\n\ntext\nmore\n\n| key | default | meaning |\n|---|---|---|\n| `k` | 5 | M. |\n| `n` | needed | N. |\n\n"
                            "```\n.x -y\n```\n")
    assert made == [".SH A B", ".PP", "text more", ".TP", "\\fBk\\fR (default: 5)", "M.", ".TP", "\\fBn\\fR (needed)", "N.",
                    ".PP", ".in +4n", ".nf", "\\&.x \\-y", ".fi", ".in"], made
    assert commands_of(["x", "Subcommands:", "  a   does", "  b   does"]) == ["a", "b"]
    return 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--version", required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    qanat, qanatd, when = str(options.bin / "qanat"), str(options.bin / "qanatd"), date()
    for name, text in (("qanat.1.gz", qanat_1(qanat, when)), ("qanatd.8.gz", qanatd_8(qanatd, when)), ("qanat.toml.5.gz", qanat_toml_5(when)),
                       ("changelog.gz", changelog(options.version, when)), ("qanat.bash", output(qanat, "completion", "bash")),
                       ("_qanat", output(qanat, "completion", "zsh"))):
        write(options.out / name, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

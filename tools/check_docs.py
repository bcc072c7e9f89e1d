#!/usr/bin/env python3
"""What the documentation names must exist:

- tests: `Suite.Name` somewhere in a C++ test, `test_x.py` as a file of tests/ (docs/ikev2.md);
- what the program says: the first column of every table of docs/troubleshooting.md, and codes and sentences in its second, as
  text in the source, "…" standing for what is filled in;
- settings: what a message of the program tells to write, `key = "value"`, is a key of docs/config.md;
- places: links between pages lead to a file, and to a heading of it.

    tools/check_docs.py [--self-test]
"""
from __future__ import annotations

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS_IN = ("docs/ikev2.md",)
SAID_IN = ("docs/troubleshooting.md",)
TEST = re.compile(r"^\s*TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
NAMED = re.compile(r"`([A-Z]\w+\.\w+|test_\w+\.py)`")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
LITERALS = re.compile(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+')
SETTING = re.compile(r'(?<![\w.])([a-z][a-z0-9_]*) = "')  # not of the API: pq.policy = ...
# Of the library's own lines: parts of a table in a table.
NO_SETTINGS = {"remote"}


def source_files() -> list[pathlib.Path]:
    return [path for pattern in ("*.cpp", "*.hpp") for path in (ROOT / "src").rglob(pattern)
            if not path.name.endswith(("_test.cpp", "_testing.hpp", "_test_support.hpp"))]


def literals(source: str) -> list[str]:
    """Texts of C++ source; those that stand side by side are one. What is filled in is "…"."""
    source = re.sub(r"^\s*//.*$", "", source, flags=re.M)
    source = re.sub(r"\s*\\\n", "\n", source)  # continued lines of macros
    out = []
    for run in LITERALS.finditer(source):
        text = "".join(LITERAL.findall(run[0])).replace('\\"', '"')
        out.append(re.sub(r"\{[^{}]*\}", "…", text))
    return out


# --- names of tests


def existing_tests() -> set[str]:
    names = {f"{suite}.{name}" for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.cpp")
             for suite, name in TEST.findall(path.read_text(errors="replace"))}
    return names | {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def missing_tests(text: str, names: set[str]) -> list[str]:
    return [f"line {number}: no test is named {name}" for number, line in enumerate(text.splitlines(), 1)
            for name in NAMED.findall(line) if name not in names]


# --- what the program says


def is_said(quoted: str, texts: set[str], joined: str) -> bool:
    """One word is a code, and stands alone in the source; a sentence is a part of a text, its filled-in places as well."""
    if re.fullmatch(r"[a-z_-]+", quoted):
        return quoted in texts
    parts = [part for part in re.split("…", quoted) if part.strip()]
    # Plural forms and alike: a part may end where a place begins.
    return re.search("[^\n]*?".join(re.escape(part) for part in parts), joined) is not None


def quoted_messages(text: str) -> list[tuple[int, str]]:
    """Of tables: all code of the first column, and of the second where that is nothing but code."""
    out = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("| ") or line.startswith("|---"):
            continue
        cells = [cell.strip() for cell in re.findall(r"(?:`[^`]*`|[^|`])+", line.strip().strip("|"))]
        columns = cells[:1] + [cell for cell in cells[1:2] if re.fullmatch(r"`[^`]+`", cell)]
        out += [(number, code) for cell in columns for code in re.findall(r"`([^`]+)`", cell)]
    return out


COMMANDS = re.compile(r"qanat (watch|status|posture|events|explain)\b")


def not_said(text: str, all_texts: list[str]) -> list[str]:
    texts, joined = set(all_texts), "\n".join(all_texts)
    return [f"line {number}: the program does not say: {message}" for number, message in quoted_messages(text)
            if not COMMANDS.match(message) and not is_said(message, texts, joined)]


# --- settings that messages name


def unknown_settings(all_texts: list[str], config_page: str) -> list[str]:
    keys = {key for row in re.findall(r"^\| (`\w+`(?:(?:, | or )`\w+`)*)", config_page, re.M) for key in re.findall(r"`(\w+)`", row)}
    return sorted({f"src: a message names the setting {name}, which docs/config.md does not have: {text[:100]}"
                   for text in all_texts for name in SETTING.findall(text) if name not in keys | NO_SETTINGS})


# --- links


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def dead_links(path: pathlib.Path, text: str) -> list[str]:
    out = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, place = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        if not page.exists():
            out.append(f"there is no {file}")
        elif place and page.suffix == ".md" and place not in {anchor(h) for h in re.findall(r"^#+ (.*)$", page.read_text(), re.M)}:
            out.append(f"{page.name} has no heading #{place}")
    return out


def self_test() -> int:
    found = missing_tests("a `Suite.Name` and `test_x.py`\nand `Gone.Away`, `test_gone.py`", {"Suite.Name", "test_x.py"})
    assert found == ["line 2: no test is named Gone.Away", "line 2: no test is named test_gone.py"], found
    assert TEST.findall("TEST_F(Peers, Meet) {\n  TEST(A,B)") == [("Peers", "Meet"), ("A", "B")]
    texts = literals('// "no"\nf("no answer from {} to {}"\n  " after {:.1f} tries", "probes_lost", "say \\"x\\"");')
    assert texts == ["no answer from … to … after … tries", "probes_lost", 'say "x"'], texts
    page = "| you see | means |\n|---|---|\n| `no answer from … to` | x `y z` |\n| `probes_lost` | `say \"x\"` |\n| `gone away` | x |\n| `probes` | `x` |\n"
    assert not_said(page, texts) == ["line 5: the program does not say: gone away", "line 6: the program does not say: probes",
                                     "line 6: the program does not say: x"], not_said(page, texts)
    assert unknown_settings(['set pq = "a", or psk = "b"'], "| `pq`, `x` | 1 |\n") == [
        'src: a message names the setting psk, which docs/config.md does not have: set pq = "a", or psk = "b"']
    assert anchor("## [[policy]]".lstrip("# ")) == "policy" and anchor("A second line") == "a-second-line"
    return 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    names = existing_tests()
    texts = [text for path in source_files() for text in literals(path.read_text(errors="replace"))]
    faults = [f"{doc}: {fault}" for doc in TESTS_IN for fault in missing_tests((ROOT / doc).read_text(), names)]
    faults += [f"{doc}: {fault}" for doc in SAID_IN for fault in not_said((ROOT / doc).read_text(), texts)]
    faults += unknown_settings(texts, (ROOT / "docs" / "config.md").read_text())
    pages = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "ARCHITECTURE.md"]
    faults += [f"{page.name}: {fault}" for page in pages for fault in dead_links(page, page.read_text())]
    messages = sum(len(quoted_messages((ROOT / doc).read_text())) for doc in SAID_IN)
    print("\n".join(faults) or f"named tests, {messages} messages, settings in messages, and links of {len(pages)} pages: all there")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

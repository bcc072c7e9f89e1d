#!/usr/bin/env python3
"""Names of tests in the documentation must exist: `Suite.Name` somewhere in a C++ test, `test_x.py` as a file of tests/.

    tools/check_docs.py [--self-test]
"""
from __future__ import annotations

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ("docs/ikev2.md",)
TEST = re.compile(r"^\s*TEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
NAMED = re.compile(r"`([A-Z]\w+\.\w+|test_\w+\.py)`")


def existing() -> set[str]:
    names = {f"{suite}.{name}" for folder in ("src", "tests") for path in (ROOT / folder).rglob("*.cpp")
             for suite, name in TEST.findall(path.read_text(errors="replace"))}
    return names | {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def missing(text: str, names: set[str]) -> list[str]:
    return [f"line {number}: no test is named {name}" for number, line in enumerate(text.splitlines(), 1)
            for name in NAMED.findall(line) if name not in names]


def self_test() -> int:
    found = missing("a `Suite.Name` and `test_x.py`\nand `Gone.Away`, `test_gone.py`", {"Suite.Name", "test_x.py"})
    assert found == ["line 2: no test is named Gone.Away", "line 2: no test is named test_gone.py"], found
    assert TEST.findall("TEST_F(Peers, Meet) {\n  TEST(A,B)") == [("Peers", "Meet"), ("A", "B")]
    return 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    names = existing()
    faults = [f"{doc}: {fault}" for doc in DOCS for fault in missing((ROOT / doc).read_text(), names)]
    print("\n".join(faults) or f"{len(DOCS)} document, every named test exists")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Holds the sources to the rules of the house (ARCHITECTURE.md): who may include whom, and what is pure.

    tools/check_layers.py               reads src/ and tests/; prints file:line: rule: what to do instead; exit 1 on any
    tools/check_layers.py --self-test   proves on small snippets that every rule fires, and only where it should

The edges between rooms come from the qanat_library(...) calls in src/*/CMakeLists.txt, so they are written once.
A room below io/ is a function of bytes, time and randomness that it is given: no clock, thread, socket, file or dice.
"""
from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator

PURE_LAYERS = range(0, 7)
MAX_LINES = 520
OPENSSL_ROOMS = ("crypto", "pki")
SYSTEM_ROOMS = ("io", "daemon", "cli")

SYSTEM_HEADER = re.compile(
    r"(sys|netinet|arpa|linux|net|asm|netpacket|libmnl|netlink|boost/asio|boost/beast)/.*"
    r"|(unistd|poll|pthread|sched|fcntl|netdb|signal|ifaddrs|pwd|grp|dlfcn|termios|dirent|syslog|spawn|semaphore|mqueue|sqlite3|seccomp)\.h"
    r"|csignal")


@dataclasses.dataclass(frozen=True)
class Ban:
    rule: str
    pattern: re.Pattern
    instead: str
    tests_too: bool = True  # False: a *_test.cpp may do it (files of vectors, QANAT_DEEP)


def _ban(rule: str, pattern: str, instead: str, tests_too: bool = True) -> Ban:
    return Ban(rule, re.compile(pattern), instead, tests_too)


# Looked for in the code of pure rooms, without its comments and strings.
BANS = (
    _ban("no clock", r"\b(system|steady|high_resolution|utc|tai|gps|file)_clock\b|\bclock_gettime\b|\bgettimeofday\b|\blocaltime(_r)?\b"
                     r"|(?<![\w.>:])(std::|::)?time\s*\(\s*(nullptr|NULL|0|&\w+)\s*\)|(?<![\w.>:])(std::)?clock\s*\(\s*\)",
         "take `now` as an argument; only io/ may ask the time"),
    _ban("no sleep", r"\bsleep_(for|until)\b|\b(u|nano)sleep\s*\(|(?<![\w.>])(::)?sleep\s*\(\s*\d", "return the next timeout, and let io/ wait"),
    _ban("no thread", r"#\s*include\s*<(thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token)>"
                      r"|\bstd::(j?thread|async|mutex|shared_mutex|condition_variable|call_once)\b|\bpthread_\w+",
         "rooms below io/ run on one thread and talk by messages"),
    _ban("no socket", r"(?<![\w>])::\s*(socket|bind|connect|listen|accept4?|send(to|msg|mmsg)?|recv(from|msg|mmsg)?|open|read|write|close|ioctl|poll)\s*\(",
         "return an action; io/ talks to the operating system"),
    _ban("no environment", r"\b(secure_)?getenv\b|\bsetenv\b|\bputenv\b", "take the value as an argument, from the config",
         tests_too=False),
    _ban("no dice", r"\brandom_device\b|\bmt19937(_64)?\b|\bminstd_rand0?\b|\bdefault_random_engine\b|\bgetrandom\b|\barc4random\w*"
                    r"|#\s*include\s*<random>|(?<![\w.>:])(std::)?s?rand\s*\(", "take an Rng& as an argument"),
    _ban("no file", r"#\s*include\s*<(fstream|filesystem)>|\bstd::(i|o)?fstream\b|\bstd::filesystem\b|(?<![\w.>])(std::)?fopen\s*\(",
         "take the bytes as an argument; io/ and daemon/ read files", tests_too=False),
    _ban("no output", r"#\s*include\s*<(iostream|print)>|\bstd::(cout|cerr|clog)\b|(?<![\w.>])(std::)?v?printf\s*\(|(?<![\w.>])(std::)?(puts|putchar)\s*\("
                      r"|(?<![\w.>])(std::)?fprintf\s*\(\s*stdout\b|\bfmt::print\s*\(\s*(?!stderr)|\bspdlog::|#\s*include\s*<spdlog/",
         "return a value or an event; daemon/ and cli/ print"),
)
# OpenSSL's own generator is crypto/rng's to call.
DRBG = _ban("no dice", r"\bRAND_(priv_)?bytes(_ex)?\b", "take an Rng& as an argument; only crypto/rng asks OpenSSL's generator")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-zA-Z_])\'(?:\\.|[^\'\\\n])+\'', re.S)


@dataclasses.dataclass(frozen=True)
class Room:
    name: str
    layer: int | None
    deps: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Finding:
    where: str
    line: int
    rule: str
    instead: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.rule}: {self.instead}"


def blank(text: str, strings: bool) -> str:
    """The text with its comments (and string literals) made spaces, line by line as long as before."""

    def replace(match: re.Match) -> str:
        token = match[0]
        if not token.startswith("/") and not strings:
            return token
        return re.sub(r"[^\n]", " ", token)

    # An #include's own quotes are no string literal.
    return "".join(line if strings and INCLUDE.match(line) else line for line in TOKEN.sub(replace, text).splitlines(keepends=True))


def read_room(name: str, cmake: str) -> Room:
    """A room's layer and edges, from its CMakeLists.txt. Programs (no qanat_library) depend on what they link."""
    cmake = re.sub(r"#[^\n]*", "", cmake)
    call = re.search(r"qanat_\w+\s*\(\s*NAME\s+" + re.escape(name) + r"\s+LAYER\s+(\d+)([^)]*)\)", cmake)
    if not call:
        return Room(name, None, frozenset(re.findall(r"\bqanat_([a-z]\w*)\b", cmake)))
    deps: list[str] = []
    words = call[2].split()
    if "DEPS" in words:
        for word in words[words.index("DEPS") + 1:]:
            if word.isupper():
                break
            deps.append(word)
    return Room(name, int(call[1]), frozenset(deps))


def line_of(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def check(path: str, text: str, rooms: dict[str, Room]) -> Iterator[Finding]:
    """What is wrong in one source file; path is relative to the checkout."""
    parts = path.split("/")
    room = rooms.get(parts[1]) if parts[0] == "src" and len(parts) > 2 else None
    is_test = parts[0] == "tests" or path.endswith("_test.cpp")
    code = blank(text, strings=False)
    bare = blank(text, strings=True)

    def found(at: int, rule: str, instead: str) -> Finding:
        return Finding(path, line_of(text, at), rule, instead)

    for match in INCLUDE.finditer(code):
        ours, theirs = match[1], match[2]
        if ours:
            first = ours.split("/")[0]
            if first in rooms and "/" in ours:
                if room and first != room.name and first not in room.deps:
                    known = ", ".join(sorted(room.deps)) or "no other room"
                    yield found(match.start(), f"{room.name}/ may not include {first}/",
                                f"it sees {known}; move the code, or hand the value in as an argument")
            elif room:
                yield found(match.start(), f'no room in "{ours}"', 'include it as "room/file.hpp"; src/ sees nothing outside src/')
            continue
        if theirs.startswith("openssl/"):
            allowed = parts[0] == "bench" or room and (room.name in OPENSSL_ROOMS or (room.name == "io" and parts[-1].startswith("tls")))
            if not allowed:
                yield found(match.start(), f"<{theirs}> outside crypto/, pki/ and io/tls*", "use what crypto/ or pki/ offers, or add it there")
        elif room and room.name not in SYSTEM_ROOMS and SYSTEM_HEADER.fullmatch(theirs):
            yield found(match.start(), f"operating-system header <{theirs}> outside io/, daemon/ and cli/",
                        "decide here, and let io/ talk to the operating system")

    if room and room.layer in PURE_LAYERS:
        bans = BANS if path.startswith("src/crypto/rng") else (*BANS, DRBG)
        for ban in bans:
            if is_test and not ban.tests_too:
                continue
            for match in ban.pattern.finditer(bare):
                yield found(match.start(), f"{ban.rule} below io/ ({' '.join(match[0].split())})", ban.instead)

    lines = text.count("\n")
    if parts[0] == "src" and lines > MAX_LINES:
        yield Finding(path, lines, f"{lines} lines", f"split it by what it does: a file has about 500, and never over {MAX_LINES}")
    for match in UNFINISHED.finditer(text):
        yield found(match.start(), match[0], "do it, or open an issue and say in a sentence how it is now")


def run(root: pathlib.Path) -> int:
    rooms = {file.parent.name: read_room(file.parent.name, file.read_text()) for file in sorted(root.glob("src/*/CMakeLists.txt"))}
    files: Iterable[pathlib.Path] = sorted(f for top in ("src", "tests", "bench") for f in (root / top).rglob("*.[ch]pp"))
    findings, count = [], 0
    for file in files:
        count += 1
        findings += check(file.relative_to(root).as_posix(), file.read_text(), rooms)
    for finding in findings:
        print(finding)
    print(f"layers: {count} files in {len(rooms)} rooms, " + (f"{len(findings)} broken rules" if findings else "every rule kept"))
    return 1 if findings else 0


# --- self-test: (path, source, the rule that must fire; None: none may) -----------------------------------------------

SELF_TEST = (
    ("src/ike/a.cpp", '#include "wire/x.hpp"\n#include "ike/y.hpp"\n#include "base/z.hpp"\n', None),
    ("src/ike/a.cpp", '#include "esp/x.hpp"\n', "may not include esp/"),
    ("src/wire/a.cpp", '\n#include "crypto/x.hpp"\n', "may not include crypto/"),
    ("src/wire/a.cpp", '// #include "crypto/x.hpp"\n/* #include "ike/x.hpp" */\n', None),
    ("src/wire/a.cpp", '#include "x.hpp"\n', "no room in"),
    ("src/daemon/a.cpp", '#include "io/x.hpp"\n#include <unistd.h>\n', None),
    ("src/daemon/a.cpp", '#include "ike/x.hpp"\n', "may not include ike/"),
    ("tests/sim/a.cpp", '#include "ike/x.hpp"\n#include "esp/y.hpp"\n#include "local.hpp"\n#include <unistd.h>\n', None),
    ("src/crypto/a.cpp", "#include <openssl/evp.h>\n", None),
    ("src/io/tls_listener.cpp", "#include <openssl/ssl.h>\n", None),
    ("src/io/udp.cpp", "#include <openssl/ssl.h>\n", "<openssl/ssl.h> outside"),
    ("src/ike/a.cpp", "#include <openssl/evp.h>\n", "<openssl/evp.h> outside"),
    ("tests/sim/a.cpp", "#include <openssl/evp.h>\n", "<openssl/evp.h> outside"),
    ("bench/esp.cpp", "#include <openssl/evp.h>\n", None),
    ("src/io/udp.cpp", "#include <sys/socket.h>\n#include <mutex>\nauto t = std::chrono::steady_clock::now();\n", None),
    ("src/base/a.cpp", "#include <arpa/inet.h>\n", "operating-system header"),
    ("src/base/a.cpp", "#include <unistd.h>\n", "operating-system header"),
    ("src/ike/a_test.cpp", "#include <sys/socket.h>\n", "operating-system header"),
    ("src/ike/a.cpp", "#include <chrono>\nstd::chrono::milliseconds m{3};\nint runtime(0), x = o.time(0) + sa.clock();\n", None),
    ("src/ike/a.cpp", "auto t = std::chrono::steady_clock::now();", "no clock"),
    ("src/ike/a.cpp", "auto t = time(nullptr);", "no clock"),
    ("src/ike/a.cpp", "auto t = std::time(nullptr);", "no clock"),
    ("src/ike/a.cpp", "clock_gettime(CLOCK_MONOTONIC, &ts);", "no clock"),
    ("src/ike/a.cpp", "gettimeofday(&tv, nullptr);", "no clock"),
    ("src/ike/a.cpp", "std::this_thread::sleep_for(1ms);", "no sleep"),
    ("src/ike/a.cpp", "usleep(10);", "no sleep"),
    ("src/wire/a.cpp", "#include <thread>\n", "no thread"),
    ("src/wire/a.cpp", "#include <mutex>\n", "no thread"),
    ("src/wire/a.cpp", "#include <condition_variable>\n", "no thread"),
    ("src/wire/a.cpp", "#include <future>\n", "no thread"),
    ("src/wire/a.cpp", "std::jthread worker;", "no thread"),
    ("src/ike/a.cpp", "int fd = ::socket(2, 1, 0);", "no socket"),
    ("src/ike/a.cpp", "Slot::open(x); plane.connect(y); std::bind(f); return ipsec::open(z);", None),
    ("src/ike/a.cpp", 'auto p = std::getenv("HOME");', "no environment"),
    ("src/ike/a_test.cpp", 'auto p = std::getenv("QANAT_DEEP");', None),
    ("src/ike/a.cpp", "int d = rand() % 6;", "no dice"),
    ("src/ike/a.cpp", "std::random_device d;", "no dice"),
    ("src/ike/a.cpp", "std::mt19937 d;", "no dice"),
    ("src/ike/a.cpp", "#include <random>\n", "no dice"),
    ("src/ike/a.cpp", "rng.rand(x); operand(3);", None),
    ("src/crypto/rng.cpp", "RAND_bytes(p, n);", None),
    ("src/crypto/a.cpp", "RAND_bytes(p, n);", "no dice"),
    ("src/ike/a.cpp", "#include <fstream>\n", "no file"),
    ("src/ike/a.cpp", "#include <filesystem>\n", "no file"),
    ("src/ike/a_test.cpp", "#include <fstream>\nstd::ifstream f(path);\n", None),
    ("src/ike/a_test.cpp", "auto t = time(nullptr);", "no clock"),
    ("src/ike/a.cpp", "std::cout << x;", "no output"),
    ("src/ike/a.cpp", "std::cerr << x;", "no output"),
    ("src/ike/a.cpp", 'printf("x");', "no output"),
    ("src/base/a.cpp", 'std::fprintf(stderr, "x"); std::snprintf(b, 3, "x"); auto s = fmt::format("{}", 1); std::abort();', None),
    ("src/ike/a.cpp", '// std::cout, rand()\nauto s = "time(nullptr) rand() std::cout";\nauto r = R"(getenv("x"))"; int n = 1\'000; // \'\n', None),
    ("src/ike/a.cpp", "int x;\n" * 520, None),
    ("src/ike/a.cpp", "int x;\n" * 521, "521 lines"),
    ("src/ike/a.cpp", "int x; // TO" "DO: later\n", "TO" "DO"),
    ("tests/sim/a.cpp", "// FIX" "ME\n", "FIX" "ME"),
    ("src/io/a.cpp", "// XX" "X\n", "XX" "X"),
    ("src/io/a.cpp", 'char name[] = "/tmp/aXX' 'XXXX";\n', None),
)


def self_test() -> int:
    rooms = {room.name: room for room in (
        read_room("base", "qanat_library(NAME base LAYER 0 LIBS fmt::fmt)"),
        read_room("wire", "qanat_library(NAME wire LAYER 1 DEPS base)"),
        read_room("crypto", "# qanat_library(NAME crypto LAYER 9)\nqanat_library(NAME crypto LAYER 1 DEPS base LIBS OpenSSL::Crypto)"),
        read_room("ike", "qanat_library(NAME ike LAYER 3\n  DEPS base wire crypto)"),
        read_room("esp", "qanat_library(NAME esp LAYER 3 DEPS base wire crypto TEST_LIBS x)"),
        read_room("io", "qanat_library(NAME io LAYER 7 DEPS base wire LIBS Threads::Threads)"),
        read_room("daemon", "add_executable(qanatd main.cpp)\ntarget_link_libraries(qanatd PRIVATE qanat_io)"))}
    failed = 0
    for path, source, rule in SELF_TEST:
        findings = list(check(path, source, rooms))
        good = not findings if rule is None else len(findings) >= 1 and all(rule in f.rule for f in findings)
        if not good:
            failed += 1
            print(f"self-test: {path}: {source[:80]!r}: wanted {rule or 'nothing'}, got {[str(f) for f in findings] or 'nothing'}")
    print(f"layers self-test: {len(SELF_TEST) - failed} of {len(SELF_TEST)} snippets judged right")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    if sys.argv[1:]:
        sys.exit("usage: check_layers.py [--self-test]")
    sys.exit(run(pathlib.Path(__file__).resolve().parents[1]))

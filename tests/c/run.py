"""Tests of the C and C++ interfaces: headers, symbols, programs, examples, wire fixtures.

Needs gcc, g++, binutils, what `make library` builds, and the simulator. Arguments are
beginnings of check names (`wire/stream_`, `programs`) and run only those. `--results DIRECTORY FILE`
runs the wire fixtures of that directory alone and writes a line for each.
"""

import base64
import concurrent.futures
import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snippets import Snippet, snippets
from stalls import slow_dns, stalls
from toolchain import TOOLS

ROOT = Path(__file__).resolve().parent.parent.parent
INCLUDE = ROOT / "include"
RELEASE = ROOT / "target" / "release"
WIRE = ROOT / "tests" / "wire"
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
# Freed blocks in malloc's cache count as in use: without it, what is in use can be compared.
COUNTABLE = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
STATIC = ROOT / "target" / "static"

SMALLEST_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

CHECKS: dict[str, Callable[["Place"], None]] = {}


class FailedCheckError(AssertionError):
    """A check that saw something wrong; the text tells what."""


class SkippedCheckError(Exception):
    """A check that cannot run here; the text tells what is missing."""


def check(name: str) -> Callable[[Callable[["Place"], None]], Callable[["Place"], None]]:
    def add(function: Callable[["Place"], None]) -> Callable[["Place"], None]:
        CHECKS[name] = function
        return function

    return add


def need(condition: object, what: str) -> None:
    if not condition:
        raise FailedCheckError(what)


def run(*command: object, cwd: Path = ROOT, **options: Any) -> str:
    """The program's output; a failure shows all that it wrote."""
    parts = [str(part) for part in command]
    done = subprocess.run(parts, cwd=cwd, capture_output=True, timeout=600, **options)
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if done.returncode != 0:
        raise FailedCheckError(f"{' '.join(parts)[:300]}\nended with {done.returncode}\n{out}{err}".rstrip())
    return out + err


def at_once(*works: Callable[[], object]) -> None:
    """Runs them side by side; the first failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


class Place:
    """A folder to build in, and the simulator."""

    def __init__(self, folder: Path, base_url: str, wire: Path = WIRE) -> None:
        self.folder = folder
        self.wire = wire
        self.base_url = base_url
        self.env = {
            "PATH": os.environ["PATH"],
            "ELKAPI_BASE_URL": base_url,
            "ELKAPI_API_KEY": "sk-test",
        }

    def at(self, prefix: str) -> str:
        """The base URL with the simulator's path in front, such as `/s/mine`."""
        return self.base_url.removesuffix("/v1") + prefix + "/v1"

    def stats(self, scope: str) -> dict[str, Any]:
        with urllib.request.urlopen(
            self.base_url.removesuffix("/v1") + f"/s/{scope}/__stats", timeout=30
        ) as reply:
            return json.load(reply)

    def compiled(
        self, *sources: Path, name: str = "", library: Path = RELEASE, flags: tuple[str, ...] = ()
    ) -> Path:
        """A program of these sources, linked as a newcomer would: -I, -L, -lelkapi; see toolchain.py."""
        program = self.folder / (name or sources[0].name.replace(".", "_"))
        cpp = sources[0].suffix == ".cpp"
        compiler = (TOOLS.cpp, "-std=c++17") if cpp else (TOOLS.c, "-std=gnu99")
        run(
            *(*compiler, "-O1", *STRICT, *flags, *TOOLS.flags),
            *(f"-I{INCLUDE}", *sources, "-o", program, *TOOLS.libraries(library)),
        )
        return TOOLS.runnable(program)


# Headers


C_STANDARDS = ("c99", "c11", "c17")
CPP_STANDARDS = ("c++11", "c++14", "c++17", "c++20", "c++23")


@check("headers/compile")
def headers_compile(place: Place) -> None:
    """Alone, twice in one file and in two files of one program, in every standard, every warning an error."""
    for header, language, standards in (
        ("elkapi.h", "c", C_STANDARDS),
        ("elkapi.h", "cpp", CPP_STANDARDS),
        ("elkapi.hpp", "cpp", CPP_STANDARDS[2:]),
    ):
        call = "elk::version().size()" if header == "elkapi.hpp" else "*elk_version()"
        first, second = (place.folder / f"{name}.{language}" for name in ("first_unit", "second_unit"))
        first.write_text(f'#include "{header}"\nint unit(void);\nint unit(void) {{ return {call} != 0; }}\n')
        second.write_text(
            f'#include "{header}"\n#include "{header}"\nint unit(void);\n'
            f"int main(void) {{ return unit() && {call} != 0 ? 0 : 1; }}\n"
        )
        for standard in standards:
            # The compilers of Debian 12 know C++23 by its working name.
            flags = (f"-std={standard.replace('23', '2b')}",)
            run(place.compiled(first, second, name="units", flags=flags))


@check("headers/for-parsers")
def header_for_parsers(place: Place) -> None:
    """elkapi.ffi.h has no preprocessor lines, the same functions, and the same numbers."""
    full, bare = (INCLUDE / "elkapi.h").read_text(), (INCLUDE / "elkapi.ffi.h").read_text()
    need(not re.search(r"^\s*#", bare, re.M), "elkapi.ffi.h has a preprocessor line")
    need(prototypes(full) == prototypes(bare), "the headers declare different functions")
    numbers = dict(re.findall(r"^ +(ELK_\w+) = (-?\d+)", bare, re.M))
    need(numbers.pop("ELK_NUL") == "-1", "ELK_NUL is not -1")
    need(f"#define ELK_ABI_VERSION {numbers.pop('ELK_ABI_VERSION')}\n" in full, "ELK_ABI_VERSION differs")
    need(numbers == dict(re.findall(r"^ +(ELK_\w+) = (-?\d+)", full, re.M)), "the numbers differ")
    run(
        *("gcc", "-std=c99", *STRICT, "-fsyntax-only", "-x", "c", "-"),
        input=f"#include <stddef.h>\n#include <stdint.h>\n{bare}int main(void);\n".encode(),
    )


@check("headers/cffi")
def header_in_cffi(place: Place) -> None:
    """cffi reads elkapi.ffi.h and calls the library by it."""
    try:
        from cffi import FFI
    except ImportError as error:
        raise SkippedCheckError("the Python package cffi is not installed") from error
    ffi = FFI()
    ffi.cdef((INCLUDE / "elkapi.ffi.h").read_text())
    library = ffi.dlopen(str(RELEASE / "libelkapi.so"))
    need(ffi.string(library.elk_status_name(library.ELK_E_FILE)) == b"file", "cffi reads another number")


def prototypes(header: str) -> list[str]:
    """Each function's declaration in one line, in order."""
    code = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    code = re.sub(r"^\s*#.*$", " ", code, flags=re.M).replace("ELK_API", " ").replace("ELK_NODISCARD", " ")
    return [" ".join(found.split()) for found in re.findall(r"[^;{}\"]*\belk_\w+\([^;{}]*\);", code)]


def functions(header: str) -> list[str]:
    return [re.search(r"(elk_\w+)\(", line).group(1) for line in prototypes(header)]  # type: ignore[union-attr]


@check("headers/comments")
def header_comments(place: Place) -> None:
    """One sentence, then Returns:, Ownership:, Threads:, Since: above every function."""
    header = (INCLUDE / "elkapi.h").read_text()
    wrong = []
    for name in functions(header):
        found = re.search(r"/\*\*((?:(?!\*/).)*)\*/\s*[^;/]*\b" + name + r"\(", header, re.S)
        lines = [line.strip(" *") for line in found.group(1).strip().splitlines()] if found else [""]
        labels = [
            label for line in lines for label in re.findall(r"^(Returns|Ownership|Threads|Since):", line)
        ]
        if labels != ["Returns", "Ownership", "Threads", "Since"] or not lines[0].endswith("."):
            wrong.append(name)
    need(not wrong, f"lines are missing above {', '.join(wrong)}")


@check("headers/example")
def header_example(place: Place) -> None:
    """The example at the top of elkapi.h and of elkapi.hpp is a program that works."""
    code = {}
    for header, start in (("elkapi.h", " *     "), ("elkapi.hpp", "//     ")):
        lines = (INCLUDE / header).read_text().splitlines()[:40]
        shown = [
            line.removeprefix(start) for line in lines if line.startswith(start) and "hello.c" not in line
        ]
        code[header] = "\n".join(shown)
    c, cpp = place.folder / "top.c", place.folder / "top.cpp"
    c.write_text(
        f"#include <elkapi.h>\n#include <stdio.h>\nint main(void) {{\n{code['elkapi.h']}\nreturn 0; }}\n"
    )
    cpp.write_text(f"#include <elkapi.hpp>\n#include <iostream>\nint main() {{\n{code['elkapi.hpp']}\n}}\n")
    for source in (c, cpp):
        said = run(place.compiled(source), env=place.env)
        need(said.count("Sea") >= 3, f"{source.name} says {said!r}")


# The library


@check("library/symbols")
def library_symbols(place: Place) -> None:
    """The shared library exports what the header declares and nothing else."""
    listed = run("nm", "-D", "--defined-only", RELEASE / "libelkapi.so").split("\n")
    exported = {line.split()[-1] for line in listed if line.strip()}
    declared = set(functions((INCLUDE / "elkapi.h").read_text()))
    need(len(declared) > 20, f"the header has only {len(declared)} functions")
    need(exported == declared, f"only one of header and library has {sorted(exported ^ declared)}")


@check("library/list")
def library_list(place: Place) -> None:
    """docs/symbols.md and Debian's list name what the library exports, with the header's versions."""
    header = (INCLUDE / "elkapi.h").read_text()
    since = re.findall(r"Since: (\S+)\s*\*/\s*[^;/]*?\b(elk_\w+)\(", header)
    known = {name: version for version, name in since}
    exported = run("nm", "-D", "--defined-only", RELEASE / "libelkapi.so").split("\n")
    need(sorted(known) == sorted(line.split()[-1] for line in exported if line.strip()), "nm has other names")
    page = dict(re.findall(r"^\| `(elk_\w+)` \| (\S+) \|$", (ROOT / "docs/symbols.md").read_text(), re.M))
    need(page == known, f"docs/symbols.md differs in {sorted(set(page.items()) ^ set(known.items()))}")
    debian = (ROOT / "packaging/debian/libelkapi0.symbols").read_text()
    listed = dict(re.findall(r"^ (elk_\w+)@Base (\S+)$", debian, re.M))
    need(listed == known, f"Debian's list differs in {sorted(set(listed.items()) ^ set(known.items()))}")
    numbers = dict(re.findall(r"^ +(ELK_\w+) = (-?\d+)", header, re.M))
    shown = dict(re.findall(r"^\| `(ELK_\w+)` \| (-?\d+) \|$", (ROOT / "docs/symbols.md").read_text(), re.M))
    need(shown == numbers, f"docs/symbols.md differs in {sorted(set(shown.items()) ^ set(numbers.items()))}")


@check("library/signal-safe")
def library_signal_safe(place: Place) -> None:
    """What may run in a signal handler touches no thread-local of ours: the first use of one on a
    thread may allocate."""
    if platform.machine() != "x86_64":
        raise SkippedCheckError("reads x86-64 code")

    def code(function: str) -> str:
        return run("objdump", "-d", f"--disassemble={function}", RELEASE / "libelkapi.so")

    need("__tls_get_addr" in code("elk_cancel_free"), "thread-locals are reached in another way now")
    seen = code("elk_cancel_signal")
    need("ret" in seen and "__tls_get_addr" not in seen, "elk_cancel_signal touches a thread-local")


@check("library/needs")
def library_needs(place: Place) -> None:
    """Soname, NODELETE, and no library but those of every system."""
    dynamic = run("readelf", "-d", RELEASE / "libelkapi.so")
    need("soname: [libelkapi.so.0]" in dynamic, "the soname is not libelkapi.so.0")
    need("NODELETE" in dynamic, "NODELETE is not set")
    usual = {"libc.so.6", "libm.so.6", "libgcc_s.so.1"}
    extra = {
        name
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        if name not in usual and not name.startswith("ld-linux")
    }
    need(not extra, f"the library needs {sorted(extra)}")
    link = RELEASE / "libelkapi.so.0"
    need(link.exists(), f"{link} is missing: ln -s libelkapi.so {link}")


@check("library/static")
def library_static(place: Place) -> None:
    """A program that has the static library in it needs no libelkapi.so."""
    program = place.folder / "hello_static"
    run(
        *("gcc", "-std=c99", f"-I{INCLUDE}", ROOT / "examples/c/hello.c", STATIC / "libelkapi.a"),
        *("-o", program, *(STATIC / "native-libs").read_text().split()),
    )
    need("libelkapi" not in run("readelf", "-d", program), "the program needs libelkapi.so")
    need("tokens" in run(program, env=place.env), "the program does not answer")


@check("library/no-trace-of-keys")
def library_without_trace(place: Place) -> None:
    """The HTTP engine's TRACE lines, which show whole requests, are not compiled in."""
    # The module whose only lines are hexadecimal dumps of what goes over the wire.
    need(b"ureq_proto::util" not in (RELEASE / "libelkapi.so").read_bytes(), "there are TRACE lines")


# Tools


def tools_see(place: Place) -> None:
    """The tool that watches this run sees mistakes, also those inside the library."""
    program = place.compiled(ROOT / "tests/c/faulty.c")
    for mistake, words in TOOLS.sees.items():
        done = subprocess.run([program, mistake], env=place.env, capture_output=True, text=True, timeout=120)
        need(
            done.returncode != 0 and re.search(words, done.stderr),
            f"{mistake} ends with {done.returncode} and {done.stderr!r}",
        )


if TOOLS.sees:
    CHECKS["tools/see"] = tools_see


# Programs


@check("programs/arguments")
def arguments(place: Place) -> None:
    run(
        place.compiled(ROOT / "tests/c/arguments.c"),
        place.at("/s/arguments"),
        env={"PATH": place.env["PATH"], **COUNTABLE},
    )
    seen = place.stats("arguments")["requests"]
    need(seen == 0, f"{seen} requests were sent for arguments that cannot be used")


@check("programs/answer")
def answer(place: Place) -> None:
    run(
        place.compiled(ROOT / "tests/c/answer.c"),
        place.base_url,
        place.folder,
        env={**place.env, **COUNTABLE},
    )


@check("programs/quote")
def quote(place: Place) -> None:
    run(place.compiled(ROOT / "tests/c/quote.c"), env=place.env)


@check("programs/stream")
def stream(place: Place) -> None:
    program = place.compiled(ROOT / "tests/c/stream.c")
    run(program, place.base_url.removesuffix("/v1"), env=place.env)


@check("programs/stop-points")
def stop_points(place: Place) -> None:
    program = place.compiled(ROOT / "tests/c/stop_points.c")
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/points.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        run(program, server.stdout.readline().strip(), env=place.env)
        server.communicate(timeout=30)


@check("programs/panic")
def panic(place: Place) -> None:
    """In a library of its own: the release profile, but without the long link-time optimisation."""
    target = ROOT / "target" / "test-panic"
    run(
        *("cargo", "build", "-q", "--release", "-p", "elkapi-ffi", "--features", "test-panic"),
        *("--target-dir", target),
        env={**os.environ, "CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"},
    )
    library = target / "release"
    link = library / "libelkapi.so.0"
    if not link.is_symlink():
        link.symlink_to("libelkapi.so")
    said = run(place.compiled(ROOT / "tests/c/panic.c", library=library), place.base_url, env=place.env)
    need(said == "", f"the panic was not silent: {said}")


# C++: each standard and compiler that makes the header another one. Not every machine has clang.
CPP_STRICT = ("-Wconversion", "-Wsign-conversion")
CPP_VARIANTS: dict[str, tuple[str, ...]] = {
    "17": ("g++", "-std=c++17"),
    "20": ("g++", "-std=c++20"),
    "23": ("g++", "-std=c++23", "-DWANT_STD_EXPECTED"),
    "23-own": ("g++", "-std=c++23", "-DELKAPI_OWN_EXPECTED"),
    "clang": ("clang++", "-std=c++20"),
}
# They compile no line that none of the others does; `make check` runs them.
ONLY_WHEN_NAMED = {"cpp/20", "cpp/23-own"}


def compiler_of(variant: str) -> tuple[str, ...]:
    compiler, *flags = CPP_VARIANTS[variant]
    if compiler == "clang++":
        found = next((name for name in ("clang++", "clang++-14") if shutil.which(name)), None)
        if found is None:
            raise SkippedCheckError("clang++ is not installed")
        compiler = found
    return (compiler, *flags)


def compiled_cpp(place: Place, variant: str, *sources: str) -> Path:
    if TOOLS.name:
        files, flags = [ROOT / "tests/cpp" / source for source in sources], compiler_of(variant)[1:]
        return place.compiled(*files, name=f"{files[0].stem}-{variant}", flags=(*flags, *CPP_STRICT))
    program = place.folder / f"{Path(sources[0]).stem}-{variant}"
    run(
        *(*compiler_of(variant), "-O1", *STRICT, *CPP_STRICT, f"-I{INCLUDE}"),
        *(*(ROOT / "tests/cpp" / source for source in sources), "-o", program),
        *(f"-L{RELEASE}", "-lelkapi", "-lpthread", f"-Wl,-rpath,{RELEASE}"),
    )
    return program


def cpp(variant: str) -> Callable[[Place], None]:
    def tested(place: Place) -> None:
        def one(*sources: str) -> None:
            folder = Path(tempfile.mkdtemp(dir=place.folder))
            run(compiled_cpp(place, variant, *sources), place.base_url, folder, env=place.env)

        at_once(
            lambda: one("behaviour.cpp", "second_unit.cpp"),
            lambda: one("request.cpp"),
            lambda: one("queue.cpp"),
        )

    return tested


for one_variant in CPP_VARIANTS:
    CHECKS[f"cpp/{one_variant}"] = cpp(one_variant)


@check("cpp/other-abi")
def cpp_other_abi(place: Place) -> None:
    run(compiled_cpp(place, "17", "other_abi.cpp"), env=place.env)


@check("cpp/refused")
def cpp_refused(place: Place) -> None:
    """What must not compile does not, and for the reason that is meant."""
    source = ROOT / "tests/cpp/refused.cpp"
    lines = source.read_text().splitlines()
    cases = [number for number, line in enumerate(lines, 1) if "} // CASE " in line]
    need(len(cases) > 20, f"{source.name} has only {len(cases)} cases")

    def refused(variant: str) -> None:
        command = [
            *compiler_of(variant),
            "-fsyntax-only",
            "-Werror=unused-result",
            f"-I{INCLUDE}",
            str(source),
        ]
        run(*command)
        done = subprocess.run(
            [*command, "-DREFUSED"],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "LC_ALL": "C"},
        )
        errors = re.findall(rf"^{re.escape(str(source))}:(\d+):\d+: error: (.*)", done.stderr, re.M)
        found = [(int(number), message) for number, message in errors]
        for number in cases:
            case, message = lines[number - 1].split("} // CASE ")[1].split(": ", 1)
            # The refused statement is the line above; each has one error, so that none hides another.
            told = [text for line, text in found if line == number - 1]
            need(len(told) == 1, f"{case} in C++{variant} is refused {len(told)} times: {done.stderr}")
            need(re.search(message, told[0]), f"{case} in C++{variant}: {told[0]}")
        need(len(found) == len(cases), f"C++{variant} refuses what is no case: {done.stderr}")

    at_once(*(functools.partial(refused, variant) for variant in ("17", "23")))


@check("cpp/mixed-standards")
def cpp_mixed_standards(place: Place) -> None:
    """Units of C++17 and C++20 make one program; one with std::expected joins where it is told so, and
    otherwise does not link with a function that speaks of elkapi's types."""
    takes = "std::string_view text_of(const elk::answer &answer);"
    defines = (
        f'#include "elkapi.hpp"\n{takes}\n'
        "std::string_view text_of(const elk::answer &answer) { return answer.text(); }"
    )
    uses = (
        f'#include "elkapi.hpp"\n#include <cstdio>\n{takes}\nint main() {{ auto answer = elk::client()'
        '.chat_completions(elk::request().user("Hi")); std::puts(text_of(answer).data()); }'
    )

    def unit(variant: str, code: str) -> Path:
        return place.folder / f"{'defines' if code == defines else 'uses'}-{variant}.o"

    def compile_unit(variant: str, code: str) -> None:
        command = (*compiler_of(variant), f"-I{INCLUDE}", "-xc++", "-c", "-", "-o", unit(variant, code))
        run(*command, input=code.encode())

    def built(first: str, second: str) -> subprocess.CompletedProcess[str]:
        units = [str(unit(first, defines)), str(unit(second, uses))]
        command = ["g++", *units, "-o", str(place.folder / "mixed"), f"-L{RELEASE}", "-lelkapi"]
        return subprocess.run(
            [*command, f"-Wl,-rpath,{RELEASE}"], capture_output=True, text=True, timeout=120
        )

    together = (("17", "20"), ("20", "17"), ("17", "23-own"))
    at_once(
        *(functools.partial(compile_unit, variant, defines) for variant in ("17", "20")),
        *(functools.partial(compile_unit, variant, uses) for variant in ("20", "17", "23-own", "23")),
    )
    for first, second in together:
        linked = built(first, second)
        need(linked.returncode == 0, f"{first} and {second}: {linked.stderr}")
        need("Hello" in run(place.folder / "mixed", env=place.env), f"{first} and {second}: no answer")
    apart = built("17", "23")
    need(apart.returncode != 0 and "undefined reference" in apart.stderr, f"17 and 23 link: {apart.stderr}")


# Stopping


@functools.cache
def stop_program(place: Place) -> Path:
    return place.compiled(ROOT / "tests/c/stop.c")


def stop(phase: str, way: str) -> Callable[[Place], None]:
    def stopped(place: Place) -> None:
        program = stop_program(place)
        env = {**place.env, **COUNTABLE}
        if phase == "dns":
            env["LD_PRELOAD"] = str(slow_dns(place.folder))
        with stalls(place.base_url.removesuffix("/v1")) as base_urls:
            run(program, phase, way, base_urls[phase], place.base_url, env=env)

    return stopped


for one_phase in ("dns", "connect", "tls", "send", "wait", "read", "pause"):
    for one_way in ("thread", "handler", "elsewhere", "hook", "total"):
        CHECKS[f"stop/{one_phase}-{one_way}"] = stop(one_phase, one_way)


@check("record")
def record(place: Place) -> None:
    run(place.compiled(ROOT / "tests/c/record.c"), place.base_url, env=place.env)


@check("stop/token")
def token(place: Place) -> None:
    run(place.compiled(ROOT / "tests/c/token.c"), place.base_url.removesuffix("/v1"), env=place.env)
    seen = place.stats("never")["requests"]
    need(seen == 0, f"{seen} requests were sent for calls that were cancelled before")


@functools.cache
def fork_program(place: Place) -> Path:
    return place.compiled(ROOT / "tests/c/fork.c")


def fork(case: str, requests: int | None, connections: int | None) -> Callable[[Place], None]:
    """After the case the simulator must have seen that many of both; None where it depends."""

    def forked(place: Place) -> None:
        scope = f"fork-{case}"
        run(fork_program(place), case, place.base_url.removesuffix("/v1"), f"/s/{scope}", env=place.env)
        stats = place.stats(scope)
        for what, wanted in (("requests", requests), ("connections", connections)):
            need(wanted in (None, stats[what]), f"{stats[what]} {what}, not {wanted}")

    return forked


# Each process keeps one connection throughout.
CHECKS["fork/used-before"] = fork("used-before", requests=6, connections=2)
CHECKS["fork/grandchild"] = fork("grandchild", requests=4, connections=3)
CHECKS["fork/twenty"] = fork("twenty", requests=62, connections=21)
CHECKS["fork/amid-calls"] = fork("amid-calls", requests=None, connections=None)
CHECKS["fork/cancel"] = fork("cancel", requests=3, connections=3)


# The queue


@functools.cache
def queue_program(place: Place) -> Path:
    return place.compiled(ROOT / "tests/c/queue.c")


#: After the case the simulator must have seen that.
QUEUE_CASES: dict[str, dict[str, int]] = {
    "arguments": {},
    "calls": {"requests": 1000, "max_in_flight": 64, "connections": 64},
    "streams": {"requests": 256, "max_in_flight": 256},
    "paused": {"requests": 256},
    "stop": {},
    "hook": {"requests": 1},
    "record": {"requests": 10},
    "freed": {},
    "forked": {},
    "exit": {},
    "return": {},
    "quick-exit": {},
    "exit-handler": {},
}


def queue(case: str, wanted: dict[str, int]) -> Callable[[Place], None]:
    def queued(place: Place) -> None:
        scope, times = f"queue-{case}", 5 if TOOLS.name else 50
        run(
            *(queue_program(place), case, place.base_url.removesuffix("/v1"), f"/s/{scope}", times),
            env=place.env,
        )
        stats = place.stats(scope)
        for what, number in wanted.items():
            # What a tool slows down may have less under way than it could.
            fewer = TOOLS.name and what != "requests" and stats[what] < number
            need(fewer or stats[what] == number, f"{what} is {stats[what]}, not {number}")

    return queued


for one_case, one_wanted in QUEUE_CASES.items():
    CHECKS[f"queue/{one_case}"] = queue(one_case, one_wanted)


# Examples


@check("examples/hello")
def example_hello(place: Place) -> None:
    for source in (ROOT / "examples/c/hello.c", ROOT / "examples/cpp/hello.cpp"):
        program = place.compiled(source)
        said = run(program, env=place.env)
        need("こんにちは" in said and "tokens" in said, f"{source.name} says {said!r}")
        need('x "y" z' in run(program, 'x "y" z', env=place.env), f"{source.name} ignores its argument")
        refused = subprocess.run(
            [program], env={**place.env, "ELKAPI_API_KEY": "sk-invalid"}, capture_output=True, timeout=60
        )
        need(refused.returncode == 1, f"{source.name} ends with {refused.returncode} after a failure")
        need(b"authentication: " in refused.stderr and not refused.stdout, f"{source.name}: {refused}")


@check("examples/picture")
def example_picture(place: Place) -> None:
    for source in (ROOT / "examples/c/picture.c", ROOT / "examples/cpp/picture.cpp"):
        program, picture = place.compiled(source), place.folder / f"{source.name}.png"
        said = run(program, picture, env=place.env)
        need("image/png" in said, f"{source.name} says {said!r}")
        size = picture.read_bytes()[16:24]
        width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
        need(
            picture.read_bytes().startswith(b"\x89PNG") and abs(width * 9 - height * 16) < 16,
            f"{width}x{height}",
        )
        need("image/png" in run(program, env=place.env, cwd=place.folder), "no file without an argument")


@check("examples/stream")
def examples_stream(place: Place) -> None:
    for source in (ROOT / "examples/c/stream.c", ROOT / "examples/cpp/stream.cpp"):
        program = place.compiled(source)
        said = run(program, env=place.env)
        need("complete, " in said and " tokens" in said, f"{source.name} says {said!r}")
        scope = f"example-{source.name}"
        env = {**place.env, "ELKAPI_BASE_URL": place.at(f"/s/{scope}/fault/stall-mid-body")}
        with subprocess.Popen([program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_for(place, scope, "in_flight", 1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        need(process.returncode == 1 and b"was cancelled" in err, f"{source.name} says {err!r} when stopped")


@check("examples/tools")
def examples_tools(place: Place) -> None:
    for source in (ROOT / "examples/c/tools.c", ROOT / "examples/cpp/tools.cpp"):
        program, scope = place.compiled(source), f"example-{source.name}"
        said = run(program, env={**place.env, "ELKAPI_BASE_URL": place.at(f"/s/{scope}")})
        need(said.startswith('get_weather {"city":"') and "The tool answered: " in said, f"{said!r}")
        sent = json.loads(base64.b64decode(place.stats(scope)["last_request"]["body_base64"]))["messages"]
        need([one["role"] for one in sent] == ["user", "assistant", "tool"], f"{source.name} sends {sent}")
        need(sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"], f"{source.name} sends {sent}")
        ended_badly(program, place)


@check("examples/chat")
def examples_chat(place: Place) -> None:
    """Ctrl-C stops the answer and not the program, which remembers what was said."""
    for source in (ROOT / "examples/c/chat.c", ROOT / "examples/cpp/chat.cpp"):
        program, scope = place.compiled(source), f"example-{source.name}"
        said = run(program, env=place.env, input=b"Hello\nName three seas.\n")
        need("How can I help" in said and "Baltic" in said, f"{source.name} says {said!r}")
        env = {**place.env, "ELKAPI_BASE_URL": place.at(f"/s/{scope}/fault/stall-mid-body")}
        with subprocess.Popen(
            [program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            seen = b""
            for number in (1, 2):
                while not seen.endswith(b"> "):
                    seen += process.stdout.read(1)
                process.send_signal(signal.SIGINT)  # there is no answer to be stopped
                process.stdin.write(b"Number %d\n" % number)
                process.stdin.flush()
                seen += process.stdout.read(1)  # of the answer
                wait_for(place, scope, "requests", number)
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        need(process.returncode == 0, f"{source.name} ends with {process.returncode}: {seen + out!r} {err!r}")
        need(err.count(b"was cancelled") == 2, f"{source.name} says {err!r}")
        sent = json.loads(base64.b64decode(place.stats(scope)["last_request"]["body_base64"]))["messages"]
        need([one["role"] for one in sent] == ["user", "assistant", "user"], f"{source.name} sends {sent}")
        need(sent[1]["content"] not in ("", "(no answer)"), f"{source.name} sends {sent}")


def wait_for(place: Place, scope: str, what: str, number: int) -> None:
    give_up = time.monotonic() + 60
    while place.stats(scope)[what] != number:
        need(time.monotonic() < give_up, f"waited a minute for {what} to be {number}")
        time.sleep(0.01)


def ended_badly(program: Path, place: Place) -> None:
    refused = subprocess.run(
        [program], env={**place.env, "ELKAPI_API_KEY": "sk-invalid"}, capture_output=True, timeout=60
    )
    need(refused.returncode == 1, f"{program.name} ends with {refused.returncode} after a failure")
    need(b"authentication: " in refused.stderr and not refused.stdout, f"{program.name}: {refused}")


@check("examples/cancel")
def example_cancel(place: Place) -> None:
    program = place.compiled(ROOT / "examples/c/cancel.c")
    need(len(run(program, env=place.env)) > 10, "no answer")
    env = {**place.env, "ELKAPI_BASE_URL": place.at("/s/example-cancel/fault/stall-before-headers")}
    with subprocess.Popen([program], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        give_up = time.monotonic() + 60
        while not place.stats("example-cancel")["in_flight"] and time.monotonic() < give_up:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    need(process.returncode == 1 and not out, f"ends with {process.returncode} and {out!r}")
    need(b"Stopped after " in err and b"Billed: maybe." in err, f"says {err!r}")


@check("examples/queue")
def examples_queue(place: Place) -> None:
    program = place.compiled(ROOT / "examples/cpp/queue.cpp")
    said = run(program, env=place.env)
    need(said.count("Sea") >= 3 and "The story: " in said and " tokens" in said, f"queue.cpp says {said!r}")
    refused = subprocess.run(
        [program], env={**place.env, "ELKAPI_API_KEY": "sk-invalid"}, capture_output=True, timeout=60
    )
    need(refused.returncode == 4 and not refused.stdout, f"queue.cpp: {refused}")


@check("examples/epoll")
def example_epoll(place: Place) -> None:
    """It serves a clock and the keyboard while the answers are written."""
    program = place.compiled(ROOT / "examples/c/epoll.c")
    env = {**place.env, "ELKAPI_BASE_URL": place.at("/s/example-epoll/delay/1500")}
    with subprocess.Popen(
        [program], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for(place, "example-epoll", "in_flight", 20)
        out, err = process.communicate(b"again\n", timeout=60)
    need(process.returncode == 0 and not err, f"ends with {process.returncode} and {err!r}")
    need(b"chunks until now" in out and b"\n21 answers in " in out, f"says {out!r}")
    need(place.stats("example-epoll")["max_in_flight"] == 20, "not all at once")
    refused = subprocess.run(
        [program],
        env={**place.env, "ELKAPI_API_KEY": "sk-invalid"},
        input=b"",
        capture_output=True,
        timeout=60,
    )
    need(refused.returncode == 1 and refused.stderr.count(b"key") >= 20, f"epoll.c: {refused}")


@check("examples/frames")
def example_frames(place: Place) -> None:
    """No frame waits for an answer, each of which takes longer than the bound."""
    program = place.compiled(ROOT / "examples/c/frames.c")
    said = run(program, "1.5", env={**place.env, "ELKAPI_BASE_URL": place.at("/delay/400")})
    print(f"       frames.c: {said.strip()}")
    found = re.search(r"90 frames, (\d+) answers, (\d+) chunks, longest time .* ([\d.]+) ms", said)
    need(found and int(found[1]) >= 8 and int(found[2]) > int(found[1]), f"says {said!r}")
    # What shares the machine takes its part; a quiet one stays far below a millisecond.
    need(found and float(found[3]) < 300, f"a frame waited: {said!r}")
    refused = subprocess.run(
        [program, "1"], env={**place.env, "ELKAPI_API_KEY": "sk-invalid"}, capture_output=True, timeout=60
    )
    need(refused.returncode == 1 and b"key" in refused.stderr, f"frames.c: {refused}")


@check("examples/one-screen")
def examples_fit_one_screen(place: Place) -> None:
    for source in (*(ROOT / "examples/c").glob("*.c"), *(ROOT / "examples/cpp").glob("*.cpp")):
        lines = source.read_text().count("\n")
        need(lines < 60, f"{source.name} has {lines} lines")


# Documents: tests/c/snippets.py


def snippet(shown: Snippet) -> Callable[[Place], None]:
    def tested(place: Place) -> None:
        need(
            bool(shown.prints) == shown.writes,
            "it writes to stdout but no comment says what, or the other way round",
        )
        folder = Path(tempfile.mkdtemp(dir=place.folder))
        (folder / "cat.png").write_bytes(base64.b64decode(SMALLEST_PNG))
        source = folder / f"snippet.{shown.language}"
        source.write_text(shown.program())
        name = shown.name.replace(".", "_").replace(":", "_")
        program = place.compiled(source, name=f"snippet_{name}")
        done = subprocess.run(
            [program], env=place.env, cwd=folder, capture_output=True, text=True, timeout=120
        )
        need(
            done.returncode == 0 and not done.stderr and (shown.prints or "") in done.stdout,
            f"ends with {done.returncode}\n{done.stdout}{done.stderr}",
        )

    return tested


for one_snippet in snippets():
    CHECKS[f"snippets/{one_snippet.name}"] = snippet(one_snippet)


# Wire fixtures, through the C interface


def fixtures(wire: Path) -> list[str]:
    return sorted(path.stem for path in wire.glob("*.json") if path.stem != "index")


def is_stream(fixture: dict[str, Any]) -> bool:
    return fixture["request"].get("body", {}).get("stream") is True


def observed(place: Place, fixture: dict[str, Any], mode: str, drive: Path, folder: Path) -> dict[str, Any]:
    """What the library tells its caller about the exchange; `mode`: how the simulator cuts it."""
    request = fixture["request"]
    reframe = f"/reframe/{mode}" if mode else ""
    config = {
        "base_url": place.at(f"/s/{fixture['name']}{mode}{reframe}/wire/{fixture['name']}"),
        "api_key": "sk-test-0000",
        "max_retries": 0,
        **fixture["expect"].get("client", {}),
    }
    if request["method"] == "GET":
        call, body = request["path"].removeprefix("/v1"), ""
    else:
        body = json.dumps(request.get("body", {"messages": []}))
        call = "stream" if is_stream(fixture) else "chat"
    done = run(drive, json.dumps(config), call, folder, input=body.encode(), env=place.env)
    return json.loads(done)


#: Client settings that a fixture may ask for; their names are the client's own.
SETTINGS = {"timeout_ms", "idle_timeout_ms", "max_retries", "base_delay_ms"}


def differences(expect: dict[str, Any], saw: dict[str, Any], folder: Path) -> Iterator[str]:
    """Every member of `expect` whose meaning in tests/wire/README.md the observation contradicts."""
    if saw["outcome"] != expect["outcome"]:
        yield f"outcome is {saw['outcome']}: {saw['sentence']}"
        return
    if saw["outcome"] == "error" and saw["status_name"] != saw["kind"]:
        yield f"status is {saw['status_name']} but kind is {saw['kind']}"
    plain = {
        "text",
        "text_without_images",
        "reasoning",
        "finish_reason",
        "image_errors",
        "attempts",
    }
    plain |= {
        "verdict",
        "model_ids",
        "id",
        "model",
        "role",
        "request_id",
        "system_fingerprint",
        "reasoning_tokens",
    }
    if "stream_texts" in saw and saw["stream_texts"] != saw["text"]:
        yield f"the chunks have {saw['stream_texts']!r}, the result {saw['text']!r}"
    if "stream_end" in saw and saw["stream_end"] != ("done" if saw["outcome"] == "ok" else saw["kind"]):
        yield f"the stream ended with {saw['stream_end']}"
    plain |= {"events", "saw_done", "usage", "status", "billed", "retry_after_ms", "hint"}
    for key, wanted in expect.items():
        seen: Any
        if key == "outcome":
            continue
        if key == "client":
            # An option that the library does not know is an error of its own.
            unknown = set(wanted) - SETTINGS
            if unknown:
                yield f"the runner does not know the settings {sorted(unknown)}"
            continue
        if key == "retry_after_base":
            if wanted != "date_header":
                yield f"the runner does not know the base {wanted!r} of a pause"
            continue
        if key == "kind":
            if saw["kind"] not in expect.get("kind_any", [wanted]):
                yield f"kind is {saw['kind']}, not {wanted}"
            if wanted not in expect.get("kind_any", [wanted]):
                yield f"kind {wanted} is not among kind_any"
            continue
        if key == "message_contains":
            if wanted not in saw["message"] or wanted.strip() not in saw["sentence"]:
                yield f"{wanted!r} is not in both of {saw['message']!r} and {saw['sentence']!r}"
            continue
        if key == "choices":
            wanted_names = [set(choice) for choice in wanted]
            seen = [
                {name: value for name, value in choice.items() if name in names}
                for choice, names in zip(saw["choices"], wanted_names, strict=False)
            ]
            seen += saw["choices"][len(wanted) :]
        elif key in plain:
            seen = saw.get(key, "not told of this outcome")
        elif key == "kind_any":
            wanted, seen = True, saw["kind"] in wanted
        elif key in ("code", "type"):
            seen = saw[key] if wanted is not None else None
        elif key == "text_sha256":
            seen = hashlib.sha256(saw["text"].encode()).hexdigest()
        elif key == "partial_text":
            seen = saw["text"]
        elif key == "retry":
            seen = "yes" if saw["retryable"] else "no"
        elif key == "tool_calls":
            seen = [
                {"id": call["id"], **{name: call["function"][name] for name in ("name", "arguments")}}
                for call in saw["tool_calls"] or []
            ]
        elif key == "images":
            seen = [
                {name: value_of(name, picture, folder / f"image-{number}") for name in asked}
                for number, (picture, asked) in enumerate(zip(saw["images"], wanted, strict=False))
            ]
            seen += saw["images"][len(wanted) :]
        else:
            yield f"the runner does not know the key {key!r}"
            continue
        if seen != wanted:
            yield f"{key} is {seen!r}, not {wanted!r}"


def value_of(name: str, picture: dict[str, Any], saved: Path) -> object:
    if name == "sha256":
        return hashlib.sha256(saved.read_bytes()).hexdigest()
    return picture.get(name, f"{name}: not known to the runner")


def sent_body(fixture: dict[str, Any], attempts: int) -> bytes | None:
    """The last reply's body as the server sends it; None where a coding or a cut stands between."""
    responses = fixture["responses"] if "responses" in fixture else [fixture["response"]]
    response = responses[max(attempts, 1) - 1]
    coded = any(name.lower() == "content-encoding" for name in response.get("headers", {}))
    if coded or response.get("end", "normal") != "normal" or "declared_length" in response:
        return None
    if "chunks" in response:
        return b"".join(
            chunk["text"].encode() if "text" in chunk else base64.b64decode(chunk["base64"])
            for chunk in response["chunks"]
        )
    if "body_base64" in response:
        return base64.b64decode(response["body_base64"])
    return response.get("body", "").encode()


def exchange(place: Place, name: str, mode: str, drive: Path) -> list[str]:
    """What is wrong with what the library makes of this fixture."""
    fixture = json.loads((place.wire / f"{name}.json").read_text())
    folder = place.folder / "wire" / f"{name}{mode}"
    folder.mkdir(parents=True, exist_ok=True)
    saw = observed(place, fixture, mode, drive, folder)
    wrong = list(differences(fixture["expect"], saw, folder))
    answered, body = (folder / "json").read_bytes(), (folder / "body").read_bytes()
    requests = place.stats(f"{name}{mode}")["requests"]
    if requests != saw["attempts"]:
        wrong.append(f"{saw['attempts']} attempts are told, {requests} requests arrived")
    if saw.get("saw_done") is not None:
        # Put together from a stream.
        if saw["outcome"] == "ok" and (body or not json.loads(answered)["choices"]):
            wrong.append("a stream has a body, or its document no choices")
        return wrong
    sent = sent_body(fixture, saw["attempts"])
    if saw["outcome"] == "ok" and sent is not None and not (answered == body == sent):
        wrong.append("the answer document is not, byte for byte, what the server sent")
    if saw["outcome"] == "error" and saw["status"] and sent is not None and body != sent:
        wrong.append("the body is not, byte for byte, what the server sent")
    if saw["outcome"] == "error" and answered:
        wrong.append("a failure has an answer document")
    return wrong


# Half a million writes of one byte; and a pause that is lost when all is one write.
UNFIT = {("bytes", "stream_image_large_line"), ("whole", "stream_idle")}
MODES = ("", "bytes", "events", "whole", "random-1", "random-2", "random-3")


def cut_by_the_network(place: Place, name: str) -> bool:
    fixture = json.loads((place.wire / f"{name}.json").read_text())
    return is_stream(fixture) and "response" in fixture


def outcomes(place: Place, runs: list[tuple[str, str]]) -> list[list[str]]:
    """What is wrong with each run, a fixture and a mode."""
    drive = place.compiled(ROOT / "tests/c/drive.c")

    def outcome(run_of: tuple[str, str]) -> list[str]:
        try:
            return exchange(place, *run_of, drive)
        # An expectation that cannot even be compared is wrong too.
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]

    # Most of them wait for the simulator.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(outcome, runs))


def conformance(place: Place, chosen: list[str]) -> tuple[int, int]:
    """Runs the fixtures, streams also as the network may cut them; tells how many passed and failed."""
    streams = [name for name in chosen if cut_by_the_network(place, name)]
    runs = [(name, "") for name in chosen]
    runs += [(name, mode) for mode in MODES[1:] for name in streams if (mode, name) not in UNFIT]
    failed = 0
    for (name, mode), wrong in zip(runs, outcomes(place, runs), strict=True):
        if wrong:
            failed += 1
            print(f"FAILED wire/{name} {mode}:", *wrong, sep="\n    ")
    passed = len(runs) - failed
    if passed:
        print(f"ok     wire: {len(chosen)} fixtures, streams cut in {len(MODES)} ways: {passed} exchanges")
    return passed, failed


def results(wire: Path, path: Path) -> int:
    """Runs the fixtures of a directory and writes one line of JSON for each: its name and what is wrong."""
    with tempfile.TemporaryDirectory() as folder, simulator(wire) as base_url:
        place, names = Place(Path(folder), base_url, wire), fixtures(wire)
        found = zip(names, outcomes(place, [(name, "") for name in names]), strict=True)
        path.write_text("\n".join(json.dumps({"fixture": name, "wrong": wrong}) for name, wrong in found))
    return 0


# The run


@contextlib.contextmanager
def simulator(wire: Path = WIRE) -> Iterator[str]:
    found = [folder / "elkapi-sim" for folder in (RELEASE, ROOT / "target/debug")]
    program = next((path for path in found if path.exists()), None)
    if program is None:
        sys.exit("the simulator is not built: cargo build --release -p elkapi-sim")
    process = subprocess.Popen(
        [program, "--fixtures", wire, "--until-stdin-closes", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=30)


# Most of their time is a compiler's. The others count system calls, threads and connections, or wait.
SIDE_BY_SIDE = ("headers/", "cpp/", "examples/", "snippets/")


def outcomes_of(checks: dict[str, Callable[[Place], None]], place: Place) -> Iterator[tuple[str, str]]:
    """Each check, and how it failed or why it was skipped; "" is good."""

    def outcome(name: str) -> str:
        try:
            checks[name](place)
        except SkippedCheckError as error:
            return f"skipped {name}: {error}"
        except FailedCheckError as error:
            return f"FAILED {name}: {error}"
        except Exception:
            return f"FAILED {name}: {traceback.format_exc()}"
        return ""

    together = [name for name in checks if name.startswith(SIDE_BY_SIDE)]
    for name in checks:
        if name not in together:
            yield name, outcome(name)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from zip(together, pool.map(outcome, together), strict=True)


def main(names: list[str]) -> int:
    if not (RELEASE / "libelkapi.so").exists():
        sys.exit("the library is not built: cargo build --release -p elkapi-ffi")

    def wanted(name: str) -> bool:
        return not names or any(name.startswith(beginning) for beginning in names)

    chosen = [name for name in fixtures(WIRE) if wanted(f"wire/{name}")]
    checks = {name: function for name, function in CHECKS.items() if wanted(name)}
    if not names:
        checks = {name: function for name, function in checks.items() if name not in ONLY_WHEN_NAMED}
    if not chosen and not checks:
        sys.exit(f"no check begins with {' or '.join(names)}; there are {', '.join(CHECKS)} and wire/FIXTURE")
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder, simulator() as base_url:
        place = Place(Path(folder), base_url)
        for name, outcome in outcomes_of(checks, place):
            passed, failed = passed + (not outcome), failed + outcome.startswith("FAILED")
            print(outcome or f"ok     {name}", flush=True)
        if chosen:
            good, bad = conformance(place, chosen)
            passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--results"]:
        sys.exit(results(Path(sys.argv[2]), Path(sys.argv[3])))
    sys.exit(main(sys.argv[1:]))

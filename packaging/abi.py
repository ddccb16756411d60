"""The promised binary interface: `make abi` writes it down, `make check` holds the library to it.

`packaging/abi/libelkapi.so.0.xml` has every function with the types that its arguments and result
have in the compiled library, as abidw (Debian: abigail-tools) reads them from its debug
information, without what only Rust sees behind the handles. `libelkapi.so.0.txt` has what is not in
there: the prototypes of the header, where const tells which objects threads may share, and the
numbers. Both may only grow as long as the number in their names stays.
"""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "include" / "elkapi.h"
FOLDER = Path(__file__).resolve().parent / "abi"

# The types that a function leads to, by the attributes that hold the way.
TYPES = {"type-decl", "pointer-type-def", "qualified-type-def", "typedef-decl", "function-type"}
TYPES |= {"class-decl", "enum-decl"}


class BrokenPromiseError(AssertionError):
    """The library or the header is not what was promised; the text tells where."""


def number() -> str:
    return re.search(r"^#define ELK_ABI_VERSION (\d+)$", HEADER.read_text(), re.M).group(1)


def promised(ending: str) -> Path:
    return FOLDER / f"libelkapi.so.{number()}.{ending}"


def library() -> Path:
    """The shared library with debug information; its functions are those of the one handed out."""
    command = ["cargo", "rustc", "-q", "--profile", "static", "-p", "elkapi-ffi", "--lib"]
    command += ["--crate-type", "cdylib", "--target-dir", "target", "--", "-Cdebuginfo=2", "-Cstrip=none"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "target" / "static" / "libelkapi.so"


def dump(binary: Path, output: Path) -> None:
    """Writes the interface of a library: its elk_ functions and the types that they name."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.xml"
        subprocess.run(
            [
                "abidw",
                "--no-corpus-path",
                "--no-comp-dir-path",
                "--no-show-locs",
                "--out-file",
                whole,
                binary,
            ],
            check=True,
        )
        corpus = ElementTree.parse(whole).getroot()
    types = {one.get("id"): one for one in corpus.iter() if one.tag in TYPES}
    functions = {
        one.get("mangled-name"): one
        for one in corpus.iter("function-decl")
        if one.get("elf-symbol-id", "").startswith("elk_")
    }
    names: dict[str, str] = {}
    kept: list[ElementTree.Element] = []

    def renamed(element: ElementTree.Element) -> None:
        for inner in element.iter():
            old = inner.get("type-id")
            if old is not None:
                inner.set("type-id", keep(old))

    def keep(old: str) -> str:
        """The type's new name; the first time it is kept, with what it leads to."""
        if old in names:
            return names[old]
        names[old] = f"type-{len(names) + 1}"
        kind = types[old]
        if kind.tag == "class-decl":
            # What stands behind a handle is nobody's business.
            kind = ElementTree.Element(
                "class-decl",
                {
                    "name": kind.get("name"),
                    "is-struct": "yes",
                    "visibility": "default",
                    "is-declaration-only": "yes",
                },
            )
        kind.set("id", names[old])
        renamed(kind)
        kept.append(kind)
        return names[old]

    for name in sorted(functions):
        renamed(functions[name])
    for symbols in corpus.findall("elf-function-symbols"):
        for symbol in [one for one in symbols if not one.get("name").startswith("elk_")]:
            symbols.remove(symbol)
    for unwanted in corpus.findall("abi-instr") + corpus.findall("elf-needed"):
        corpus.remove(unwanted)
    unit = ElementTree.SubElement(
        corpus, "abi-instr", {"address-size": "64", "path": "elkapi", "language": "LANG_C99"}
    )
    unit.extend([*kept, *(functions[name] for name in sorted(functions))])
    ElementTree.indent(corpus)
    output.write_text(ElementTree.tostring(corpus, encoding="unicode") + "\n")


def compare(before: Path, after: Path) -> None:
    """Refuses anything but functions more."""
    done = subprocess.run(
        ["abidiff", "--no-added-syms", before, after],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise BrokenPromiseError(done.stdout)


def interface(header: str) -> list[str]:
    """The prototypes and the numbers of the header, one a line."""
    code = re.sub(r"/\*.*?\*/", " ", header, flags=re.S)
    code = re.sub(r"^\s*#.*$", " ", code, flags=re.M).replace("ELK_API", " ").replace("ELK_NODISCARD", " ")
    found = re.findall(r"[^;{}\"]*\belk_\w+\([^;{}]*\);|\bELK_\w+ = -?\d+", code)
    return sorted(" ".join(one.split()) for one in found)


def keeps(before: list[str], now: list[str]) -> None:
    """Refuses a line that is gone or changed."""
    gone = sorted(set(before) - set(now))
    if gone:
        raise BrokenPromiseError("gone from include/elkapi.h, or changed:\n" + "\n".join(gone))


def check(binary: Path) -> None:
    """The library and the header keep the promise, and it is written down for all they have."""
    now = interface(HEADER.read_text())
    keeps(promised("txt").read_text().splitlines(), now)
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "current.xml"
        dump(binary, current)
        compare(promised("xml"), current)
        written = functions_of(promised("xml"))
        if written != functions_of(current) or promised("txt").read_text().splitlines() != now:
            raise BrokenPromiseError("there is more than is written down: run `make abi`")


def functions_of(dumped: Path) -> set[str]:
    return {one.get("name") for one in ElementTree.parse(dumped).getroot().iter("elf-symbol")}


def write() -> None:
    """Writes what there is now, unless that breaks what is written."""
    now = interface(HEADER.read_text())
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "current.xml"
        dump(library(), current)
        if promised("xml").exists():
            keeps(promised("txt").read_text().splitlines(), now)
            compare(promised("xml"), current)
        promised("xml").write_text(current.read_text())
    promised("txt").write_text("\n".join([*now, ""]))


if __name__ == "__main__":
    try:
        write()
    except BrokenPromiseError as broken:
        sys.exit(f"{broken}\nThis breaks programs. docs/abi.md says what it takes.")

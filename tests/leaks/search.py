"""Looks for the tests' API keys in what the tests printed and wrote: `search.py FOLDER…`.

The keys are those that stand in the sources of the tests and examples. They are looked for in clear, as
JSON, URL and HTML escape them, in hexadecimal and in base64. Not looked at is what holds a key because a
test put it there: programs and sources that the suite compiles, and files that a test gives the client
to read the key from (`*.key`).
"""

import base64
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("crates/*/tests", "crates/*/src", "tests", "examples")
# A shorter one is no distinctive text: `sk-a` is in `task-and`.
SHORTEST = 7
# Full of characters that encodings change, and so not recognised by its letters.
AWKWARD = (r"""sk-El/k+7=&"<q>%41\Moss~'Wv""",)
# A larger file is a hole that a test made.
LONGEST = 200 << 20
HOLDS_KEYS_ITSELF = {".c", ".cpp", ".h", ".hpp", ".rs", ".o", ".a", ".so", ".key", ".pyc"}


def keys(root: Path = ROOT) -> list[str]:
    """Every key that a test or example gives to a client, without those that begin with another one."""
    found = set(AWKWARD)
    for pattern in SOURCES:
        for folder in root.glob(pattern):
            for path in folder.rglob("*"):
                if path.suffix in {".rs", ".py", ".c", ".cpp", ".h", ".hpp"} and path.parent.name != "leaks":
                    found |= set(re.findall(r"\bsk-[A-Za-z0-9_-]+", path.read_text()))
    long = sorted(key for key in found if len(key) >= SHORTEST)
    return [key for key in long if not any(key != other and key.startswith(other) for other in long)]


def escaped(text: str) -> str:
    """A regular expression for the text in clear and with any of its characters escaped in any way."""
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}

    def one(character: str) -> str:
        ways = [re.escape(character)]
        for form in {character, character.swapcase()}:
            code = ord(form)
            ways += [f"%(?:25)?{code:02x}", rf"\\+u00{code:02x}", rf"\\+x{code:02x}"]
            ways += [rf"&(?:amp;)?#0*{code};", rf"&(?:amp;)?#x0*{code:x};"]
        if character in names:
            ways.append(re.escape(names[character]))
        if character in "\"\\/'":
            ways.append(r"\\+" + re.escape(character))
        return f"(?:{'|'.join(ways)})"

    return "".join(map(one, text))


def encoded(key: str) -> Iterator[str]:
    """Regular expressions for the key in hexadecimal, and in base64 wherever it stood in the text."""
    yield key.encode().hex()
    yield key.encode().hex().upper()
    for shift in range(3):
        whole = base64.b64encode(bytes(shift) + key.encode()).decode()
        # Characters that hold bits of what stands before or behind the key are not the key's alone.
        first, last = (shift * 8 + 5) // 6, (shift + len(key)) * 8 // 6
        yield whole[first:last].replace("+", "[+-]").replace("/", "[/_]")


class Search:
    """Looks for these keys, which all begin with `sk-`."""

    def __init__(self, looked_for: list[str]) -> None:
        rests = "|".join(f"({escaped(key.removeprefix('sk-'))})" for key in looked_for)
        self.keys = looked_for
        self.clear = re.compile(f"(?i:{escaped('sk-')}(?:{rests}))".encode())
        self.coded = [(key, re.compile(way.encode())) for key in looked_for for way in encoded(key)]

    def found(self, data: bytes) -> Iterator[str]:
        """The beginning of each key that stands there, and how."""
        for index in {hit.lastindex or 0 for hit in self.clear.finditer(data)}:
            yield f"{self.keys[index - 1][:6]}… in clear or escaped"
        for key, way in self.coded:
            if way.search(data):
                yield f"{key[:6]}… in base64 or hexadecimal"


def leaks(folders: list[Path], looked_for: list[str]) -> list[str]:
    """Where which key stands. It is an error when there is nothing to look at."""
    search, found, size = Search(looked_for), [], 0
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        if path.is_symlink() or not path.is_file() or path.suffix in HOLDS_KEYS_ITSELF:
            continue
        if path.stat().st_size > LONGEST:
            continue
        data = path.read_bytes()
        if data.startswith(b"\x7fELF"):
            continue
        size += len(data)
        found += [f"{path}: {what}" for what in search.found(data)]
    if not size:
        sys.exit(f"there is nothing to look at in {' '.join(map(str, folders))}")
    return found


def main() -> None:
    found = leaks([Path(folder) for folder in sys.argv[1:]], keys())
    if found:
        sys.exit("API keys stand in what the tests left behind:\n" + "\n".join(found))


if __name__ == "__main__":
    main()

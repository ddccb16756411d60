"""What does not jitter: system calls, allocations and instructions per call, of the programs in C.

Everything is the difference of two runs, N calls and 2 N, so that the start is in none of it. `make check`
compares elkapi's with what is recorded (tests/check/counts.py).
"""

import os
import re
import subprocess
from dataclasses import dataclass

from clients import CLIENTS
from ground import BUILD, compiled

PROGRAMS = ("limit", "libcurl", "elkapi (C)")
#: Scenario's word, what is read, the server's place, N.
CASES = [
    ("small", "text", "small", 50),
    ("picture", "text", "picture", 3),
    ("picture", "bytes", "picture", 3),
    ("burst", "text", "burst", 5),
    ("burst", "path", "burst", 5),
    ("upload", "openai", "upload", 5),
    ("upload", "elkapi", "upload", 5),
]


@dataclass(frozen=True)
class Counts:
    system_calls: float
    allocations: float
    instructions: float


def count(client: str, url: str, case: tuple[str, str, str, int]) -> Counts:
    word, read, place, calls = case
    if client != "elkapi (C)" and read == "path":
        read = "text"

    def more_for_more_calls(number) -> float:
        few, many = (
            number([*CLIENTS[client].command(), word, read, f"{url}/{place}/v1", n * calls]) for n in (1, 2)
        )
        return (many - few) / calls

    return Counts(*map(more_for_more_calls, (system_calls, allocations, instructions)))


def system_calls(program: list[object]) -> int:
    log = BUILD / "strace"
    traced(["strace", "-f", "-qq", "-o", log], program)
    lines = log.read_text().splitlines()
    return sum("resumed>" not in line and " --- " not in line and " +++ " not in line for line in lines)


def allocations(program: list[object]) -> int:
    log = BUILD / "allocations"
    library = compiled("count", "-shared", "-fPIC", output="count.so")
    traced([], program, LD_PRELOAD=str(library), ALLOCATIONS=str(log))
    return int(log.read_text())


def instructions(program: list[object]) -> int:
    said = traced(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"], program)
    collected = re.search(r"Collected : (\d+)", said)
    assert collected is not None, said
    return int(collected[1])


def traced(before: list[object], program: list[object], **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in [*before, *program]],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    if done.returncode != 0:
        raise AssertionError(f"{before}, {program} ended with {done.returncode}: {done.stderr}")
    return done.stderr

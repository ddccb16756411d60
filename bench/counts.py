"""What does not jitter: system calls, allocations and instructions per call, of the programs in C.

Everything is the difference of two runs, N calls and 2 N, so that the start is in none of it. `make check`
compares elkapi's with what is recorded (tests/check/growth.py).
"""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from clients import CLIENTS
from ground import BUILD, compiled

PROGRAMS = ("limit", "libcurl", "elkapi (C)")


@dataclass(frozen=True)
class Case:
    """A scenario's word, what is read, N, and how many system calls more a late server may cost: who is
    faster decides how many reads a large reply takes, and writes a large request, and whether a read is
    waited for."""

    word: str
    read: str
    calls: int
    late: float


CASES = [
    Case("small", "text", 50, 0.3),
    Case("picture", "text", 3, 32),
    Case("picture", "bytes", 3, 32),
    Case("burst", "text", 5, 16),
    Case("burst", "path", 5, 16),
    Case("upload", "openai", 5, 4),
    Case("upload", "elkapi", 5, 4),
]


@dataclass(frozen=True)
class Counts:
    system_calls: float
    allocations: float
    instructions: float


def count(client: str, url: str, case: Case) -> Counts:
    """`url`: the bench's server, which names its replies as the scenarios are named."""

    def more_for_more_calls(number: Callable[[list[object]], int]) -> float:
        program = [*CLIENTS[client].command(), case.word, case.read, f"{url}/{case.word}/v1"]
        return (number([*program, 2 * case.calls]) - number([*program, case.calls])) / case.calls

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

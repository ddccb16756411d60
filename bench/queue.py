"""`make bench-queue`: 1,000 calls of 20 ms, 64 at once, from one epoll loop, by elkapi and by libcurl-multi.

Needs libcurl's development files (Debian: libcurl4-openssl-dev). Rounds are interleaved.
"""

import math
import os
import statistics
import subprocess
import sys

from ground import CURL, ELK, compiled, host_and_port, pinned, simulator

CALLS, WORKERS, DELAY_MS = 1000, 64, 20
IDEAL_MS = math.ceil(CALLS / WORKERS) * DELAY_MS
ROUNDS = int(os.environ.get("ROUNDS", "5"))


def main() -> None:
    program = compiled("many", *CURL, *ELK)
    with simulator() as base_url:
        place = host_and_port(base_url)
        rounds: dict[str, list[tuple[float, ...]]] = {"curl": [], "elk": []}
        for _ in range(ROUNDS):
            for name, rows in rounds.items():
                command = pinned(1, program, name, *place, CALLS, WORKERS, DELAY_MS)
                line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                rows.append(tuple(map(float, line.split())))
        print(f"{CALLS} calls of {DELAY_MS} ms, {WORKERS} at once; the ideal: {IDEAL_MS} ms")
        print(f"Medians of {ROUNDS} interleaved rounds, least and most beside them")
        print(
            f"{'':8}{'wall ms':>28}{'/ ideal':>10}{'CPU µs per call':>28}{'CPU / curl':>12}{'switches':>10}"
        )
        for name, rows in rounds.items():
            walls, cpus, switches = zip(*rows, strict=True)
            ratio = statistics.median(
                mine[1] / other[1] for mine, other in zip(rows, rounds["curl"], strict=True)
            )
            wall = statistics.median(walls)
            cells = f"{spread(walls):>28}{wall / IDEAL_MS:10.3f}{spread(cpus):>28}{ratio:12.2f}"
            print(f"{name:8}{cells}{statistics.median(switches):10.1f}")


def spread(numbers: tuple[float, ...]) -> str:
    return f"{statistics.median(numbers):.1f} ({min(numbers):.1f} to {max(numbers):.1f})"


if __name__ == "__main__":
    sys.exit(main())

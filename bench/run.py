"""`make bench`: small and large answers through a bare socket, libcurl and elkapi, in interleaved rounds.

Needs libcurl's development files (Debian: libcurl4-openssl-dev).
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
RELEASE = ROOT / "target" / "release"
BUILD = ROOT / "build" / "bench"
PROGRAMS = {
    "raw": [],
    "curl": ["-lcurl"],
    "elk": [f"-I{ROOT / 'include'}", f"-L{RELEASE}", "-lelkapi", f"-Wl,-rpath,{RELEASE}"],
}
SIZES = {"small answer": (0, 3000), "4 MiB answer": (4 << 20, 60)}
ROUNDS = int(os.environ.get("ROUNDS", "7"))


def pinned(core: int, *command: object) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, command)]


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    for name, flags in PROGRAMS.items():
        source = BENCH / "c" / f"{name}.c"
        subprocess.run(["cc", "-O2", "-std=gnu11", source, "-o", BUILD / name, *flags], check=True)
    simulator = subprocess.Popen(
        pinned(0, RELEASE / "elkapi-sim", "--until-stdin-closes"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        host, port = simulator.stdout.readline().split("//")[1].split("/")[0].rsplit(":", 1)
        for title, (size, calls) in SIZES.items():
            figures = {name: [] for name in PROGRAMS}
            for _ in range(ROUNDS):
                for name in PROGRAMS:
                    command = pinned(1, BUILD / name, host, port, size, calls)
                    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                    figures[name].append(tuple(map(float, line.split())))
            table(title, calls, figures)
    finally:
        simulator.communicate(timeout=10)


def table(title: str, calls: int, figures: dict[str, list[tuple[float, float]]]) -> None:
    print(f"\n{title}, {ROUNDS} interleaved rounds of {calls} calls: medians over the rounds")
    print(f"{'':8}{'wall µs':>10}{'CPU µs':>10}{'wall / curl':>13}{'CPU / curl':>12}{'CPU - raw':>11}")
    median = {
        name: (statistics.median(w for w, _ in rows), statistics.median(c for _, c in rows))
        for name, rows in figures.items()
    }

    def ratio(name: str, place: int) -> float:
        pairs = zip(figures[name], figures["curl"], strict=True)
        return statistics.median(one[place] / other[place] for one, other in pairs)

    for name, (wall, cpu) in median.items():
        over = cpu - median["raw"][1]
        print(f"{name:8}{wall:10.1f}{cpu:10.1f}{ratio(name, 0):13.2f}{ratio(name, 1):12.2f}{over:11.1f}")


if __name__ == "__main__":
    sys.exit(main())

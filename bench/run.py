"""`make bench`: small and large answers through a bare socket, libcurl and elkapi, in interleaved rounds.

Needs libcurl's development files (Debian: libcurl4-openssl-dev) and, for one column, strace.
"""

import os
import shutil
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

Figures = dict[str, list[tuple[float, float]]]


def pinned(core: int, *command: object) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, command)]


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    for name, flags in PROGRAMS.items():
        source = BENCH / "c" / f"{name}.c"
        subprocess.run(["cc", "-O2", "-std=gnu11", source, "-o", BUILD / name, *flags], check=True)
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", BENCH / "c" / "count.c", "-o", BUILD / "count.so"], check=True
    )
    simulator = subprocess.Popen(
        pinned(0, RELEASE / "elkapi-sim", "--until-stdin-closes", "--quiet"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert simulator.stdout is not None
        host, port = simulator.stdout.readline().split("//")[1].split("/")[0].rsplit(":", 1)
        for title, (size, calls) in SIZES.items():
            figures: Figures = {name: [] for name in PROGRAMS}
            for _ in range(ROUNDS):
                for name in PROGRAMS:
                    command = pinned(1, BUILD / name, host, port, size, calls)
                    line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                    wall, cpu = map(float, line.split())
                    figures[name].append((wall, cpu))
            table(title, calls, figures, {name: counts(name, host, port, size) for name in PROGRAMS})
    finally:
        simulator.communicate(timeout=10)


def counts(name: str, host: str, port: str, size: int) -> tuple[float | None, float]:
    """System calls and blocks asked of malloc, per call: what ten more calls need more."""
    few, many = (
        (system_calls(name, host, port, size, calls), allocations(name, host, port, size, calls))
        for calls in (10, 20)
    )
    traced = None if many[0] is None or few[0] is None else (many[0] - few[0]) / 10
    return traced, (many[1] - few[1]) / 10


def system_calls(*program: object) -> int | None:
    if shutil.which("strace") is None:
        return None
    log = BUILD / "strace"
    traced(["strace", "-f", "-qq", "-o", log], program)
    lines = log.read_text().splitlines()
    return sum("resumed>" not in line and " --- " not in line and " +++ " not in line for line in lines)


def allocations(*program: object) -> int:
    log = BUILD / "allocations"
    traced(["env", f"LD_PRELOAD={BUILD / 'count.so'}", f"ALLOCATIONS={log}"], program)
    return int(log.read_text())


def traced(before: list[object], program: tuple[object, ...]) -> None:
    name, *arguments = program
    command = [*before, BUILD / str(name), *arguments]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def table(title: str, calls: int, figures: Figures, counted: dict[str, tuple[float | None, float]]) -> None:
    print(f"\n{title}, {ROUNDS} interleaved rounds of {calls} calls: medians over the rounds")
    print(
        f"{'':8}{'wall µs':>10}{'CPU µs':>10}{'wall / curl':>13}{'CPU / curl':>12}{'CPU - raw':>11}"
        f"{'system calls':>14}{'allocations':>13}"
    )
    median = {
        name: (statistics.median(w for w, _ in rows), statistics.median(c for _, c in rows))
        for name, rows in figures.items()
    }

    def ratio(name: str, place: int) -> float:
        pairs = zip(figures[name], figures["curl"], strict=True)
        return statistics.median(one[place] / other[place] for one, other in pairs)

    for name, (wall, cpu) in median.items():
        over = cpu - median["raw"][1]
        calls_made, blocks = counted[name]
        print(
            f"{name:8}{wall:10.1f}{cpu:10.1f}{ratio(name, 0):13.2f}{ratio(name, 1):12.2f}{over:11.1f}"
            f"{'no strace' if calls_made is None else f'{calls_made:.1f}':>14}{blocks:13.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())

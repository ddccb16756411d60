"""`make bench`: answers through a bare socket, libcurl and elkapi, over TLS too, and the memory of a picture.

Needs libcurl's development files (Debian: libcurl4-openssl-dev), openssl and, for one column, strace.
Rounds are interleaved.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from ground import (
    BENCH,
    BUILD,
    CURL,
    ELK,
    ROOT,
    ROUNDS,
    authority,
    compiled,
    host_and_port,
    pinned,
    simulator,
)

PROGRAMS = {"raw": [], "curl": CURL, "elk": ELK}
SIZES = {"small answer": (0, 3000), "4 MiB answer": (4 << 20, 60)}
# How a call over TLS gets its connection: in words, calls of a round, connections and sessions per call.
TLS_MODES = {
    "warm": ("a kept connection", 2000, 0, 0),
    "resumed": ("a new connection each, its session resumed", 500, 1, 1),
    "cold": ("a new connection each, no session", 300, 1, 0),
}

Figures = dict[str, list[tuple[float, float]]]


def main() -> None:
    for name, flags in PROGRAMS.items():
        compiled(name, *flags)
    compiled("count", "-shared", "-fPIC", output="count.so")
    with simulator() as base_url:
        place = host_and_port(base_url)
        for title, (size, calls) in SIZES.items():
            arguments = (*place, size)
            figures = rounds(PROGRAMS, arguments, calls)
            counted = {name: counts(name, arguments) for name in PROGRAMS}
            table(title, calls, figures, counted)
    ca, options = authority()
    with simulator(*options) as base_url:
        for mode, (words, calls, connections, sessions) in TLS_MODES.items():
            arguments = (*host_and_port(base_url), 0)
            names = ("curl", "elk", "elk+store") if mode == "cold" else ("curl", "elk")
            for name in names:
                confirm(name, arguments, ca, mode, connections, sessions, base_url)
            figures = rounds(names, arguments, calls, ca, mode)
            counted = {name: counts(name, arguments, ca, mode) for name in names}
            table(f"small answer over TLS, {words}", calls, figures, counted)
    memory()


def rounds(names, arguments: tuple[object, ...], calls: int, *tls: object) -> Figures:
    figures: Figures = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            command = pinned(1, program(name), *arguments, calls, *tls)
            line = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=environment(name, *tls)
            ).stdout
            wall, cpu = map(float, line.split())
            figures[name].append((wall, cpu))
    return figures


def confirm(name, arguments, ca, mode: str, connections: int, sessions: int, base_url: str) -> None:
    """What the table says is what happened: the simulator counted it."""

    def handshakes() -> tuple[int, int]:
        trust = subprocess.run(
            ["curl", "-s", "--cacert", ca, base_url.removesuffix("/v1") + "/__stats"],
            check=True,
            capture_output=True,
        )
        stats = json.loads(trust.stdout)
        return stats["tls_handshakes"], stats["tls_resumed"]

    before = handshakes()
    command = pinned(1, program(name), *arguments, 10, ca, mode)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment(name, ca))
    after = handshakes()
    # One call warms up, and the second look is a connection of its own.
    seen = (after[0] - before[0] - 2, after[1] - before[1])
    if seen != (10 * connections, 10 * sessions):
        sys.exit(f"{name}, {mode}: {seen[0]} more handshakes and {seen[1]} resumed sessions in 10 calls")


def counts(name: str, arguments: tuple[object, ...], *tls: object) -> tuple[float | None, float]:
    """System calls and blocks asked of malloc, per call: what ten more calls need more."""
    few, many = (
        (system_calls(name, *arguments, calls, *tls), allocations(name, *arguments, calls, *tls))
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


def traced(before: list[object], command: tuple[object, ...]) -> None:
    name, *arguments = command
    words = [*before, program(str(name)), *arguments]
    ca = [word for word in arguments if str(word).endswith(".pem")]
    subprocess.run(
        list(map(str, words)), check=True, stdout=subprocess.DEVNULL, env=environment(str(name), *ca)
    )


def program(name: str) -> Path:
    return BUILD / name.partition("+")[0]


def environment(name: str, *tls: object) -> dict[str, str]:
    """Over TLS all trust the test's authority alone, as CURLOPT_CAINFO does; `+store`: the system's too."""
    if not tls or name.endswith("+store"):
        return dict(os.environ)
    nothing = BUILD / "no-authorities"
    nothing.mkdir(exist_ok=True)
    return {**os.environ, "SSL_CERT_FILE": str(tls[0]), "SSL_CERT_DIR": str(nothing)}


def table(title: str, calls: int, figures: Figures, counted: dict[str, tuple[float | None, float]]) -> None:
    print(f"\n{title}, {ROUNDS} interleaved rounds of {calls} calls: medians over the rounds")
    limit = "raw" in figures
    print(
        f"{'':10}{'wall µs':>10}{'CPU µs':>10}{'wall / curl':>13}{'CPU / curl':>12}"
        f"{'CPU - raw' if limit else '':>11}{'system calls':>14}{'allocations':>13}"
    )
    median = {
        name: (statistics.median(w for w, _ in rows), statistics.median(c for _, c in rows))
        for name, rows in figures.items()
    }

    def ratio(name: str, place: int) -> float:
        pairs = zip(figures[name], figures["curl"], strict=True)
        return statistics.median(one[place] / other[place] for one, other in pairs)

    for name, (wall, cpu) in median.items():
        over = f"{cpu - median['raw'][1]:.1f}" if limit else ""
        calls_made, blocks = counted[name]
        print(
            f"{name:10}{wall:10.1f}{cpu:10.1f}{ratio(name, 0):13.2f}{ratio(name, 1):12.2f}{over:>11}"
            f"{'no strace' if calls_made is None else f'{calls_made:.1f}':>14}{blocks:13.1f}",
            flush=True,
        )


def memory() -> None:
    """The most that a process holds while it asks for a picture and saves it, above what it held before."""
    python = ROOT / ".venv" / "bin" / "python"
    programs: dict[str, list[object]] = {"C": [compiled("picture", *ELK)]}
    if subprocess.run([python, "-c", "import elkapi"], capture_output=True).returncode == 0:
        programs["Python"] = [python, BENCH / "picture.py"]
    print("\nA picture of 20 MB, asked for and saved: peak memory above that of a small call, MiB")
    print(f"{'':8}{'reply':>10}{'decoded':>10}{'bound':>10}{'measured':>10}{'/ bound':>10}")
    with simulator() as base_url:
        for name, program in programs.items():
            file = BUILD / "picture.png"
            file.unlink(missing_ok=True)
            command = pinned(1, *program, base_url, file)
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            peak, reply = (int(word) / 2**20 for word in line.split())
            decoded = file.stat().st_size / 2**20
            bound = reply + decoded
            print(f"{name:8}{reply:10.1f}{decoded:10.1f}{bound:10.1f}{peak:10.1f}{peak / bound:10.2f}")
    if "Python" not in programs:
        print("Python   not measured: make python-module")


if __name__ == "__main__":
    sys.exit(main())

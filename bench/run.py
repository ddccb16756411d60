"""`make bench`: the whole suite, printed as Markdown; README.md says how to read it.

`--quick`: fewer rounds and shorter runs. ONLY=a,c: only these scenarios; `counts` is one of them.
Fails when a program does, or when one reads another amount than it should.
"""

import datetime
import os
import platform
import shutil
import subprocess
import sys

import replies
import table
from clients import Line, run
from counts import CASES, PROGRAMS, count
from ground import BUILD, RELEASE, Server, compiled, running
from results import Key, Results
from scenarios import SCENARIOS, Row, Scenario
from targets import cells

QUICK = "--quick" in sys.argv[1:]
ROUNDS = int(os.environ.get("ROUNDS", "3" if QUICK else "7"))
#: How long one run takes, roughly.
SECONDS = 0.06 if QUICK else 0.3
ONLY = [word for word in os.environ.get("ONLY", "").split(",") if word]
TOOLS = {
    "cc": "gcc",
    "taskset": "util-linux",
    "openssl": "openssl",
    "strace": "strace",
    "valgrind": "valgrind",
    "curl-config": "libcurl4-openssl-dev",
}


def wanted(letter: str) -> bool:
    return not ONLY or letter in ONLY


def tell(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def show(title: str, text: str) -> None:
    print(f"\n### {title}\n\n{text}", flush=True)


def need_tools() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"make bench needs these Debian packages: {' '.join(missing)}")


def measure(scenario: Scenario, server: Server, sizes: dict[tuple[str, str], int], results: Results) -> None:
    """Rounds in which every row takes its turn; a first one finds out how many calls fit into a run."""
    calls: dict[Row, int] = {}

    def one(row: Row, number: int) -> Line:
        url = f"{server.url}/{scenario.place}/v1"
        line = run(row.client, scenario.word, row.read, url, number)
        expected = sizes.get((scenario.word, row.read), len(replies.TEXT))
        if line.read != expected:
            sys.exit(f"{row.client}, {scenario.word} {row.read}: read {line.read} bytes, not {expected}")
        return line

    tell(f"({scenario.letter}) {scenario.title}")
    for row in scenario.rows:
        if scenario.calls:
            calls[row] = scenario.calls
        else:
            calls[row] = max(3, int(SECONDS * 1e6 / one(row, 5).median_us))
    for _ in range(ROUNDS):
        for row in scenario.rows:
            key = Key(scenario.word, row.client, row.read)
            results.lines.setdefault(key, []).append(one(row, calls[row]))


def machine() -> str:
    with open("/proc/cpuinfo") as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    now = datetime.datetime.now(datetime.UTC).date()
    return f"{now}; {cpu}, {os.cpu_count()} cores; Linux {platform.release()}"


def versions() -> str:
    def first_line(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]

    return "; ".join(
        [
            "elkapi of this checkout",
            first_line("curl-config", "--version"),
            first_line("cc", "--version"),
            first_line("rustc", "--version"),
        ]
    )


def main() -> None:
    need_tools()
    sizes = replies.write(BUILD / "replies")
    compiled("server", "-lpthread")
    compiled("start")
    results = Results()
    results.facts["library_mb"] = (RELEASE / "libelkapi.so").stat().st_size / 1e6
    print(f"{machine()}\n\n{versions()}\n\n{ROUNDS} interleaved rounds; medians, least and most beside them.")
    with running(BUILD / "server", BUILD / "replies") as server:
        for scenario in SCENARIOS:
            if wanted(scenario.letter):
                measure(scenario, server, sizes, results)
                show(f"({scenario.letter}) {scenario.title}", table.of_scenario(scenario, results))
        if wanted("counts"):
            tell("Counted")
            counted = {
                (*case[:2], client): count(client, server.url, case) for case in CASES for client in PROGRAMS
            }
            show("Counted per call", table.of_counts(counted))
    show("Targets", table.of_targets(cells(results)))


if __name__ == "__main__":
    main()

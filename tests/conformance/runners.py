"""The three programs that replay wire fixtures to the client, one for each language.

Each drives the public interface of its language, compares every key of `expect`, and writes one line
of JSON for each fixture: its name, and a list of what is wrong.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIRE = ROOT / "tests" / "wire"
#: Far more than any run takes; what takes longer hangs.
LONGEST = 900


@dataclass(frozen=True)
class Runner:
    """How one language's runner is started; it is told of its directory and file in either way."""

    language: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, fixtures: Path, results: Path) -> subprocess.CompletedProcess[str]:
        def filled(text: str) -> str:
            return text.format(fixtures=fixtures, results=results)

        command = [filled(part) for part in self.command]
        added = {name: filled(value) for name, value in self.environment.items()}
        environment = {**os.environ, **added}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST
        )


RUNNERS = [
    Runner(
        "Rust",
        ["cargo", "test", "-q", "-p", "elkapi", "--test", "wire", "every_fixture"],
        {"ELKAPI_WIRE": "{fixtures}", "ELKAPI_WIRE_RESULTS": "{results}"},
    ),
    Runner("C", [sys.executable, "tests/c/run.py", "--results", "{fixtures}", "{results}"]),
    Runner("Python", [sys.executable, "tests/python/exchange.py", "{fixtures}", "{results}"]),
]

#: What is wrong with each fixture, by its name; nothing is wrong where the list is empty.
Outcomes = dict[str, list[str]]


def names(fixtures: Path) -> list[str]:
    return sorted(path.stem for path in fixtures.glob("*.json") if path.stem != "index")


def outcomes(runner: Runner, fixtures: Path) -> Outcomes:
    """Runs the fixtures of a directory; one that the runner says nothing of counts as wrong."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        done = runner.run(fixtures, results)
        if not results.exists():
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise RuntimeError(f"the runner of {runner.language} ended with {done.returncode}:\n{said}")
        lines = [json.loads(line) for line in results.read_text().split("\n")]
    told = {line["fixture"]: line["wrong"] for line in lines}
    return {name: told.get(name, ["the runner says nothing of it"]) for name in names(fixtures)}


def all_outcomes(fixtures: Path) -> dict[str, Outcomes]:
    """What every language's runner found, by the language."""
    with concurrent.futures.ThreadPoolExecutor(len(RUNNERS)) as pool:
        found = pool.map(lambda runner: outcomes(runner, fixtures), RUNNERS)
        return {runner.language: outcome for runner, outcome in zip(RUNNERS, found, strict=True)}

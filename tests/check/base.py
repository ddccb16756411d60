"""What every check uses: the list of checks, commands, the simulator, compiled programs."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASE = ROOT / "target" / "release"
BUILD = ROOT / "build" / "check"


@dataclass
class Check:
    name: str
    tools: tuple[str, ...]
    run: Callable[[], None]
    slow: bool


CHECKS: list[Check] = []


def check(*tools: str, slow: bool = False) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Adds a check that needs these commands; `slow`: it takes more than a minute."""

    def add(function: Callable[[], None]) -> Callable[[], None]:
        CHECKS.append(Check(function.__name__.replace("_", "-"), tools, function, slow))
        return function

    return add


def run(*command: object, **options) -> str:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        **options,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


@contextmanager
def simulator() -> Iterator[str]:
    command = [RELEASE / "elkapi-sim", "--fixtures", ROOT / "tests/wire", "--until-stdin-closes", "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=10)


def compiled(source: str, *flags: str, compiler: str = "cc", name: str = "") -> Path:
    # Each lane has programs of its own.
    folder = BUILD / f"{threading.current_thread().name}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / (name or Path(source).name.replace(".", "_"))
    libraries = [f"-L{RELEASE}", "-lelkapi", f"-Wl,-rpath,{RELEASE}"]
    run(compiler, *flags, f"-I{ROOT / 'include'}", ROOT / source, "-o", program, *libraries, "-lpthread")
    return program

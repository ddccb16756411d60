"""Who is measured: how each program is built and started.

All take the same arguments and print the same line; c/bench.h describes both.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ground import BENCH, BUILD, ELK, ROOT, compiled, pinned

#: Peers in Python, each in an environment of its own, and used as its documentation shows.
PACKAGES = {
    "openai": "openai==3.54.0",
    "httpx": "httpx==0.28.1",
    "requests": "requests==2.34.2",
    "pycurl": "pycurl==7.49.0",
    "primp": "primp==2.0.1",
    "pyreqwest": "pyreqwest==0.15.1",
    "liter-llm": "liter-llm==2.4.0",
}


@dataclass(frozen=True)
class Client:
    language: str
    #: Builds what is missing and gives the command.
    command: Callable[[], list[object]]
    #: Where Python finds more packages.
    path: str = ""


def c(name: str, *flags: str) -> Client:
    return Client("C", lambda: [compiled(name, *flags, "-lpthread")])


def rust(name: str) -> Client:
    return Client("Rust", lambda: [rust_programs() / name])


@cache
def rust_programs() -> Path:
    """A workspace of its own, so that what peers need never enters ours; its lock file pins them."""
    target = BUILD / "rust"
    manifest = BENCH / "rust" / "Cargo.toml"
    build = ["cargo", "build", "-q", "--release", "--manifest-path", manifest]
    subprocess.run([*build, "--target-dir", target], check=True)
    return target / "release"


def python(name: str, package: str = "", path: str = "") -> Client:
    program = BENCH / "python" / f"{name}_calls.py"
    return Client("Python", lambda: [interpreter(package), program], path)


def interpreter(package: str) -> Path:
    """The Python of the package's environment, made when it is first needed; of ours without a name."""
    if not package:
        return ROOT / ".venv" / "bin" / "python"
    folder = BUILD / "python" / PACKAGES[package].replace("==", "-")
    program = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [program, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, PACKAGES[package]], check=True)
        (folder / "ready").touch()
    return program


CLIENTS = {
    "limit": c("limit"),
    "libcurl": c("curl", "-lcurl"),
    "elkapi (C)": c("elk", *ELK),
    "elkapi (Rust)": rust("with_elkapi"),
    "reqwest": rust("with_reqwest"),
    "async-openai": rust("with_async_openai"),
    "bare socket (Python)": python("socket"),
    "elkapi (Python)": python("elkapi"),
    "openai over elkapi": python("openai_over_elkapi", "openai", str(ROOT / "python")),
    "openai": python("openai", "openai"),
    "httpx": python("httpx", "httpx"),
    "requests": python("requests", "requests"),
    "pycurl": python("pycurl", "pycurl"),
    "primp": python("primp", "primp"),
    "pyreqwest": python("pyreqwest", "pyreqwest"),
    "liter-llm": python("liter_llm", "liter-llm"),
}


@dataclass(frozen=True)
class Line:
    """What a program prints."""

    median_us: float
    p99_us: float
    cpu_us: float
    peak_mib: float
    read: int


#: How often a peer is started until it does what it should.
PEER_STARTS = 3


def environment() -> dict[str, str]:
    """Without what sends some through a proxy, or changes whom they trust; Python keeps its bytecode."""
    foreign = ("_PROXY", "CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "ELKAPI_BASE_URL", "ELKAPI_API_KEY")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(foreign) and not name.startswith("PYTHON")
    }


def run(name: str, scenario: str, read: str, base_url: str, calls: int, *more: object, **env: str) -> Line:
    client = CLIENTS[name]
    before = [BUILD / "start"] if scenario == "first" else []
    # Some peers fail now and then where many threads share a client: they are started again, ours are not.
    for _ in range(1 if name == "limit" or "elkapi" in name else PEER_STARTS):
        done = subprocess.run(
            pinned(1, *before, *client.command(), scenario, read, base_url, calls, *more),
            env={**environment(), "PYTHONPATH": client.path, **env},
            stdout=subprocess.PIPE,
            text=True,
        )
        words = done.stdout.split()
        if done.returncode == 0 and len(words) == 5:
            median, p99, cpu, peak = map(float, words[:4])
            return Line(median, p99, cpu, peak / 1024, int(words[4]))
        failed = f"{name}, {scenario} {read}: status {done.returncode}, printed {done.stdout!r}"
        print(failed, file=sys.stderr)
    sys.exit(failed)

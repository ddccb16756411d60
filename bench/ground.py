"""What the bench stands on: compiled programs, servers on a core of their own, a test authority."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
RELEASE = ROOT / "target" / "release"
BUILD = ROOT / "build" / "bench"
ELK = [f"-I{ROOT / 'include'}", f"-L{RELEASE}", "-lelkapi", f"-Wl,-rpath,{RELEASE}"]


def pinned(core: int, *command: object) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, command)]


@cache
def compiled(name: str, *flags: str, output: str = "") -> Path:
    """The program made of bench/c/NAME.c."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / (output or name)
    subprocess.run(["cc", "-O2", "-std=gnu11", BENCH / "c" / f"{name}.c", "-o", program, *flags], check=True)
    return program


class Server:
    """A server that runs on core 0; what is measured runs on core 1."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.url = process.stdout.readline().strip().removesuffix("/v1")
        # The kernel's clock of another process: CPUCLOCK_SCHED of its pid.
        self._clock = (~process.pid << 3) | 2

    def cpu(self) -> float:
        """Seconds that it computed so far, all of its threads together."""
        return time.clock_gettime(self._clock)


@contextlib.contextmanager
def running(*command: object) -> Iterator[Server]:
    """A server that prints its address first and ends when its standard input does."""
    process = subprocess.Popen(pinned(0, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield Server(process)
        finally:
            process.communicate(timeout=10)


def simulator(*options: object) -> contextlib.AbstractContextManager[Server]:
    return running(RELEASE / "elkapi-sim", "--until-stdin-closes", "--quiet", *options)


def authority() -> tuple[Path, list[object]]:
    """A certificate authority made anew, and the simulator's options to serve with a certificate of it."""
    BUILD.mkdir(parents=True, exist_ok=True)
    ca, ca_key, cert, key = (BUILD / name for name in ("ca.pem", "ca-key.pem", "cert.pem", "key.pem"))
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    named = ["-days", "30", "-subj"]
    server = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    for command in (
        [*new, "-keyout", ca_key, "-out", ca, *named, "/CN=bench-authority"],
        [*new, "-keyout", key, "-out", cert, *named, "/CN=bench", "-CA", ca, "-CAkey", ca_key, *server],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return ca, ["--tls-cert", cert, "--tls-key", key]

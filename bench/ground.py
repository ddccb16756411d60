"""What every bench stands on: compiled programs, the simulator on a core of its own, a test authority."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
RELEASE = ROOT / "target" / "release"
BUILD = ROOT / "build" / "bench"
ELK = [f"-I{ROOT / 'include'}", f"-L{RELEASE}", "-lelkapi", f"-Wl,-rpath,{RELEASE}"]
CURL = ["-lcurl"]
ROUNDS = int(os.environ.get("ROUNDS", "7"))


def pinned(core: int, *command: object) -> list[str]:
    return ["taskset", "-c", str(core % (os.cpu_count() or 1)), *map(str, command)]


def compiled(name: str, *flags: str, output: str = "") -> Path:
    """The program made of bench/c/NAME.c."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / (output or name)
    subprocess.run(["cc", "-O2", "-std=gnu11", BENCH / "c" / f"{name}.c", "-o", program, *flags], check=True)
    return program


@contextlib.contextmanager
def simulator(*options: object) -> Iterator[str]:
    """The base URL of a simulator that runs on core 0; what is measured runs on core 1."""
    command = pinned(0, RELEASE / "elkapi-sim", "--until-stdin-closes", "--quiet", *options)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate(timeout=10)


def host_and_port(base_url: str) -> tuple[str, str]:
    host, port = base_url.split("//")[1].split("/")[0].rsplit(":", 1)
    return host, port


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

"""Servers that stall a call in exactly one phase."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def stalls(simulator: str) -> Iterator[dict[str, str]]:
    """A base URL for each phase; `simulator` is one without its `/v1`.

    `send` stalls for requests of some megabytes, `dns` only with `slow_dns` preloaded.
    """
    with contextlib.ExitStack() as sockets:
        # Takes connections and says nothing; the kernel accepts for it.
        silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        # Its queue is full, so the kernel drops what comes next.
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        with contextlib.suppress(TimeoutError):
            while True:
                waiting = sockets.enter_context(socket.socket())
                waiting.settimeout(0.2)
                waiting.connect(full.getsockname())
        yield {
            "dns": "https://gateway.slow/v1",
            "connect": f"http://127.0.0.1:{full.getsockname()[1]}/v1",
            "tls": f"https://127.0.0.1:{silent.getsockname()[1]}/v1",
            "send": f"{simulator}/fault/slow-read/v1",
            "wait": f"{simulator}/fault/stall-before-headers/v1",
            "read": f"{simulator}/fault/stall-mid-body/v1",
            "pause": f"{simulator}/fault/429-seconds-60/v1",
        }


def slow_dns(folder: Path) -> Path:
    """A library to preload: names that end in `.slow` never resolve."""
    library = folder / "slow_dns.so"
    source = Path(__file__).parent / "slow_dns.c"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    return library

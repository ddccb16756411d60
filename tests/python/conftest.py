"""What the tests talk to: the simulator over real sockets, and replies written by hand."""

import base64
import contextlib
import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import elkapi
import pytest

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "wire"
KEY = "sk-test-0123456789abcdef"


def simulator_program() -> Path:
    given = os.environ.get("ELKAPI_SIM")
    if given:
        return Path(given)
    places = [ROOT / "target" / profile / "elkapi-sim" for profile in ("release", "debug")]
    found = [place for place in places if place.exists()]
    if not found:
        pytest.exit("there is no simulator: run `cargo build -p elkapi-sim`, or set ELKAPI_SIM", returncode=2)
    return max(found, key=lambda place: place.stat().st_mtime)


@dataclass(frozen=True)
class Simulator:
    """A running simulator."""

    origin: str

    def url(self, path: str) -> str:
        """The base URL that is steered by this path, such as `/delay/300/v1`."""
        return self.origin + path

    def stats(self, scope: str) -> dict[str, Any]:
        """What came in under that scope."""
        with urllib.request.urlopen(f"{self.origin}/s/{scope}/__stats", timeout=10) as reply:
            stats: dict[str, Any] = json.load(reply)
        return stats


@contextlib.contextmanager
def running_simulator(fixtures: Path = FIXTURES) -> Iterator[Simulator]:
    """A simulator that replays the fixtures of that directory."""
    arguments = [str(simulator_program()), "--fixtures", str(fixtures), "--until-stdin-closes", "--quiet"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        base = process.stdout.readline().strip()
        assert base.endswith("/v1"), base
        yield Simulator(base.removesuffix("/v1"))
        process.stdin.close()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with running_simulator() as simulator:
        yield simulator


@dataclass(frozen=True)
class Gateway:
    """The simulator under a scope of its own, so that its counters tell of one test alone."""

    simulator: Simulator
    scope: str

    def url(self, path: str = "/v1") -> str:
        return self.simulator.url(f"/s/{self.scope}{path}")

    def client(self, path: str = "/v1", **options: Any) -> elkapi.Client:
        options.setdefault("timeout", 30)
        options.setdefault("max_retries", 0)
        return elkapi.Client(base_url=self.url(path), api_key=KEY, environment=False, **options)

    def async_client(self, path: str = "/v1", **options: Any) -> elkapi.AsyncClient:
        options.setdefault("timeout", 30)
        options.setdefault("max_retries", 0)
        return elkapi.AsyncClient(base_url=self.url(path), api_key=KEY, environment=False, **options)

    def stats(self) -> dict[str, Any]:
        return self.simulator.stats(self.scope)

    def requests(self) -> int:
        count: int = self.stats()["requests"]
        return count

    def last_body(self) -> Any:
        """The JSON of the last request's body."""
        return json.loads(self.last_body_bytes())

    def last_body_bytes(self) -> bytes:
        return base64.b64decode(self.stats()["last_request"]["body_base64"])

    def last_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.stats()["last_request"]["headers"]}


@pytest.fixture
def gateway(simulator: Simulator, request: pytest.FixtureRequest) -> Gateway:
    scope = "".join(c if c.isalnum() else "-" for c in request.node.nodeid)
    return Gateway(simulator, f"py-{scope}"[-100:])


@pytest.fixture
def client(gateway: Gateway) -> Iterator[elkapi.Client]:
    with gateway.client() as client:
        yield client


Answering = Callable[..., elkapi.Client]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A client whose every call is answered by these bytes, as JSON or as that type, with that status."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def make(body: bytes, media_type: str = "application/json", status: int = 200) -> elkapi.Client:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                if media_type:
                    self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Twice", "one")
                self.send_header("X-Twice", "two")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        base_url = f"http://127.0.0.1:{server.server_port}/v1"
        return elkapi.Client(base_url=base_url, api_key=KEY, environment=False, timeout=30, max_retries=0)

    yield make
    for server, thread in servers:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()

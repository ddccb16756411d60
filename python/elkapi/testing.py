"""Tests without network and key: the simulator, started and told what to answer.

    import elkapi.testing

    with elkapi.testing.Simulator() as simulator:
        gateway = simulator.gateway()
        gateway.answer("The North Sea.")
        print(gateway.client().ask("Name a sea.").text)
        print(gateway.requests[0].json()["messages"])

The program is the distribution `elkapi-sim`, which also gives pytest the fixture `elkapi_sim`, a
`Gateway` for each test. Calls and answers go over real sockets, so that what is tested is the client
that will be used.
"""

import base64
import http.client
import importlib
import itertools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import elkapi

__all__ = ["Gateway", "Request", "Simulator"]

# Any key that begins with `sk-` will do.
_KEY = "sk-simulator"


@dataclass(frozen=True)
class Request:
    """A request as it came to the simulator."""

    method: str
    path: str
    headers: elkapi.Headers
    body: bytes

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Simulator:
    """The running program `elkapi-sim`; it stops by `close()`, after a `with` block, and with this process.

    `program`: its path; otherwise the environment's `ELKAPI_SIM`, the installed `elkapi-sim`, or the
    one on `PATH`. `fixtures`: a directory of exchanges that `/wire/NAME` replays.

    Raises `FileNotFoundError` where there is no such program, `RuntimeError` where it does not start.
    """

    def __init__(
        self,
        program: "str | os.PathLike[str] | None" = None,
        *,
        fixtures: "str | os.PathLike[str] | None" = None,
    ) -> None:
        command = [os.fspath(program or _find()), "--until-stdin-closes", "--quiet"]
        if fixtures is not None:
            command += ["--fixtures", os.fspath(fixtures)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        base_url = self._process.stdout.readline().strip()
        if not base_url.endswith("/v1"):
            self.close()
            raise RuntimeError(f"{command[0]} did not start: exit status {self._process.returncode}")
        self.origin: str = base_url.removesuffix("/v1")
        """`http://127.0.0.1:PORT`."""
        self._numbers = itertools.count(1)

    @property
    def base_url(self) -> str:
        """The base URL of the ordinary gateway, for any client in any language."""
        return f"{self.origin}/v1"

    def gateway(self, scope: str | None = None) -> "Gateway":
        """The gateway under a name of its own: its answers and requests are apart from all others."""
        return Gateway(self, scope or f"python-{os.getpid()}-{next(self._numbers)}")

    def close(self) -> None:
        """Stops it; connections that are open break."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        """The simulator itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops it."""
        self.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        host = self.origin.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            reply = connection.getresponse()
            answered = reply.read()
        finally:
            connection.close()
        if reply.status == 400:
            raise ValueError(json.loads(answered)["error"]["message"])
        return json.loads(answered)


class Gateway:
    """A gateway that a test has for itself.

    It answers every call by itself, with a text that depends on the prompt, a sample of the schema that
    is asked for, a call of the first tool, or a picture. What `answer`, `tool_call`, `refuse`, `reply`
    and `fault` tell it comes first: one for each chat call, in the order in which they were told, also
    for a call that the client repeats.
    """

    def __init__(self, simulator: Simulator, scope: str) -> None:
        """Comes from `Simulator.gateway`."""
        self._simulator = simulator
        self._place = f"/s/{quote(scope, safe='')}"

    @property
    def base_url(self) -> str:
        """For clients of any kind, with `api_key`."""
        return self.url()

    @property
    def api_key(self) -> str:
        """A key that is good here."""
        return _KEY

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead an `elkapi.Client()` here, for `monkeypatch.setenv` or a subprocess."""
        return {"ELKAPI_BASE_URL": self.base_url, "ELKAPI_API_KEY": _KEY}

    def url(self, *, fault: str | None = None, delay: float | None = None) -> str:
        """A base URL under which every call has that fault, or waits so many seconds for its answer."""
        waits = "" if delay is None else f"/delay/{round(delay * 1000)}"
        misbehaves = "" if fault is None else f"/fault/{quote(fault, safe='')}"
        return f"{self._simulator.origin}{self._place}{waits}{misbehaves}/v1"

    def client(self, **options: Any) -> elkapi.Client:
        """A client of this gateway; `options` are those of `elkapi.Client`."""
        return elkapi.Client(**self._options(options))

    def async_client(self, **options: Any) -> elkapi.AsyncClient:
        """A client of this gateway for event loops; `options` are those of `elkapi.AsyncClient`."""
        return elkapi.AsyncClient(**self._options(options))

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        mine: dict[str, Any] = {"base_url": self.base_url, "api_key": _KEY, "environment": False}
        return {**mine, "base_delay_ms": 1, **given}

    def answer(self, text: str, *, delay: float | None = None, chunks: int | None = None) -> Self:
        """The next call gets this text, after `delay` seconds; a stream brings it in `chunks` events."""
        return self._next({"text": text, "chunks": chunks}, delay)

    def tool_call(self, name: str, arguments: "dict[str, Any] | str | None" = None, *more: Any) -> Self:
        """The next call gets an answer that asks for a tool.

        `more`: further calls in the same answer, as pairs of name and arguments. Arguments as str are
        sent as they are, so that they may be broken.
        """
        calls = [(name, arguments or {}), *more]
        return self._next({"tool_calls": [{"name": name, "arguments": given} for name, given in calls]})

    def refuse(
        self,
        status: int,
        message: str = "Refused by the test",
        *,
        code: str | int | None = None,
        type: str | None = None,  # noqa: A002
        retry_after: float | None = None,
        delay: float | None = None,
    ) -> Self:
        """The next call is refused with that HTTP status, that message and `Retry-After`, in seconds."""
        fields = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}
        return self._next(
            {"status": status, "message": message, "code": code, "type": type, "headers": fields}, delay
        )

    def reply(
        self,
        body: Any,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        delay: float | None = None,
    ) -> Self:
        """The next call gets this body: text as it is, everything else as JSON."""
        return self._next({"body": body, "status": status, "headers": headers or {}}, delay)

    def fault(self, name: str) -> Self:
        """The next call meets that fault, such as `"truncate"`; `elkapi-sim --help` lists them."""
        return self._next({"fault": name})

    def _next(self, cue: dict[str, Any], delay: float | None = None) -> Self:
        told = {name: value for name, value in cue.items() if value is not None}
        if delay is not None:
            told["delay_ms"] = round(delay * 1000)
        self._simulator._ask("POST", f"{self._place}/__next", told)
        return self

    @property
    def waiting(self) -> int:
        """How many told answers no call has taken yet."""
        count: int = self._simulator._ask("GET", f"{self._place}/__next")["waiting"]
        return count

    @property
    def requests(self) -> list[Request]:
        """The requests that came, repetitions too, oldest first; at most the last 100."""
        return [
            Request(
                told["method"],
                told["path"].removeprefix(self._place),
                elkapi.Headers([(name, value) for name, value in told["headers"]]),
                base64.b64decode(told["body_base64"]),
            )
            for told in self._simulator._ask("GET", f"{self._place}/__requests")
        ]

    @property
    def stats(self) -> dict[str, Any]:
        """The simulator's counters: `requests`, `connections`, `in_flight`, `closed_by_client`, …"""
        stats: dict[str, Any] = self._simulator._ask("GET", f"{self._place}/__stats")
        return stats

    def reset(self) -> None:
        """Forgets requests, counters, and told answers that nobody took."""
        self._simulator._ask("POST", f"{self._place}/__reset")


def _find() -> str:
    if given := os.environ.get("ELKAPI_SIM"):
        return given
    try:
        installed = importlib.import_module("elkapi_sim")
    except ImportError:
        found = shutil.which("elkapi-sim")
        if found is None:
            raise FileNotFoundError(
                "there is no elkapi-sim: `pip install elkapi-sim`, or set ELKAPI_SIM to the program"
            ) from None
        return found
    program: str = installed.find()
    return program

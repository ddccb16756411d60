"""A server that gives the replies of a script, piece by piece, and keeps the requests it got."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

RESET = object()
"""In a script: the connection is reset here."""

END = object()
"""In a script: the connection is ended here, in order."""

GONE = object()
"""In a script: waits until the client has ended the connection, and says so by `Server.gone`."""


@dataclass
class Request:
    line: str
    fields: list[tuple[str, str]]
    body: bytes
    connection: int
    at: float

    @property
    def method(self) -> str:
        return self.line.split()[0]

    @property
    def target(self) -> str:
        return self.line.split()[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


def reply(
    body: Any = b"",
    status: int = 200,
    fields: Iterable[tuple[str, str]] = (),
    media: str = "application/json",
) -> list[Any]:
    """One reply with a length."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    head += [f"Content-Type: {media}"] if media else []
    head += [f"{name}: {value}" for name, value in fields]
    return ["\r\n".join([*head, "", ""]).encode() + body]


def stream(*pieces: Any, fields: Iterable[tuple[str, str]] = (), end: bool = True) -> list[Any]:
    """An event stream, one transfer chunk for each piece of bytes; others are pauses in seconds, or RESET."""
    head = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"]
    head += [f"{name}: {value}" for name, value in fields]
    parts: list[Any] = ["\r\n".join([*head, "", ""]).encode()]
    for piece in pieces:
        if isinstance(piece, bytes):
            parts.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        else:
            parts.append(piece)
    return [*parts, b"0\r\n\r\n"] if end else parts


@dataclass
class Server:
    script: list[list[Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._next = 0
        self._closing = threading.Event()
        self.gone = threading.Event()
        self._begin(self._accept)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def begin_again(self) -> None:
        """The script is given from its beginning, and what came is forgotten."""
        self._next = 0
        self.requests.clear()

    def _begin(self, run: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            self._sockets.append(connection)
            self._begin(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as file:
            while True:
                try:
                    line = file.readline().decode("latin-1").strip()
                    if not line:
                        return
                    fields = []
                    while text := file.readline().decode("latin-1").strip():
                        name, value = text.split(":", 1)
                        fields.append((name, value.strip()))
                    request = Request(line, fields, b"", number, time.monotonic())
                    request.body = file.read(int(request["content-length"] or 0))
                    with self._lock:
                        self.requests.append(request)
                        place = min(self._next, len(self.script) - 1)
                        self._next += 1
                    for part in self.script[place]:
                        if part is RESET:
                            linger = struct.pack("ii", 1, 0)
                            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                            return
                        if part is END:
                            connection.shutdown(socket.SHUT_RDWR)
                            return
                        if part is GONE:
                            with contextlib.suppress(OSError):
                                connection.recv(1)
                            if not self._closing.is_set():
                                self.gone.set()
                            return
                        if isinstance(part, bytes):
                            connection.sendall(part)
                        elif self._closing.wait(part):
                            return
                except OSError:
                    return

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)

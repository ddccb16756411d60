"""Request and reply as programs written for OpenAI's package look at them: the names that httpx has.

These objects only tell; nothing is sent through them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import elkapi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta


class URL(str):
    """An address: a str, and its parts."""

    __slots__ = ()

    def _split(self) -> Any:
        from urllib.parse import urlsplit

        return urlsplit(str(self))

    @property
    def scheme(self) -> str:
        """`"https"` or `"http"`."""
        return str(self._split().scheme)

    @property
    def host(self) -> str:
        """The host without its port."""
        return self._split().hostname or ""

    @property
    def port(self) -> int | None:
        """The port, where the address names one."""
        port: int | None = self._split().port
        return port

    @property
    def netloc(self) -> bytes:
        """Host and port as they stand in the address."""
        return str(self._split().netloc).encode()

    @property
    def path(self) -> str:
        """The path."""
        return str(self._split().path)

    @property
    def query(self) -> bytes:
        """The query without its question mark."""
        return str(self._split().query).encode()


class Request:
    """The request of a call. `headers` has what the caller wrote, and never the key."""

    def __init__(self, method: str, url: str, headers: elkapi.Headers) -> None:
        self.method = method
        self.url = URL(url)
        self.headers = headers

    def __repr__(self) -> str:
        return f"<Request({self.method!r}, {str(self.url)!r})>"


class Response:
    """The reply of a call, read to its end, or the head of a stream's."""

    http_version = "HTTP/1.1"

    def __init__(
        self,
        status_code: int,
        headers: elkapi.Headers | None,
        content: bytes = b"",
        request: Request | None = None,
        *,
        elapsed: float = 0.0,
        stream: Any = None,
    ) -> None:
        self.status_code = status_code
        self.headers = elkapi.Headers() if headers is None else headers
        self.content = content
        self.request = request
        self._elapsed = elapsed
        self._stream = stream

    @property
    def url(self) -> URL | None:
        """Where the request went."""
        return self.request.url if self.request else None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body, read as JSON."""
        import json

        return json.loads(self.content)

    def read(self) -> bytes:
        """The body."""
        return self.content

    async def aread(self) -> bytes:
        """The body."""
        return self.content

    @property
    def elapsed(self) -> timedelta:
        """How long the call took."""
        from datetime import timedelta

        return timedelta(seconds=self._elapsed)

    @property
    def reason_phrase(self) -> str:
        """The usual words for the status."""
        from http import HTTPStatus

        try:
            return HTTPStatus(self.status_code).phrase
        except ValueError:
            return ""

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status_code < 300

    @property
    def is_error(self) -> bool:
        """Whether the status is one of 400 to 599."""
        return 400 <= self.status_code < 600

    @property
    def is_closed(self) -> bool:
        """Whether nothing more comes."""
        return self._stream is None or self._stream.verdict is not None

    def close(self) -> None:
        """Leaves the stream, if it is one."""
        if self._stream is not None:
            self._stream.close()

    async def aclose(self) -> None:
        """Leaves the stream, if it is one."""
        if self._stream is not None:
            await self._stream.close()

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces."""
        size = chunk_size or 64 * 1024
        for begin in range(0, len(self.content), size):
            yield self.content[begin : begin + size]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stream": None}

    def __repr__(self) -> str:
        return f"<Response [{self.status_code} {self.reason_phrase}]>"

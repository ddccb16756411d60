"""Raw responses: the reply's status, header fields and bytes beside the answer that is read from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import elkapi
from elkapi.openai._http import URL, Request, Response
from elkapi.openai._streaming import AsyncStream, Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from datetime import timedelta

    from elkapi.openai._request import Call

_T = TypeVar("_T")


class _Reply(Generic[_T]):
    """What all raw responses tell. `parsed` is the answer, the page or the stream."""

    def __init__(self, parsed: _T, request: Request, then: Callable[[_T], _T] | None = None) -> None:
        self._parsed = parsed
        self._then = then
        self._read: dict[Any, Any] = {}
        self.http_request = request
        if isinstance(parsed, Stream | AsyncStream):
            self.http_response = parsed.response
            native: Any = parsed._native.completion
        else:
            native = getattr(parsed, "_document", parsed)
            self.http_response = Response(
                native.status, native.headers, native.raw, request, elapsed=native.elapsed
            )
        self.retries_taken = max(len(native.attempts) - 1, 0) if native is not None else 0
        self.request_id: str | None = native.request_id if native is not None else None

    @property
    def headers(self) -> elkapi.Headers:
        """Header fields of the reply."""
        return self.http_response.headers

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self.http_response.status_code

    @property
    def url(self) -> URL:
        """Where the request went."""
        return self.http_request.url

    @property
    def method(self) -> str:
        """`"POST"` or `"GET"`."""
        return self.http_request.method

    @property
    def http_version(self) -> str:
        """`"HTTP/1.1"`."""
        return self.http_response.http_version

    @property
    def elapsed(self) -> timedelta:
        """How long the call took."""
        return self.http_response.elapsed

    @property
    def is_closed(self) -> bool:
        """Whether nothing more comes."""
        return self.http_response.is_closed

    def _parse(self, to: Any) -> Any:
        if to is None:
            return self._then(self._parsed) if self._then else self._parsed
        if to not in self._read:
            self._read[to] = self._read_as(to)
        return self._read[to]

    def _read_as(self, to: Any) -> Any:
        if to is str:
            return self.http_response.text
        if to is bytes:
            return self.http_response.content
        if to is dict or to is object:
            return self.http_response.json()
        for name in ("model_validate_json", "validate_json"):
            if hasattr(to, name):
                return getattr(to, name)(self.http_response.content)
        return self._parsed

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code} {self.http_response.reason_phrase}]>"


class LegacyAPIResponse(_Reply[_T]):
    """What `with_raw_response` gives, asynchronously too."""

    def parse(self, *, to: Any = None) -> Any:
        """The answer, always the same object; `to` reads the body as `str`, `bytes`, `dict` or a pydantic
        model instead."""
        return self._parse(to)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.http_response.text

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        return self.http_response.content


class APIResponse(_Reply[_T]):
    """What `with_streaming_response` gives inside its `with` block."""

    def parse(self, *, to: Any = None) -> Any:
        """The answer, always the same object; `to` reads the body as `str`, `bytes`, `dict` or a pydantic
        model instead."""
        return self._parse(to)

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.iter_bytes())

    def text(self) -> str:
        """The whole body as text."""
        return self.read().decode(errors="replace")

    def json(self) -> Any:
        """The whole body, read as JSON."""
        import json

        return json.loads(self.read())

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces: of a stream its events, of a whole answer what has come."""
        if isinstance(self._parsed, Stream):
            return _events_of(self._parsed)
        return self.http_response.iter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """As `iter_bytes`, as text."""
        return (piece.decode(errors="replace") for piece in self.iter_bytes(chunk_size))

    def iter_lines(self) -> Iterator[str]:
        """The body line by line."""
        for piece in self.iter_bytes():
            yield from piece.decode(errors="replace").splitlines()

    def close(self) -> None:
        """Leaves the body."""
        self.http_response.close()


class AsyncAPIResponse(_Reply[_T]):
    """What `with_streaming_response` gives inside its `async with` block."""

    async def parse(self, *, to: Any = None) -> Any:
        """The answer, always the same object; `to` reads the body as `str`, `bytes`, `dict` or a pydantic
        model instead."""
        return self._parse(to)

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.iter_bytes()])

    async def text(self) -> str:
        """The whole body as text."""
        return (await self.read()).decode(errors="replace")

    async def json(self) -> Any:
        """The whole body, read as JSON."""
        import json

        return json.loads(await self.read())

    async def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """The body in pieces: of a stream its events, of a whole answer what has come."""
        if isinstance(self._parsed, AsyncStream):
            async for chunk in self._parsed:
                yield _event(chunk)
            if self._parsed._native.saw_done:
                yield _DONE
        else:
            for piece in self.http_response.iter_bytes(chunk_size):
                yield piece

    async def iter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """As `iter_bytes`, as text."""
        async for piece in self.iter_bytes(chunk_size):
            yield piece.decode(errors="replace")

    async def iter_lines(self) -> AsyncIterator[str]:
        """The body line by line."""
        async for piece in self.iter_bytes():
            for line in piece.decode(errors="replace").splitlines():
                yield line

    async def close(self) -> None:
        """Leaves the body."""
        await self.http_response.aclose()


_DONE = b"data: [DONE]\n\n"


def _event(chunk: Any) -> bytes:
    return b"data: " + bytes(chunk.raw) + b"\n\n"


def _events_of(stream: Stream[Any]) -> Iterator[bytes]:
    for chunk in stream:
        yield _event(chunk)
    if stream._native.saw_done:
        yield _DONE


class ResponseContextManager:
    """Makes the call when its `with` block is entered, and leaves the body at its end."""

    def __init__(self, make: Callable[[], tuple[Any, Call]]) -> None:
        self._make = make
        self._response: APIResponse[Any] | None = None

    def __enter__(self) -> APIResponse[Any]:
        parsed, call = self._make()
        self._response = APIResponse(parsed, call.request)
        return self._response

    def __exit__(self, *exception: object) -> None:
        if self._response is not None:
            self._response.close()


class AsyncResponseContextManager:
    """Makes the call when its `async with` block is entered, and leaves the body at its end."""

    def __init__(self, make: Callable[[], Awaitable[tuple[Any, Call]]]) -> None:
        self._make = make
        self._response: AsyncAPIResponse[Any] | None = None

    async def __aenter__(self) -> AsyncAPIResponse[Any]:
        parsed, call = await self._make()
        self._response = AsyncAPIResponse(parsed, call.request)
        return self._response

    async def __aexit__(self, *exception: object) -> None:
        if self._response is not None:
            await self._response.close()

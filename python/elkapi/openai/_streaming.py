"""Streams under the names of OpenAI's package: `elkapi.Stream`, its errors told in that package's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import elkapi
from elkapi.openai._http import Request, Response
from elkapi.openai._told import told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

_T_co = TypeVar("_T_co", covariant=True)


def _response_of(native: Any, request: Request) -> Response:
    return Response(native.status, native.headers, b"", request, stream=native)


class Stream(Generic[_T_co]):
    """An answer while it is being written: an iterator of chunks, and a context manager that closes it.

    A stream that ends before its answer does raises `elkapi.TruncatedError`. `response` has the reply's
    status and header fields.
    """

    response: Response

    def __init__(self, native: elkapi.Stream, request: Request) -> None:
        self._native = native
        self._request = request
        self.response = _response_of(native, request)
        self._iterator: Iterator[Any] = self._chunks()

    def _chunks(self) -> Iterator[Any]:
        try:
            yield from self._native
        except elkapi.Error as error:
            raise told(error, self._request)  # noqa: B904 - it is the same error

    def __iter__(self) -> Iterator[_T_co]:
        return self._iterator

    def __next__(self) -> _T_co:
        chunk: _T_co = next(self._iterator)
        return chunk

    @property
    def completed(self) -> bool:
        """Whether the answer is whole: it has ended, and not early."""
        return self._native.verdict in ("complete", "length", "filtered", "tool_calls")

    def close(self) -> None:
        """Leaves the stream: its connection is closed at once."""
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncStream(Generic[_T_co]):
    """An answer while it is being written: an asynchronous iterator of chunks, and a context manager that
    closes it.

    A stream that ends before its answer does raises `elkapi.TruncatedError`. `response` has the reply's
    status and header fields.
    """

    response: Response

    def __init__(self, native: elkapi.AsyncStream, request: Request) -> None:
        self._native = native
        self._request = request
        self.response = _response_of(native, request)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T_co:
        try:
            chunk: Any = await self._native.__anext__()
        except elkapi.Error as error:
            raise told(error, self._request)  # noqa: B904 - it is the same error
        return chunk  # type: ignore[no-any-return]

    @property
    def completed(self) -> bool:
        """Whether the answer is whole: it has ended, and not early."""
        return self._native.verdict in ("complete", "length", "filtered", "tool_calls")

    async def close(self) -> None:
        """Leaves the stream: its connection is closed at once."""
        await self._native.close()

    async def aclose(self) -> None:
        """As `close`."""
        await self._native.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

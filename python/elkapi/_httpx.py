"""The transports of `elkapi.httpx2`, for httpx2 and for the older httpx, which look alike."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any, Self

import elkapi
from elkapi._async import IN_A_ROW, ended, pass_on
from elkapi._elkapi import RawReply, RawTransport


def made_for(library: ModuleType) -> tuple[type[Any], type[Any]]:
    """`Transport` and `AsyncTransport` with that library's base classes, requests and exceptions."""

    class Ended(library.RemoteProtocolError, library.ReadError):  # type: ignore[name-defined, misc]
        """The connection ended or broke before the reply was whole."""

    Ended.__name__ = Ended.__qualname__ = "ReadError"

    def theirs(error: elkapi.Error) -> Exception:
        """The library's exception for an error of ours, which becomes its cause."""
        cls = class_of(error)
        if cls is None:
            return error
        exception: Exception = cls(str(error))
        exception.__cause__ = error
        return exception

    def class_of(error: elkapi.Error) -> type[Exception] | None:
        found: type[Exception] | None = None
        if error.kind == "timeout":
            by_limit = {"connect": library.ConnectTimeout, "write": library.WriteTimeout}
            found = by_limit.get(error.limit or "", library.ReadTimeout)
        elif error.kind in ("dns", "tls"):
            found = library.ConnectError
        elif error.kind == "proxy":
            found = library.ProxyError
        elif error.kind == "connection":
            before = {"dns", "connect", "proxy", "tls"}
            found = library.ConnectError if error.phase in before else Ended
            if error.phase == "send":
                found = library.WriteError
        elif error.kind in ("protocol", "reply_too_large"):
            found = library.RemoteProtocolError
        elif error.kind == "invalid_argument":
            found = library.UnsupportedProtocol if "https://" in str(error) else library.LocalProtocolError
        return found

    def taken_apart(request: Any, body: Any) -> tuple[Any, ...]:
        """The request as the arguments of `RawTransport.send`."""
        url = request.url
        limits = request.extensions.get("timeout", {})
        return (
            request.method,
            f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}",
            request.headers.raw,
            body,
            limits.get("connect"),
            limits.get("write"),
            limits.get("read"),
        )

    def response(reply: RawReply, stream: Any) -> Any:
        return library.Response(
            reply.status, headers=reply.fields, stream=stream, extensions={"http_version": b"HTTP/1.1"}
        )

    def in_hand(stream: Any) -> bytes | None:
        """The request's body where it is bytes already."""
        return b"".join(stream) if isinstance(stream, library.ByteStream) else None

    class Body(library.SyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, reply: RawReply) -> None:
            self._reply = reply

        def __iter__(self) -> Iterator[bytes]:
            # Itself an iterator: no Python runs between the connection and the reader.
            return self._reply

        def close(self) -> None:
            self._reply.close()

    class Transport(library.BaseTransport):  # type: ignore[name-defined, misc]
        __doc__ = _DOC.format(library=library.__name__, a="", loops="", client="Client", openai="OpenAI")

        def __init__(self, **options: Any) -> None:
            self._raw = RawTransport(theirs, **options)

        def handle_request(self, request: Any) -> Any:
            """Sends the request; the reply's body is read as the response is."""
            body = in_hand(request.stream)
            reply = self._raw.send(*taken_apart(request, request.stream if body is None else body or None))
            return response(reply, Body(reply))

        def close(self) -> None:
            """Closes connections that lie idle."""
            self._raw.close_idle()

    class AsyncBody(library.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, reply: RawReply) -> None:
            self._reply = reply
            self._in_a_row = 0

        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> bytes:
            if self._in_a_row == IN_A_ROW:
                self._in_a_row = 0
                await pass_on()
            self._in_a_row += 1
            piece = self._reply.now()
            if piece is None:
                self._in_a_row = 0
                piece = await ended(self._reply.begin_read)
            if not piece:
                raise StopAsyncIteration
            return piece

        async def aclose(self) -> None:
            if not self._reply.close_now():
                await ended(self._reply.begin_close)

    class AsyncTransport(library.AsyncBaseTransport):  # type: ignore[name-defined, misc]
        __doc__ = _DOC.format(
            library=library.__name__, a="Async", loops=_LOOPS, client="AsyncClient", openai="AsyncOpenAI"
        )

        def __init__(self, **options: Any) -> None:
            self._raw = RawTransport(theirs, **options)

        async def handle_async_request(self, request: Any) -> Any:
            """Sends the request and waits for the reply's header fields; a body that is iterated over is
            gathered first. A task that is cancelled closes the connection at once.
            """
            body = in_hand(request.stream)
            if body is None:
                body = b"".join([piece async for piece in request.stream])
            reply = await ended(self._raw.begin, *taken_apart(request, body or None))
            return response(reply, AsyncBody(reply))

        async def aclose(self) -> None:
            """Closes connections that lie idle."""
            self._raw.close_idle()

    for public in (Transport, AsyncTransport):
        public.__qualname__ = public.__name__
        public.__module__ = f"elkapi.{library.__name__}"
    return Transport, AsyncTransport


_DOC = """A transport for `{library}.{client}` whose connections are elkapi's.

    Options are those of the network, all of them optional: `ca_file`, `ca_pem`, `client_cert_file`,
    `client_key_file`, `min_tls`, `insecure_skip_verify`, `proxy`, `no_proxy`, `max_idle_connections`,
    `allow_http`, `environment`, as for `elkapi.Client`; and two about `x-should-retry: false`, which a
    refusal gets that must not be repeated: `contract="openai"` judges by what is common to all
    servers, `retry_risky=True` leaves the field away.
{loops}
    Raises the exceptions of {library}, with the `elkapi.Error` as their cause; `ConfigError` for an option
    that cannot be used.

        client = openai.{openai}(http_client={library}.{client}(transport=elkapi.{library}.{a}Transport()))
    """

_LOOPS = """
    It serves asyncio and trio, one event loop after the other or several in threads, over the same
    connections. A task that is cancelled closes its connection at once.
"""

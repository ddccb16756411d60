"""The transports of `elkapi.httpx2`, for httpx2 and for the older httpx, which look alike."""

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any, ClassVar

import elkapi
from elkapi._elkapi import Cancel, RawReply, RawTransport


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

    def sent(raw: RawTransport, request: Any, body: Any, cancel: Cancel | None = None) -> RawReply:
        url = request.url
        limits = request.extensions.get("timeout", {})
        return raw.send(
            request.method,
            f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}",
            request.headers.raw,
            body,
            limits.get("connect"),
            limits.get("write"),
            limits.get("read"),
            cancel,
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
        __doc__ = _DOC.format(library=library.__name__, a="", client="Client", openai="OpenAI")

        def __init__(self, **options: Any) -> None:
            self._raw = RawTransport(theirs, **options)

        def handle_request(self, request: Any) -> Any:
            """Sends the request; the reply's body is read as the response is."""
            body = in_hand(request.stream)
            reply = sent(self._raw, request, request.stream if body is None else body or None)
            return response(reply, Body(reply))

        def close(self) -> None:
            """Closes connections that lie idle."""
            self._raw.close_idle()

    class AsyncBody(library.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __init__(self, reply: RawReply) -> None:
            self._reply = reply

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                piece = self._reply.now()
                if piece is None:
                    piece = await _elsewhere(lambda: next(self._reply, b""), self._reply.abort)
                if not piece:
                    return
                yield piece

        async def aclose(self) -> None:
            await _elsewhere(self._reply.close, self._reply.abort)

    class AsyncTransport(library.AsyncBaseTransport):  # type: ignore[name-defined, misc]
        __doc__ = _DOC.format(library=library.__name__, a="Async", client="AsyncClient", openai="AsyncOpenAI")

        def __init__(self, **options: Any) -> None:
            self._raw = RawTransport(theirs, **options)

        async def handle_async_request(self, request: Any) -> Any:
            """Sends the request on another thread; a task that is cancelled closes the connection."""
            body = in_hand(request.stream)
            if body is None:
                body = b"".join([piece async for piece in request.stream])
            cancel = Cancel()
            reply = await _elsewhere(
                lambda: sent(self._raw, request, body or None, cancel), cancel.cancel, RawReply.abort
            )
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

    Raises the exceptions of {library}, with the `elkapi.Error` as their cause; `ConfigError` for an option
    that cannot be used.

        client = openai.{openai}(http_client={library}.{client}(transport=elkapi.{library}.{a}Transport()))
    """


async def _elsewhere(call: Any, stop: Any, leave: Any = None) -> Any:
    """Runs a call on another thread. Where the task is cancelled, `stop` ends the call, and what
    it still gave is left by `leave`.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    gone = False

    def tell(result: Any, error: BaseException | None) -> None:
        if done.cancelled():
            if result is not None and leave is not None:
                leave(result)
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    def run() -> None:
        result, error = None, None
        try:
            result = call()
        except BaseException as caught:
            error = caught
        try:
            if gone:
                raise RuntimeError
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:
            # The loop is closed, or nobody waits any more.
            if result is not None and leave is not None:
                leave(result)

    _Worker.give(run)
    try:
        return await done
    except asyncio.CancelledError:
        gone = True
        stop()
        raise


class _Worker:
    """A thread that makes one call after another, and ends when there is none for a while."""

    idle: ClassVar[list["_Worker"]] = []
    """The last one that became idle is the next to work."""

    lock = threading.Lock()

    @classmethod
    def give(cls, job: Callable[[], None]) -> None:
        with cls.lock:
            worker = cls.idle.pop() if cls.idle else None
        if worker is None:
            worker = cls()
            threading.Thread(target=worker.run, name="elkapi", daemon=True).start()
        worker.jobs.put(job)

    @classmethod
    def forget(cls) -> None:
        """In a forked child, which has none of its parent's threads."""
        cls.idle, cls.lock = [], threading.Lock()

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=5)
            except queue.Empty:
                with self.lock:
                    if self not in self.idle:
                        # It is about to be given one.
                        continue
                    self.idle.remove(self)
                    return
            job()
            del job
            with self.lock:
                self.idle.append(self)


os.register_at_fork(after_in_child=_Worker.forget)

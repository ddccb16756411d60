"""The asynchronous client: the same calls for asyncio and trio.

Imported when `elkapi.AsyncClient` is first named. Every event loop has a queue of the core, whose
descriptor the loop itself watches; the queue's threads never touch the interpreter.
"""

import inspect
import sys
import warnings
import weakref

from elkapi._elkapi import Client, _Queue

_queues = weakref.WeakKeyDictionary()
#: Chunks, or pieces, that are handed out before the loop's other tasks have a turn.
IN_A_ROW = 64


class _InAsyncio:
    """One call's waiting, for asyncio."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop):
        self._loop = loop
        self._future = None

    def wake(self):
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self):
        if self._future is not None:
            raise RuntimeError("the stream is being read, and only one task at a time may read it")
        self._future = self._loop.create_future()
        try:
            await self._future
        finally:
            self._future = None

    async def pass_on(self):
        self._loop.call_soon(self.wake)
        await self.wait()


class _InTrio:
    """One call's waiting, for trio."""

    __slots__ = ("_event", "_trio")

    def __init__(self, trio):
        self._trio = trio
        self._event = None

    def wake(self):
        if self._event is not None:
            self._event.set()

    async def wait(self):
        if self._event is not None:
            raise RuntimeError("the stream is being read, and only one task at a time may read it")
        self._event = self._trio.Event()
        try:
            await self._event.wait()
        finally:
            self._event = None

    async def pass_on(self):
        await self._trio.lowlevel.checkpoint()


def _here():
    """The queue of the loop that runs here, and what waits for one call in it."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        token = trio.lowlevel.current_trio_token()
        queue = _queues.get(token)
        if queue is None:
            queue = _queues[token] = _Queue()
            trio.lowlevel.spawn_system_task(_drain_in_trio, trio, queue)
        return queue, _InTrio(trio)
    import asyncio

    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        _forget_closed_loops()
        queue = _Queue()
        loop.add_reader(queue.fileno(), queue.drain)
        _queues[loop] = queue
    return queue, _InAsyncio(loop)


def _forget_closed_loops():
    # A call that was under way when its loop was closed holds the loop, and with it the loop's queue.
    for reference in _queues.keyrefs():
        loop = reference()
        # trio closes its queues itself.
        if getattr(loop, "is_closed", bool)():
            queue = _queues.pop(loop, None)
            if queue is not None:
                queue.close()


async def _drain_in_trio(trio, queue):
    try:
        while True:
            await trio.lowlevel.wait_readable(queue.fileno())
            queue.drain()
    finally:
        queue.close()


async def ended(begin, *arguments):
    """What a call comes to that `begin` hands over to the queue of the loop that runs here. A task that is
    cancelled stops it."""
    queue, waiter = _here()
    call = begin(queue, waiter.wake, *arguments)
    try:
        while not call.ended:
            await waiter.wait()
    except BaseException:
        call.stop()
        raise
    return call.result()


async def pass_on():
    """Lets the loop's other tasks have a turn."""
    _, waiter = _here()
    await waiter.pass_on()


def _as(method):
    """The signature of the synchronous client's method."""

    def signed(function):
        function.__signature__ = inspect.signature(method)
        return function

    return signed


class AsyncClient:
    """A client of one gateway with one key, for asyncio and trio: made once, used by any number of tasks.

    It takes the options of `elkapi.Client`, and its methods have the same names and arguments. It holds
    nothing of an event loop, so one client serves several, one after the other or in several threads.
    At most 1,024 calls of a loop are under way at once; the others wait in order, and that counts
    against their limits. A task that is cancelled closes its call's connection at once and raises
    nothing but its cancellation.

    Raises `ConfigError` for an option that cannot be used, `TypeError` for a wrong type or name.

        import asyncio

        async def main():
            async with elkapi.AsyncClient(timeout=120) as client:
                answer = await client.ask("Name three seas.")
                print(answer.text)

        asyncio.run(main())
    """

    __module__ = "elkapi"
    __slots__ = ("__weakref__", "_client")

    def __init__(self, **options):
        self._client = Client(**options)

    @property
    def base_url(self):
        """Where requests go."""
        return self._client.base_url

    @_as(Client.ask)
    async def ask(self, prompt, **arguments):
        """Asks one question and waits for the whole answer; the arguments are those of `Client.ask`.

        Raises a class of `elkapi.Error` for whatever a call can end with.

            answer = await client.ask("Name three seas.", temperature=0.2)
        """
        return await self._whole("ask", prompt, arguments)

    @_as(Client.chat_completions)
    async def chat_completions(self, request=None, **arguments):
        """Sends a chat request and waits for the whole answer; the arguments are those of
        `Client.chat_completions`.

        Raises `InvalidArgumentError` or `TypeError` before anything is sent; otherwise a class of
        `elkapi.Error` for whatever a call can end with.

            answer = await client.chat_completions({"messages": [{"role": "user", "content": "Hello"}]})
        """
        return await self._whole("chat_completions", request, arguments)

    @_as(Client.stream)
    def stream(self, request=None, **arguments):
        """Sends a chat request and gives the answer bit by bit; the arguments are those of
        `Client.stream`. To be awaited, or used with `async with`, which waits for the reply's header
        fields and raises a refusal.

        Raises `InvalidArgumentError` or `TypeError` before anything is sent; otherwise, there or while it
        is read, a class of `elkapi.Error` for whatever a stream can end with.

            async with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
                async for chunk in stream:
                    print(chunk.text, end="", flush=True)
        """
        return _Opening(self._client, request, arguments)

    @_as(Client.models)
    async def models(self, **arguments):
        """The models list: a document whose `data` has one entry per model.

        Raises a class of `elkapi.Error` for whatever a call can end with.

            for model in (await client.models()).data:
                print(model.id)
        """
        return await self._whole("models", None, arguments)

    @_as(Client.with_options)
    def with_options(self, **arguments):
        """A client with other limits, retries or header fields over the same connections.

        patient = client.with_options(timeout=None)
        """
        return _of(self._client.with_options(**arguments))

    async def close(self):
        """Closes the client; a call on it then raises `ClosedError`. Closing twice does nothing.

        Clients made from it by `with_options`, and calls that are under way, go on.
        """
        self._client.close()

    def _whole(self, function, subject, arguments):
        return ended(self._client._begin, function, subject, arguments)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        await self.close()

    def __repr__(self):
        return f"AsyncClient(base_url={self.base_url!r})"

    def __reduce__(self):
        return _of, (self._client,)


def _of(client):
    made = AsyncClient.__new__(AsyncClient)
    made._client = client
    return made


class _Opening:
    """A stream that is to be opened: by `await`, or by `async with`, which also closes it."""

    __slots__ = ("_arguments", "_client", "_request", "_stream")

    def __init__(self, client, request, arguments):
        self._client = client
        self._request = request
        self._arguments = arguments
        self._stream = None

    def __await__(self):
        return self._open().__await__()

    async def _open(self):
        queue, waiter = _here()
        call = self._client._begin(queue, waiter.wake, "stream", self._request, self._arguments)
        try:
            while not (call.opened or call.ended):
                await waiter.wait()
        except BaseException:
            call.stop()
            raise
        if not call.opened:
            call.finish()
        return AsyncStream(call, waiter)

    async def __aenter__(self):
        self._stream = await self._open()
        return self._stream

    async def __aexit__(self, *exception):
        await self._stream.close()


class AsyncStream:
    """An answer while it is being written: an asynchronous iterator of chunks, one for every event of the
    reply, and a context manager that closes it.

    Whatever it ends with except a whole answer is raised by the iteration; `error.completion` keeps what
    was handed out, and of a stream that failed all that arrived. One task at a time may read it. While
    nobody reads, it is not read from the network either, beyond some chunks. A stream that was neither
    read to its end nor closed is closed when it is dropped, with a `ResourceWarning`.

        async with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
            async for text in stream.text_stream:
                print(text, end="", flush=True)
        print(stream.verdict, stream.completion.usage)
    """

    __module__ = "elkapi"
    __slots__ = ("__weakref__", "_call", "_handed_out", "_waiter")

    def __init__(self, call, waiter):
        self._call = call
        self._waiter = waiter
        self._handed_out = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        call = self._call
        try:
            while call.verdict is None:
                chunk = call.chunk()
                if chunk is not None:
                    self._handed_out += 1
                    if self._handed_out % IN_A_ROW == 0:
                        await self._waiter.pass_on()
                    return chunk
                if call.ended:
                    call.finish()
                    break
                await self._waiter.wait()
        except RuntimeError:
            raise
        except BaseException:
            # Cancelled: the connection is closed at once. After its end this does nothing.
            call.stop()
            raise
        call.finish()
        raise StopAsyncIteration

    @property
    def text_stream(self):
        """The text alone: an asynchronous iterator of str, the empty ones left out. It reads the same
        stream."""
        return _texts(self)

    async def finish(self):
        """Reads to the end and gives the whole answer; a stream that is at its end already is not read.

        Raises what the iteration raises.

            async with client.stream({"messages": [{"role": "user", "content": "Hello"}]}) as stream:
                print((await stream.finish()).text)
        """
        async for _ in self:
            pass
        return self.completion

    @property
    def completion(self):
        """What has been handed out so far, as a whole answer would be; it never reads on. The same object
        until more is; while the stream runs, its verdict is `truncated`."""
        return self._call.completion()

    @property
    def verdict(self):
        """How the stream ended: `complete`, `length`, `filtered`, `tool_calls`, `truncated`, `stalled`,
        `cancelled` (also where it was left early) or `failed`. None until then."""
        return self._call.verdict

    @property
    def saw_done(self):
        """Whether the closing `[DONE]` has come; an answer can be whole without it."""
        return self._call.saw_done

    @property
    def status(self):
        """HTTP status."""
        return self._call.status

    @property
    def headers(self):
        """Header fields of the reply; names compare without regard to case."""
        return self._call.headers

    @property
    def request_id(self):
        """The gateway's id of the request; quote it to the operator."""
        return self._call.request_id

    async def close(self):
        """Leaves the stream: its connection is closed at once, the iteration ends, what was handed out
        stays readable. After the end it does nothing."""
        if self._call.verdict is None:
            self._call.stop()
            # Nothing more comes of the call that would wake a task that reads.
            self._waiter.wake()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        await self.close()

    def __repr__(self):
        return f"<elkapi.AsyncStream, {self.verdict or 'open'}>"

    def __reduce__(self):
        raise TypeError("a stream cannot be pickled or copied; its completion can")

    def __del__(self):
        call = getattr(self, "_call", None)
        if call is not None and call.verdict is None:
            call.stop()
            words = "a stream was dropped before its end; read it, or use it in an async with block"
            warnings.warn(words, ResourceWarning, stacklevel=1, source=self)


async def _texts(stream):
    async for chunk in stream:
        if chunk.text:
            yield chunk.text

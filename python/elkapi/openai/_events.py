"""`chat.completions.stream`: a stream's chunks told as events, and the answer that they come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import elkapi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from typing import Self

    from elkapi.openai._http import Response
    from elkapi.openai._parsing import Reader
    from elkapi.openai._streaming import AsyncStream, Stream


@dataclass
class ChunkEvent:
    """A chunk came. `snapshot`: the answer as it is when this is looked at."""

    chunk: elkapi.Chunk
    _native: Any = field(repr=False)
    type: Literal["chunk"] = "chunk"

    @property
    def snapshot(self) -> elkapi.Completion:
        """What has arrived, as a whole answer would be."""
        completion: elkapi.Completion = self._native.completion
        return completion


@dataclass
class ContentDeltaEvent:
    """Text came: `delta`, and `snapshot`, all of the choice's. `parsed` is None until the text is whole."""

    delta: str
    snapshot: str
    parsed: Any = None
    type: Literal["content.delta"] = "content.delta"


@dataclass
class ContentDoneEvent:
    """The choice's text is whole; `parsed` is what the model makes of it."""

    content: str
    parsed: Any = None
    type: Literal["content.done"] = "content.done"


@dataclass
class RefusalDeltaEvent:
    """A piece of a refusal came."""

    delta: str
    snapshot: str
    type: Literal["refusal.delta"] = "refusal.delta"


@dataclass
class RefusalDoneEvent:
    """The refusal is whole."""

    refusal: str
    type: Literal["refusal.done"] = "refusal.done"


@dataclass
class FunctionToolCallArgumentsDeltaEvent:
    """Arguments of a tool call came: `arguments_delta`, and `arguments`, all of them until now."""

    name: str
    index: int
    arguments: str
    arguments_delta: str
    parsed_arguments: Any = None
    type: Literal["tool_calls.function.arguments.delta"] = "tool_calls.function.arguments.delta"


@dataclass
class FunctionToolCallArgumentsDoneEvent:
    """The arguments of a tool call are whole."""

    name: str
    index: int
    arguments: str
    parsed_arguments: Any = None
    type: Literal["tool_calls.function.arguments.done"] = "tool_calls.function.arguments.done"


@dataclass
class LogprobsContentDeltaEvent:
    """Log probabilities of the text came."""

    content: list[Any]
    snapshot: list[Any]
    type: Literal["logprobs.content.delta"] = "logprobs.content.delta"


@dataclass
class LogprobsContentDoneEvent:
    """The log probabilities of the text are whole."""

    content: list[Any]
    type: Literal["logprobs.content.done"] = "logprobs.content.done"


@dataclass
class LogprobsRefusalDeltaEvent:
    """Log probabilities of a refusal came."""

    refusal: list[Any]
    snapshot: list[Any]
    type: Literal["logprobs.refusal.delta"] = "logprobs.refusal.delta"


@dataclass
class LogprobsRefusalDoneEvent:
    """The log probabilities of a refusal are whole."""

    refusal: list[Any]
    type: Literal["logprobs.refusal.done"] = "logprobs.refusal.done"


ChatCompletionStreamEvent: TypeAlias = (
    ChunkEvent
    | ContentDeltaEvent
    | ContentDoneEvent
    | RefusalDeltaEvent
    | RefusalDoneEvent
    | FunctionToolCallArgumentsDeltaEvent
    | FunctionToolCallArgumentsDoneEvent
    | LogprobsContentDeltaEvent
    | LogprobsContentDoneEvent
    | LogprobsRefusalDeltaEvent
    | LogprobsRefusalDoneEvent
)


@dataclass
class _Call:
    """A tool call as far as it has come."""

    id: str | None = None
    name: str = ""
    arguments: str = ""
    done: bool = False


class _Choice:
    """A choice as far as it has come."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._texts: dict[str, str] = {}
        self._logprobs: dict[str, list[Any]] = {}
        self._calls: dict[int, _Call] = {}
        self._current: int | None = None
        self._told: set[str] = set()

    def events(self, choice: elkapi.ChunkChoice) -> Iterator[Any]:
        """What its piece of a chunk brings."""
        delta = choice.delta
        for name, tell in (("content", ContentDeltaEvent), ("refusal", RefusalDeltaEvent)):
            piece = getattr(delta, name)
            if isinstance(piece, str):
                self._texts[name] = self._texts.get(name, "") + piece
                yield tell(delta=piece, snapshot=self._texts[name])
        places = [self._place(call) for call in delta.tool_calls or []]
        for place, call in zip(places, delta.tool_calls or [], strict=True):
            held, piece = self._calls[place], (call.arguments or "")
            held.id, held.name = held.id or call.id, held.name or call.name or ""
            held.arguments += piece
            yield FunctionToolCallArgumentsDeltaEvent(held.name, place, held.arguments, piece)
        yield from self._logprobs_of(choice)
        if choice.finish_reason:
            yield from self._content_done()
            if self._current is not None:
                yield from self._call_done(self._current)
        for place in places:
            if place != self._current:
                yield from self._content_done()
                if self._current is not None:
                    yield from self._call_done(self._current)
                self._current = place
        if choice.finish_reason and self._current is not None:
            yield from self._call_done(self._current)

    def _place(self, call: elkapi.ToolCall) -> int:
        """The place of a call. Some servers give no index, or the same one to all calls."""
        place = call.index
        if place is None:
            place = max(self._calls, default=0)
        held = self._calls.setdefault(place, _Call(call.id))
        if call.id and held.id and call.id != held.id:
            known = [other for other, it in self._calls.items() if it.id == call.id]
            place = known[0] if known else max(self._calls) + 1
            self._calls.setdefault(place, _Call(call.id))
        return place

    def _logprobs_of(self, choice: elkapi.ChunkChoice) -> Iterator[Any]:
        for name, tell in (("content", LogprobsContentDeltaEvent), ("refusal", LogprobsRefusalDeltaEvent)):
            pieces = choice.logprobs.get(name) if choice.logprobs is not None else None
            if pieces:
                self._logprobs.setdefault(name, []).extend(pieces)
                yield tell(pieces, list(self._logprobs[name]))

    def _content_done(self) -> Iterator[Any]:
        if "done" in self._told:
            return
        text, refusal = self._texts.get("content"), self._texts.get("refusal")
        if text or refusal is not None or self._logprobs:
            self._told.add("done")
        if text:
            yield ContentDoneEvent(text, self._reader.content(text, refusal))
        if refusal is not None:
            yield RefusalDoneEvent(refusal)
        if "content" in self._logprobs:
            yield LogprobsContentDoneEvent(self._logprobs["content"])
        if "refusal" in self._logprobs:
            yield LogprobsRefusalDoneEvent(self._logprobs["refusal"])

    def _call_done(self, place: int) -> Iterator[Any]:
        call = self._calls[place]
        if not call.done:
            call.done = True
            read = self._reader.arguments(call.name, call.arguments)
            yield FunctionToolCallArgumentsDoneEvent(call.name, place, call.arguments, read)


class _Events:
    """The events of one stream."""

    def __init__(self, native: Any, reader: Reader) -> None:
        self._native = native
        self._reader = reader
        self._choices: dict[int, _Choice] = {}

    def of(self, chunk: elkapi.Chunk) -> Iterator[Any]:
        """Those of a chunk."""
        if chunk.object not in ("chat.completion.chunk", "chat.completion", None):
            # Some servers send events of their own between.
            return
        yield ChunkEvent(chunk, self._native)
        for place, choice in enumerate(chunk.choices):
            index = place if choice.index is None else choice.index
            if choice.finish_reason and self._reader.reads:
                self._reader.check_end(choice.finish_reason, self._native.completion)
            state = self._choices.setdefault(index, _Choice(self._reader))
            yield from state.events(choice)


class ChatCompletionStream:
    """The events of a stream, as an iterator, and the answer in the end."""

    def __init__(self, stream: Stream[elkapi.Chunk], reader: Reader) -> None:
        self._stream = stream
        self._reader = reader
        self._iterator = self._events()

    def _events(self) -> Iterator[ChatCompletionStreamEvent]:
        events = _Events(self._stream._native, self._reader)
        for chunk in self._stream:
            yield from events.of(chunk)

    def __iter__(self) -> Iterator[ChatCompletionStreamEvent]:
        return self._iterator

    def __next__(self) -> ChatCompletionStreamEvent:
        return next(self._iterator)

    @property
    def response(self) -> Response:
        """The reply's status and header fields."""
        return self._stream.response

    @property
    def current_completion_snapshot(self) -> elkapi.Completion:
        """What has arrived, as a whole answer would be."""
        return self._stream._native.completion

    def until_done(self) -> Self:
        """Reads to the end."""
        for _ in self._iterator:
            pass
        return self

    def get_final_completion(self) -> elkapi.Completion:
        """Reads to the end and gives the whole answer; its messages have `parsed`."""
        self.until_done()
        return self._reader.read(self._stream._native.completion)

    def close(self) -> None:
        """Leaves the stream: its connection is closed at once."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class ChatCompletionStreamManager:
    """Opens the stream when its `with` block is entered, and closes it at its end."""

    def __init__(self, make: Callable[[], Stream[elkapi.Chunk]], reader: Reader) -> None:
        self._make = make
        self._reader = reader
        self._stream: ChatCompletionStream | None = None

    def __enter__(self) -> ChatCompletionStream:
        self._stream = ChatCompletionStream(self._make(), self._reader)
        return self._stream

    def __exit__(self, *exception: object) -> None:
        if self._stream is not None:
            self._stream.close()


class AsyncChatCompletionStream:
    """The events of a stream, as an asynchronous iterator, and the answer in the end."""

    def __init__(self, stream: AsyncStream[elkapi.Chunk], reader: Reader) -> None:
        self._stream = stream
        self._reader = reader
        self._iterator = self._events()

    async def _events(self) -> AsyncIterator[ChatCompletionStreamEvent]:
        events = _Events(self._stream._native, self._reader)
        async for chunk in self._stream:
            for event in events.of(chunk):
                yield event

    def __aiter__(self) -> AsyncIterator[ChatCompletionStreamEvent]:
        return self._iterator

    async def __anext__(self) -> ChatCompletionStreamEvent:
        return await self._iterator.__anext__()

    @property
    def response(self) -> Response:
        """The reply's status and header fields."""
        return self._stream.response

    @property
    def current_completion_snapshot(self) -> elkapi.Completion:
        """What has arrived, as a whole answer would be."""
        return self._stream._native.completion

    async def until_done(self) -> Self:
        """Reads to the end."""
        async for _ in self._iterator:
            pass
        return self

    async def get_final_completion(self) -> elkapi.Completion:
        """Reads to the end and gives the whole answer; its messages have `parsed`."""
        await self.until_done()
        return self._reader.read(self._stream._native.completion)

    async def close(self) -> None:
        """Leaves the stream: its connection is closed at once."""
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class AsyncChatCompletionStreamManager:
    """Opens the stream when its `async with` block is entered, and closes it at its end."""

    def __init__(self, make: Callable[[], Awaitable[AsyncStream[elkapi.Chunk]]], reader: Reader) -> None:
        self._make = make
        self._reader = reader
        self._stream: AsyncChatCompletionStream | None = None

    async def __aenter__(self) -> AsyncChatCompletionStream:
        self._stream = AsyncChatCompletionStream(await self._make(), self._reader)
        return self._stream

    async def __aexit__(self, *exception: object) -> None:
        if self._stream is not None:
            await self._stream.close()

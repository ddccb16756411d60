"""`client.chat.completions`: calls with the arguments of OpenAI's package, made by `elkapi.Client`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import elkapi
from elkapi.openai._raw import AsyncResponseContextManager, LegacyAPIResponse, ResponseContextManager
from elkapi.openai._request import BODY, EXTRAS, body_of, check_names
from elkapi.openai._streaming import AsyncStream, Stream
from elkapi.openai._told import told
from elkapi.openai._types import omit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal, Unpack

    from elkapi.openai._client import AsyncOpenAI, OpenAI
    from elkapi.openai._events import AsyncChatCompletionStreamManager, ChatCompletionStreamManager
    from elkapi.openai._params import Absent, Creates, Message, Parameters
    from elkapi.openai._parsing import Reader
    from elkapi.openai._request import Call

__all__ = ["AsyncCompletions", "Completions"]

_CREATES = BODY | EXTRAS
_READS = _CREATES - {"stream", "response_format", "tools"}


def _creates(function: str, messages: Any, model: Any, options: Any) -> dict[str, Any]:
    check_names(function, options, _CREATES)
    if isinstance(options.get("response_format"), type):
        raise TypeError(
            f"You tried to pass a class as `response_format` to `{function}()`; "
            "`chat.completions.parse()` takes it"
        )
    return body_of(messages, model, options)


def _reads(
    function: str, messages: Any, model: Any, response_format: Any, tools: Any, options: Any
) -> tuple[Reader, dict[str, Any]]:
    """What is to be read by models, and the request that asks for it."""
    from elkapi.openai._parsing import Reader

    check_names(function, options, _READS)
    reader = Reader(response_format, tools)
    return reader, body_of(messages, model, {**reader.members(), **options})


def _raw(parsed: Any, call: Call) -> LegacyAPIResponse[Any]:
    return LegacyAPIResponse(parsed, call.request)


class Completions:
    """`client.chat.completions`."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    @overload
    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        stream: Literal[False] | Absent | None = None,
        **options: Unpack[Creates],
    ) -> elkapi.Completion: ...
    @overload
    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        stream: Literal[True],
        **options: Unpack[Creates],
    ) -> Stream[elkapi.Chunk]: ...
    @overload
    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        stream: bool,
        **options: Unpack[Creates],
    ) -> elkapi.Completion | Stream[elkapi.Chunk]: ...
    def create(self, *, messages: Any, model: Any, **options: Any) -> Any:
        """Sends a chat request and gives the answer, or with `stream=True` its chunks.

        The arguments are members of the request; None is sent as null, `omit` is left out. Others go
        through `extra_body`, which is merged over them, `extra_headers` and `extra_query`. `timeout` in
        seconds is that of connecting, of each write and of each read; None means no limit.

        Raises `TypeError` for an argument that there is not, a class of `elkapi.APIError` for whatever a
        call can end with.

            answer = client.chat.completions.create(
                model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
            )
            print(answer.choices[0].message.content)
        """
        return self._create(messages, model, options)[0]

    def parse(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        response_format: Any = omit,
        tools: Any = omit,
        **options: Unpack[Parameters],
    ) -> elkapi.Completion:
        """Sends a chat request and reads the answer: by a pydantic model, or by a TypeAdapter, as
        `response_format`, tool calls by the models of `pydantic_function_tool`.

        The answer's messages have `parsed`, their tool calls `function.parsed_arguments`; for type checkers
        `answer.parse(Model)` gives the same.

        Raises `LengthFinishReasonError` and `ContentFilterFinishReasonError` for an answer that is a part,
        `ValueError` for a tool that is not strict, and what `create` and the model raise.
        """
        reader, body = _reads("Completions.parse", messages, model, response_format, tools, options)
        reader.check_tools()
        return reader.read(self._send(body, options)[0])

    def stream(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        response_format: Any = omit,
        tools: Any = omit,
        **options: Unpack[Parameters],
    ) -> ChatCompletionStreamManager:
        """A stream as events, for a `with` block: `chunk`, `content.delta`, `content.done`, …;
        `get_final_completion()` gives the whole answer, read as `parse` reads it.

            with client.chat.completions.stream(
                model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
            ) as stream:
                for event in stream:
                    if event.type == "content.delta":
                        print(event.delta, end="", flush=True)
        """
        from elkapi.openai._events import ChatCompletionStreamManager

        reader, body = _reads("Completions.stream", messages, model, response_format, tools, options)
        body["stream"] = True
        return ChatCompletionStreamManager(lambda: self._send(body, options)[0], reader)

    def _create(self, messages: Any, model: Any, options: Any) -> tuple[Any, Call]:
        return self._send(_creates("Completions.create", messages, model, options), options)

    def _send(self, body: dict[str, Any], options: Any) -> tuple[Any, Call]:
        call = self._client._call("POST", "/chat/completions", options)
        native = self._client._native
        try:
            if body.get("stream"):
                parsed: Any = Stream(native.stream(body, **call.arguments), call.request)
            else:
                parsed = native.chat_completions(body, **call.arguments)
        except elkapi.Error as error:
            raise told(error, call.request)  # noqa: B904 - it is the same error
        return parsed, call

    @cached_property
    def with_raw_response(self) -> CompletionsWithRawResponse:
        """The same calls, which give status and header fields too."""
        return CompletionsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> CompletionsWithStreamingResponse:
        """The same calls as context managers, which give the body piece by piece."""
        return CompletionsWithStreamingResponse(self)


class CompletionsWithRawResponse:
    """`client.chat.completions.with_raw_response`."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions

    def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        **options: Any,
    ) -> LegacyAPIResponse[Any]:
        """As `client.chat.completions.create`; `parse()` gives the answer, or the stream."""
        return _raw(*self._completions._create(messages, model, options))

    def parse(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        response_format: Any = omit,
        tools: Any = omit,
        **options: Any,
    ) -> LegacyAPIResponse[elkapi.Completion]:
        """As `client.chat.completions.parse`; the answer is read by `parse()`."""
        reader, body = _reads("Completions.parse", messages, model, response_format, tools, options)
        reader.check_tools()
        parsed, call = self._completions._send(body, options)
        return LegacyAPIResponse(parsed, call.request, reader.read)


class CompletionsWithStreamingResponse:
    """`client.chat.completions.with_streaming_response`."""

    def __init__(self, completions: Completions) -> None:
        self._completions = completions

    def create(self, *, messages: Iterable[Message], model: str, **options: Any) -> ResponseContextManager:
        """As `client.chat.completions.create`, when the `with` block is entered."""
        return ResponseContextManager(lambda: self._completions._create(messages, model, options))


class AsyncCompletions:
    """`client.chat.completions`, asynchronously."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        stream: Literal[False] | Absent | None = None,
        **options: Unpack[Creates],
    ) -> elkapi.Completion: ...
    @overload
    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        stream: Literal[True],
        **options: Unpack[Creates],
    ) -> AsyncStream[elkapi.Chunk]: ...
    @overload
    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        stream: bool,
        **options: Unpack[Creates],
    ) -> elkapi.Completion | AsyncStream[elkapi.Chunk]: ...
    async def create(self, *, messages: Any, model: Any, **options: Any) -> Any:
        """Sends a chat request and gives the answer, or with `stream=True` its chunks; the arguments are
        those of `Completions.create`.

        Raises `TypeError` for an argument that there is not, a class of `elkapi.APIError` for whatever a
        call can end with.

            answer = await client.chat.completions.create(
                model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
            )
            print(answer.choices[0].message.content)
        """
        return (await self._create(messages, model, options))[0]

    async def parse(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        response_format: Any = omit,
        tools: Any = omit,
        **options: Unpack[Parameters],
    ) -> elkapi.Completion:
        """Sends a chat request and reads the answer, as `Completions.parse` does."""
        reader, body = _reads("AsyncCompletions.parse", messages, model, response_format, tools, options)
        reader.check_tools()
        return reader.read((await self._send(body, options))[0])

    def stream(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        response_format: Any = omit,
        tools: Any = omit,
        **options: Unpack[Parameters],
    ) -> AsyncChatCompletionStreamManager:
        """A stream as events, for an `async with` block, as `Completions.stream`.

        async with client.chat.completions.stream(
            model="gemini-3.1-pro-preview", messages=[{"role": "user", "content": "Name three seas."}]
        ) as stream:
            async for event in stream:
                if event.type == "content.delta":
                    print(event.delta, end="", flush=True)
        """
        from elkapi.openai._events import AsyncChatCompletionStreamManager

        reader, body = _reads("AsyncCompletions.stream", messages, model, response_format, tools, options)
        body["stream"] = True

        async def make() -> AsyncStream[elkapi.Chunk]:
            stream: AsyncStream[elkapi.Chunk] = (await self._send(body, options))[0]
            return stream

        return AsyncChatCompletionStreamManager(make, reader)

    async def _create(self, messages: Any, model: Any, options: Any) -> tuple[Any, Call]:
        return await self._send(_creates("AsyncCompletions.create", messages, model, options), options)

    async def _send(self, body: dict[str, Any], options: Any) -> tuple[Any, Call]:
        call = await self._client._call("POST", "/chat/completions", options)
        native = self._client._native
        try:
            if body.get("stream"):
                parsed: Any = AsyncStream(await native.stream(body, **call.arguments), call.request)
            else:
                parsed = await native.chat_completions(body, **call.arguments)
        except elkapi.Error as error:
            raise told(error, call.request)  # noqa: B904 - it is the same error
        return parsed, call

    @cached_property
    def with_raw_response(self) -> AsyncCompletionsWithRawResponse:
        """The same calls, which give status and header fields too."""
        return AsyncCompletionsWithRawResponse(self)

    @cached_property
    def with_streaming_response(self) -> AsyncCompletionsWithStreamingResponse:
        """The same calls as context managers, which give the body piece by piece."""
        return AsyncCompletionsWithStreamingResponse(self)


class AsyncCompletionsWithRawResponse:
    """`client.chat.completions.with_raw_response`, asynchronously."""

    def __init__(self, completions: AsyncCompletions) -> None:
        self._completions = completions

    async def create(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        **options: Any,
    ) -> LegacyAPIResponse[Any]:
        """As `client.chat.completions.create`; `parse()`, which is no coroutine, gives the answer, or the
        stream."""
        return _raw(*await self._completions._create(messages, model, options))

    async def parse(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        response_format: Any = omit,
        tools: Any = omit,
        **options: Any,
    ) -> LegacyAPIResponse[elkapi.Completion]:
        """As `client.chat.completions.parse`; the answer is read by `parse()`."""
        reader, body = _reads("AsyncCompletions.parse", messages, model, response_format, tools, options)
        reader.check_tools()
        parsed, call = await self._completions._send(body, options)
        return LegacyAPIResponse(parsed, call.request, reader.read)


class AsyncCompletionsWithStreamingResponse:
    """`client.chat.completions.with_streaming_response`, asynchronously."""

    def __init__(self, completions: AsyncCompletions) -> None:
        self._completions = completions

    def create(
        self, *, messages: Iterable[Message], model: str, **options: Any
    ) -> AsyncResponseContextManager:
        """As `client.chat.completions.create`, when the `async with` block is entered."""
        return AsyncResponseContextManager(lambda: self._completions._create(messages, model, options))

"""Traces: an OpenTelemetry span for every chat call, if the program wants them.

    import elkapi.telemetry
    from opentelemetry import trace

    traced = elkapi.telemetry.traced(client, trace.get_tracer("my-program"))
    traced.ask("Name three seas.")

A span covers the whole call with its repetitions, a stream's until the stream ends. Its parent is the
span that is current, and its identity goes to the server as the header field `traceparent`. Names
are those of OpenTelemetry's conventions for generative AI. No text of a request or an answer is in
it. The tracer is used by its methods; this package depends on no telemetry library.
"""

import json
import time
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, overload
from urllib.parse import urlsplit

from elkapi import Chunk, Client, Completion, Document, Headers, Stream

if TYPE_CHECKING:
    from elkapi import AsyncClient, AsyncStream

__all__ = [
    "TracedAsyncClient",
    "TracedAsyncStream",
    "TracedClient",
    "TracedStream",
    "Tracer",
    "traced",
]


_AnyStream = TypeVar("_AnyStream", bound="Stream | AsyncStream")


class Tracer(Protocol):
    """What is needed of a tracer."""

    def start_span(self, name: str, *, kind: Any = ..., attributes: Any = ...) -> Any:
        """A new span whose parent is the current one."""


#: Request members, by the attributes that hold them.
_ASKED = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
}


@overload
def traced(client: Client, tracer: Tracer) -> "TracedClient":
    """The client with a span for each of its chat calls; it shares the client's connections.

    traced = elkapi.telemetry.traced(elkapi.Client(), trace.get_tracer("my-program"))
    """


@overload
def traced(client: "AsyncClient", tracer: Tracer) -> "TracedAsyncClient": ...


def traced(client: "Client | AsyncClient", tracer: Tracer) -> "TracedClient | TracedAsyncClient":
    """The client with a span for each of its chat calls; it shares the client's connections.

    traced = elkapi.telemetry.traced(elkapi.Client(), trace.get_tracer("my-program"))
    """
    if isinstance(client, Client):
        return TracedClient(client, tracer)
    return TracedAsyncClient(client, tracer)


class TracedClient:
    """A client whose chat calls are spans; otherwise it does what `elkapi.Client` does."""

    def __init__(self, client: Client, tracer: Tracer) -> None:
        """Use `traced`."""
        self._client = client
        self._tracer = tracer

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._client.base_url

    def ask(self, prompt: str, **arguments: Any) -> Completion:
        """As `Client.ask`, in a span."""
        span = _Span(self, arguments, False, arguments)
        return span.around(lambda: self._client.ask(prompt, **span.arguments))

    def chat_completions(self, request: dict[str, Any] | str | bytes, **arguments: Any) -> Completion:
        """As `Client.chat_completions`, in a span."""
        span = _Span(self, request, False, arguments)
        return span.around(lambda: self._client.chat_completions(request, **span.arguments))

    def stream(self, request: dict[str, Any] | str | bytes, **arguments: Any) -> "TracedStream":
        """As `Client.stream`, in a span that ends with the stream."""
        span = _Span(self, request, True, arguments)
        return TracedStream(span.opening(lambda: self._client.stream(request, **span.arguments)), span)

    def models(self, **arguments: Any) -> Document:
        """As `Client.models`, without a span."""
        return self._client.models(**arguments)

    def with_options(self, **arguments: Any) -> "TracedClient":
        """As `Client.with_options`, traced too."""
        return TracedClient(self._client.with_options(**arguments), self._tracer)

    def close(self) -> None:
        """Closes the client."""
        self._client.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the client."""
        self.close()

    def __repr__(self) -> str:
        """The client that is traced."""
        return f"traced({self._client!r})"


class _Spanned(Generic[_AnyStream]):
    """What the streams of both clients have in common."""

    def __init__(self, stream: _AnyStream, span: "_Span") -> None:
        """Comes from the traced client's `stream`."""
        self._stream = stream
        self._span = span

    @property
    def completion(self) -> Completion:
        """What has been handed out so far."""
        return self._stream.completion

    @property
    def verdict(self) -> str | None:
        """How the stream ended; None until then."""
        return self._stream.verdict

    @property
    def saw_done(self) -> bool:
        """Whether the closing `[DONE]` has come."""
        return self._stream.saw_done

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._stream.status

    @property
    def headers(self) -> Headers:
        """Header fields of the reply."""
        return self._stream.headers

    @property
    def request_id(self) -> str | None:
        """The gateway's id of the request."""
        return self._stream.request_id

    def __del__(self) -> None:
        """Ends the span of a stream that was dropped; the stream itself warns of that."""
        self._span.end()


class TracedStream(_Spanned[Stream]):
    """A stream whose span ends with it; otherwise it does what `elkapi.Stream` does."""

    def __iter__(self) -> Self:
        """The stream itself."""
        return self

    def __next__(self) -> Chunk:
        """The next chunk."""
        try:
            chunk = next(self._stream)
        except StopIteration:
            self._span.answered(self._stream.completion)
            raise
        except BaseException as error:
            self._span.failed(error)
            raise
        self._span.advanced()
        return chunk

    @property
    def text_stream(self) -> Iterator[str]:
        """The text alone, the empty ones left out."""
        return (chunk.text for chunk in self if chunk.text)

    def finish(self) -> Completion:
        """Reads to the end and gives the whole answer."""
        for _ in self:
            pass
        return self._stream.completion

    def close(self) -> None:
        """Leaves the stream, and ends its span."""
        self._stream.close()
        self._span.answered(self._stream.completion)

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Leaves the stream, and ends its span."""
        self.close()


class TracedAsyncClient:
    """A client whose chat calls are spans; otherwise it does what `elkapi.AsyncClient` does."""

    def __init__(self, client: "AsyncClient", tracer: Tracer) -> None:
        """Use `traced`."""
        self._client = client
        self._tracer = tracer

    @property
    def base_url(self) -> str:
        """Where requests go."""
        return self._client.base_url

    async def ask(self, prompt: str, **arguments: Any) -> Completion:
        """As `AsyncClient.ask`, in a span."""
        span = _Span(self, arguments, False, arguments)
        answer: Completion = await span.awaiting(lambda: self._client.ask(prompt, **span.arguments))
        span.answered(answer)
        return answer

    async def chat_completions(self, request: dict[str, Any] | str | bytes, **arguments: Any) -> Completion:
        """As `AsyncClient.chat_completions`, in a span."""
        span = _Span(self, request, False, arguments)
        call = lambda: self._client.chat_completions(request, **span.arguments)  # noqa: E731
        answer: Completion = await span.awaiting(call)
        span.answered(answer)
        return answer

    def stream(self, request: dict[str, Any] | str | bytes, **arguments: Any) -> "_TracedOpening":
        """As `AsyncClient.stream`, in a span that begins when it is opened and ends with the stream."""
        return _TracedOpening(self, request, arguments)

    async def models(self, **arguments: Any) -> Document:
        """As `AsyncClient.models`, without a span."""
        return await self._client.models(**arguments)

    def with_options(self, **arguments: Any) -> "TracedAsyncClient":
        """As `AsyncClient.with_options`, traced too."""
        return TracedAsyncClient(self._client.with_options(**arguments), self._tracer)

    async def close(self) -> None:
        """Closes the client."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Closes the client."""
        await self.close()

    def __repr__(self) -> str:
        """The client that is traced."""
        return f"traced({self._client!r})"


class _TracedOpening:
    """A stream that is to be opened: by `await`, or by `async with`, which also closes it."""

    def __init__(
        self, client: TracedAsyncClient, request: dict[str, Any] | str | bytes, arguments: dict[str, Any]
    ) -> None:
        self._client = client
        self._request = request
        self._arguments = arguments
        self._stream: TracedAsyncStream | None = None

    def __await__(self) -> "Generator[Any, None, TracedAsyncStream]":
        return self._open().__await__()

    async def _open(self) -> "TracedAsyncStream":
        span = _Span(self._client, self._request, True, self._arguments)
        stream = await span.awaiting(lambda: self._client._client.stream(self._request, **span.arguments))
        return TracedAsyncStream(stream, span)

    async def __aenter__(self) -> "TracedAsyncStream":
        self._stream = await self._open()
        return self._stream

    async def __aexit__(self, *exception: object) -> None:
        if self._stream is not None:
            await self._stream.close()


class TracedAsyncStream(_Spanned["AsyncStream"]):
    """A stream whose span ends with it; otherwise it does what `elkapi.AsyncStream` does."""

    def __aiter__(self) -> Self:
        """The stream itself."""
        return self

    async def __anext__(self) -> Chunk:
        """The next chunk."""
        try:
            chunk = await anext(self._stream)
        except StopAsyncIteration:
            self._span.answered(self._stream.completion)
            raise
        except BaseException as error:
            self._span.failed(error)
            raise
        self._span.advanced()
        return chunk

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The text alone, the empty ones left out."""
        return (chunk.text async for chunk in self if chunk.text)

    async def finish(self) -> Completion:
        """Reads to the end and gives the whole answer."""
        async for _ in self:
            pass
        return self._stream.completion

    async def close(self) -> None:
        """Leaves the stream, and ends its span."""
        await self._stream.close()
        self._span.answered(self._stream.completion)

    async def __aenter__(self) -> Self:
        """The stream itself."""
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Leaves the stream, and ends its span."""
        await self.close()


class _Span:
    """The span of one call."""

    def __init__(
        self,
        client: TracedClient | TracedAsyncClient,
        request: "object",
        streams: bool,
        arguments: dict[str, Any],
    ) -> None:
        members = _members(request)
        attributes = _of_request(members, client.base_url, streams)
        model = attributes.get("gen_ai.request.model")
        kind = _trace("SpanKind", "CLIENT")
        self._span = client._tracer.start_span(
            f"chat {model}" if model else "chat",
            attributes=attributes,
            **({} if kind is None else {"kind": kind}),
        )
        self._began = time.perf_counter()
        self._has_begun = False
        self._ended = False
        self.arguments = _sent_on(self._span, arguments)

    def around(self, call: Any) -> Completion:
        """The answer of the call, with which the span ends."""
        answer: Completion = self.opening(call)
        self.answered(answer)
        return answer

    def opening(self, call: Any) -> Any:
        """What the call gives; the span ends where it raises."""
        try:
            return call()
        except BaseException as error:
            self.failed(error)
            raise

    async def awaiting(self, call: Any) -> Any:
        """The same for what is to be awaited."""
        try:
            return await call()
        except BaseException as error:
            self.failed(error)
            raise

    def advanced(self) -> None:
        """A chunk came."""
        if not self._has_begun:
            self._has_begun = True
            self._set({"gen_ai.response.time_to_first_chunk": time.perf_counter() - self._began})

    def answered(self, answer: Completion) -> None:
        """Ends with an answer, or with what there is of one."""
        if not self._ended:
            self._set(_of_answer(answer))
            self._set(
                {"elkapi.request_id": answer.request_id, "elkapi.attempts": len(answer.attempts) or None}
            )
            self.end()

    def failed(self, error: BaseException) -> None:
        """Ends with an exception."""
        if self._ended:
            return
        kind = getattr(error, "kind", None) or type(error).__qualname__
        self._set({"error.type": kind})
        if getattr(error, "completion", None) is not None:
            self._set(_of_answer(error.completion))  # type: ignore[attr-defined]
        for name in ("verdict", "billed", "request_id"):
            self._set({f"elkapi.{name}": getattr(error, name, None)})
        self._set({"elkapi.attempts": len(getattr(error, "attempts", ())) or None})
        self._set({"http.response.status_code": getattr(error, "status", None)})
        code = _trace("StatusCode", "ERROR")
        if code is not None:
            self._span.set_status(code, str(error) or kind)
        self.end()

    def end(self) -> None:
        """Ends, once."""
        if not self._ended:
            self._ended = True
            self._span.end()

    def _set(self, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)


def _trace(group: str, name: str) -> Any:
    """A constant of OpenTelemetry, where it is installed."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return getattr(getattr(trace, group), name)


def _members(request: object) -> dict[str, Any]:
    """The request's members; none where it is no JSON object, which the call itself says."""
    if isinstance(request, (str, bytes)):
        try:
            request = json.loads(request)
        except ValueError:
            return {}
    return request if isinstance(request, dict) else {}


def _of_request(members: dict[str, Any], base_url: str, streams: bool) -> dict[str, Any]:
    url = urlsplit(base_url)
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "elkapi",
        "server.address": url.hostname,
        "server.port": url.port or (443 if url.scheme == "https" else 80),
    }
    if streams:
        attributes["gen_ai.request.stream"] = True
    if isinstance(members.get("model"), str):
        attributes["gen_ai.request.model"] = members["model"]
    most = members.get("max_completion_tokens", members.get("max_tokens"))
    given = {"gen_ai.request.max_tokens": most}
    given |= {attribute: members.get(name) for attribute, name in _ASKED.items()}
    attributes |= {name: value for name, value in given.items() if isinstance(value, (int, float))}
    stop = members.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if isinstance(stops, (list, tuple)) and all(isinstance(one, str) for one in stops):
        attributes["gen_ai.request.stop_sequences"] = list(stops)
    return attributes


def _of_answer(answer: Completion) -> dict[str, Any]:
    reasons = [choice.get("finish_reason") for choice in answer.choices or []]
    usage: Any = answer.usage
    counts = usage.to_dict() if hasattr(usage, "to_dict") else {}
    details = {
        "gen_ai.usage.cache_read.input_tokens": ("prompt_tokens_details", "cached_tokens"),
        "gen_ai.usage.reasoning.output_tokens": ("completion_tokens_details", "reasoning_tokens"),
    }
    return {
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": [reason for reason in reasons if isinstance(reason, str)] or None,
        "gen_ai.usage.input_tokens": counts.get("prompt_tokens"),
        "gen_ai.usage.output_tokens": counts.get("completion_tokens"),
        "elkapi.verdict": answer.verdict,
        **{name: (counts.get(group) or {}).get(count) for name, (group, count) in details.items()},
    }


def _sent_on(span: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The call's arguments with the span's identity, unless the caller gives one."""
    context = span.get_span_context()
    if arguments.get("traceparent") is not None or not context.is_valid:
        return arguments
    traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    state = context.trace_state.to_header() if context.trace_state else ""
    fields = (
        {"extra_headers": {"tracestate": state, **(arguments.get("extra_headers") or {})}} if state else {}
    )
    return {**arguments, "traceparent": traceparent, **fields}

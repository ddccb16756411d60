"""Traces, by the real OpenTelemetry SDK: one span for each call, under its parent, sent on to the server."""

import asyncio
import inspect
import subprocess
import sys
from typing import Any

import elkapi
import elkapi.telemetry
import pytest
from conftest import KEY, Gateway
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, Tracer

QUESTION: dict[str, Any] = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "private"}]}


class Traces:
    """A tracer, and the spans that it has finished."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer: Tracer = provider.get_tracer("tests")

    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def only(self) -> ReadableSpan:
        (span,) = self.spans()
        return span


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
def traced(client: elkapi.Client, traces: Traces) -> elkapi.telemetry.TracedClient:
    return elkapi.telemetry.traced(client, traces.tracer)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_call_is_a_span_under_the_names_of_the_conventions(
    traced: elkapi.telemetry.TracedClient, traces: Traces, gateway: Gateway
) -> None:
    answer = traced.chat_completions({**QUESTION, "temperature": 0.5, "max_tokens": 9, "stop": "x", "n": 1})
    span = traces.only()
    assert (span.name, span.kind, span.parent) == ("chat gpt-5.5", SpanKind.CLIENT, None)
    assert span.status.status_code is StatusCode.UNSET
    assert answer.usage is not None
    has = attributes(span)
    assert has.pop("server.port") == int(gateway.url().split(":")[2].split("/")[0])
    usage = answer.usage.to_dict()
    reasoning, cached = usage["completion_tokens_details"], usage["prompt_tokens_details"]
    assert has.pop("gen_ai.usage.reasoning.output_tokens") == reasoning["reasoning_tokens"]
    assert has.pop("gen_ai.usage.cache_read.input_tokens") == cached["cached_tokens"]
    assert has == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "elkapi",
        "gen_ai.request.model": "gpt-5.5",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("x",),
        "gen_ai.request.choice.count": 1,
        "gen_ai.response.id": answer.id,
        "gen_ai.response.model": answer.model,
        "gen_ai.response.finish_reasons": (answer.finish_reason,),
        "gen_ai.usage.input_tokens": answer.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.usage.completion_tokens,
        "server.address": "127.0.0.1",
        "elkapi.verdict": answer.verdict,
        "elkapi.request_id": answer.request_id,
        "elkapi.attempts": 1,
    }
    assert "private" not in str(span.to_json())


def test_the_span_stands_under_the_current_one_and_is_sent_on(
    traced: elkapi.telemetry.TracedClient, traces: Traces, gateway: Gateway
) -> None:
    with traces.tracer.start_as_current_span("mine") as mine:
        traced.ask("Hi", model="gpt-5.5")
    span = traces.spans()[0]
    assert span.name == "chat gpt-5.5"
    assert span.parent is not None
    assert span.context is not None
    assert span.parent.span_id == mine.get_span_context().span_id
    assert span.context.trace_flags.sampled
    sent = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
    assert gateway.last_headers()["traceparent"] == sent


def test_a_span_that_is_not_sampled_is_sent_on_as_such(client: elkapi.Client, gateway: Gateway) -> None:
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("tests")
    elkapi.telemetry.traced(client, tracer).ask("Hi")
    flags = int(gateway.last_headers()["traceparent"].split("-")[3], 16)
    assert flags & 1 == 0


def test_what_the_caller_sends_on_is_left_alone(
    traced: elkapi.telemetry.TracedClient, gateway: Gateway
) -> None:
    mine = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    traced.ask("Hi", traceparent=mine)
    assert gateway.last_headers()["traceparent"] == mine


def test_one_span_covers_all_attempts_and_says_what_failed(gateway: Gateway, traces: Traces) -> None:
    client = gateway.client("/fault/429-ms-1/v1", max_retries=2)
    with elkapi.telemetry.traced(client, traces.tracer) as traced, pytest.raises(elkapi.RateLimitError):
        traced.ask("Hi")
    assert gateway.requests() == 3
    span = traces.only()
    assert span.name == "chat"
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description
    has = attributes(span)
    assert (has["error.type"], has["http.response.status_code"]) == ("rate_limit", 429)
    assert (has["elkapi.attempts"], has["elkapi.billed"], has["elkapi.verdict"]) == (3, "no", "failed")
    assert KEY not in str(span.to_json())


def test_an_argument_that_is_refused_ends_the_span(
    traced: elkapi.telemetry.TracedClient, traces: Traces
) -> None:
    with pytest.raises(TypeError):
        traced.ask("Hi", timeout="soon")
    assert attributes(traces.only())["error.type"] == "TypeError"
    with pytest.raises(elkapi.InvalidArgumentError):
        traced.chat_completions("{")
    assert attributes(traces.spans()[1])["error.type"] == "invalid_argument"


@pytest.mark.parametrize("way", ["chunks", "texts", "finish"])
def test_the_span_of_a_stream_ends_with_it(
    traced: elkapi.telemetry.TracedClient, traces: Traces, way: str
) -> None:
    with traced.stream('{"model":"gpt-5.5","messages":[{"role":"user","content":"Hi"}]}') as stream:
        next(stream)
        assert traces.spans() == []
        if way == "finish":
            stream.finish()
        else:
            assert list(stream if way == "chunks" else stream.text_stream)
        assert len(traces.spans()) == 1
    has = attributes(traces.only())
    assert (traces.only().name, has["gen_ai.request.stream"]) == ("chat gpt-5.5", True)
    assert has["elkapi.verdict"] == stream.verdict == "complete"
    assert stream.completion.usage is not None
    assert has["gen_ai.usage.output_tokens"] == stream.completion.usage.completion_tokens
    assert 0 < has["gen_ai.response.time_to_first_chunk"] < 30


def test_the_span_of_a_stream_that_breaks_keeps_what_came(gateway: Gateway, traces: Traces) -> None:
    traced = elkapi.telemetry.traced(gateway.client("/fault/truncate/v1"), traces.tracer)
    with pytest.raises(elkapi.TruncatedError), traced.stream(QUESTION) as stream:
        stream.finish()
    has = attributes(traces.only())
    assert has["elkapi.verdict"] == "truncated"
    assert has["gen_ai.response.id"] == stream.completion.id
    assert traces.only().status.status_code is StatusCode.ERROR


def test_a_stream_that_is_left_or_dropped_ends_its_span(
    traced: elkapi.telemetry.TracedClient, traces: Traces
) -> None:
    with traced.stream(QUESTION) as stream:
        next(stream)
    assert attributes(traces.only())["elkapi.verdict"] == "cancelled"
    stream = traced.stream(QUESTION)
    with pytest.warns(ResourceWarning):
        del stream
    assert len(traces.spans()) == 2


def test_calls_of_an_event_loop_are_spans_under_their_tasks_own(gateway: Gateway, traces: Traces) -> None:
    async def ask(client: elkapi.telemetry.TracedAsyncClient, name: str) -> None:
        with traces.tracer.start_as_current_span(name):
            await client.ask("Hi", model="gpt-5.5")

    async def main() -> None:
        client = elkapi.AsyncClient(base_url=gateway.url(), api_key=KEY, environment=False)
        async with elkapi.telemetry.traced(client, traces.tracer) as traced:
            await asyncio.gather(ask(traced, "one"), ask(traced.with_options(timeout=9), "two"))
            assert (await traced.models()).object == "list"

    asyncio.run(main())
    spans = {span.context.span_id: span for span in traces.spans() if span.context}
    calls = [span for span in spans.values() if span.name == "chat gpt-5.5"]
    assert sorted(spans[span.parent.span_id].name for span in calls if span.parent) == ["one", "two"]
    assert all(attributes(span)["elkapi.verdict"] == "complete" for span in calls)


def test_a_stream_of_an_event_loop_is_a_span_until_it_ends(gateway: Gateway, traces: Traces) -> None:
    async def main() -> None:
        client = elkapi.AsyncClient(base_url=gateway.url(), api_key=KEY, environment=False, max_retries=0)
        async with elkapi.telemetry.traced(client, traces.tracer) as traced:
            async with traced.stream(QUESTION) as stream:
                assert [text async for text in stream.text_stream]
            assert attributes(traces.only())["elkapi.verdict"] == stream.verdict == "complete"
            assert attributes(traces.only())["gen_ai.response.time_to_first_chunk"] > 0
            stream = await traced.stream(QUESTION)
            await anext(stream)
            await stream.close()
            assert attributes(traces.spans()[1])["elkapi.verdict"] == "cancelled"
            assert (await (await traced.stream(QUESTION)).finish()).text
            assert len(traces.spans()) == 3
            with pytest.raises(TypeError):
                await traced.stream(5)  # type: ignore[arg-type]
            assert attributes(traces.spans()[3])["error.type"] == "TypeError"
        client = elkapi.AsyncClient(base_url=gateway.url("/delay/60000/v1"), api_key=KEY, environment=False)
        async with elkapi.telemetry.traced(client, traces.tracer) as traced:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(traced.ask("Hi"), 0.1)
        assert attributes(traces.spans()[4])["error.type"] == "CancelledError"

    asyncio.run(main())


def test_traced_clients_and_streams_have_what_the_plain_ones_have() -> None:
    for plain, traced in (
        (elkapi.Client, elkapi.telemetry.TracedClient),
        (elkapi.Stream, elkapi.telemetry.TracedStream),
        (elkapi.AsyncClient, elkapi.telemetry.TracedAsyncClient),
        (elkapi.AsyncStream, elkapi.telemetry.TracedAsyncStream),
    ):
        names = {name for name in dir(plain) if not name.startswith("_")}
        assert names == {name for name in dir(traced) if not name.startswith("_")}
        for name in names:
            assert inspect.getdoc(getattr(traced, name)), name


def test_other_options_stay_traced(traced: elkapi.telemetry.TracedClient, traces: Traces) -> None:
    assert traced.models().object == "list"
    traced.with_options(timeout=5).ask("Hi")
    assert len(traces.spans()) == 1


def test_a_tracer_of_another_kind_will_do(gateway: Gateway) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import elkapi, elkapi.telemetry\n"
        "class Context: is_valid = True; trace_id = 1; span_id = 2; trace_flags = 1; trace_state = None\n"
        "class Span:\n"
        "    def get_span_context(self): return Context\n"
        "    def set_attribute(self, name, value): pass\n"
        "    def end(self): print('ended')\n"
        "class Tracer:\n"
        "    def start_span(self, name, *, attributes): print(name); return Span()\n"
        f"client = elkapi.Client(base_url={gateway.url()!r}, api_key={KEY!r})\n"
        "elkapi.telemetry.traced(client, Tracer()).ask('Hi')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("chat\nended\n", "")
    assert gateway.last_headers()["traceparent"] == "00-" + "1".zfill(32) + "-" + "2".zfill(16) + "-01"

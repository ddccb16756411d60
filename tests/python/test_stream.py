"""Streams: every event at once, a verdict at the end, and what arrived is kept."""

import gc
import json
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import elkapi
import pytest
from conftest import Answering, Gateway

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def _paced(chunks: int, delay: float) -> dict[str, Any]:
    """A request whose answer comes in that many pieces, after a pause in seconds each."""
    return {**HELLO, "sim": {"chunks": chunks, "chunk_delay_us": int(delay * 1_000_000)}}


def _until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not fact() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert fact()


def _events(*chunks: dict[str, Any]) -> bytes:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


def _delta(text: str, finish_reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish_reason}]}


def test_text_arrives_word_by_word(gateway: Gateway) -> None:
    with gateway.client() as client, client.stream(_paced(10, 0.05)) as stream:
        assert not stream.verdict
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
        texts = [next(chunk.text for chunk in stream if chunk.text)]
        assert gateway.stats()["in_flight"] == 1, "the whole answer was sent before the first word was seen"
        assert stream.completion.text == texts[0]
        assert stream.completion.verdict == "truncated"
        texts += [chunk.text for chunk in stream]
    assert "".join(texts) == stream.completion.text
    assert len([text for text in texts if text]) == 10
    assert (stream.verdict, stream.completion.verdict) == ("complete", "complete")
    assert stream.saw_done
    assert stream.request_id == stream.completion.request_id
    assert gateway.last_body()["stream"] is True


def test_the_text_alone_comes_without_empty_pieces(client: elkapi.Client) -> None:
    with client.stream(HELLO) as stream:
        texts = list(stream.text_stream)
        assert "" not in texts
        assert len(texts) > 3
        assert "".join(texts) == stream.completion.text
        assert list(stream.text_stream) == list(stream) == []
    assert stream.completion.text == client.chat_completions(HELLO).text


def test_the_whole_answer_is_there_without_reading_chunks(client: elkapi.Client) -> None:
    with client.stream({**HELLO, "stream_options": {"include_usage": True}}) as stream:
        answer = stream.finish()
    assert answer.text == client.chat_completions(HELLO).text
    assert answer.usage is not None
    assert (answer.object, answer.saw_done, answer.raw) == ("chat.completion", True, b"")
    assert len(answer.attempts) == 1
    assert answer is stream.completion is stream.finish()


def test_what_arrived_is_one_object_until_more_arrives(client: elkapi.Client) -> None:
    with client.stream(HELLO) as stream:
        before = stream.completion
        assert before is stream.completion
        assert (before.text, before.choices) == ("", [])
        for _ in zip(range(3), stream, strict=False):
            assert stream.completion is not before
            assert stream.completion is stream.completion
        assert before.text == ""


def test_streams_in_a_row_use_one_connection(gateway: Gateway) -> None:
    with gateway.client() as client:
        for turn in range(20):
            with client.stream(HELLO) as stream:
                if turn % 2:
                    stream.finish()
                else:
                    assert list(stream)
    stats = gateway.stats()
    assert (stats["requests"], stats["connections"]) == (20, 1)


@pytest.mark.parametrize("request_", [HELLO, json.dumps(HELLO), json.dumps(HELLO).encode()])
def test_a_request_is_a_dict_or_json(client: elkapi.Client, request_: Any) -> None:
    with client.stream(request_) as stream:
        assert stream.finish().text


def test_a_request_that_cannot_be_one_is_refused_before_anything_is_sent(gateway: Gateway) -> None:
    with gateway.client() as client:
        with pytest.raises(elkapi.InvalidArgumentError, match="use ask"):
            client.stream("Name three seas.")
        with pytest.raises(elkapi.InvalidArgumentError, match="stream"):
            client.stream({**HELLO, "stream": False})
        with pytest.raises(TypeError, match="request must be a dict"):
            client.stream([HELLO])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="did you mean 'timeout'"):
            client.stream(HELLO, timeot=3)  # type: ignore[call-arg]
    assert gateway.requests() == 0


def test_a_refusal_is_raised_where_the_stream_is_opened(gateway: Gateway) -> None:
    with gateway.client("/wire/error_401_invalid_token/v1") as client:
        with pytest.raises(elkapi.AuthenticationError) as caught:
            client.stream(HELLO)
        assert caught.value.completion is None


def test_options_of_a_call_reach_the_request(gateway: Gateway) -> None:
    with gateway.client() as client, client.stream(HELLO, extra_headers={"X-One": "1"}) as stream:
        stream.finish()
    assert gateway.last_headers()["x-one"] == "1"


@pytest.mark.parametrize("leave", ["with", "close", "break"])
def test_leaving_early_closes_the_connection_at_once(gateway: Gateway, leave: str) -> None:
    with gateway.client() as client:
        if leave == "with":
            with client.stream(_paced(50, 0.1)) as stream:
                first = next(stream.text_stream)
        else:
            stream = client.stream(_paced(50, 0.1))
            for chunk in stream:
                first = chunk.text
                if first:
                    break
            stream.close()
        _until(lambda: gateway.stats()["closed_by_client"] == 1)
        stream.close()
        assert stream.verdict == stream.completion.verdict == "cancelled"
        assert stream.completion.text == first
        assert list(stream) == []
        assert stream.finish().verdict == "cancelled"


def test_a_stream_that_is_dropped_closes_its_connection_and_warns(gateway: Gateway) -> None:
    with gateway.client() as client:
        stream = client.stream(_paced(50, 0.1))
        next(stream)
        with pytest.warns(ResourceWarning, match="a stream was dropped before its end"):
            del stream
        _until(lambda: gateway.stats()["closed_by_client"] == 1)


def test_the_warning_leaves_an_exception_under_way_alone(client: elkapi.Client) -> None:
    def leave() -> None:
        # The exception unwinds the loop, which holds the only reference to the stream.
        for _ in client.stream(_paced(50, 0.1)):
            raise LookupError("mine")

    with pytest.warns(ResourceWarning), pytest.raises(LookupError, match="mine"):
        leave()


def test_the_end_of_a_stream_is_no_reason_to_warn(client: elkapi.Client) -> None:
    # Warnings are errors in these tests.
    list(client.stream(HELLO))
    client.stream(HELLO).finish()
    client.stream(HELLO).close()
    gc.collect()


def test_a_closed_client_lets_its_streams_go_on(gateway: Gateway) -> None:
    client = gateway.client()
    with client.stream(_paced(5, 0.03)) as stream:
        next(stream)
        client.close()
        assert stream.finish().text
    assert stream.verdict == "complete"
    with pytest.raises(elkapi.ClosedError):
        client.stream(HELLO)


def test_a_timeout_bounds_the_silence_and_not_the_whole(gateway: Gateway) -> None:
    with gateway.client() as client, client.stream(_paced(15, 0.1), timeout=1) as stream:
        assert stream.finish().text
    with (
        gateway.client("/fault/stall-mid-body/v1") as client,
        client.stream(HELLO, timeout=0.3) as stream,
        pytest.raises(elkapi.StalledError) as caught,
    ):
        stream.finish()
    error = caught.value
    assert (error.kind, error.limit, error.verdict, stream.verdict) == (
        "timeout",
        "idle",
        "stalled",
        "stalled",
    )
    assert error.completion is stream.completion
    with (
        gateway.client("/fault/stall-before-headers/v1") as client,
        pytest.raises(elkapi.APITimeoutError) as first_byte,
    ):
        client.stream(HELLO, timeout=0.3)
    assert first_byte.value.limit == "first_byte"


def test_comments_are_life_and_only_a_total_ends_them(gateway: Gateway) -> None:
    limits = elkapi.Timeout(idle=0.4, total=1)
    with (
        gateway.client("/fault/ping-forever/v1", timeout=limits) as client,
        client.stream(HELLO) as stream,
        pytest.raises(elkapi.StalledError) as caught,
    ):
        next(stream)
    assert (caught.value.limit, caught.value.completion) == ("total", None)


@pytest.mark.parametrize("fault", ["truncate", "reset-mid-body"])
def test_a_broken_stream_raises_and_keeps_what_arrived(gateway: Gateway, fault: str) -> None:
    texts: list[str] = []
    with gateway.client(f"/fault/{fault}/v1") as client, client.stream(HELLO) as stream:
        with pytest.raises(elkapi.TruncatedError) as caught:
            texts.extend(stream.text_stream)
        error = caught.value
        assert (error.kind, error.verdict, error.billed) == ("stream_truncated", "truncated", "yes")
        assert error.completion is stream.completion
        assert error.completion is not None
        assert error.completion.text == "".join(texts) != ""
        assert error.completion.verdict == stream.verdict == "truncated"
        # Asked again, the same.
        with pytest.raises(elkapi.TruncatedError) as again:
            next(stream)
        assert again.value.completion is error.completion
        with pytest.raises(elkapi.TruncatedError):
            stream.finish()


def test_an_error_of_the_server_in_the_stream_is_an_api_error(answering: Answering) -> None:
    error = {"error": {"message": "the model broke", "type": "new_kind"}}
    client = answering(_events(_delta("A"), error), "text/event-stream")
    with client.stream(HELLO) as stream, pytest.raises(elkapi.APIError, match="the model broke") as caught:
        stream.finish()
    assert type(caught.value) is elkapi.APIError
    assert (caught.value.kind, caught.value.status) == ("stream_error", 200)
    assert caught.value.completion is not None
    assert caught.value.completion.text == "A"


def test_a_token_stops_a_stream_from_another_thread(gateway: Gateway) -> None:
    stop = elkapi.Cancel()
    with gateway.client("/fault/stall-mid-body/v1") as client, client.stream(HELLO, cancel=stop) as stream:
        threading.Timer(0.2, stop.cancel).start()
        with pytest.raises(elkapi.CallCancelledError) as caught:
            stream.finish()
        assert (stream.verdict, caught.value.billed) == ("cancelled", "yes")
        assert caught.value.completion is stream.completion
        with pytest.raises(elkapi.CallCancelledError):
            client.stream(HELLO, cancel=stop)
    assert gateway.requests() == 1


def test_two_threads_in_one_stream_are_told_so(gateway: Gateway) -> None:
    stop = elkapi.Cancel()
    ended: list[BaseException] = []
    with gateway.client("/fault/stall-after-headers/v1") as client:
        stream = client.stream(HELLO, cancel=stop)

        def read() -> None:
            try:
                next(stream)
            except elkapi.Error as error:
                ended.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        _until(lambda: "being read" in repr(stream))
        for use in (lambda: next(stream), lambda: stream.completion, lambda: stream.verdict, stream.close):
            with pytest.raises(RuntimeError, match="only one thread at a time"):
                use()
        stop.cancel()
        thread.join(timeout=30)
    assert [type(error) for error in ended] == [elkapi.CallCancelledError]
    assert stream.verdict == "cancelled"


def test_streams_of_many_threads_run_side_by_side(gateway: Gateway) -> None:
    texts: list[str] = []
    with gateway.client() as client:

        def read() -> None:
            with client.stream(_paced(10, 0.03)) as stream:
                texts.append("".join(stream.text_stream))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert len(texts) == 8
    assert len(set(texts)) == 1
    assert gateway.stats()["max_in_flight"] == 8


def test_a_chunk_is_read_by_attribute_and_by_key(answering: Answering) -> None:
    first = {**_delta("Hé"), "id": "c1", "model": "m", "new": {"member": [1]}}
    first["choices"][0]["delta"]["role"] = "assistant"
    last = {**_delta("", "stop"), "usage": {"total_tokens": 3}}
    with answering(_events(first, last), "text/event-stream").stream(HELLO) as stream:
        chunk, end = list(stream)
    assert (chunk.text, chunk.id, chunk.model, chunk.usage, chunk.created) == ("Hé", "c1", "m", None, None)
    choice = chunk.choices[0]
    assert (choice.index, choice.delta.role, choice.delta.content) == (0, "assistant", "Hé")
    assert choice.delta is choice.delta
    assert chunk.choices is chunk.choices
    assert (chunk.new.member, chunk["id"], "new" in chunk) == ([1], "c1", True)
    with pytest.raises(AttributeError, match="'Chunk' object has no attribute 'nothing'"):
        chunk.nothing  # noqa: B018
    assert chunk.to_dict() == first
    assert (chunk.raw, chunk.to_json()) == (json.dumps(first).encode(), json.dumps(first))
    assert chunk.raw is chunk.raw
    assert chunk.model_dump(exclude_none=True)["choices"] == [
        {"index": 0, "delta": {"content": "Hé", "role": "assistant"}}
    ]
    assert end.usage is not None
    assert (end.usage.total_tokens, end.choices[0].finish_reason) == (3, "stop")
    match chunk:
        case elkapi.Chunk("Hé"):
            pass
        case _:
            pytest.fail("a chunk matches by its text")


def test_a_chunk_without_choices_or_delta_breaks_no_loop(answering: Answering) -> None:
    odd: list[dict[str, Any]] = [
        {"usage": {"total_tokens": 1}},
        {"choices": None},
        {"choices": [{"index": 0, "finish_reason": "stop"}]},
    ]
    with answering(_events(*odd), "text/event-stream").stream(HELLO) as stream:
        seen = list(stream)
    assert [chunk.choices for chunk in seen[:2]] == [[], []]
    assert seen[2].choices[0].delta.content is None
    assert [chunk.text for chunk in seen] == ["", "", ""]


def test_the_text_of_a_chunk_follows_the_lowest_choice(answering: Answering) -> None:
    events = [_delta("A", index=0), _delta("x", index=1), _delta("B", "stop"), _delta("", "stop", 1)]
    with answering(_events(*events), "text/event-stream").stream(HELLO) as stream:
        assert [chunk.text for chunk in stream] == ["A", "", "B", ""]
        assert [choice.message.content for choice in stream.completion.choices] == ["AB", "x"]


def test_a_whole_reply_is_one_chunk_whose_message_reads_as_delta(answering: Answering) -> None:
    message = {"role": "assistant", "content": "Hi"}
    body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    with answering(body).stream(HELLO) as stream:
        (chunk,) = stream
    assert (chunk.text, chunk.raw, chunk.to_dict()) == ("Hi", body, json.loads(body))
    assert chunk.choices[0].delta == chunk.choices[0].message
    assert chunk.choices[0].delta.to_dict() == message
    assert (stream.completion.text, stream.completion.raw, stream.verdict) == ("Hi", body, "complete")
    assert stream.completion.saw_done is None


def test_of_a_chunk_only_what_is_looked_at_is_read(answering: Answering) -> None:
    deep = json.dumps(_delta("Hi", "stop"))[:-1] + ', "deep": ' + "[" * 600 + "]" * 600 + "}"
    body = f"data: {deep}\n\ndata: [DONE]\n\n".encode()
    with answering(body, "text/event-stream").stream(HELLO) as stream:
        (chunk,) = stream
    assert (chunk.text, chunk.raw) == ("Hi", deep.encode())
    assert chunk.choices[0].delta.content == "Hi"
    for read in (lambda: chunk.deep, lambda: chunk["deep"], chunk.to_dict, lambda: chunk == chunk):
        with pytest.raises(elkapi.APIResponseValidationError, match="nests deeper") as caught:
            read()
        assert caught.value.kind == "decode"


def test_chunks_that_differ_in_their_content_alone_are_whole_objects(answering: Answering) -> None:
    texts = ["a", "b", "", "c\n\u00e9", "d"]
    events = [json.dumps({**_delta(text), "id": "x", "nested": {"y": [1]}}) for text in texts]
    # Of repeated members the last wins, also behind chunks that had it once.
    events.append(events[0][:-1] + ', "choices": []}')
    events.append(json.dumps(_delta("e", "stop")))
    body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()
    with answering(body, "text/event-stream").stream(HELLO) as stream:
        chunks = list(stream)
    assert [chunk.raw.decode() for chunk in chunks] == events
    for text, event, chunk in zip(texts, events, chunks, strict=False):
        plain = json.loads(event)
        (choice,) = chunk.choices
        assert (choice.delta.content, chunk.text) == (text, text)
        assert chunk.choices is chunk.choices
        assert chunk.choices[0] is choice
        assert choice.delta is choice["delta"]
        assert (choice.index, choice.finish_reason, choice.delta.role) == (0, None, None)
        assert choice.delta.get("absent") is None
        assert "content" in choice.delta
        assert (chunk.id, chunk.nested.y) == ("x", [1])
        assert chunk.to_dict() == plain
        assert choice.to_dict() == plain["choices"][0]
        assert choice.delta.to_dict() == plain["choices"][0]["delta"]
        assert choice.delta == type(choice.delta)(plain["choices"][0]["delta"])
        assert pickle.loads(pickle.dumps(chunk)) == chunk
        assert pickle.loads(pickle.dumps(choice)) == choice
        assert list(choice.delta) == list(plain["choices"][0]["delta"])
        assert choice.model_copy(update={"index": 7}).index == 7
        assert chunk.model_copy(update={"id": "z"}).choices[0].delta.content == text
    assert chunks[5].choices == []
    assert chunks[6].choices[0].finish_reason == "stop"


def test_a_stream_tells_its_state(client: elkapi.Client) -> None:
    with client.stream(HELLO) as stream:
        assert repr(stream) == "<elkapi.Stream, open>"
        assert iter(stream) is stream
    assert repr(stream) == "<elkapi.Stream, cancelled>"
    with pytest.raises(TypeError):
        elkapi.Stream()
    with pytest.raises(TypeError):
        elkapi.Chunk({})  # type: ignore[arg-type]

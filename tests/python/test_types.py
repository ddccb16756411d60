"""What a type checker sees: checked by mypy, and run so that the claims are true."""

from collections.abc import Iterator
from typing import Any, assert_type

import elkapi
import elkapi.openai
import pydantic
from conftest import KEY, Gateway


def test_answers_have_the_types_that_the_stub_says(gateway: Gateway) -> None:
    with gateway.client() as client:
        assert_type(client, elkapi.Client)
        answer = client.ask("Hi", temperature=0.5)
        assert_type(answer, elkapi.Completion)
        assert_type(
            client.chat_completions({"messages": [{"role": "user", "content": "Hi"}]}), elkapi.Completion
        )
        assert_type(client.models(), elkapi.Document)
        assert_type(client.with_options(timeout=None), elkapi.Client)
    assert isinstance(assert_type(answer.text, str), str)
    assert isinstance(assert_type(answer.verdict, str), str)
    assert isinstance(assert_type(answer.raw, bytes), bytes)
    assert isinstance(assert_type(answer.elapsed, float), float)
    assert isinstance(assert_type(answer.headers, elkapi.Headers), elkapi.Headers)
    assert isinstance(assert_type(answer.headers["date"], str), str)
    assert isinstance(assert_type(answer.attempts, list[elkapi.Attempt])[0], elkapi.Attempt)
    assert isinstance(assert_type(answer.choices, list[elkapi.Choice])[0], elkapi.Choice)
    assert isinstance(assert_type(answer.choices[0].message, elkapi.Message), elkapi.Message)
    assert_type(answer.choices[0].message.content, str | list[Any] | None)
    assert_type(answer.tool_calls, list[elkapi.ToolCall])
    assert_type(answer.images, list[elkapi.Image])
    assert_type(answer.usage, elkapi.Usage | None)
    assert isinstance(answer.usage, elkapi.Usage)
    assert isinstance(assert_type(answer.usage.total_tokens, int | None), int)
    details = assert_type(answer.usage.prompt_tokens_details, elkapi.TokenDetails | None)
    assert isinstance(details, elkapi.TokenDetails)
    assert_type(answer.finish_reason, str | None)
    assert_type(answer.to_message(), dict[str, Any])
    assert_type(answer["id"], Any)


class Sea(pydantic.BaseModel):
    name: str


def test_what_a_model_reads_has_its_type(client: elkapi.Client) -> None:
    seas = pydantic.TypeAdapter(list[Sea])
    answer = client.ask("Hi", response_format=Sea)
    assert isinstance(assert_type(answer.parse(Sea), Sea), Sea)
    assert_type(answer.parse(pydantic.TypeAdapter(dict[str, Any])), dict[str, Any])
    call = elkapi.ToolCall({"function": {"arguments": [{"name": "North Sea"}]}})
    assert assert_type(call.args(seas), list[Sea]) == [Sea(name="North Sea")]
    assert_type(call.args(), Any)


def test_streams_have_the_types_that_the_stub_says(client: elkapi.Client) -> None:
    with client.stream({"messages": [{"role": "user", "content": "Hi"}]}) as stream:
        assert_type(stream, elkapi.Stream)
        assert assert_type(stream.verdict, str | None) is None
        assert isinstance(assert_type(stream.status, int), int)
        assert_type(stream.headers, elkapi.Headers)
        assert_type(stream.request_id, str | None)
        for chunk in stream:
            assert isinstance(assert_type(chunk, elkapi.Chunk), elkapi.Chunk)
            assert isinstance(assert_type(chunk.text, str), str)
            assert isinstance(assert_type(chunk.raw, bytes), bytes)
            assert_type(chunk.usage, elkapi.Usage | None)
            for choice in chunk.choices:
                assert isinstance(assert_type(choice, elkapi.ChunkChoice), elkapi.ChunkChoice)
                assert isinstance(assert_type(choice.delta, elkapi.Message), elkapi.Message)
                assert_type(choice.finish_reason, str | None)
        assert_type(stream.text_stream, Iterator[str])
        assert isinstance(assert_type(stream.finish(), elkapi.Completion), elkapi.Completion)
    assert_type(stream.completion.saw_done, bool | None)
    assert isinstance(assert_type(stream.saw_done, bool), bool)


def test_a_picture_has_the_types_that_the_stub_says(client: elkapi.Client) -> None:
    picture = client.ask("A cat", model="gemini-3-pro-image-preview").images[0]
    assert isinstance(assert_type(picture.bytes, bytes | None), bytes)
    assert isinstance(assert_type(picture.media_type, str | None), str)
    assert assert_type(picture.url, str | None) is None


def test_the_look_alike_has_the_types_that_it_says(gateway: Gateway) -> None:
    asked = gateway.url()
    with elkapi.OpenAI(base_url=asked, api_key=KEY) as client:
        create = client.chat.completions.create
        answer = create(model="m", messages=[{"role": "user", "content": "Hi"}], temperature=elkapi.omit)
        assert isinstance(assert_type(answer, elkapi.Completion), elkapi.Completion)
        messages = [{"role": "user", "content": "Hi"}, answer.choices[0].message]
        stream = create(model="m", messages=messages, stream=True)
        assert_type(stream, elkapi.openai.Stream[elkapi.Chunk])
        for chunk in stream:
            assert isinstance(assert_type(chunk, elkapi.Chunk), elkapi.Chunk)
        assert isinstance(
            assert_type(client.models.retrieve("gemini-3.1-pro-preview"), elkapi.Document), elkapi.Document
        )
        with client.chat.completions.stream(model="m", messages=messages) as events:
            for event in events:
                if event.type == "content.delta":
                    assert isinstance(assert_type(event.delta, str), str)
            assert_type(events.get_final_completion(), elkapi.Completion)


def test_errors_have_the_types_that_they_say(gateway: Gateway) -> None:
    with gateway.client("/wire/error_429_no_retry_after/v1") as client:
        try:
            client.ask("Hi")
        except elkapi.RateLimitError as error:
            assert isinstance(assert_type(error.status, int), int)
            assert_type(error.retry_after_ms, int | None)
            assert isinstance(assert_type(error.kind, str), str)
            assert isinstance(assert_type(error.attempts, list[elkapi.Attempt]), list)
            assert_type(error.headers, elkapi.Headers | None)

"""Asynchronous programs written for `openai`, through every door, on asyncio and trio.

What ours do differently is said in the case; docs/from-openai.md lists it with the reasons.
"""

import json
import pickle
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import elkapi
import pydantic
import pytest
from doors import AGAIN, ANSWER, CHAT, DONE, DOORS, KEY, REFUSED, Door, event, opened
from scripted import END, GONE, RESET, reply, stream

# Of the packages' own generators, which trio tells of where they are not read to their end.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(openai|http):ResourceWarning")

Main = Callable[[], Awaitable[Any]]


class AsyncDoor(Door):
    backend: str

    def run(self, main: Main) -> Any:
        """Runs it in an event loop of its own."""
        return anyio.run(main, backend=self.backend)

    async def wait_for_requests(self, number: int) -> None:
        with anyio.fail_after(10):
            while self.requests < number:
                await anyio.sleep(0.01)


BACKENDS = [f"{name}-{loop}" for name in DOORS for loop in ("asyncio", "trio")]


@pytest.fixture(params=BACKENDS)
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncDoor]:
    name, backend = request.param.split("-")
    for door in opened(name, monkeypatch):
        made = AsyncDoor(door.name, door.server)
        made.backend = backend
        yield made


async def texts(events: Any) -> list[str | None]:
    return [part.choices[0].delta.content async for part in events]


# Answers


def test_an_answer_is_awaited(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client() as client:
            answer = await client.chat.completions.create(**CHAT)
        assert (answer.id, answer.choices[0].message.content) == ("c1", "Hello")

    door.run(main)
    assert door.last.target == "/v1/chat/completions"
    assert door.last.all("authorization") == [f"Bearer {KEY}"]


def test_many_calls_at_once_do_not_mix(door: AsyncDoor) -> None:
    door.says(*[reply({**ANSWER, "id": f"c{number}"}) for number in range(20)])
    ids: list[str] = []

    async def main() -> None:
        async with door.async_client() as client, anyio.create_task_group() as tasks:

            async def one() -> None:
                ids.append((await client.chat.completions.create(**CHAT)).id)

            for _ in range(20):
                tasks.start_soon(one)

    door.run(main)
    assert sorted(ids) == sorted(f"c{number}" for number in range(20))


def test_arguments_fields_and_query_reach_the_request(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client(default_headers={"X-A": "1"}, default_query={"a": "1"}) as client:
            await client.chat.completions.create(
                **CHAT,
                temperature=0.5,
                seed=door.sdk.omit,
                extra_body={"google": {"x": 1}},
                extra_headers={"x-a": "2"},
                extra_query={"b": "2"},
            )

    door.run(main)
    assert (door.last.json["temperature"], door.last.json["google"]) == (0.5, {"x": 1})
    assert "seed" not in door.last.json
    assert door.last.all("x-a") == ["2"]
    assert door.last.target.endswith("?a=1&b=2")
    # Where the gateway looks for it.
    assert door.last.json.get("extra_body") == ({"google": {"x": 1}} if door.is_look_alike else None)


def test_unknown_and_missing_arguments_are_type_errors(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client() as client:
            with pytest.raises(TypeError, match="temprature"):
                await client.chat.completions.create(**CHAT, temprature=1)
            with pytest.raises(TypeError, match="model"):
                await client.chat.completions.create(messages=CHAT["messages"])

    door.run(main)
    assert door.requests == 0


def test_a_key_may_be_a_coroutine_function(door: AsyncDoor) -> None:
    async def key() -> str:
        await anyio.sleep(0)
        return "k-1"

    async def main() -> None:
        async with door.async_client(api_key=key) as client:
            await client.chat.completions.create(**CHAT)

    door.run(main)
    assert door.last["authorization"] == "Bearer k-1"


def test_the_models_list_is_awaited_or_iterated_over(door: AsyncDoor) -> None:
    door.says(reply({"object": "list", "data": [{"id": "m1", "object": "model"}]}))

    async def main() -> None:
        async with door.async_client() as client:
            assert [model.id for model in (await client.models.list()).data] == ["m1"]
            assert [model.id async for model in client.models.list()] == ["m1"]

    door.run(main)
    assert {(request.method, request.target) for request in door.server.requests} == {("GET", "/v1/models")}


def test_one_model_is_got_by_its_name(door: AsyncDoor) -> None:
    door.says(reply({"id": "a/b", "object": "model"}))

    async def main() -> None:
        async with door.async_client() as client:
            assert (await client.models.retrieve("a/b")).id == "a/b"

    door.run(main)
    assert door.last.target == "/v1/models/a%2Fb"


class Sea(pydantic.BaseModel):
    name: str
    depth: int | None = None


def test_an_answer_is_read_by_a_model(door: AsyncDoor) -> None:
    message = {"role": "assistant", "content": '{"name": "North Sea", "depth": 95}'}
    door.says(reply({**ANSWER, "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}))

    async def main() -> None:
        async with door.async_client() as client:
            answer = await client.chat.completions.parse(**CHAT, response_format=Sea)
        assert answer.choices[0].message.parsed == Sea(name="North Sea", depth=95)

    door.run(main)
    described = door.last.json["response_format"]["json_schema"]
    assert (described["name"], described["strict"]) == ("Sea", True)
    assert described["schema"]["required"] == ["name", "depth"]


# Raw responses


def test_a_raw_response_is_parsed_without_waiting(door: AsyncDoor) -> None:
    door.says(AGAIN, reply(ANSWER, fields=[("x-request-id", "r1")]))

    async def main() -> None:
        async with door.async_client(max_retries=2) as client:
            raw = await client.chat.completions.with_raw_response.create(**CHAT)
        assert (raw.status_code, raw.request_id, raw.retries_taken) == (200, "r1", 1)
        assert raw.headers["X-Request-Id"] == "r1"
        assert raw.parse() is raw.parse()
        assert raw.parse().id == "c1"
        assert json.loads(raw.text) == ANSWER

    door.run(main)


def test_a_streaming_response_is_read_by_its_reader(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client() as client:
            async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
                assert response.headers["content-type"] == "application/json"
                pieces = [piece async for piece in response.iter_bytes()]
                assert b"".join(pieces) == json.dumps(ANSWER).encode()
            async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
                assert (await response.parse()).id == "c1"

    door.run(main)


# Streams


def test_a_stream_gives_its_chunks(door: AsyncDoor) -> None:
    door.says(stream(event("a"), event("b", "stop"), DONE, fields=[("x-request-id", "r5")]))

    async def main() -> None:
        async with door.async_client() as client:
            events = await client.chat.completions.create(**CHAT, stream=True)
            assert events.response.headers["x-request-id"] == "r5"
            assert await texts(events) == ["a", "b"]

    door.run(main)
    assert door.last.json["stream"] is True


def test_a_second_loop_goes_on_where_the_first_stopped(door: AsyncDoor) -> None:
    door.says(stream(event("a"), event("b"), event("c", "stop"), DONE))

    async def main() -> None:
        async with door.async_client() as client:
            events = await client.chat.completions.create(**CHAT, stream=True)
            async with events:
                first = await anext(events)
                assert first.choices[0].delta.content == "a"
                assert await texts(events) == ["b", "c"]

    door.run(main)


def test_streams_keep_their_connection(door: AsyncDoor) -> None:
    door.says(stream(event("a", "stop"), DONE))

    async def main() -> None:
        async with door.async_client() as client:
            for _ in range(5):
                async with await client.chat.completions.create(**CHAT, stream=True) as events:
                    assert len(await texts(events)) == 1

    door.run(main)
    assert len({request.connection for request in door.server.requests}) <= 2


def test_the_helper_for_streams_gathers_the_answer(door: AsyncDoor) -> None:
    door.says(stream(event('{"name": '), event('"x", "depth": null}', "stop"), DONE))

    async def main() -> None:
        client = door.async_client()
        async with client, client.chat.completions.stream(**CHAT, response_format=Sea) as events:
            kinds = [event.type async for event in events]
            final = await events.get_final_completion()
        assert kinds == ["chunk", "content.delta", "chunk", "content.delta", "content.done"]
        assert final.choices[0].message.parsed == Sea(name="x")

    door.run(main)


def test_a_raw_response_of_a_stream_gives_the_stream(door: AsyncDoor) -> None:
    door.says(stream(event("a", "stop"), DONE))

    async def main() -> None:
        async with door.async_client() as client:
            raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
            assert await texts(raw.parse()) == ["a"]

    door.run(main)


# Errors


@pytest.mark.parametrize("streams", [False, True])
def test_a_refusal_is_raised_with_its_facts(door: AsyncDoor, streams: bool) -> None:
    door.says(reply(REFUSED, 429, [("x-request-id", "r2")]))

    async def main() -> None:
        async with door.async_client() as client:
            with pytest.raises(door.sdk.RateLimitError) as caught:
                await client.chat.completions.create(**CHAT, stream=streams)
        error = caught.value
        assert (error.status_code, error.request_id, error.body) == (429, "r2", REFUSED["error"])
        assert (error.code, error.response.json()) == ("c", REFUSED)

    door.run(main)


def test_an_error_in_a_stream_is_raised(door: AsyncDoor) -> None:
    door.says(stream(event("a"), b'data: {"error": {"message": "broke", "code": "x", "type": "t"}}\n\n'))

    async def main() -> None:
        async with door.async_client() as client:
            events = await client.chat.completions.create(**CHAT, stream=True)
            with pytest.raises(door.sdk.APIError, match="broke") as caught:
                await texts(events)
        assert (caught.value.code, caught.value.body["type"]) == ("x", "t")

    door.run(main)


def test_a_stream_that_breaks_off_raises_a_connection_error(door: AsyncDoor) -> None:
    door.says(stream(event("a"), 0.1, RESET, end=False))

    async def main() -> None:
        async with door.async_client() as client:
            events = await client.chat.completions.create(**CHAT, stream=True)
            with pytest.raises(door.sdk.APIConnectionError):
                await texts(events)

    door.run(main)


@pytest.mark.parametrize("streams", [False, True])
def test_a_silent_server_is_a_timeout(door: AsyncDoor, streams: bool) -> None:
    door.says(stream(event("a"), 10, END, end=False) if streams else [10, END])

    async def main() -> None:
        async with door.async_client(timeout=0.2) as client:

            async def call() -> None:
                await texts(await client.chat.completions.create(**CHAT, stream=streams))

            with pytest.raises(door.sdk.APITimeoutError):
                await call()

    door.run(main)


def test_nobody_listening_is_a_connection_error(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client(base_url="http://127.0.0.1:1/v1") as client:
            with pytest.raises(door.sdk.APIConnectionError):
                await client.chat.completions.create(**CHAT)

    door.run(main)


# Repetition


def test_a_refusal_for_the_rate_is_repeated(door: AsyncDoor) -> None:
    door.says(AGAIN, AGAIN, reply(ANSWER))

    async def main() -> None:
        async with door.async_client(max_retries=2) as client:
            assert (await client.chat.completions.create(**CHAT)).id == "c1"

    door.run(main)
    first, *others = door.server.requests
    assert [request.body for request in others] == [first.body] * 2


def test_the_servers_word_against_repetition_holds(door: AsyncDoor) -> None:
    door.says(reply(REFUSED, 429, [("x-should-retry", "false")]))

    async def main() -> None:
        async with door.async_client(max_retries=2) as client:
            with pytest.raises(door.sdk.RateLimitError):
                await client.chat.completions.create(**CHAT)

    door.run(main)
    assert door.requests == 1


def test_a_pause_of_more_than_two_minutes_is_not_waited_for(door: AsyncDoor) -> None:
    door.says(reply(REFUSED, 429, [("retry-after", "121")]))

    async def main() -> None:
        async with door.async_client(max_retries=2) as client:
            with pytest.raises(door.sdk.RateLimitError):
                await client.chat.completions.create(**CHAT)

    door.run(main)
    assert door.requests == 1


# Stopping and closing


def test_a_cancelled_call_closes_its_connection(door: AsyncDoor) -> None:
    door.says([GONE])

    async def main() -> None:
        async with door.async_client() as client:
            async with anyio.create_task_group() as tasks:

                async def call() -> None:
                    await client.chat.completions.create(**CHAT)

                tasks.start_soon(call)
                await door.wait_for_requests(1)
                tasks.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(door.server.gone.wait, 10)

    door.run(main)


def test_a_cancelled_stream_closes_its_connection(door: AsyncDoor) -> None:
    door.says([*stream(event("a"), end=False), GONE])

    async def main() -> None:
        async with door.async_client() as client:
            got = anyio.Event()
            async with anyio.create_task_group() as tasks:

                async def read() -> None:
                    async with await client.chat.completions.create(**CHAT, stream=True) as events:
                        async for _ in events:
                            got.set()

                tasks.start_soon(read)
                with anyio.fail_after(10):
                    await got.wait()
                tasks.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(door.server.gone.wait, 10)

    door.run(main)


def test_a_closed_stream_closes_its_connection(door: AsyncDoor) -> None:
    door.says([*stream(event("a"), end=False), GONE])

    async def main() -> None:
        async with door.async_client() as client:
            events = await client.chat.completions.create(**CHAT, stream=True)
            await anext(events)
            await events.close()
            assert events.response.is_closed
            assert await anyio.to_thread.run_sync(door.server.gone.wait, 10)

    door.run(main)


def test_a_closed_client_refuses(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client() as client:
            await client.chat.completions.create(**CHAT)
        assert client.is_closed()
        with pytest.raises(RuntimeError, match="closed"):
            await client.chat.completions.create(**CHAT)

    door.run(main)


def test_a_copy_shares_the_connections_and_changes_what_it_says(door: AsyncDoor) -> None:
    async def main() -> None:
        async with door.async_client() as client:
            await client.chat.completions.create(**CHAT)
            other = client.with_options(api_key="sk-other", default_headers={"X-B": "2"})
            await other.chat.completions.create(**CHAT)

    door.run(main)
    assert (door.last["authorization"], door.last["x-b"]) == ("Bearer sk-other", "2")
    assert len({request.connection for request in door.server.requests}) == 1


def test_a_client_serves_one_event_loop_after_the_other(door: AsyncDoor) -> None:
    """The package's own keeps connections of a loop that is gone."""
    client = door.async_client()

    async def main() -> Any:
        answer = await client.chat.completions.create(**CHAT)
        if not door.is_ours:
            await client.close()
        return answer.id

    assert door.run(main) == "c1"
    if door.is_ours:
        assert door.run(main) == "c1"
        assert len({request.connection for request in door.server.requests}) == 1


def test_answers_and_clients_are_pickled(door: AsyncDoor) -> None:
    client = door.async_client()

    async def main() -> Any:
        answer = await client.chat.completions.create(**CHAT)
        if not door.is_look_alike:
            await client.close()
        return answer

    answer = door.run(main)
    assert pickle.loads(pickle.dumps(answer)) == answer
    if door.is_look_alike:
        client = pickle.loads(pickle.dumps(client))
        assert door.run(main) == answer
    else:
        with pytest.raises((TypeError, pickle.PicklingError)):
            pickle.dumps(client)


def test_an_elkapi_error_is_what_ours_raises(door: AsyncDoor) -> None:
    door.says(reply(REFUSED, 403))

    async def main() -> None:
        async with door.async_client() as client:
            with pytest.raises(door.sdk.PermissionDeniedError) as caught:
                await client.chat.completions.create(**CHAT)
        assert isinstance(caught.value, elkapi.Error) is door.is_look_alike

    door.run(main)

"""The asynchronous client: the same answers, streams, errors and limits, for asyncio and trio."""

import asyncio
import gc
import inspect
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import elkapi
import pytest
import trio
from conftest import KEY, Gateway

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def in_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(main(), 60)

    return asyncio.run(bounded())


def in_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        with trio.fail_after(60):
            return await main()

    return trio.run(bounded)


@pytest.fixture(params=[in_asyncio, in_trio], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def wishing(**wishes: Any) -> dict[str, Any]:
    return {**HELLO, "sim": wishes}


async def all_at_once(*works: Callable[[], Awaitable[Any]]) -> None:
    if trio.lowlevel.in_trio_run():
        async with trio.open_nursery() as nursery:
            for work in works:
                nursery.start_soon(work)
    else:
        await asyncio.gather(*(work() for work in works))


async def pause(seconds: float) -> None:
    await (trio.sleep(seconds) if trio.lowlevel.in_trio_run() else asyncio.sleep(seconds))


async def until(fact: Callable[[], bool], what: str) -> None:
    for _ in range(1000):
        if fact():
            return
        await pause(0.01)
    pytest.fail(f"never happened: {what}")


def test_all_calls_answer_as_those_of_the_synchronous_client(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        async with gateway.async_client() as asynchronous:
            answer = await asynchronous.ask("Name three seas.", model="m-1", temperature=0.2)
            assert answer.text == "The Baltic Sea, the Coral Sea and the Sea of Japan."
            assert gateway.last_body()["temperature"] == 0.2
            for request in (
                HELLO,
                '{"messages":[{"role":"user","content":"Hello"}]}',
                b'{"contents":["Hello"]}',
            ):
                answer = await asynchronous.chat_completions(request)
                assert (answer.text, answer.verdict) == ("Hello! How can I help you today?", "complete")
                assert len(answer.attempts) == 1
            assert "gemini-3.1-pro-preview" in [model.id for model in (await asynchronous.models()).data]
            changed = asynchronous.with_options(extra_headers={"x-a": "b"})
            await changed.ask("Hello", extra_headers={"x-c": "d"})
            assert {"x-a": "b", "x-c": "d"}.items() <= gateway.last_headers().items()
        with pytest.raises(elkapi.ClosedError):
            await asynchronous.ask("Hello")

    run(main)


def test_the_signatures_are_those_of_the_synchronous_client() -> None:
    names = {name for name in vars(elkapi.Client) if not name.startswith("_")}
    assert names == {name for name in vars(elkapi.AsyncClient) if not name.startswith("_")}
    for name in names - {"base_url", "close"}:
        signatures = [inspect.signature(getattr(kind, name)) for kind in (elkapi.Client, elkapi.AsyncClient)]
        assert signatures[0] == signatures[1], name
    streams = [elkapi.Stream, elkapi.AsyncStream]
    public = [{name for name in dir(stream) if not name.startswith("_")} for stream in streams]
    assert public[0] == public[1]


def test_a_stream_is_opened_by_await_and_by_async_with_and_tells_all(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client()
        stream = await asynchronous.stream(HELLO)
        assert (stream.status, stream.verdict, stream.completion.verdict) == (200, None, "truncated")
        assert stream.request_id == stream.headers["x-oneapi-request-id"]
        texts = [chunk.text async for chunk in stream]
        assert "".join(texts) == stream.completion.text == "Hello! How can I help you today?"
        assert (stream.verdict, stream.saw_done) == ("complete", True)
        assert stream.completion.usage is not None
        assert stream.completion is stream.completion
        async with asynchronous.stream(HELLO) as stream:
            assert "".join([text async for text in stream.text_stream]) == stream.completion.text
        async with asynchronous.stream(HELLO) as stream:
            assert (await stream.finish()).text == "Hello! How can I help you today?"
            assert (await stream.finish()) is stream.completion
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(stream)

    run(main)


def test_an_event_is_there_before_the_next_one_is_sent(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        request = wishing(chunks=3, bytes=30, chunk_delay_us=300_000)
        async with gateway.async_client().stream(request) as stream:
            async for chunk in stream:
                if chunk.text:
                    break
            assert gateway.stats()["in_flight"] == 1
            assert stream.completion.text == chunk.text

    run(main)


def test_refusals_and_failures_are_raised_where_they_are_met(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        for path, kind in [("/fault/429-seconds/v1", "rate_limit"), ("/fault/not-http/v1", "protocol")]:
            asynchronous = gateway.async_client(path)
            with pytest.raises(elkapi.Error) as caught:
                await asynchronous.chat_completions(HELLO)
            assert caught.value.kind == kind
            with pytest.raises(elkapi.Error) as caught:
                await asynchronous.stream(HELLO)
            assert caught.value.kind == kind
            with pytest.raises(elkapi.Error):
                async with asynchronous.stream(HELLO):
                    pytest.fail("it was opened")
        with pytest.raises(elkapi.InvalidArgumentError, match="plain words"):
            await asynchronous.chat_completions("Hello")
        with pytest.raises(TypeError, match="did you mean 'timeout'"):
            await asynchronous.chat_completions(HELLO, timout=3)  # type: ignore[call-arg]
        stream = await gateway.async_client("/fault/truncate/v1").stream(HELLO)
        with pytest.raises(elkapi.TruncatedError) as truncated:
            await stream.finish()
        assert truncated.value.completion is stream.completion
        assert stream.completion.text.startswith("Hello")
        assert stream.verdict == "truncated"
        with pytest.raises(elkapi.TruncatedError):
            await stream.finish()

    run(main)


def test_limits_and_tokens_hold(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client("/fault/stall-before-headers/v1")
        with pytest.raises(elkapi.APITimeoutError):
            await asynchronous.ask("Hello", timeout=0.1)
        stop = elkapi.Cancel()
        threading.Timer(0.1, stop.cancel).start()
        with pytest.raises(elkapi.CallCancelledError):
            await asynchronous.ask("Hello", cancel=stop)
        with pytest.raises(elkapi.CallCancelledError):
            await asynchronous.stream(HELLO, cancel=stop)

    run(main)


def test_a_cancelled_task_raises_only_its_cancellation_and_closes_the_socket(gateway: Gateway) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client("/fault/stall-mid-body/v1")

        async def read() -> None:
            async with asynchronous.stream(HELLO) as stream:
                async for _ in stream:
                    pass

        for work in (lambda: asynchronous.ask("Hello"), read):
            task = asyncio.ensure_future(work())
            await until(lambda: gateway.stats()["in_flight"] == 1, "it is under way")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: gateway.stats()["in_flight"] == 0, "its socket is closed")

    in_asyncio(main)


def test_a_cancelled_scope_of_trio_closes_the_socket(gateway: Gateway) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client("/fault/stall-mid-body/v1")
        with trio.move_on_after(0.2) as scope:
            async with asynchronous.stream(HELLO) as stream:
                async for _ in stream:
                    pass
        assert scope.cancelled_caught
        assert stream.verdict == "cancelled"
        await until(lambda: gateway.stats()["in_flight"] == 0, "its socket is closed")

    in_trio(main)


def test_a_stream_that_is_left_early_closes_its_connection(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        request = wishing(chunks=1000, bytes=10_000, chunk_delay_us=10_000)
        asynchronous = gateway.async_client()
        async with asynchronous.stream(request) as stream:
            async for _ in stream:
                break
        assert (stream.verdict, stream.completion.verdict) == ("cancelled", "cancelled")
        assert [chunk async for chunk in stream] == []
        await until(lambda: gateway.stats()["closed_by_client"] == 1, "its socket is closed")
        stream = await asynchronous.stream(request)
        dropped = [stream]
        del stream
        with pytest.warns(ResourceWarning, match="dropped before its end"):
            dropped.clear()
        await until(lambda: gateway.stats()["closed_by_client"] == 2, "its socket is closed")

    run(main)


def test_closing_a_stream_ends_the_task_that_waits_for_its_next_chunk(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        client = gateway.async_client("/fault/stall-mid-body/v1")
        stream = await client.stream(HELLO)
        chunks: list[str] = []

        async def read() -> None:
            async for chunk in stream:
                chunks.append(chunk.text)

        async def leave() -> None:
            await pause(0.3)
            await stream.close()

        await all_at_once(read, leave)
        assert stream.verdict == "cancelled"
        assert chunks

    run(main)


def test_a_loop_that_ended_with_calls_in_flight_leaves_no_descriptor(gateway: Gateway) -> None:
    client = gateway.async_client("/fault/stall-before-headers/v1")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat_completions(HELLO), 0.05)

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    asyncio.run(main())
    before = descriptors()
    for _ in range(30):
        asyncio.run(main())
    deadline = time.monotonic() + 20
    while (now := descriptors()) > before + 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert now <= before + 10


WATCHED = """
import asyncio, logging, sys, threading
import elkapi
logging.disable()
sys.setswitchinterval(1e-6)
streams = [None]

def watch():
    while True:
        stream = streams[0]
        if stream is not None:
            stream.verdict

async def main():
    client = elkapi.AsyncClient(base_url=sys.argv[1], api_key="sk-test", environment=False)
    for _ in range(300):
        streams[0] = stream = await client.stream('{"contents":["Hello"]}')
        try:
            async for _ in stream: pass
        except elkapi.TruncatedError: pass

threading.Thread(target=watch, daemon=True).start()
asyncio.run(main())
"""


def test_another_thread_may_look_at_a_stream_that_fails(gateway: Gateway) -> None:
    command = [sys.executable, "-c", WATCHED, gateway.url("/fault/truncate/v1")]
    child = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (child.returncode, child.stderr) == (0, b"")


def test_two_tasks_may_not_read_one_stream(gateway: Gateway) -> None:
    async def main() -> None:
        async with gateway.async_client("/fault/stall-mid-body/v1").stream(HELLO) as stream:

            async def read() -> None:
                async for _ in stream:
                    pass

            first = asyncio.ensure_future(read())
            await asyncio.sleep(0.1)
            with pytest.raises(RuntimeError, match="one task at a time"):
                await read()
            assert stream.verdict is None
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first

    in_asyncio(main)


def test_a_stream_that_nobody_reads_is_not_read_from_the_network(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        size = 64 << 20
        async with gateway.async_client().stream(wishing(bytes=size, chunks=20_000)) as stream:
            await pause(1)
            assert gateway.stats()["in_flight"] == 1
            answer = await gateway.async_client().ask("Hello")
            assert answer.text
            assert len((await stream.finish()).text) == size

    run(main)


def test_500_calls_beside_each_other_are_all_answered(gateway: Gateway, run: Run) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client("/delay/50/v1")
        answers: list[str] = []

        async def one(number: int) -> None:
            answer = await asynchronous.chat_completions(wishing(text=f"answer {number}"))
            assert answer.text == f"answer {number}"
            answers.append(answer.text)

        await all_at_once(*(lambda number=number: one(number) for number in range(500)))
        assert len(set(answers)) == 500
        assert gateway.stats()["max_in_flight"] > 100

    run(main)


def test_cancelling_500_calls_closes_all_their_sockets(gateway: Gateway) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client("/fault/stall-before-headers/v1")
        tasks = [asyncio.ensure_future(asynchronous.ask("Hello")) for _ in range(500)]
        await until(lambda: gateway.stats()["in_flight"] == 500, "all are under way")
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        await until(lambda: gateway.stats()["in_flight"] == 0, "all sockets are closed")

    in_asyncio(main)


def test_one_client_serves_several_loops_one_after_the_other_and_at_once(gateway: Gateway) -> None:
    asynchronous = gateway.async_client()

    async def main() -> None:
        assert (await asynchronous.ask("Hello")).text

    in_asyncio(main)
    in_trio(main)
    threads = [threading.Thread(target=in_asyncio, args=(main,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert gateway.requests() == 6


def test_a_client_is_pickled_by_its_options(gateway: Gateway) -> None:
    asynchronous = pickle.loads(pickle.dumps(gateway.async_client(user_agent="elk/1")))

    async def main() -> None:
        assert (await asynchronous.ask("Hello")).text

    in_asyncio(main)
    assert gateway.last_headers()["user-agent"] == "elk/1"
    assert repr(asynchronous) == f"AsyncClient(base_url={gateway.url()!r})"


def test_attempts_are_logged_in_the_loop(
    gateway: Gateway, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        await gateway.async_client().ask("Hello")
        async with gateway.async_client().stream(HELLO) as stream:
            await stream.finish()

    with caplog.at_level("INFO", logger="elkapi"):
        run(main)
    assert len([record for record in caplog.records if record.name == "elkapi"]) == 2
    assert {record.thread for record in caplog.records} == {threading.get_ident()}


PROGRAM = """
import asyncio, sys, elkapi

async def main():
    client = elkapi.AsyncClient(base_url=sys.argv[1], api_key="sk-x", environment=False, timeout=30)
    print("ready", flush=True)
    CALL

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/fault/stall-before-headers/v1", "await client.ask('Hello')"),
        ("/fault/stall-before-headers/v1", "await client.stream({'messages': []})"),
        ("/fault/429-seconds-20/v1", "await client.ask('Hello')"),
        ("/fault/stall-mid-body/v1", '[c async for c in await client.stream(\'{"contents":["Hello"]}\')]'),
        ("/fault/ping-forever/v1", '[c async for c in await client.stream(\'{"contents":["Hello"]}\')]'),
    ],
)
def test_ctrl_c_ends_the_loop_at_once(gateway: Gateway, path: str, call: str) -> None:
    program = PROGRAM.replace("CALL", call)
    child = subprocess.Popen(
        [sys.executable, "-c", program, gateway.url(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 20
    while gateway.requests() == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert time.monotonic() - begun < 2
    assert b"KeyboardInterrupt" in errors
    assert child.returncode == -signal.SIGINT


@pytest.mark.parametrize("priority", [0, 19], ids=["usual priority", "low priority"])
def test_a_program_ends_normally_with_streams_in_flight(gateway: Gateway, priority: int) -> None:
    program = PROGRAM.replace(
        "CALL",
        'streams = [await client.stream(\'{"contents":["Hello"],"sim":{"chunks":9000,"bytes":90000,'
        '"chunk_delay_us":100}}\') for _ in range(4)]\n    [await anext(stream) for stream in streams]\n'
        "    import warnings; warnings.simplefilter('ignore')",
    )
    command = [sys.executable, "-c", program, gateway.url()]
    for _ in range(int(os.environ.get("ELKAPI_EXITS", "3"))):
        child = subprocess.run(
            command, capture_output=True, timeout=60, preexec_fn=lambda: os.nice(priority), check=False
        )
        assert (child.returncode, child.stderr) == (0, b"")


def test_a_child_of_a_program_with_calls_in_flight_makes_its_own(gateway: Gateway) -> None:
    async def main() -> None:
        asynchronous = gateway.async_client("/delay/300/v1")
        call = asyncio.ensure_future(asynchronous.ask("Hello"))
        await until(lambda: gateway.stats()["in_flight"] == 1, "it is under way")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.events._set_running_loop(None)
                answer = asyncio.new_event_loop().run_until_complete(asynchronous.ask("Name three seas."))
                code = 0 if "Baltic" in answer.text else 2
            finally:
                os._exit(code)
        assert (await call).text == "Hello! How can I help you today?"
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert status == 0

    in_asyncio(main)


@pytest.mark.parametrize("function", ["chat_completions", "stream"])
def test_members_of_a_request_as_keywords_are_shown_their_place(function: str) -> None:
    async def main() -> None:
        async with elkapi.AsyncClient(api_key=KEY) as client:
            await getattr(client, function)(messages=[])

    with pytest.raises(TypeError) as caught:
        asyncio.run(main())
    assert f'{function}({{"messages": […]}})' in str(caught.value)

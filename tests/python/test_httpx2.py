"""The transports on their own: what httpx2 asks of one, connections kept, calls stopped."""

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import elkapi
import elkapi.httpx2
import httpx2
import openai
import pytest
from conftest import KEY, Gateway

# Of the packages' own generators, which trio tells of where they are not read to their end; and of forks
# in processes with threads, which are tested here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator '(openai|httpx2):ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

CHAT: dict[str, Any] = {
    "model": "gemini-3.1-pro-preview",
    "messages": [{"role": "user", "content": "Hi"}],
}
HEADERS = {"Authorization": f"Bearer {KEY}"}


def _client(**options: Any) -> httpx2.Client:
    transport = elkapi.httpx2.Transport(environment=False, **options)
    return httpx2.Client(transport=transport, headers=HEADERS, timeout=30)


def _openai(gateway: Gateway, path: str = "/v1") -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=gateway.url(path), http_client=_client(), max_retries=0)


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _run(loop: str, main: Callable[[], Awaitable[Any]]) -> None:
    async def bounded() -> None:
        with anyio.fail_after(60):
            await main()

    anyio.run(bounded, backend=loop)


def _async_client(**options: Any) -> httpx2.AsyncClient:
    transport = elkapi.httpx2.AsyncTransport(environment=False, **options)
    return httpx2.AsyncClient(transport=transport, headers=HEADERS, timeout=30)


def _async_openai(gateway: Gateway, path: str = "/v1") -> openai.AsyncOpenAI:
    url = gateway.url(path)
    return openai.AsyncOpenAI(api_key=KEY, base_url=url, http_client=_async_client(), max_retries=0)


async def _until(fact: Callable[[], bool], what: str) -> None:
    with anyio.fail_after(10):
        while not fact():
            await anyio.sleep(0.01)
    assert fact(), what


def test_twenty_streams_share_a_connection(gateway: Gateway) -> None:
    with _openai(gateway) as client:
        for _ in range(20):
            with client.chat.completions.create(**CHAT, stream=True) as stream:
                assert len(list(stream)) > 2
    assert (gateway.stats()["requests"], gateway.stats()["connections"]) == (20, 1)


def test_twenty_asynchronous_streams_share_a_connection(gateway: Gateway, loop: str) -> None:
    async def main() -> None:
        async with _async_openai(gateway) as client:
            for _ in range(20):
                async with await client.chat.completions.create(**CHAT, stream=True) as stream:
                    assert len([chunk async for chunk in stream]) > 2

    _run(loop, main)
    assert (gateway.stats()["requests"], gateway.stats()["connections"]) == (20, 1)


@pytest.mark.parametrize("path", ["/fault/stall-before-headers/v1", "/fault/stall-mid-body/v1"])
@pytest.mark.parametrize("streams", [False, True])
def test_a_cancelled_task_closes_its_connection_at_once(
    gateway: Gateway, loop: str, path: str, streams: bool
) -> None:
    async def main() -> None:
        async with _async_openai(gateway, path) as client:

            async def call() -> None:
                if not streams:
                    await client.chat.completions.create(**CHAT)
                else:
                    async for _ in await client.chat.completions.create(**CHAT, stream=True):
                        pass

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await _until(lambda: gateway.requests() == 1, "it is under way")
                await anyio.sleep(0.1)
                tasks.cancel_scope.cancel()
            await _until(lambda: gateway.stats()["in_flight"] == 0, "its connection is closed")

    _run(loop, main)


def test_64_calls_at_once_are_all_answered_and_take_no_thread_of_python(gateway: Gateway, loop: str) -> None:
    threads = threading.enumerate()
    texts: list[str] = []

    async def main() -> None:
        url = gateway.url("/delay/100/v1/chat/completions")
        async with _async_client() as client, anyio.create_task_group() as tasks:

            async def call(number: int) -> None:
                answer = await client.post(url, json={**CHAT, "sim": {"text": f"answer {number}"}})
                texts.append(answer.json()["choices"][0]["message"]["content"])
                assert threading.enumerate() == threads

            for number in range(64):
                tasks.start_soon(call, number)

    _run(loop, main)
    assert sorted(texts) == sorted(f"answer {number}" for number in range(64))
    assert gateway.stats()["max_in_flight"] > 32


def test_a_reply_that_nobody_reads_is_not_read_from_the_network(gateway: Gateway, loop: str) -> None:
    size = 64 << 20
    body = {**CHAT, "stream": True, "sim": {"bytes": size, "chunks": 2_000}}

    async def main() -> None:
        async with _async_client() as client:
            url = gateway.url("/v1/chat/completions")
            async with client.stream("POST", url, json=body) as reply:
                pieces = reply.aiter_raw()
                length = len(await anext(pieces))
                await anyio.sleep(0.5)
                assert gateway.stats()["in_flight"] == 1
                assert (await client.get(gateway.url("/v1/models"))).status_code == 200
                async for piece in pieces:
                    length += len(piece)
                assert length > size

    _run(loop, main)


def test_other_tasks_have_their_turn_while_a_fast_reply_is_read(gateway: Gateway, loop: str) -> None:
    body = {**CHAT, "sim": {"bytes": 64 << 20}}
    turns = [0]

    async def main() -> None:
        async with _async_client() as client, anyio.create_task_group() as tasks:

            async def count() -> None:
                while True:
                    turns[0] += 1
                    await anyio.sleep(0)

            url = gateway.url("/v1/chat/completions")
            async with client.stream("POST", url, json=body) as reply:
                tasks.start_soon(count)
                await anyio.sleep(0.2)
                before = turns[0]
                assert sum([len(piece) async for piece in reply.aiter_raw()]) > 64 << 20
                assert turns[0] - before >= 8
            tasks.cancel_scope.cancel()

    _run(loop, main)


def test_a_reply_that_is_left_early_closes_its_connection(gateway: Gateway, loop: str) -> None:
    async def main() -> None:
        async with _async_client() as client:
            url = gateway.url("/fault/endless-body/v1/chat/completions")
            async with client.stream("POST", url, json=CHAT) as reply:
                assert await anext(reply.aiter_raw())
            await _until(lambda: gateway.stats()["in_flight"] == 0, "its connection is closed")
            reply = await client.send(client.build_request("POST", url, json=CHAT), stream=True)
            assert gateway.stats()["in_flight"] == 1
            del reply
            gc.collect()
            await _until(lambda: gateway.stats()["in_flight"] == 0, "its connection is closed")

    _run(loop, main)


def test_one_transport_serves_several_loops_one_after_the_other_and_at_once(gateway: Gateway) -> None:
    client = _async_openai(gateway)

    async def main() -> None:
        assert (await client.chat.completions.create(**CHAT)).choices

    for loop in ("asyncio", "asyncio", "trio", "trio"):
        _run(loop, main)
    assert (gateway.stats()["requests"], gateway.stats()["connections"]) == (4, 1)
    threads = [threading.Thread(target=_run, args=(loop, main)) for loop in ("asyncio", "trio") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert gateway.requests() == 8


def test_a_reply_is_read_on_in_another_loop(gateway: Gateway) -> None:
    transport = elkapi.httpx2.AsyncTransport(environment=False)
    body = {**CHAT, "stream": True, "sim": {"chunks": 3, "bytes": 30, "chunk_delay_us": 200_000}}
    request = httpx2.Request("POST", gateway.url("/v1/chat/completions"), json=body, headers=HEADERS)
    replies: list[httpx2.Response] = []

    async def begin() -> None:
        reply = await transport.handle_async_request(request)
        assert await anext(aiter(reply.stream))
        replies.append(reply)

    async def go_on() -> None:
        pieces = [piece async for piece in replies[0].stream]  # type: ignore[union-attr]
        assert b"[DONE]" in b"".join(pieces)

    _run("asyncio", begin)
    _run("trio", go_on)


def test_loops_that_end_with_exchanges_in_flight_leave_no_descriptor(gateway: Gateway, loop: str) -> None:
    client = _async_openai(gateway, "/fault/stall-before-headers/v1")

    async def main() -> None:
        with anyio.move_on_after(0.05):
            await client.chat.completions.create(**CHAT)

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    _run(loop, main)
    before = descriptors()
    for _ in range(20):
        _run(loop, main)
    deadline = time.monotonic() + 20
    while (now := descriptors()) > before + 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert now <= before + 5


def test_any_method_and_a_streamed_body_go_through(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"model":"gemini-3.1-pro-preview","messages":'
        yield b'[{"role":"user","content":"Hi"}]}'

    with _client() as client:
        reply = client.post(
            gateway.url("/v1/chat/completions"),
            content=pieces(),
            headers={"Content-Type": "application/json"},
        )
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"]
        assert gateway.last_headers()["transfer-encoding"] == "chunked"
        assert client.request("DELETE", gateway.url("/v1/nothing")).status_code == 404
        assert client.head(gateway.url("/v1/models")).content == b""


def test_an_asynchronous_streamed_body_goes_through(gateway: Gateway, loop: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"model":"gemini-3.1-pro-preview",'
        yield b'"messages":[{"role":"user","content":"Hi"}]}'

    async def main() -> None:
        async with _async_client() as client:
            json = {"Content-Type": "application/json"}
            url = gateway.url("/v1/chat/completions")
            assert (await client.post(url, content=pieces(), headers=json)).status_code == 200

    _run(loop, main)


def test_what_a_streamed_body_raises_is_raised(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"{"
        raise LookupError("from the body")

    with _client() as client, pytest.raises(LookupError, match="from the body"):
        client.post(gateway.url("/v1/chat/completions"), content=pieces())


FAILURES: list[tuple[str, Any, type[Exception]]] = [
    ("/fault/stall-before-headers/v1", httpx2.Timeout(30, read=0.1), httpx2.ReadTimeout),
    ("/fault/stall-mid-body/v1", httpx2.Timeout(30, read=0.1), httpx2.ReadTimeout),
    ("/fault/close-before-reply/v1", 30, httpx2.RemoteProtocolError),
    ("/fault/reset-before-reply/v1", 30, httpx2.ReadError),
    ("/fault/truncate/v1", 30, httpx2.RemoteProtocolError),
    ("/fault/not-http/v1", 30, httpx2.RemoteProtocolError),
    ("/fault/bad-chunk/v1", 30, httpx2.RemoteProtocolError),
    ("/fault/slow-read/v1", httpx2.Timeout(30, write=0.2), httpx2.WriteTimeout),
]


def _failing(path: str) -> dict[str, Any]:
    content = "x" * (16_000_000 if "slow-read" in path else 1)
    return {**CHAT, "messages": [{"role": "user", "content": content}], "stream": "chunk" in path}


@pytest.mark.parametrize(("path", "timeout", "wanted"), FAILURES)
def test_failures_are_those_of_httpx2(gateway: Gateway, path: str, timeout: Any, wanted: Any) -> None:
    with _client() as client:
        with pytest.raises(wanted) as caught:
            client.post(gateway.url(f"{path}/chat/completions"), json=_failing(path), timeout=timeout)
        assert isinstance(caught.value.__cause__, elkapi.Error)
        assert caught.value.request.method == "POST"


@pytest.mark.parametrize(("path", "timeout", "wanted"), FAILURES)
def test_asynchronous_failures_are_those_of_httpx2(
    gateway: Gateway, loop: str, path: str, timeout: Any, wanted: Any
) -> None:
    async def main() -> None:
        async with _async_client() as client:
            url = gateway.url(f"{path}/chat/completions")
            with pytest.raises(wanted) as caught:
                await client.post(url, json=_failing(path), timeout=timeout)
            assert isinstance(caught.value.__cause__, elkapi.Error)
            assert caught.value.request.method == "POST"
            with pytest.raises(httpx2.ConnectError):
                await client.get("http://127.0.0.1:1/v1")
            with pytest.raises(elkapi.ConfigError):
                await client.get("http://192.0.2.1/v1")

    _run(loop, main)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://127.0.0.1:1/v1", httpx2.ConnectError),
        ("https://nowhere.invalid/v1", httpx2.ConnectError),
        ("ftp://127.0.0.1/v1", httpx2.UnsupportedProtocol),
        ("http://192.0.2.1/v1", elkapi.ConfigError),
    ],
)
def test_failures_before_a_connection_are_those_of_httpx2(url: str, wanted: Any) -> None:
    with _client() as client, pytest.raises(wanted):
        client.get(url)


def test_options_are_those_of_the_network() -> None:
    with pytest.raises(elkapi.ConfigError, match="max_retries"):
        elkapi.httpx2.Transport(max_retries=1)
    with pytest.raises(TypeError, match="insecure_skip_verify"):
        elkapi.httpx2.Transport(insecure_skip_verif=True)


def test_refusals_that_may_have_been_charged_are_not_repeated(gateway: Gateway) -> None:
    """A page of a proxy in front does not say whether the request ran."""
    for options, requests in [({}, 1), ({"retry_risky": True}, 3)]:
        url = f"{gateway.url('/fault/error-page/v1')}"
        before = gateway.requests()
        client = openai.OpenAI(api_key=KEY, base_url=url, http_client=_client(**options), max_retries=2)
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**CHAT)
        assert gateway.requests() - before == requests
        assert caught.value.response.headers.get("x-should-retry") == (None if options else "false")


def test_a_child_makes_connections_of_its_own(gateway: Gateway) -> None:
    client = _openai(gateway)
    client.chat.completions.create(**CHAT)

    def child(told: Any) -> None:
        told.send(client.chat.completions.create(**CHAT).choices[0].message.content)
        os._exit(0)

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(there,))
    process.start()
    assert here.poll(30)
    assert here.recv()
    process.join(30)
    client.chat.completions.create(**CHAT)
    stats = gateway.stats()
    assert (stats["requests"], stats["connections"]) == (3, 2)


def test_a_child_of_a_program_with_an_exchange_in_flight_makes_its_own(gateway: Gateway) -> None:
    client = _async_openai(gateway, "/delay/300/v1")

    async def child() -> None:
        assert (await client.chat.completions.create(**CHAT)).choices

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
            await _until(lambda: gateway.stats()["in_flight"] == 1, "it is under way")
            process = os.fork()
            if process == 0:
                code = 1
                try:
                    asyncio.events._set_running_loop(None)
                    asyncio.new_event_loop().run_until_complete(child())
                    code = 0
                finally:
                    os._exit(code)
            _, status = await anyio.to_thread.run_sync(os.waitpid, process, 0)
            assert status == 0

    _run("asyncio", main)
    assert gateway.stats()["connections"] == 2


ASYNC_PROGRAM = """
import sys
import anyio, httpx2, openai
import elkapi.httpx2
url, loop, streams, leaves = sys.argv[1], sys.argv[2], sys.argv[3] == "stream", sys.argv[4] == "leave"
http = httpx2.AsyncClient(transport=elkapi.httpx2.AsyncTransport(environment=False), timeout=60)
client = openai.AsyncOpenAI(api_key="sk-test-0123456789abcdef", base_url=url, http_client=http)
request = dict(model="m", messages=[{"role": "user", "content": "Hi"}], stream=streams)

async def call():
    answer = await client.chat.completions.create(**request)
    if streams:
        async for _ in answer: pass

async def main():
    async with anyio.create_task_group() as tasks:
        for _ in range(4): tasks.start_soon(call)
        print("calling", flush=True)
        if leaves:
            await anyio.to_thread.run_sync(sys.stdin.readline)
            sys.exit(3)

anyio.run(main, backend=loop)
"""


@pytest.mark.parametrize("how", ["unary", "stream"])
@pytest.mark.parametrize("end", ["interrupt", "leave"])
@pytest.mark.parametrize("fault", ["stall-before-headers", "stall-mid-body", "ping-forever"])
def test_a_program_with_exchanges_in_flight_ends_at_once(
    gateway: Gateway, loop: str, fault: str, end: str, how: str
) -> None:
    command = [sys.executable, "-c", ASYNC_PROGRAM, gateway.url(f"/fault/{fault}/v1"), loop, how, end]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "calling\n"
        while gateway.requests() < 4:
            time.sleep(0.01)
        time.sleep(0.1)
        sent = time.monotonic()
        if end == "interrupt":
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate("\n", timeout=20)
    assert time.monotonic() - sent < 3, "usually a tenth of a second"
    wanted = "KeyboardInterrupt" if end == "interrupt" else "SystemExit: 3"
    # In trio both come in a group of exceptions.
    assert process.returncode in (1, -signal.SIGINT if end == "interrupt" else 3)
    assert process.returncode != 1 or f"{wanted}" in errors


PROGRAM = """
import sys, time
import httpx2, openai
import elkapi.httpx2
http = httpx2.Client(transport=elkapi.httpx2.Transport(environment=False), timeout=60)
client = openai.OpenAI(api_key="sk-test-0123456789abcdef", base_url=sys.argv[1], http_client=http)
request = dict(model="m", messages=[{"role": "user", "content": "Hi"}])
print("calling", flush=True)
try:
    for chunk in client.chat.completions.create(**request, stream=sys.argv[2] == "stream"): pass
except BaseException as error:
    print(type(error).__name__, time.monotonic())
"""


@pytest.mark.parametrize("how", ["unary", "stream"])
@pytest.mark.parametrize("fault", ["stall-before-headers", "stall-mid-body", "ping-forever"])
def test_ctrl_c_ends_a_call(gateway: Gateway, fault: str, how: str) -> None:
    arguments = [sys.executable, "-c", PROGRAM, gateway.url(f"/fault/{fault}/v1"), how]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "calling\n"
        while not gateway.requests():
            time.sleep(0.01)
        time.sleep(0.2)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        name, at = process.stdout.read().split()
        process.wait(timeout=30)
    assert name == "KeyboardInterrupt"
    assert float(at) - sent < 1, "usually some milliseconds"


def test_closing_from_another_thread_stops_the_reading(gateway: Gateway) -> None:
    with _client() as client:
        url = gateway.url("/fault/stall-mid-body/v1/chat/completions")
        with client.stream("POST", url, json=CHAT) as reply:
            threading.Timer(0.2, reply.stream.close).start()  # type: ignore[union-attr]
            with pytest.raises(elkapi.CallCancelledError):
                reply.read()


def test_a_reply_that_is_dropped_closes_its_connection(gateway: Gateway) -> None:
    with _client() as client:
        url = gateway.url("/fault/endless-body/v1/chat/completions")
        reply = client.send(client.build_request("POST", url, json=CHAT), stream=True)
        assert next(reply.iter_raw())
        del reply
        gc.collect()
        assert client.get(gateway.url("/v1/models")).status_code == 200


def test_the_older_httpx_gets_the_same(gateway: Gateway) -> None:
    httpx = pytest.importorskip("httpx")
    import elkapi.httpx

    with httpx.Client(transport=elkapi.httpx.Transport(environment=False), headers=HEADERS) as client:
        assert client.get(gateway.url("/v1/models")).json()["data"]
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(gateway.url("/fault/truncate/v1/chat/completions"), json=CHAT)


def test_the_older_httpx_gets_the_same_asynchronously(gateway: Gateway, loop: str) -> None:
    httpx = pytest.importorskip("httpx")
    import elkapi.httpx

    async def main() -> None:
        transport = elkapi.httpx.AsyncTransport(environment=False)
        async with httpx.AsyncClient(transport=transport, headers=HEADERS) as client:
            assert (await client.get(gateway.url("/v1/models"))).json()["data"]
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(gateway.url("/fault/truncate/v1/chat/completions"), json=CHAT)

    _run(loop, main)

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
from collections.abc import AsyncIterator, Iterator
from typing import Any

import elkapi
import elkapi.httpx2
import httpx2
import openai
import pytest
from conftest import KEY, Gateway

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


def test_twenty_streams_share_a_connection(gateway: Gateway) -> None:
    with _openai(gateway) as client:
        for _ in range(20):
            with client.chat.completions.create(**CHAT, stream=True) as stream:
                assert len(list(stream)) > 2
    assert (gateway.stats()["requests"], gateway.stats()["connections"]) == (20, 1)


def test_twenty_asynchronous_streams_share_a_connection(gateway: Gateway) -> None:
    async def main() -> None:
        http = httpx2.AsyncClient(transport=elkapi.httpx2.AsyncTransport(environment=False))
        async with openai.AsyncOpenAI(api_key=KEY, base_url=gateway.url(), http_client=http) as client:
            for _ in range(20):
                async with await client.chat.completions.create(**CHAT, stream=True) as stream:
                    assert len([chunk async for chunk in stream]) > 2

    asyncio.run(main())
    assert gateway.stats()["connections"] <= 2


@pytest.mark.parametrize("path", ["/fault/stall-before-headers/v1", "/fault/stall-mid-body/v1"])
def test_a_cancelled_task_closes_its_connection_at_once(gateway: Gateway, path: str) -> None:
    async def main() -> None:
        http = httpx2.AsyncClient(transport=elkapi.httpx2.AsyncTransport(environment=False), timeout=60)
        client = openai.AsyncOpenAI(api_key=KEY, base_url=gateway.url(path), http_client=http, max_retries=0)
        task = asyncio.create_task(client.chat.completions.create(**CHAT))
        while not gateway.requests():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        deadline = time.monotonic() + 10
        while gateway.stats()["in_flight"]:
            assert time.monotonic() < deadline, "its connection is still open"
            await asyncio.sleep(0.01)
        await client.close()

    asyncio.run(main())


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


def test_an_asynchronous_streamed_body_goes_through(gateway: Gateway) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"model":"gemini-3.1-pro-preview",'
        yield b'"messages":[{"role":"user","content":"Hi"}]}'

    async def main() -> None:
        transport = elkapi.httpx2.AsyncTransport(environment=False)
        async with httpx2.AsyncClient(transport=transport, headers=HEADERS) as client:
            json = {"Content-Type": "application/json"}
            url = gateway.url("/v1/chat/completions")
            assert (await client.post(url, content=pieces(), headers=json)).status_code == 200

    asyncio.run(main())


def test_what_a_streamed_body_raises_is_raised(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"{"
        raise LookupError("from the body")

    with _client() as client, pytest.raises(LookupError, match="from the body"):
        client.post(gateway.url("/v1/chat/completions"), content=pieces())


@pytest.mark.parametrize(
    ("path", "timeout", "wanted"),
    [
        ("/fault/stall-before-headers/v1", httpx2.Timeout(30, read=0.1), httpx2.ReadTimeout),
        ("/fault/stall-mid-body/v1", httpx2.Timeout(30, read=0.1), httpx2.ReadTimeout),
        ("/fault/close-before-reply/v1", 30, httpx2.RemoteProtocolError),
        ("/fault/reset-before-reply/v1", 30, httpx2.ReadError),
        ("/fault/truncate/v1", 30, httpx2.RemoteProtocolError),
        ("/fault/not-http/v1", 30, httpx2.RemoteProtocolError),
        ("/fault/bad-chunk/v1", 30, httpx2.RemoteProtocolError),
        ("/fault/slow-read/v1", httpx2.Timeout(30, write=0.2), httpx2.WriteTimeout),
    ],
)
def test_failures_are_those_of_httpx2(gateway: Gateway, path: str, timeout: Any, wanted: Any) -> None:
    content = "x" * (16_000_000 if "slow-read" in path else 1)
    body = {**CHAT, "messages": [{"role": "user", "content": content}], "stream": "chunk" in path}
    with _client() as client:
        with pytest.raises(wanted) as caught:
            client.post(gateway.url(f"{path}/chat/completions"), json=body, timeout=timeout)
        assert isinstance(caught.value.__cause__, elkapi.Error)
        assert caught.value.request.method == "POST"


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

"""Calls stop at once: by Ctrl-C on the main thread, and by a token from any thread."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import elkapi
import pytest
from conftest import KEY, ROOT, Gateway

PROGRAM = Path(__file__).parent / "interrupted.py"


def _run_interrupted(
    base_url: str, size: int = 1, preload: Path | None = None, call: str = "ask"
) -> tuple[str, float, str]:
    """Sends SIGINT to a program that waits in a call; what it saw, how long it took, a stream's verdict."""
    arguments = [sys.executable, str(PROGRAM), base_url, str(size), call]
    environment = {**os.environ, "LD_PRELOAD": str(preload)} if preload else None
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "calling\n"
        time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
        process.wait(timeout=30)
    name, at, verdict = said.split()
    return name, float(at) - sent, verdict


def _interrupted_soon(
    base_url: str, size: int = 1, preload: Path | None = None, call: str = "ask"
) -> tuple[str, str]:
    """What it saw, and the stream's verdict; it has to take a few milliseconds, with the program's end in it.

    A busy machine may add more at times, so of three goes one has to be quick."""
    took = []
    for _ in range(3):
        name, after, verdict = _run_interrupted(base_url, size, preload, call)
        took.append(after)
        if after < 0.15:
            return name, verdict
    raise AssertionError(f"it took {took} seconds")


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


@pytest.fixture
def full() -> Iterator[str]:
    """A listener whose accept queue is full, so that the kernel drops what comes next."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    while True:
        waiting.append(socket.socket())
        waiting[-1].settimeout(0.2)
        try:
            waiting[-1].connect(listener.getsockname())
        except TimeoutError:
            break
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    for one in [*waiting, listener]:
        one.close()


@pytest.fixture(scope="session")
def slow_dns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A name service that never answers for `.slow`, to be preloaded."""
    library = tmp_path_factory.mktemp("preload") / "slow_dns.so"
    source = Path(__file__).parents[1] / "c" / "slow_dns.c"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("phase", ["dns", "connect", "tls", "send", "wait", "read", "pause"])
def test_ctrl_c_ends_a_call_in_every_phase(
    phase: str, gateway: Gateway, silent: str, full: str, slow_dns: Path
) -> None:
    base_url, size = {
        "dns": ("https://gateway.slow/v1", 1),
        "connect": (f"http://{full}/v1", 1),
        "tls": (f"https://{silent}/v1", 1),
        "send": (gateway.url("/fault/slow-read/v1"), 12_000_000),
        "wait": (gateway.url("/fault/stall-before-headers/v1"), 1),
        "read": (gateway.url("/fault/stall-mid-body/v1"), 1),
        "pause": (gateway.url("/fault/429-seconds-30/v1"), 1),
    }[phase]
    name, _ = _interrupted_soon(base_url, size, slow_dns if phase == "dns" else None)
    assert name == "KeyboardInterrupt"


@pytest.mark.parametrize("call", ["next", "finish"])
@pytest.mark.parametrize(
    ("phase", "verdict"),
    [
        ("stall-before-headers", "None"),
        ("drip", "None"),
        ("stall-after-headers", "cancelled"),
        ("stall-mid-body", "cancelled"),
        ("ping-forever", "cancelled"),
    ],
)
def test_ctrl_c_ends_a_stream_in_every_phase(gateway: Gateway, phase: str, verdict: str, call: str) -> None:
    name, ended = _interrupted_soon(gateway.url(f"/fault/{phase}/v1"), call=call)
    assert (name, ended) == ("KeyboardInterrupt", verdict)


def test_ctrl_c_ends_a_stream_whose_server_is_never_slow(gateway: Gateway) -> None:
    """There is no wait that the signal could end."""
    name, took, ended = _run_interrupted(gateway.url("/fault/endless-body/v1"), call="finish")
    assert (name, ended) == ("KeyboardInterrupt", "cancelled")
    assert took < 0.5, took


def test_the_example_says_that_it_was_stopped(gateway: Gateway) -> None:
    environment = {
        **os.environ,
        "ELKAPI_API_KEY": KEY,
        "ELKAPI_BASE_URL": gateway.url("/fault/stall-mid-body/v1"),
    }
    command = [sys.executable, str(ROOT / "examples" / "python" / "stream.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=30)
    assert first
    assert said.endswith(" … stopped.\n")
    assert (process.returncode, complaint) == (130, "")


def test_after_ctrl_c_a_stream_keeps_what_arrived(gateway: Gateway) -> None:
    request = {
        "messages": [{"role": "user", "content": "Hi"}],
        "sim": {"chunks": 3, "chunk_delay_us": 400_000},
    }
    with gateway.client() as client, client.stream(request) as stream:
        first = next(text for text in stream.text_stream)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        assert stream.verdict == "cancelled"
        assert stream.completion.text == first
        assert stream.completion.verdict == "cancelled"
        with pytest.raises(elkapi.CallCancelledError) as caught:
            next(stream)
        assert caught.value.completion is stream.completion


def test_a_signal_handler_that_returns_lets_the_call_go_on(gateway: Gateway) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        with gateway.client("/delay/400/v1") as client:
            assert client.ask("Hi").text
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


def test_an_exception_of_a_signal_handler_is_raised_by_the_call(gateway: Gateway) -> None:
    def handler(number: int, frame: object) -> None:
        raise LookupError("from the handler")

    before = signal.signal(signal.SIGUSR1, handler)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        with gateway.client("/fault/stall-before-headers/v1") as client, pytest.raises(LookupError):
            client.ask("Hi")
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_does_not_disturb_calls_of_other_threads(gateway: Gateway) -> None:
    texts: list[str | None] = []

    def call() -> None:
        with gateway.client("/delay/500/v1") as client:
            texts.append(client.ask("Hi").text)

    thread = threading.Thread(target=call)
    thread.start()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with gateway.client("/fault/stall-before-headers/v1") as client, pytest.raises(KeyboardInterrupt):
        client.ask("Hi")
    thread.join(timeout=30)
    assert texts
    assert texts[0]


@pytest.mark.parametrize("path", ["/fault/stall-before-headers/v1", "/fault/stall-mid-body/v1"])
def test_a_token_stops_calls_from_another_thread(gateway: Gateway, path: str) -> None:
    stop = elkapi.Cancel()
    with gateway.client(path) as client:
        threading.Timer(0.2, stop.cancel).start()
        started = time.monotonic()
        with pytest.raises(elkapi.CallCancelledError) as caught:
            client.ask("Hi", cancel=stop)
        assert time.monotonic() - started < 2
        assert (caught.value.kind, caught.value.verdict, caught.value.billed) == (
            "cancelled",
            "cancelled",
            "maybe",
        )
        assert stop.cancelled
        with pytest.raises(elkapi.CallCancelledError) as caught:
            client.chat_completions({"messages": []}, cancel=stop)
        assert caught.value.billed == "no"
    assert gateway.requests() == 1


def test_a_token_is_of_its_own_type() -> None:
    client = elkapi.Client(api_key=KEY, environment=False)
    with pytest.raises(TypeError, match=r"cancel must be elkapi\.Cancel, not bool"):
        client.ask("Hi", cancel=True)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'cancel'"):
        client.with_options(cancel=elkapi.Cancel())  # type: ignore[call-arg]

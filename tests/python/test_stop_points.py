"""Streams are stopped at 50 points each, between two events and inside one: their connections end at once,
nothing stays behind, and the client goes on.
"""

import gc
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import elkapi
import pytest
from conftest import KEY, ROOT

POINTS = 50
EVENTS = 40
# Less than the shortest event has, its chunk framing included.
BYTES = 60
# Usual: a millisecond.
AT_ONCE = 1.0


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    command = [sys.executable, str(ROOT / "tests" / "points.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


# Each stops the stream after so many seconds, while it is awaited or before, and tells when it began to.
# The list holds the only reference to the stream.


def _close(held: list[elkapi.Stream], token: elkapi.Cancel, wait: float) -> float:
    begun = time.monotonic()
    held[0].close()
    assert held[0].verdict == "cancelled"
    return begun


def _leave(held: list[elkapi.Stream], token: elkapi.Cancel, wait: float) -> float:
    with held[0]:
        return time.monotonic()


def _drop(held: list[elkapi.Stream], token: elkapi.Cancel, wait: float) -> float:
    begun = time.monotonic()
    with pytest.warns(ResourceWarning):
        held.clear()
    return begun


def _await_end(
    stream: elkapi.Stream, stop: Callable[[], None], wait: float, ends: type[BaseException]
) -> float:
    begun: list[float] = []

    def late() -> None:
        time.sleep(wait)
        begun.append(time.monotonic())
        stop()

    thread = threading.Thread(target=late)
    # An interrupt that comes before the call waits is raised by the interpreter; then `with` closes.
    with pytest.raises(ends), stream:  # noqa: PT012
        thread.start()
        next(stream)
    thread.join()
    assert stream.verdict == "cancelled"
    return begun[0]


def _cancel_before(held: list[elkapi.Stream], token: elkapi.Cancel, wait: float) -> float:
    begun = time.monotonic()
    token.cancel()
    with pytest.raises(elkapi.CallCancelledError):
        next(held[0])
    return begun


def _cancel_while(held: list[elkapi.Stream], token: elkapi.Cancel, wait: float) -> float:
    return _await_end(held[0], token.cancel, wait, elkapi.CallCancelledError)


def _ctrl_c(held: list[elkapi.Stream], token: elkapi.Cancel, wait: float) -> float:
    return _await_end(held[0], lambda: os.kill(os.getpid(), signal.SIGINT), wait, KeyboardInterrupt)


WAYS = {
    "close": _close,
    "with": _leave,
    "del": _drop,
    "cancel before": _cancel_before,
    "cancel while": _cancel_while,
    "ctrl-c": _ctrl_c,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_stopped_at_any_point_leaves_nothing_behind(way: str, base_url: str) -> None:
    points = random.Random(1)
    with elkapi.Client(base_url=base_url, api_key=KEY, environment=False, max_retries=0) as client:

        def stopped(events: int, part: int, wait: float) -> float:
            token = elkapi.Cancel()
            request = {
                "messages": [{"role": "user", "content": "Hi"}],
                "stop": {"events": events, "bytes": part},
            }
            held = [client.stream(request, cancel=token)]
            texts = [next(held[0]).text for _ in range(events)]
            assert texts == [f"é{number} " for number in range(events)]
            begun = WAYS[way](held, token, wait)
            del held[:]
            with urllib.request.urlopen(f"{base_url}/left", timeout=30) as reply:
                left: int = json.load(reply)["at_ns"]
            return left / 1e9 - begun

        # What comes with the first use.
        stopped(1, 1, 0)
        before = _held()
        took = []
        for turn in range(POINTS):
            events, part = points.randrange(EVENTS), points.randrange(1, BYTES) if turn % 4 else 0
            took.append(stopped(events, part, points.random() * 0.003))
            assert took[-1] < AT_ONCE, (events, part)
        print(
            f"{way}: the server sees the end after {statistics.median(took):.6f} s, at most {max(took):.6f} s"
        )
        # A thread that was joined may be counted a little longer.
        give_up = time.monotonic() + 1
        while _held() != before and time.monotonic() < give_up:
            time.sleep(0.01)
        assert _held() == before
        assert client.stream({"messages": []}).finish().text == "".join(
            f"é{number} " for number in range(EVENTS)
        )


def _held() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

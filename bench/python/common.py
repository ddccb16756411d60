"""What the programs in Python share: arguments, the prompt, readers, rounds, one line of results.

All of it as in ../c/bench.h.
`many` is read "async" or "threads", which says how calls are under way at once.
"""

import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Generator

SCENARIO, READ, BASE_URL, CALLS = *sys.argv[1:4], int(sys.argv[4])
#: The authority to trust, over TLS.
CA = sys.argv[5] if len(sys.argv) > 5 else ""
URL = f"{BASE_URL}/chat/completions"
KEY = "sk-bench-0123456789abcdefghijklmnopqrstuvwxyz01234567"
MODEL = "gemini-3.1-pro-preview"
STREAM = SCENARIO in ("burst", "paced")
WARM_UP, AT_ONCE, UPLOAD = 3, 64, 1 << 20


def prompt() -> str:
    """What the user says: for an upload as much as makes the request in JSON 1 MiB."""
    if SCENARIO != "upload":
        return "Hello"
    line = 'She said "jump", and 13 lazy dogs jumped over it, twice a day.\n'
    request = {"model": MODEL, "stream": False, "messages": [{"role": "user", "content": ""}]}
    room, escaped = UPLOAD - len(json.dumps(request, separators=(",", ":"))), len(line) + 3
    return line * (room // escaped) + "." * (room % escaped)


MESSAGES = [{"role": "user", "content": prompt()}]
REQUEST = {"model": MODEL, "stream": STREAM, "messages": MESSAGES}

_ages: list[float] = []


def content(text: str) -> int:
    """The content of an answer: its length, or where the picture is to be read that of its bytes."""
    if READ != "bytes":
        return len(text)
    import base64

    return len(base64.b64decode(text[text.index(",") + 1 : -1]))


def answer(document: dict) -> int:
    """The content of an answer that is plain data."""
    return content(document["choices"][0]["message"]["content"])


def event_text(text: str | None) -> int:
    """An event's text: counted, or where it is the time of its sending, its age noted."""
    if not text:
        return 0
    if SCENARIO == "paced":
        _ages.append((time.monotonic_ns() - int(text)) / 1e3)
    return len(text)


def event_line(line: bytes | str) -> int:
    """A line of an event stream, read as plain data."""
    if not line.startswith(b"data: {" if isinstance(line, bytes) else "data: {"):
        return 0
    choices = json.loads(line[6:])["choices"]
    return event_text(choices[0]["delta"].get("content")) if choices else 0


class Lines:
    """Lines out of pieces."""

    def __init__(self) -> None:
        self.rest, self.read = b"", 0

    def take(self, piece: bytes) -> None:
        *lines, self.rest = (self.rest + piece).split(b"\n")
        for line in lines:
            self.read += event_line(line)


def _report(times: list[float], cpu: float, read: int) -> None:
    times.sort()
    with open("/proc/self/status") as lines:
        peak = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
    print(times[len(times) // 2], times[len(times) * 99 // 100], cpu, peak, read, flush=True)


def _rounds() -> Generator[None, int, None]:
    """Yields for each call and is sent how much it read."""
    if SCENARIO == "first":
        read = yield
        since = time.monotonic_ns() - int(os.environ["BENCH_STARTED"])
        _report([since / 1e3], time.process_time() * 1e6, read)
        return
    read = None
    for _ in range(0 if SCENARIO == "paced" else WARM_UP):
        read = yield
    times = []
    cpu = time.process_time()
    for _ in range(CALLS):
        start = time.perf_counter()
        now = yield
        times.append((time.perf_counter() - start) * 1e6)
        assert now == read or read is None, "calls read different amounts"
        read = now
    spent = time.process_time() - cpu
    times = _ages or times
    _report(times, spent / len(times) * 1e6, read or 0)


def one_by_one(call: Callable[[], int]) -> None:
    """Scenarios of one call after the other; `call` tells how much it read."""
    rounds = _rounds()
    next(rounds)
    try:
        while True:
            rounds.send(call())
    except StopIteration:
        return


async def one_by_one_async(call: Callable[[], Awaitable[int]]) -> None:
    rounds = _rounds()
    next(rounds)
    try:
        while True:
            rounds.send(await call())
    except StopIteration:
        return


def _at_once() -> Generator[int, int, None]:
    """Yields how many calls are to be made, AT_ONCE of them at once; is sent how much all read."""
    yield AT_ONCE
    cpu, start = time.process_time(), time.perf_counter()
    read = yield CALLS
    wall, spent = time.perf_counter() - start, time.process_time() - cpu
    _report([wall / CALLS * 1e6], spent / CALLS * 1e6, read // CALLS)


def at_once(all_of_them: Callable[[int], int]) -> None:
    rounds = _at_once()
    calls = next(rounds)
    try:
        while True:
            calls = rounds.send(all_of_them(calls))
    except StopIteration:
        return


def at_once_in_threads(call: Callable[[], int]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(AT_ONCE) as pool:
        at_once(lambda calls: sum(pool.map(lambda _: call(), range(calls))))


async def at_once_async(call: Callable[[], Awaitable[int]]) -> None:
    import asyncio

    async def some(numbers) -> int:
        return sum([await call() for _ in numbers])

    rounds = _at_once()
    calls = next(rounds)
    try:
        while True:
            numbers = iter(range(calls))
            calls = rounds.send(sum(await asyncio.gather(*(some(numbers) for _ in range(AT_ONCE)))))
    except StopIteration:
        return


def run(whole: Callable[[], int], streamed: Callable[[], int] | None = None) -> None:
    """What a blocking client can do."""
    if SCENARIO == "many":
        at_once_in_threads(whole)
    else:
        one_by_one(streamed if STREAM and streamed else whole)


async def stopped(call: Callable[[], Awaitable[int]]) -> None:
    """Tasks that wait for a reply are cancelled: how long until each has ended."""
    import asyncio

    times = []
    for _ in range(CALLS):
        task = asyncio.ensure_future(call())
        await asyncio.sleep(0.03)
        start = time.perf_counter()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        times.append((time.perf_counter() - start) * 1e6)
        assert task.cancelled()
    _report(times, 0, 0)


def stopped_by_thread(call: Callable[[], None], stop: Callable[[], None]) -> None:
    """The same from another thread; `call` ends when it was stopped."""
    import threading

    times, started = [], [0.0]

    def later() -> None:
        time.sleep(0.03)
        started[0] = time.perf_counter()
        stop()

    for _ in range(CALLS):
        thread = threading.Thread(target=later)
        thread.start()
        call()
        times.append((time.perf_counter() - started[0]) * 1e6)
        thread.join()
    _report(times, 0, 0)

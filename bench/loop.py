"""`make bench-loop`: 500 calls at once on one event loop, against a server that takes 50 ms for each.

Prints how late answers are handed to their tasks, what they cost, and how soon 500 cancelled calls have
closed their sockets; on asyncio and trio, alone and beside a task that keeps the loop busy.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

CALLS, SERVER = 500, 0.050
ROUNDS = 5
BUSY = 0.002


def measure(base_url: str, library: str, busy: bool) -> None:
    """In a process of its own: prints one line of JSON."""
    import elkapi

    options = {"api_key": "sk-bench", "environment": False, "timeout": 60, "max_idle_connections": CALLS}
    client = elkapi.AsyncClient(base_url=base_url.replace("/v1", "/delay/50/v1"), **options)
    stalled = elkapi.AsyncClient(
        base_url=base_url.replace("/v1", "/s/off/fault/stall-before-headers/v1"), **options
    )
    late: list[float] = []
    walls: list[float] = []
    cpus: list[float] = []
    running = True

    async def one() -> None:
        begun = time.perf_counter()
        answer = await client.ask("Hello")
        late.append(time.perf_counter() - begun)
        assert answer.text == "Hello! How can I help you today?"

    async def occupied(sleep) -> None:
        while running:
            until = time.perf_counter() + BUSY
            while time.perf_counter() < until:
                pass
            await sleep(0)

    def in_flight() -> int:
        with urllib.request.urlopen(base_url.replace("/v1", "/s/off/__stats"), timeout=10) as reply:
            return json.load(reply)["in_flight"]

    def closed() -> float:
        begun = time.perf_counter()
        while in_flight():
            assert time.perf_counter() - begun < 20
        return time.perf_counter() - begun

    async def asyncio_main() -> float:
        nonlocal running
        task = asyncio.ensure_future(occupied(asyncio.sleep)) if busy else None
        for number in range(ROUNDS + 1):
            begun, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(one() for _ in range(CALLS)))
            walls.append(time.perf_counter() - begun)
            cpus.append(time.process_time() - cpu)
            if number == 0:
                # The first round opens the connections.
                for figures in (late, walls, cpus):
                    figures.clear()
        running = False
        if task:
            await task
        tasks = [asyncio.ensure_future(stalled.ask("Hello")) for _ in range(CALLS)]
        while in_flight() < CALLS:
            await asyncio.sleep(0.02)
        begun = time.perf_counter()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return time.perf_counter() - begun + closed()

    async def trio_main() -> float:
        nonlocal running
        async with trio.open_nursery() as outer:
            if busy:
                outer.start_soon(occupied, trio.sleep)
            for number in range(ROUNDS + 1):
                begun, cpu = time.perf_counter(), time.process_time()
                async with trio.open_nursery() as nursery:
                    for _ in range(CALLS):
                        nursery.start_soon(one)
                walls.append(time.perf_counter() - begun)
                cpus.append(time.process_time() - cpu)
                if number == 0:
                    # The first round opens the connections.
                    for figures in (late, walls, cpus):
                        figures.clear()
            running = False
        async with trio.open_nursery() as nursery:
            for _ in range(CALLS):
                nursery.start_soon(stalled.ask, "Hello")
            while in_flight() < CALLS:
                await trio.sleep(0.02)
            begun = time.perf_counter()
            nursery.cancel_scope.cancel()
        return time.perf_counter() - begun + closed()

    if library == "trio":
        import trio

        cancelled = trio.run(trio_main)
    else:
        cancelled = asyncio.run(asyncio_main())
    late.sort()
    figures = {
        "median": statistics.median(late) * 1000,
        "p99": late[int(len(late) * 0.99)] * 1000,
        "wall": statistics.median(walls) * 1000,
        "cpu": statistics.median(cpus) * 1e6 / CALLS,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cancelled": cancelled * 1000,
    }
    print(json.dumps(figures))


def main() -> None:
    from ground import pinned, simulator

    print(f"{CALLS} calls at once, each answered after {SERVER * 1000:.0f} ms; {ROUNDS} rounds")
    print(
        f"{'':16}{'median ms':>11}{'p99 ms':>9}{'all ms':>9}{'CPU µs/call':>13}{'peak MiB':>10}"
        f"{'500 closed ms':>15}"
    )
    with simulator() as server:
        for library in ("asyncio", "trio"):
            for busy in (False, True):
                command = pinned(1, sys.executable, Path(__file__), f"{server.url}/v1", library, int(busy))
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                row = json.loads(done.stdout)
                name = f"{library}{', busy' if busy else ''}"
                print(
                    f"{name:16}{row['median']:11.1f}{row['p99']:9.1f}{row['wall']:9.1f}{row['cpu']:13.1f}"
                    f"{row['rss']:10.1f}{row['cancelled']:15.1f}"
                )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], sys.argv[2], sys.argv[3] == "1")
    else:
        main()

"""httpx: one client for all calls."""

import httpx
from common import AT_ONCE, KEY, READ, REQUEST, SCENARIO, URL, answer, at_once_async, event_line, run, stopped

FIELDS = {"Authorization": f"Bearer {KEY}"}
# By default 20 are kept, and where threads close the others under one another, calls fail now and then.
LIMITS = httpx.Limits(max_keepalive_connections=AT_ONCE)
client = httpx.Client(headers=FIELDS, limits=LIMITS)


def whole() -> int:
    return answer(client.post(URL, json=REQUEST).raise_for_status().json())


def whole_of_a_new_client() -> int:
    with httpx.Client(headers=FIELDS) as own:
        return answer(own.post(URL, json=REQUEST).raise_for_status().json())


def streamed() -> int:
    with client.stream("POST", URL, json=REQUEST) as response:
        return sum(event_line(line) for line in response.raise_for_status().iter_lines())


async def asynchronous() -> None:
    async with httpx.AsyncClient(headers=FIELDS, limits=LIMITS) as own:

        async def call() -> int:
            return answer((await own.post(URL, json=REQUEST)).raise_for_status().json())

        await (at_once_async if SCENARIO == "many" else stopped)(call)


if READ == "async":
    import asyncio

    asyncio.run(asynchronous())
else:
    run(whole_of_a_new_client if SCENARIO == "cold" else whole, streamed)

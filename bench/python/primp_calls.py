"""primp: one client for all calls, not dressed up as a browser."""

import primp
from common import CA, KEY, READ, REQUEST, SCENARIO, URL, answer, at_once_async, event_line, run

OPTIONS = {"auth_bearer": KEY} | ({"ca_cert_file": CA} if CA else {})
client = primp.Client(**OPTIONS)


def response(own: primp.Client) -> primp.Response:
    reply = own.post(URL, json=REQUEST)
    reply.raise_for_status()
    return reply


def whole() -> int:
    return answer(response(client).json())


def whole_of_a_new_client() -> int:
    return answer(response(primp.Client(**OPTIONS)).json())


def streamed() -> int:
    with client.post(URL, json=REQUEST, stream=True) as reply:
        return sum(event_line(line) for line in reply.iter_lines())


async def many() -> None:
    own = primp.AsyncClient(**OPTIONS)

    async def call() -> int:
        reply = await own.post(URL, json=REQUEST)
        reply.raise_for_status()
        return answer(reply.json())

    await at_once_async(call)


if READ == "async":
    import asyncio

    asyncio.run(many())
else:
    run(whole_of_a_new_client if SCENARIO == "cold" else whole, streamed)

"""pyreqwest: one client for all calls; a stream read as it comes."""

from pathlib import Path

from common import CA, KEY, READ, REQUEST, SCENARIO, URL, Lines, answer, at_once_async, run
from pyreqwest.client import ClientBuilder, SyncClient, SyncClientBuilder


def built(builder):
    builder = builder.error_for_status(True)
    return (builder.add_root_certificate_pem(Path(CA).read_bytes()) if CA else builder).build()


client: SyncClient = built(SyncClientBuilder())


def request(own):
    return own.post(URL).bearer_auth(KEY).body_json(REQUEST)


def whole() -> int:
    return answer(request(client).build().send().json())


def whole_of_a_new_client() -> int:
    with built(SyncClientBuilder()) as own:
        return answer(request(own).build().send().json())


def streamed() -> int:
    lines = Lines()
    with request(client).build_streamed() as response:
        while (piece := response.body_reader.read_chunk()) is not None:
            lines.take(bytes(piece))
    return lines.read


async def many() -> None:
    async with built(ClientBuilder()) as own:

        async def call() -> int:
            response = await request(own).build().send()
            return answer(await response.json())

        await at_once_async(call)


if READ == "async":
    import asyncio

    asyncio.run(many())
else:
    run(whole_of_a_new_client if SCENARIO == "cold" else whole, streamed)

"""elkapi."""

import elkapi
from common import (
    BASE_URL,
    CA,
    KEY,
    READ,
    REQUEST,
    SCENARIO,
    at_once_async,
    event_text,
    run,
    stopped,
    stopped_by_thread,
)

OPTIONS: dict = {"base_url": BASE_URL, "api_key": KEY}
if CA:
    OPTIONS["ca_file"] = CA
if SCENARIO == "resumed":
    OPTIONS["max_idle_connections"] = 0
if READ == "openai":
    OPTIONS["contract"] = READ
client = elkapi.Client(**OPTIONS)


def whole() -> int:
    answer = client.chat_completions(REQUEST)
    return len(answer.images[0].bytes or b"") if READ == "bytes" else len(answer.text)


def whole_of_a_new_client() -> int:
    with elkapi.Client(**OPTIONS) as own:
        return len(own.chat_completions(REQUEST).text)


def streamed() -> int:
    read = 0
    with client.stream(REQUEST) as chunks:
        if READ == "text":
            for chunk in chunks:
                read += event_text(chunk.text)
        else:
            for chunk in chunks:
                if chunk.choices:
                    read += event_text(chunk.choices[0].delta.content)
    return read


async def asynchronous() -> None:
    async with elkapi.AsyncClient(**OPTIONS) as own:

        async def call() -> int:
            return len((await own.chat_completions(REQUEST)).text)

        await (at_once_async if SCENARIO == "many" else stopped)(call)


class Stopped:
    """A call that another thread stops, again and again."""

    def call(self) -> None:
        self.token = elkapi.Cancel()
        try:
            client.chat_completions(REQUEST, cancel=self.token)
        except elkapi.CallCancelledError:
            return
        raise AssertionError("a reply came")

    def stop(self) -> None:
        self.token.cancel()


if READ == "async":
    import asyncio

    asyncio.run(asynchronous())
elif SCENARIO == "cancel":
    one = Stopped()
    stopped_by_thread(one.call, one.stop)
else:
    run(whole_of_a_new_client if SCENARIO == "cold" else whole, streamed)

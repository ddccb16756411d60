"""openai."""

import openai
from common import BASE_URL, KEY, MESSAGES, MODEL, READ, SCENARIO, at_once_async, content, event_text, run

OPTIONS = {"base_url": BASE_URL, "api_key": KEY}
client = openai.OpenAI(**OPTIONS)


def whole() -> int:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    return content(completion.choices[0].message.content or "")


def whole_of_a_new_client() -> int:
    with openai.OpenAI(**OPTIONS) as own:
        completion = own.chat.completions.create(model=MODEL, messages=MESSAGES)
        return content(completion.choices[0].message.content or "")


def streamed() -> int:
    read = 0
    for chunk in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        if chunk.choices:
            read += event_text(chunk.choices[0].delta.content)
    return read


async def many() -> None:
    async with openai.AsyncOpenAI(**OPTIONS) as own:

        async def call() -> int:
            completion = await own.chat.completions.create(model=MODEL, messages=MESSAGES)
            return content(completion.choices[0].message.content or "")

        await at_once_async(call)


if READ == "async":
    import asyncio

    asyncio.run(many())
else:
    run(whole_of_a_new_client if SCENARIO == "cold" else whole, streamed)

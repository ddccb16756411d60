"""liter-llm, which knows asyncio only: one client for all calls in one event loop."""

import asyncio
import os

import liter_llm
from common import BASE_URL, KEY, MESSAGES, MODEL, SCENARIO, STREAM, at_once_async, content, event_text
from common import one_by_one_async as one_by_one

# The prefix chooses the provider, and does not reach the wire.
REQUEST = liter_llm.ChatCompletionRequest(model=f"openai/{MODEL}", messages=MESSAGES)


async def main() -> None:
    client = liter_llm.create_client(api_key=KEY, base_url=BASE_URL)

    async def whole() -> int:
        answer = await liter_llm.chat(client, REQUEST)
        return content(answer.choices[0].message.content.text)

    async def streamed() -> int:
        read = 0
        async for chunk in liter_llm.chat_stream(client, REQUEST):
            if chunk.choices:
                read += event_text(chunk.choices[0].delta.content)
        return read

    if SCENARIO == "many":
        await at_once_async(whole)
    else:
        await one_by_one(streamed if STREAM else whole)


asyncio.run(main())
# Its threads sometimes abort the process while the interpreter ends.
os._exit(0)

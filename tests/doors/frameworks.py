"""Frameworks built on the `openai` package, over our transport: a whole answer and a stream from each.

Run with the base URL of a simulator and the name of a framework, in the environment that
`make check` makes for them.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import openai

KEY = "sk-test-frameworks"
MODEL = "gemini-3.1-pro-preview"
QUESTION = "Name three seas."
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]


def http() -> Any:
    import elkapi.httpx2
    import httpx2

    return httpx2.Client(transport=elkapi.httpx2.Transport(environment=False), timeout=60)


def async_http() -> Any:
    import elkapi.httpx2
    import httpx2

    return httpx2.AsyncClient(transport=elkapi.httpx2.AsyncTransport(environment=False), timeout=60)


def langchain(base_url: str) -> None:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        model=MODEL, api_key=KEY, base_url=base_url, http_client=http(), http_async_client=async_http()
    )
    answer = model.invoke(QUESTION)
    assert answer.content
    assert answer.usage_metadata["total_tokens"] > 0
    assert "".join(str(part.content) for part in model.stream(QUESTION)) == answer.content

    async def later() -> str:
        assert (await model.ainvoke(QUESTION)).content == answer.content
        return "".join([str(part.content) async for part in model.astream(QUESTION)])

    assert asyncio.run(later()) == answer.content


def pydantic_ai(base_url: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    async def main() -> None:
        client = openai.AsyncOpenAI(api_key=KEY, base_url=base_url, http_client=async_http())
        agent = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client)))
        answer = await agent.run(QUESTION)
        assert answer.output
        async with agent.run_stream(QUESTION) as stream:
            assert await stream.get_output() == answer.output

    asyncio.run(main())


def instructor(base_url: str) -> None:
    import instructor
    from pydantic import BaseModel

    class Seas(BaseModel):
        name: str

    client = openai.OpenAI(api_key=KEY, base_url=base_url, http_client=http())
    patched = instructor.from_openai(client, mode=instructor.Mode.TOOLS)
    made = patched.chat.completions.create(model=MODEL, messages=MESSAGES, response_model=Seas, max_retries=0)
    assert isinstance(made.name, str)
    plain = patched.chat.completions.create(model=MODEL, messages=MESSAGES, response_model=None)
    assert plain.choices[0].message.content
    parts = patched.chat.completions.create(model=MODEL, messages=MESSAGES, response_model=None, stream=True)
    texts = [part.choices[0].delta.content or "" for part in parts if part.choices]
    assert "".join(texts) == plain.choices[0].message.content


def llama_index(base_url: str) -> None:
    import elkapi.httpx
    import httpx
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    older = httpx.Client(transport=elkapi.httpx.Transport(environment=False), timeout=60)
    client = openai.OpenAI(api_key=KEY, base_url=base_url, http_client=older)
    model = OpenAI(model="gpt-4o", api_key=KEY, api_base=base_url, openai_client=client)
    answer = model.chat([ChatMessage(role="user", content=QUESTION)])
    assert answer.message.content
    parts = list(model.stream_chat([ChatMessage(role="user", content=QUESTION)]))
    assert parts[-1].message.content == answer.message.content


def litellm(base_url: str) -> None:
    import litellm

    client = openai.OpenAI(api_key=KEY, base_url=base_url, http_client=http())
    request: dict[str, Any] = {"model": f"openai/{MODEL}", "messages": MESSAGES, "client": client}
    answer = litellm.completion(**request)
    assert answer.choices[0].message.content
    texts = [part.choices[0].delta.content or "" for part in litellm.completion(**request, stream=True)]
    assert "".join(texts) == answer.choices[0].message.content


def opentelemetry(base_url: str) -> None:
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client = openai.OpenAI(api_key=KEY, base_url=base_url, http_client=http())
    assert client.chat.completions.create(model=MODEL, messages=MESSAGES).choices
    for _ in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        pass
    names = [span.name for span in spans.get_finished_spans()]
    assert names == [f"chat {MODEL}"] * 2, names


FRAMEWORKS: dict[str, Callable[[str], None]] = {
    one.__name__: one for one in (langchain, pydantic_ai, instructor, llama_index, litellm, opentelemetry)
}

if __name__ == "__main__":
    FRAMEWORKS[sys.argv[2]](sys.argv[1])
    print("ok")

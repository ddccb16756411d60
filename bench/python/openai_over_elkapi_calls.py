"""openai over elkapi's transport: the program for openai, and one line for each of its two clients."""

from functools import partial

import elkapi.httpx2
import httpx2
import openai

openai.OpenAI = partial(  # type: ignore[misc, assignment]
    openai.OpenAI, http_client=httpx2.Client(transport=elkapi.httpx2.Transport())
)
openai.AsyncOpenAI = partial(  # type: ignore[misc, assignment]
    openai.AsyncOpenAI, http_client=httpx2.AsyncClient(transport=elkapi.httpx2.AsyncTransport())
)

import openai_calls  # noqa: E402, F401

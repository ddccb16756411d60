"""openai over elkapi's transport: the program for openai, and one line."""

from functools import partial

import elkapi.httpx2
import httpx2
import openai

openai.OpenAI = partial(  # type: ignore[misc, assignment]
    openai.OpenAI, http_client=httpx2.Client(transport=elkapi.httpx2.Transport())
)

import openai_calls  # noqa: E402, F401

"""Transports for httpx2: programs written for the `openai` package get elkapi's connections by one line.

import elkapi.httpx2, httpx2, openai

client = openai.OpenAI(http_client=httpx2.Client(transport=elkapi.httpx2.Transport()))
"""

import httpx2

from elkapi._httpx import made_for

__all__ = ["AsyncTransport", "Transport"]

Transport, AsyncTransport = made_for(httpx2)

"""Transports for httpx: programs written for the `openai` package get elkapi's connections by one line.

import elkapi.httpx, httpx, openai

client = openai.OpenAI(http_client=httpx.Client(transport=elkapi.httpx.Transport()))
"""

import httpx

from elkapi._httpx import made_for

__all__ = ["AsyncTransport", "Transport"]

Transport, AsyncTransport = made_for(httpx)

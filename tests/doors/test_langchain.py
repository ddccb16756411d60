"""LangChain's standard tests of chat models, against a simulator; `DOOR` says over which connections.

Run by `make check`, which compares what passes on the stock connections with what passes on ours.
"""

import os
from typing import Any

import elkapi.httpx2
import httpx2
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

OURS = os.environ["DOOR"] == "transport"


def _parameters() -> dict[str, Any]:
    given: dict[str, Any] = {
        "model": "gemini-3.1-pro-preview",
        "api_key": "sk-test-langchain",
        "base_url": os.environ["SIMULATOR"],
        "timeout": 20,
        "max_retries": 0,
        "stream_usage": True,
    }
    if OURS:
        given["http_client"] = httpx2.Client(transport=elkapi.httpx2.Transport(environment=False), timeout=20)
        given["http_async_client"] = httpx2.AsyncClient(
            transport=elkapi.httpx2.AsyncTransport(environment=False), timeout=20
        )
    return given


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return _parameters()


class TestIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatOpenAI]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return _parameters()

"""`client.chat`, and `client.beta.chat`, which is the same."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from elkapi.openai.resources.chat.completions import AsyncCompletions, Completions

if TYPE_CHECKING:
    from elkapi.openai._client import AsyncOpenAI, OpenAI

__all__ = ["AsyncBeta", "AsyncChat", "AsyncCompletions", "Beta", "Chat", "Completions"]


class Chat:
    """`client.chat`."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    @cached_property
    def completions(self) -> Completions:
        """Chat completions."""
        return Completions(self._client)


class AsyncChat:
    """`client.chat`, asynchronously."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @cached_property
    def completions(self) -> AsyncCompletions:
        """Chat completions."""
        return AsyncCompletions(self._client)


class Beta:
    """`client.beta`: older programs find `chat` here."""

    def __init__(self, client: OpenAI) -> None:
        self.chat = client.chat


class AsyncBeta:
    """`client.beta`, asynchronously: older programs find `chat` here."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self.chat = client.chat

"""Programs written for `openai`, through every door: the package as it is, the package over our transport,
and our own class of that name. What the suites of behaviours share.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import elkapi.httpx2
import elkapi.openai
import openai
import pytest
from scripted import Server, reply

KEY = "sk-test-doors-0123456789"
MESSAGES: list[Any] = [{"role": "user", "content": "Hi"}]
CHAT: dict[str, Any] = {"model": "m", "messages": MESSAGES}
ANSWER: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "gateway_field": {"deep": 1},
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hello", "weird": 2},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
REFUSED = {"error": {"message": "no", "type": "t", "code": "c", "param": "p"}}
AGAIN = reply(REFUSED, 429, [("retry-after-ms", "1")])
"""A refusal that every door repeats."""


def chunk(text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    document = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
    }
    return json.dumps({**document, **more}, ensure_ascii=False).encode()


def event(text: str, finish: str | None = None, **more: Any) -> bytes:
    return b"data: " + chunk(text, finish, **more) + b"\n\n"


DONE = b"data: [DONE]\n\n"


DOORS = ("openai", "transport", "elkapi")


@dataclass
class Door:
    name: str
    server: Server

    def __post_init__(self) -> None:
        assert self.name in DOORS

    @property
    def is_ours(self) -> bool:
        return self.name != "openai"

    @property
    def is_look_alike(self) -> bool:
        return self.name == "elkapi"

    @property
    def sdk(self) -> Any:
        """The package whose names the case uses."""
        return elkapi.openai if self.is_look_alike else openai

    def async_client(self, path: str = "/v1", **options: Any) -> Any:
        options.setdefault("api_key", KEY)
        options.setdefault("max_retries", 0)
        options.setdefault("base_url", self.server.origin + path)
        if self.name == "transport":
            transport = elkapi.httpx2.AsyncTransport(environment=False)
            options.setdefault("http_client", openai.DefaultAsyncHttpxClient(transport=transport))
        return self.sdk.AsyncOpenAI(**options)

    def client(self, path: str = "/v1", **options: Any) -> Any:
        options.setdefault("api_key", KEY)
        options.setdefault("max_retries", 0)
        options.setdefault("base_url", self.server.origin + path)
        if self.name == "transport":
            # As the package makes its own.
            transport = elkapi.httpx2.Transport(environment=False)
            options.setdefault("http_client", openai.DefaultHttpxClient(transport=transport))
        return self.sdk.OpenAI(**options)

    def says(self, *script: list[Any]) -> None:
        self.server.script = list(script)

    @property
    def last(self) -> Any:
        return self.server.requests[-1]

    @property
    def requests(self) -> int:
        return len(self.server.requests)


def opened(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """The door of that name, with a server of its own and without an environment."""
    variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    variables += [f"{whose}_{what}" for whose in ("OPENAI", "ELKAPI") for what in ("API_KEY", "BASE_URL")]
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)
    server = Server([reply(ANSWER)])
    yield Door(name, server)
    server.close()

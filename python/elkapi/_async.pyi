from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Self, TypeAlias

from elkapi._elkapi import (
    Cancel,
    Chunk,
    Client,
    Completion,
    Document,
    Headers,
    ImageOptions,
    Timeout,
    _Call,
)

_Timeout: TypeAlias = float | Timeout | None

IN_A_ROW: int

async def ended(begin: Callable[..., _Call], *arguments: Any) -> Any: ...
async def pass_on() -> None: ...

class AsyncClient:
    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        contract: str | None = None,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        pacing: bool | None = None,
        idempotency_header: str | None = None,
        ca_file: str | None = None,
        ca_pem: str | None = None,
        client_cert_file: str | None = None,
        client_key_file: str | None = None,
        min_tls: str | None = None,
        insecure_skip_verify: bool | None = None,
        proxy: str | None = None,
        no_proxy: str | None = None,
        headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        user_agent: str | None = None,
        max_body_bytes: int | None = None,
        max_event_bytes: int | None = None,
        max_idle_connections: int | None = None,
        allow_http: bool | None = None,
        environment: bool | None = None,
    ) -> None: ...
    @property
    def base_url(self) -> str: ...
    async def ask(
        self,
        prompt: str,
        *,
        model: str | None = None,
        image: ImageOptions | None = None,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
        **members: Any,
    ) -> Completion: ...
    async def chat_completions(
        self,
        request: dict[str, Any] | str | bytes,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
    ) -> Completion: ...
    def stream(
        self,
        request: dict[str, Any] | str | bytes,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
    ) -> _Opening: ...
    async def models(
        self,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
        cancel: Cancel | None = None,
    ) -> Document: ...
    def with_options(
        self,
        *,
        timeout: _Timeout = ...,
        max_retries: int | None = None,
        base_delay_ms: int | None = None,
        retry_risky: bool | None = None,
        idempotency_header: str | None = None,
        extra_headers: dict[str, str] | None = None,
        traceparent: str | None = None,
    ) -> AsyncClient: ...
    async def _whole(self, function: str, subject: object, arguments: dict[str, Any]) -> Any: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: object) -> None: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

class _Opening:
    def __init__(self, client: Client, request: Any, arguments: dict[str, Any]) -> None: ...
    def __await__(self) -> Generator[Any, Any, AsyncStream]: ...
    async def __aenter__(self) -> AsyncStream: ...
    async def __aexit__(self, *exception: object) -> None: ...

class AsyncStream:
    def __init__(self, call: _Call, waiter: Any) -> None: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> Chunk: ...
    @property
    def text_stream(self) -> AsyncIterator[str]: ...
    async def finish(self) -> Completion: ...
    @property
    def completion(self) -> Completion: ...
    @property
    def verdict(self) -> str | None: ...
    @property
    def saw_done(self) -> bool: ...
    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def request_id(self) -> str | None: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: object) -> None: ...
    def __del__(self) -> None: ...

"""The arguments of a call, turned into a request: body, header fields, query, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elkapi.openai._http import Request
from elkapi.openai._types import is_absent, native_timeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BODY = frozenset(
    (
        *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
        *("max_completion_tokens", "max_tokens", "metadata", "modalities", "moderation", "n"),
        *("parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key"),
        *("prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "response_format"),
        *("safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options"),
        *("temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity"),
        "web_search_options",
    )
)
"""The parameters that become members of the request, beside `messages` and `model`."""

EXTRAS = frozenset(("extra_headers", "extra_query", "extra_body", "timeout"))
"""What every call takes beside its parameters."""


def check_names(function: str, given: Iterable[str], known: frozenset[str]) -> None:
    """Refuses arguments that the function does not have, as Python does."""
    for name in given:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def body_of(messages: Any, model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The request's members. `extra_body` is merged over them; its `google`, or theirs, stands under the
    literal `extra_body` too, where the gateway looks for it."""
    body = {"messages": messages, "model": model}
    for name, value in options.items():
        if name in BODY and not is_absent(value):
            body[name] = value
    if body.get("stream", True) is None:
        del body["stream"]
    extra = options.get("extra_body")
    if extra and not is_absent(extra):
        body.update(extra)
        for name in [name for name, value in body.items() if is_absent(value)]:
            del body[name]
    if "google" in body:
        literal = body.get("extra_body") or {}
        if isinstance(literal, dict) and "google" not in literal:
            body["extra_body"] = {**literal, "google": body["google"]}
    return body


class Fields:
    """Header fields by name, whatever its case; later ones win, and `omit` leaves one out."""

    def __init__(self, *layers: Mapping[str, Any] | None) -> None:
        self._by_name: dict[str, tuple[str, str | None]] = {}
        for layer in layers:
            if layer and not is_absent(layer):
                for name, value in layer.items():
                    self._by_name[name.lower()] = (name, None if is_absent(value) else value)

    def lines(self) -> list[tuple[str, str | None]]:
        """The fields; None where one is to be left out."""
        return list(self._by_name.values())

    def shown(self) -> list[tuple[str, str]]:
        """Those that are sent, without a key."""
        lines = [("Accept", "application/json"), ("Content-Type", "application/json")]
        lines = [line for line in lines if line[0].lower() not in self._by_name]
        lines += [(name, value) for name, value in self._by_name.values() if value is not None]
        return [(name, "***" if name.lower() == "authorization" else value) for name, value in lines]


def query_text(*layers: Mapping[str, Any] | None) -> str:
    """Query parameters, percent-encoded; later ones win. Lists are written `a[]=1`, members `a[b]=1`."""
    query: dict[str, Any] = {}
    for layer in layers:
        if layer and not is_absent(layer):
            query.update(layer)
    if not query:
        return ""
    from urllib.parse import urlencode

    return urlencode([pair for name, value in query.items() for pair in _pairs(name, value)])


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for inner, item in value.items() for pair in _pairs(f"{name}[{inner}]", item)]
    if isinstance(value, list | tuple):
        return [pair for item in value for pair in _pairs(f"{name}[]", item)]
    if value is None or is_absent(value):
        return []
    return [(name, str(value).lower() if isinstance(value, bool) else str(value))]


class Call:
    """One call: what `elkapi.Client` is given, and the request as it is shown to whoever asks."""

    def __init__(
        self,
        method: str,
        url: str,
        options: Mapping[str, Any],
        *,
        headers: Mapping[str, Any],
        query: Mapping[str, Any],
        key: str | None,
    ) -> None:
        self._method = method
        self._url = url
        self._fields = Fields(headers, options.get("extra_headers"))
        self._query = query_text(query, options.get("extra_query"))
        self.arguments: dict[str, Any] = {}
        timeout = options.get("timeout", ...)
        if timeout is not ... and not is_absent(timeout):
            self.arguments["timeout"] = native_timeout(timeout)
        lines = self._fields.lines()
        if key is not None or self._query or lines:
            self.arguments["_head"] = (key, self._query, lines)

    @property
    def request(self) -> Request:
        """The request as it is shown."""
        from elkapi import Headers

        url = f"{self._url}?{self._query}" if self._query else self._url
        return Request(self._method, url, Headers(self._fields.shown()))

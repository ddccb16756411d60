"""The arguments of calls, for type checkers alone; never imported when a program runs.

`_request.BODY` has the same names, which a test compares.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

from elkapi.openai._types import NotGiven, Omit, TimeoutTypes

Message: TypeAlias = Mapping[str, Any] | Any
Absent: TypeAlias = Omit | NotGiven


class Extras(TypedDict, total=False):
    """What every call takes beside its parameters."""

    extra_headers: Mapping[str, str | Omit] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Any
    timeout: TimeoutTypes


class Parameters(Extras, total=False):
    """The members of a chat request beside `messages`, `model`, `stream`, `tools` and `response_format`."""

    audio: Mapping[str, Any] | Absent | None
    frequency_penalty: float | Absent | None
    function_call: str | Mapping[str, Any] | Absent
    functions: Iterable[Mapping[str, Any]] | Absent
    logit_bias: Mapping[str, int] | Absent | None
    logprobs: bool | Absent | None
    max_completion_tokens: int | Absent | None
    max_tokens: int | Absent | None
    metadata: Mapping[str, str] | Absent | None
    modalities: Sequence[str] | Absent | None
    moderation: Any
    n: int | Absent | None
    parallel_tool_calls: bool | Absent
    prediction: Mapping[str, Any] | Absent | None
    presence_penalty: float | Absent | None
    prompt_cache_key: str | Absent
    prompt_cache_options: Any
    prompt_cache_retention: str | Absent | None
    reasoning_effort: str | Absent | None
    safety_identifier: str | Absent
    seed: int | Absent | None
    service_tier: str | Absent | None
    stop: str | Sequence[str] | Absent | None
    store: bool | Absent | None
    stream_options: Mapping[str, Any] | Absent | None
    temperature: float | Absent | None
    tool_choice: str | Mapping[str, Any] | Absent
    top_logprobs: int | Absent | None
    top_p: float | Absent | None
    user: str | Absent
    verbosity: str | Absent | None
    web_search_options: Mapping[str, Any] | Absent


class Creates(Parameters, total=False):
    """The same for `create`, whose `tools` and `response_format` are members of the request as they are."""

    response_format: Mapping[str, Any] | Absent
    tools: Iterable[Any] | Absent

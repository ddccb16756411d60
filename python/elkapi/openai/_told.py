"""Failures in the words of OpenAI's package: the same exceptions, with the request and the parsed body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import elkapi

if TYPE_CHECKING:
    from elkapi.openai._http import Request


def told(error: elkapi.Error, request: Request) -> elkapi.Error:
    """The error with what only a program written for OpenAI's package looks for."""
    if isinstance(error, elkapi.APIError):
        error.request = request
        error.body = _body_of(error)
    return error


def _body_of(error: elkapi.APIError) -> Any:
    if error.kind == "stream_error":
        return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    if error.status is None:
        return None
    import json

    try:
        body = json.loads(error.raw)
    except ValueError:
        return error.raw.decode(errors="replace").strip()
    return body.get("error", body) if isinstance(body, dict) else body


class LengthFinishReasonError(elkapi.Error):
    """The answer was cut off by a token limit and cannot be read by the model; `completion` has it."""

    completion: elkapi.Completion

    def __init__(self, *, completion: elkapi.Completion) -> None:
        words = "Could not parse response content as the length limit was reached"
        super().__init__(f"{words} - {completion.usage}" if completion.usage else words)
        self.kind, self.verdict, self.billed = "decode", "length", "yes"
        self.completion = completion


class ContentFilterFinishReasonError(elkapi.Error):
    """The answer was stopped by a content filter and cannot be read by the model; `completion` has it."""

    def __init__(self, *, completion: elkapi.Completion | None = None) -> None:
        super().__init__("Could not parse response content as the request was rejected by the content filter")
        self.kind, self.verdict, self.billed = "content_filter", "filtered", "yes"
        self.completion = completion

"""Answers read by models: the schema that is asked for, and what the model makes of the answer.

Told by their methods, so that nothing depends on pydantic: a class with `model_json_schema` and
`model_validate_json`, or a type adapter with `json_schema` and `validate_json`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from elkapi.openai._told import ContentFilterFinishReasonError, LengthFinishReasonError
from elkapi.openai._types import is_absent

if TYPE_CHECKING:
    import elkapi


class FunctionTool(dict[str, Any]):
    """A tool's function that remembers the model its arguments are read by."""

    model: Any

    def __init__(self, described: dict[str, Any], model: Any) -> None:
        super().__init__(described)
        self.model = model


def pydantic_function_tool(
    model: Any, *, name: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """A strict tool whose arguments are those of a pydantic model; `parse` and `stream` read them by it."""
    described = {"name": name or model.__name__, "strict": True, "parameters": schema_of(model)}
    description = model.__doc__ if description is None else description
    if description:
        described["description"] = description
    return {"type": "function", "function": FunctionTool(described, model)}


def schema_of(model: Any) -> dict[str, Any]:
    """The model's JSON schema in the strict form that the API wants: every member required, no others."""
    schema = model.model_json_schema() if hasattr(model, "model_json_schema") else model.json_schema()
    return _strict(schema, schema)


def _strict(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema and len(schema) > 1:
        # A reference stands alone in this form: what it leads to is written out beside the other members.
        target = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{name: value for name, value in schema.items() if name != "$ref"}}
    if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
        schema = {**schema, **schema["allOf"][0]}
        del schema["allOf"]
        return _strict(schema, root)
    strict = dict(schema)
    if strict.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    if "default" in strict and strict["default"] is None:
        del strict["default"]
    for name in ("properties", "$defs", "definitions"):
        if isinstance(strict.get(name), dict):
            strict[name] = {inner: _strict(value, root) for inner, value in strict[name].items()}
    if isinstance(strict.get("properties"), dict):
        strict["required"] = list(strict["properties"])
    if isinstance(strict.get("items"), dict):
        strict["items"] = _strict(strict["items"], root)
    for name in ("anyOf", "allOf"):
        if isinstance(strict.get(name), list):
            strict[name] = [_strict(value, root) for value in strict[name]]
    return strict


class Reader:
    """What a call's `response_format` and `tools` make of its answer."""

    def __init__(self, response_format: Any, tools: Any) -> None:
        is_given = not is_absent(response_format) and response_format is not None
        self._format = response_format if is_given else None
        self._model = (
            _model_of(response_format) if is_given and not isinstance(response_format, dict) else None
        )
        self.tools: list[Any] | None = None if tools is None or is_absent(tools) else list(tools)
        functions = [tool["function"] for tool in self.tools or [] if tool.get("type") == "function"]
        self._functions = {function["name"]: function for function in functions}

    def check_tools(self) -> None:
        """Refuses tools whose arguments nobody could rely on."""
        for tool in self.tools or []:
            if tool["type"] != "function":
                raise ValueError(f"Only `function` tools can be read; there is one of type `{tool['type']}`")
            if tool["function"].get("strict") is not True:
                raise ValueError(f"`{tool['function']['name']}` is not strict, which it must be to be read")

    @property
    def reads(self) -> bool:
        """Whether there is a model, or a strict tool."""
        strict = (_reads(function) for function in self._functions.values())
        return self._model is not None or any(strict)

    def members(self) -> dict[str, Any]:
        """The request's members."""
        members: dict[str, Any] = {} if self.tools is None else {"tools": self.tools}
        if self._model is not None:
            name = getattr(self._format, "__name__", "answer")
            described = {"schema": schema_of(self._model), "name": name, "strict": True}
            members["response_format"] = {"type": "json_schema", "json_schema": described}
        elif self._format is not None:
            members["response_format"] = self._format
        return members

    def content(self, text: str | None, refusal: str | None) -> Any:
        """What the model makes of a message's text; None where there is no model, or nothing to be read."""
        if self._model is None or not text or refusal:
            return None
        return _read(self._model, text)

    def arguments(self, name: str | None, arguments: str | None) -> Any:
        """What a tool call's arguments come to; None where the tool is not strict."""
        function = self._functions.get(name or "")
        if function is None or not _reads(function):
            return None
        if hasattr(function, "model"):
            return _read(function.model, arguments or "{}")
        return json.loads(arguments or "{}")

    def check_end(self, finish_reason: str | None, completion: elkapi.Completion) -> None:
        """Refuses an answer that is a part."""
        if finish_reason == "length":
            raise LengthFinishReasonError(completion=completion)
        if finish_reason == "content_filter":
            raise ContentFilterFinishReasonError(completion=completion)

    def read(self, completion: elkapi.Completion) -> elkapi.Completion:
        """The answer, whose messages have `parsed`, and whose tool calls have `function.parsed_arguments`."""
        for choice in completion.choices:
            self.check_end(choice.finish_reason, completion)
            message: Any = choice.message
            message._keep("parsed", self.content(message.content, message.refusal))
            for call in message.tool_calls or []:
                if call.function is not None:
                    read = self.arguments(call.function.name, call.function.arguments)
                    call.function._keep("parsed_arguments", read)
        return completion


def _reads(function: Any) -> bool:
    return hasattr(function, "model") or bool(function.get("strict"))


def _model_of(model: Any) -> Any:
    if hasattr(model, "model_json_schema") or (
        hasattr(model, "json_schema") and hasattr(model, "validate_json")
    ):
        return model
    if hasattr(model, "__pydantic_config__"):
        # A dataclass of pydantic's, which is therefore there.
        from pydantic import TypeAdapter

        return TypeAdapter(model)
    raise TypeError(f"response_format must be a pydantic model, a TypeAdapter or a dict, not {model!r}")


def _read(model: Any, text: str) -> Any:
    validate = getattr(model, "model_validate_json", None) or model.validate_json
    return validate(text)

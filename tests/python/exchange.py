"""One wire fixture through the public API: every key of `expect`, as tests/wire/README.md means it.

As a program it runs all fixtures of a directory and writes one line of JSON for each, its name and
what is wrong: `exchange.py DIRECTORY RESULTS`.
"""

import asyncio
import concurrent.futures
import hashlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import elkapi
import pytest
from conftest import Gateway, running_simulator

Fixture = dict[str, Any]
Expect = dict[str, Any]


def load(path: Path) -> Fixture:
    fixture: Fixture = json.loads(path.read_text())
    return fixture


def names_in(directory: Path) -> list[str]:
    return sorted(path.stem for path in directory.glob("*.json") if path.stem != "index")


def is_stream(fixture: Fixture) -> bool:
    body: dict[str, Any] = fixture["request"].get("body") or {}
    return body.get("stream") is True


def _image(image: elkapi.Image, expected: dict[str, Any]) -> dict[str, Any]:
    data = image.bytes or b""
    facts = {
        "media_type": image.media_type,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "url": image.url,
        "source": image.source,
    }
    return {name: facts[name] for name in expected}


def _images(answer: elkapi.Completion, expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert len(answer.images) == len(expected)
    return [_image(image, facts) for image, facts in zip(answer.images, expected, strict=True)]


def _usage(answer: elkapi.Completion, expected: dict[str, Any] | None) -> Any:
    if expected is None or answer.usage is None:
        return answer.usage
    return {name: getattr(answer.usage, name) for name in expected}


def _choices(answer: elkapi.Completion, expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    facts = [
        {
            "index": choice.index,
            "text": choice.message.content or "",
            "finish_reason": choice.finish_reason,
        }
        for choice in answer.choices
    ]
    assert len(facts) == len(expected)
    return [{name: fact[name] for name in want} for fact, want in zip(facts, expected, strict=True)]


def _tool_calls(answer: elkapi.Completion, _: object) -> list[dict[str, Any]]:
    return [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in answer.tool_calls]


def _reasoning_tokens(answer: elkapi.Completion, _: object) -> Any:
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    return answer.usage.completion_tokens_details.reasoning_tokens


#: What an answer shows for each key of `expect`; the second argument is what is expected.
ANSWER: dict[str, Callable[[Any, Any], Any]] = {
    "text": lambda answer, _: answer.text,
    "text_sha256": lambda answer, _: hashlib.sha256(answer.text.encode()).hexdigest(),
    "text_without_images": lambda answer, _: answer.text_without_images,
    "reasoning": lambda answer, _: answer.reasoning,
    "finish_reason": lambda answer, _: answer.finish_reason,
    "choices": _choices,
    "images": _images,
    "image_errors": lambda answer, _: answer.image_errors,
    "tool_calls": _tool_calls,
    "usage": _usage,
    "attempts": lambda answer, _: len(answer.attempts),
    "verdict": lambda answer, _: answer.verdict,
    "model_ids": lambda models, _: [model.id for model in models.data],
    "id": lambda answer, _: answer.id,
    "model": lambda answer, _: answer.model,
    "role": lambda answer, _: answer.choices[0].message.role,
    "request_id": lambda answer, _: answer.request_id,
    "system_fingerprint": lambda answer, _: answer.system_fingerprint,
    "reasoning_tokens": _reasoning_tokens,
    "saw_done": lambda answer, _: answer.saw_done,
}

#: What an error shows for each key.
ERROR: dict[str, Callable[[elkapi.Error, Any], Any]] = {
    "kind": lambda error, _: error.kind,
    "status": lambda error, _: error.status or 0,
    "code": lambda error, _: error.code,
    "type": lambda error, _: error.type,
    "retry": lambda error, _: "yes" if error.retryable else "no",
    "billed": lambda error, _: error.billed,
    "retry_after_ms": lambda error, _: error.retry_after_ms,
    "verdict": lambda error, _: error.verdict,
    "hint": lambda error, _: error.hint,
    "request_id": lambda error, _: error.request_id,
    "attempts": lambda error, _: len(error.attempts),
    "partial_text": lambda error, _: error.completion.text if error.completion else "",
    "saw_done": lambda error, _: bool(error.completion and error.completion.saw_done),
}

#: Keys that are about the exchange and not about its outcome.
OTHER = {"outcome", "client", "kind_any", "message_contains", "retry_after_base", "events"}


def _options(expect: Expect) -> dict[str, Any]:
    """The client's settings; retries are off unless the exchange is about them."""
    settings = {"max_retries": 0, **expect.get("client", {})}
    options: dict[str, Any] = {}
    if "timeout_ms" in settings:
        options["timeout"] = settings.pop("timeout_ms") / 1000
    if "idle_timeout_ms" in settings:
        limits = {"idle": settings.pop("idle_timeout_ms") / 1000}
        options["timeout"] = elkapi.Timeout(**limits)
    known = inspect.signature(elkapi.Client).parameters
    for name, value in settings.items():
        if name in known:
            options[name] = value
        else:
            raise AssertionError(f"there is no option {name}")
    return options


def _read(stream: elkapi.Stream, seen: list[elkapi.Chunk]) -> elkapi.Completion:
    """Reads a stream to its end; every chunk goes to `seen`."""
    try:
        for chunk in stream:
            seen.append(chunk)
            assert chunk.to_dict() == json.loads(chunk.raw)
    finally:
        assert "".join(chunk.text for chunk in seen) == stream.completion.text
        assert stream.verdict == stream.completion.verdict
    assert stream.finish() is stream.completion
    return stream.completion


def _call(client: elkapi.Client, fixture: dict[str, Any], seen: list[elkapi.Chunk]) -> elkapi.Document:
    request = fixture["request"]
    if request["method"] == "GET":
        return client.models()
    if is_stream(fixture):
        with client.stream(request["body"]) as stream:
            return _read(stream, seen)
    return client.chat_completions(request["body"])


async def _read_in_loop(stream: elkapi.AsyncStream, seen: list[elkapi.Chunk]) -> elkapi.Completion:
    """The same for a stream of the asynchronous client."""
    try:
        async for chunk in stream:
            seen.append(chunk)
    finally:
        assert "".join(chunk.text for chunk in seen) == stream.completion.text
        assert stream.verdict == stream.completion.verdict
    assert await stream.finish() is stream.completion
    return stream.completion


async def _call_in_loop(
    client: elkapi.AsyncClient, fixture: dict[str, Any], seen: list[elkapi.Chunk]
) -> elkapi.Document:
    request = fixture["request"]
    async with client:
        if request["method"] == "GET":
            return await client.models()
        if is_stream(fixture):
            async with client.stream(request["body"]) as stream:
                return await _read_in_loop(stream, seen)
        return await client.chat_completions(request["body"])


def _check_answer(answer: elkapi.Document, expect: Expect) -> None:
    for key, wanted in expect.items():
        if key not in OTHER:
            assert key in ANSWER, f"nobody compares {key!r}"
            assert ANSWER[key](answer, wanted) == wanted, key


def _check_error(error: elkapi.Error, expect: Expect) -> None:
    for key, wanted in expect.items():
        if key == "kind_any":
            assert error.kind in wanted, key
        elif key == "message_contains":
            assert wanted in error.message, key
            assert wanted.strip() in str(error), key
        elif key == "kind" and "kind_any" in expect:
            assert wanted in expect["kind_any"], "where several kinds are right, `kind` is one of them"
        elif key == "retry_after_base":
            assert wanted == "date_header", "the pause itself is compared under retry_after_ms"
        elif key in ("code", "type") and wanted is None:
            pass
        elif key not in OTHER:
            assert key in ERROR, f"nobody compares {key!r}"
            assert ERROR[key](error, wanted) == wanted, key


def check(gateway: Gateway, name: str, fixture: Fixture, reframe: str = "", *, in_loop: bool = False) -> None:
    """Raises an `AssertionError` where the client, or the asynchronous one in an event loop, does not say
    what the fixture expects."""
    expect = fixture["expect"]
    seen: list[elkapi.Chunk] = []
    path, options = f"{reframe}/wire/{name}/v1", _options(expect)

    def call() -> elkapi.Document:
        if in_loop:
            return asyncio.run(_call_in_loop(gateway.async_client(path, **options), fixture, seen))
        with gateway.client(path, **options) as client:
            return _call(client, fixture, seen)

    if expect["outcome"] == "ok":
        answer = call()
        attempts = answer.attempts
        _check_answer(answer, expect)
    else:
        assert expect["outcome"] == "error"
        with pytest.raises(elkapi.Error) as caught:
            call()
        _check_error(caught.value, expect)
        attempts = caught.value.attempts
        if seen:
            assert caught.value.completion is not None
            assert "".join(chunk.text for chunk in seen) == caught.value.completion.text
    if "events" in expect:
        assert len(seen) == expect["events"]
    stats = gateway.stats()
    assert len(attempts) == stats["requests"], "every request is told as an attempt"
    sent = stats["last_request"]
    assert sent["method"] == fixture["request"]["method"]
    for member, value in fixture["request"].get("body", {}).items():
        assert gateway.last_body()[member] == value, member


def _wrong(gateway: Gateway, name: str, fixture: Fixture) -> list[str]:
    try:
        check(gateway, name, fixture)
    # An expectation that cannot even be compared is wrong too.
    except (Exception, pytest.fail.Exception) as error:
        return [f"{type(error).__name__}: {error}"[:300]]
    return []


def main(directory: Path, results: Path) -> None:
    names = names_in(directory)
    with running_simulator(directory) as simulator, concurrent.futures.ThreadPoolExecutor(8) as pool:

        def result(name: str) -> str:
            wrong = _wrong(Gateway(simulator, name), name, load(directory / f"{name}.json"))
            return json.dumps({"fixture": name, "wrong": wrong})

        results.write_text("\n".join(pool.map(result, names)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

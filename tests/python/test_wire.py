"""The wire fixtures through the public API: every key of `expect`, as tests/wire/README.md means it."""

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any

import elkapi
import pytest
from conftest import FIXTURES, Gateway

Expect = dict[str, Any]


def _load(name: str) -> dict[str, Any]:
    fixture: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return fixture


ALL = sorted(path.stem for path in FIXTURES.glob("*.json") if path.stem != "index")


def _is_stream(fixture: dict[str, Any]) -> bool:
    body: dict[str, Any] = fixture["request"].get("body") or {}
    return body.get("stream") is True


#: Streams of one reply: the network may cut them in any way.
STREAMS = [name for name in ALL if _is_stream(_load(name)) and "response" in _load(name)]
MODES = ["bytes", "events", "whole", *(f"random-{seed}" for seed in range(1, 6))]
#: Half a million writes of one byte; and a pause that is lost when all is one write.
UNFIT = {("bytes", "stream_image_large_line"), ("whole", "stream_idle")}
REFRAMED = [(mode, name) for mode in MODES for name in STREAMS if (mode, name) not in UNFIT]


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
            assert (name, value) == ("max_retries", 0), f"there is no option {name} yet"
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
    if _is_stream(fixture):
        with client.stream(request["body"]) as stream:
            return _read(stream, seen)
    return client.chat_completions(request["body"])


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
            assert wanted in error.message or wanted in str(error), key
        elif key == "kind" and "kind_any" in expect:
            pass
        elif key == "retry_after_base":
            assert wanted == "date_header", "the pause itself is compared under retry_after_ms"
        elif key in ("code", "type") and wanted is None:
            pass
        elif key not in OTHER:
            assert key in ERROR, f"nobody compares {key!r}"
            assert ERROR[key](error, wanted) == wanted, key


def _check(gateway: Gateway, name: str, reframe: str) -> None:
    fixture = _load(name)
    expect = fixture["expect"]
    seen: list[elkapi.Chunk] = []
    with gateway.client(f"{reframe}/wire/{name}/v1", **_options(expect)) as client:
        if expect["outcome"] == "ok":
            answer = _call(client, fixture, seen)
            _check_answer(answer, expect)
        else:
            assert expect["outcome"] == "error"
            with pytest.raises(elkapi.Error) as caught:
                _call(client, fixture, seen)
            _check_error(caught.value, expect)
            if seen:
                assert caught.value.completion is not None
                assert "".join(chunk.text for chunk in seen) == caught.value.completion.text
    if "events" in expect:
        assert len(seen) == expect["events"]
    sent = gateway.stats()["last_request"]
    assert sent["method"] == fixture["request"]["method"]
    for member, value in fixture["request"].get("body", {}).items():
        assert gateway.last_body()[member] == value, member


@pytest.mark.parametrize("name", ALL)
def test_the_exchange_ends_as_the_fixture_expects(gateway: Gateway, name: str) -> None:
    _check(gateway, name, "")


@pytest.mark.parametrize(("mode", "name"), REFRAMED)
def test_a_stream_is_understood_however_the_network_cuts_it(gateway: Gateway, mode: str, name: str) -> None:
    _check(gateway, name, f"/reframe/{mode}")


def test_every_fixture_of_the_index_runs() -> None:
    index = json.loads((FIXTURES / "index.json").read_text())
    names = index if isinstance(index, list) else index.get("fixtures", index)
    listed = {entry["name"] if isinstance(entry, dict) else entry for entry in names}
    assert listed == set(ALL)


def test_keys_of_the_fixtures_are_all_compared() -> None:
    for name in ALL:
        expect = _load(name)["expect"]
        compared = ANSWER if expect["outcome"] == "ok" else ERROR
        assert set(expect) <= set(compared) | OTHER, name

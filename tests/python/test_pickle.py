"""Pickles: clients, answers and errors travel between processes."""

import copy
import multiprocessing
import pickle
from typing import Any

import elkapi
import pytest
from conftest import KEY, Gateway

PUBLIC = [getattr(elkapi, name) for name in elkapi.__all__]

EVERYTHING = [
    *("text", "text_without_images", "reasoning", "finish_reason", "verdict", "images", "image_errors"),
    *("status", "headers", "raw", "request_id", "attempts", "elapsed", "saw_done"),
    *("choices", "tool_calls", "usage", "id", "model", "created", "object", "system_fingerprint"),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_answer_survives_with_everything(gateway: Gateway, protocol: int) -> None:
    with gateway.client() as client:
        answer = client.ask("A cat", model="gemini-3-pro-image-preview")
    back: elkapi.Completion = pickle.loads(pickle.dumps(answer, protocol))
    assert type(back) is elkapi.Completion
    assert back == answer
    for name in EVERYTHING:
        assert getattr(back, name) == getattr(answer, name), name
    assert back.images[0].bytes == answer.images[0].bytes
    assert pickle.loads(pickle.dumps(back)) == answer


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_stream_brought_survives_and_the_stream_does_not(client: elkapi.Client, protocol: int) -> None:
    with client.stream({"messages": [{"role": "user", "content": "Hi"}]}) as stream:
        chunks = list(stream)
        for refused in (lambda: pickle.dumps(stream, protocol), lambda: copy.copy(stream)):
            with pytest.raises(TypeError, match="stream cannot be pickled"):
                refused()
    answer = stream.completion
    back: elkapi.Completion = pickle.loads(pickle.dumps(answer, protocol))
    assert back == answer
    for name in EVERYTHING:
        assert getattr(back, name) == getattr(answer, name), name
    assert (back.raw, back.saw_done, back.to_json()) == (b"", True, answer.to_json())
    assert pickle.loads(pickle.dumps(back, protocol)).saw_done is True
    for chunk in chunks:
        again: elkapi.Chunk = pickle.loads(pickle.dumps(chunk, protocol))
        assert type(again) is elkapi.Chunk
        assert again == chunk
        assert (again.text, again.raw) == (chunk.text, chunk.raw)


def test_a_saved_picture_is_the_same_after_a_pickle(client: elkapi.Client, tmp_path: Any) -> None:
    picture = client.ask("A cat", model="gemini-3-pro-image-preview").images[0]
    back: elkapi.Image = pickle.loads(pickle.dumps(picture))
    assert back == picture
    back.save(tmp_path / "cat.png")
    assert (tmp_path / "cat.png").read_bytes() == picture.bytes
    with pytest.raises(elkapi.FileError):
        back.save(tmp_path / "no" / "cat.png")
    remote = elkapi.Image("content_markdown", url="https://example.com/a.png")
    assert pickle.loads(pickle.dumps(remote)) == remote != back
    with pytest.raises(elkapi.InvalidArgumentError):
        remote.save("never.png")


def test_documents_and_nodes_survive(client: elkapi.Client) -> None:
    models = client.models()
    back = pickle.loads(pickle.dumps(models))
    assert type(back) is elkapi.Document
    assert back == models
    assert back.status == 200
    answer = client.ask("Hi")
    for node in (
        answer.choices[0],
        answer.choices[0].message,
        answer.usage,
        answer.attempts[0],
        answer.headers,
    ):
        again = pickle.loads(pickle.dumps(node))
        assert type(again) is type(node)
        assert again == node


def test_an_error_survives_with_everything(gateway: Gateway) -> None:
    client = gateway.client("/wire/error_429_retry_after_seconds/v1")
    with pytest.raises(elkapi.RateLimitError) as caught:
        client.ask("Hi")
    error = caught.value
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is elkapi.RateLimitError
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__
    assert copy.copy(error).kind == "rate_limit"


@pytest.mark.parametrize(
    "cls", [cls for cls in PUBLIC if isinstance(cls, type) and issubclass(cls, elkapi.Error)]
)
def test_every_error_class_survives_and_can_be_raised_by_others(cls: type[elkapi.Error]) -> None:
    error = cls("a sentence")
    error.kind, error.status, error.raw = "timeout", 500, b"raw"
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is cls
    assert (str(back), back.kind, back.status, back.raw) == ("a sentence", "timeout", 500, b"raw")
    bare = cls("only words")
    assert (str(bare), bare.message, bare.attempts, bare.retryable) == ("only words", "only words", [], False)


def test_a_client_carries_its_options_and_a_key_given_in_code(gateway: Gateway) -> None:
    with gateway.client(headers={"X-A": "1"}, timeout=elkapi.Timeout(total=9)) as client:
        changed = client.with_options(extra_headers={"X-B": "2"}, timeout=7).with_options(timeout=None)
        for copied in (pickle.loads(pickle.dumps(changed)), copy.deepcopy(changed)):
            with copied:
                copied.ask("Hi")
            headers = gateway.last_headers()
            assert (headers["x-a"], headers["x-b"]) == ("1", "2")
            assert headers["authorization"] == f"Bearer {KEY}"


def test_a_client_never_carries_a_key_of_the_environment(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELKAPI_API_KEY", "sk-of-the-first-place")
    kept = pickle.dumps(elkapi.Client(base_url=gateway.url()))
    assert b"sk-of-the-first-place" not in kept
    monkeypatch.setenv("ELKAPI_API_KEY", "sk-of-the-second-place")
    with pickle.loads(kept) as client:
        client.ask("Hi")
    assert gateway.last_headers()["authorization"] == "Bearer sk-of-the-second-place"
    monkeypatch.delenv("ELKAPI_API_KEY")
    with pytest.raises(elkapi.ConfigError):
        pickle.loads(kept)


def _ask_elsewhere(client: elkapi.Client) -> elkapi.Completion:
    return client.ask("Hi")


def test_a_client_works_in_another_process(client: elkapi.Client) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answer = pool.apply(_ask_elsewhere, (client,))
    assert answer.text == client.ask("Hi").text

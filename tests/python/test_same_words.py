"""One failure in C and in Python: the same facts, the same readable sentence with advice, the same bytes."""

import ctypes
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import elkapi
import pytest
from conftest import FIXTURES, KEY, ROOT, Answering, Gateway
from exchange import is_stream, load, names_in

ERRORS = [
    name
    for name in names_in(FIXTURES)
    for fixture in [load(FIXTURES / f"{name}.json")]
    if fixture["expect"]["outcome"] == "error"
    and not is_stream(fixture)
    and "client" not in fixture["expect"]
]
#: Differ from call to call.
MEASURED = {"elapsed_ms", "bytes_sent", "bytes_received"}
NUL = ctypes.c_size_t(-1)
REQUEST = {"messages": [{"role": "user", "content": "Hello"}]}


@dataclass(frozen=True)
class InC:
    """A failed call as the C library tells it."""

    document: dict[str, Any]
    sentence: str
    body: bytes
    verdict: str
    status_name: str
    kind_by_pointer: str


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(ROOT / "target" / "release" / "libelkapi.so"))
    for function in ("client_new", "chat_completions", "result_error", "result_body"):
        getattr(library, f"elk_{function}").restype = ctypes.c_void_p
    for function in ("result_message", "result_verdict", "status_name", "result_get"):
        getattr(library, f"elk_{function}").restype = ctypes.c_char_p
    return library


def _text(function: Callable[..., Any], result: ctypes.c_void_p) -> bytes:
    length = ctypes.c_size_t()
    return ctypes.string_at(function(result, ctypes.byref(length)), length.value)


def in_c(library: ctypes.CDLL, base_url: str) -> InC:
    config = {"base_url": base_url, "api_key": KEY, "environment": False, "max_retries": 0}
    client = ctypes.c_void_p(library.elk_client_new(json.dumps(config).encode(), NUL))
    result = ctypes.c_void_p(
        library.elk_chat_completions(client, json.dumps(REQUEST).encode(), NUL, ctypes.c_void_p())
    )
    try:
        return InC(
            json.loads(_text(library.elk_result_error, result))["error"],
            library.elk_result_message(result).decode(),
            _text(library.elk_result_body, result),
            library.elk_result_verdict(result).decode(),
            library.elk_status_name(library.elk_result_status(result)).decode(),
            library.elk_result_get(result, b"/error/kind", ctypes.c_void_p()).decode(),
        )
    finally:
        library.elk_result_free(result)
        library.elk_client_free(client)


def in_python(gateway: Gateway, path: str) -> elkapi.Error:
    with gateway.client(path) as client, pytest.raises(elkapi.Error) as caught:
        client.chat_completions(REQUEST)
    return caught.value


@pytest.mark.parametrize("name", ERRORS)
def test_c_and_python_say_the_same(name: str, library: ctypes.CDLL, gateway: Gateway) -> None:
    path = f"/wire/{name}/v1"
    c, python = in_c(library, gateway.url(path)), in_python(gateway, path)
    for member in c.document.keys() - MEASURED - {"attempts"}:
        assert getattr(python, member) == c.document[member], member
    told = [attempt["status"] for attempt in c.document["attempts"]]
    assert [attempt.status for attempt in python.attempts] == told
    assert (str(python), python.raw) == (c.sentence, c.body)
    assert (python.verdict, python.kind, python.kind) == (c.verdict, c.status_name, c.kind_by_pointer)


@pytest.mark.parametrize("name", ERRORS)
def test_a_failure_is_one_line_for_a_person(name: str, gateway: Gateway) -> None:
    said = str(in_python(gateway, f"/wire/{name}/v1"))
    assert said.isprintable()
    assert "<html" not in said
    assert "</" not in said or name == "error_500_escaped_html", "the message itself speaks of tags there"
    assert 30 < len(said) < 1000


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("error_200_html_wrong_base", "Check the base URL: it usually ends in /v1."),
        ("error_404_url", "and the base URL."),
        ("broken_redirect", "Set the base URL to the final address."),
        ("error_401_invalid_token", "Check the API key (ELKAPI_API_KEY or api_key)."),
        ("error_401_token_quota", "Top up the account or raise the key's budget."),
        ("error_403_user_quota", "Top up the account or raise the key's budget."),
        ("error_403_model_forbidden", "Check which models and addresses the key allows."),
        ("error_503_no_channel", "Check the model name (the models list tells them)"),
        ("error_413_gateway", "Send fewer or smaller pictures."),
        ("error_413_html", "Send fewer or smaller pictures."),
        ("error_429_retry_after_seconds", "Wait and send fewer at once. The server asks to wait 2 s."),
        (
            "error_524_html",
            "ask for a stream instead, whose first bytes come soon. The request may have been",
        ),
        (
            "error_504_html",
            "ask for a stream instead, whose first bytes come soon. The request may have been",
        ),
        ("error_502_html", "Try again later. The request may have been billed."),
        ("error_400_prompt_blocked", "Rephrase the prompt. The request was probably billed."),
        (
            "broken_200_invalid_json",
            "Look at the body; quote the request id. The request was probably billed.",
        ),
    ],
)
def test_the_sentence_says_what_to_do(name: str, advice: str, gateway: Gateway) -> None:
    assert advice in str(in_python(gateway, f"/wire/{name}/v1"))


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("broken_200_invalid_json", b"{"),
        ("error_200_html_wrong_base", b"<!"),
        ("unary_choices_empty", b"{"),
        ("unary_error_in_200", b"{"),
        ("broken_200_bad_gzip", b""),
        ("broken_200_short_body", b""),
    ],
)
def test_what_came_of_a_paid_answer_is_kept(name: str, begins: bytes, gateway: Gateway) -> None:
    error = in_python(gateway, f"/wire/{name}/v1")
    assert error.status == 200
    assert error.raw.startswith(begins)
    assert error.request_id


# Bodies that nobody planned for


@pytest.mark.parametrize(
    ("media_type", "body", "words"),
    [
        (
            "text/html",
            b"<html><style>b{}</style><h1>Sorry,</h1>\n<p>no" + b"<p>more" * 100_000,
            "Sorry, no more",
        ),
        ("text/plain", b"upstream\x00 \x1b[31mred\x1b[0m\r\n\tdied " + b"x" * 1_000_000, "died xxx"),
        ("text/plain", "über".encode("latin-1"), "�ber"),
        ("", b"no type at all", "no type at all"),
        (
            "application/json",
            b'{"type":"error","error":{"type":"api_error","message":"Anthropic"}}',
            "Anthropic",
        ),
        ("application/json", b'[{"error":{"code":500,"message":"Google","status":"INTERNAL"}}]', "Google"),
        ("application/json", b'{"detail":[{"msg":"one"},{"msg":"two"}]}', "one; two"),
        ("application/json", b'{"error":"only a text"}', "only a text"),
        ("application/json", b'{"message":"AWS"}', "AWS"),
        ("application/json", b'{"error":{"message":"a\\u0000b\\u001b[2Jc\\nd"}}', "a b [2Jc d"),
        ("application/json", b"{broken", "{broken"),
        ("application/json", b"", "HTTP 500"),
    ],
)
def test_any_body_is_shown_bounded_and_readable(
    media_type: str, body: bytes, words: str, answering: Answering
) -> None:
    with answering(body, media_type, 500) as client, pytest.raises(elkapi.Error) as caught:
        client.chat_completions(REQUEST)
    error = caught.value
    assert error.kind == "server"
    assert words in str(error)
    assert str(error).isprintable() or "�" in words
    assert len(str(error)) < 1000
    assert len(error.body or "") <= 4097
    assert error.raw == body

"""Errors: one tree by status, every fact an attribute."""

import json
from typing import Any

import elkapi
import pytest
from conftest import FIXTURES, Gateway


def failure(gateway: Gateway, fixture: str, **options: Any) -> elkapi.Error:
    with gateway.client(f"/wire/{fixture}/v1", **options) as client, pytest.raises(elkapi.Error) as caught:
        client.ask("Hi")
    return caught.value


@pytest.mark.parametrize(
    ("fixture", "cls"),
    [
        ("error_400_bad_json", elkapi.BadRequestError),
        ("error_401_invalid_token", elkapi.AuthenticationError),
        ("error_403_model_forbidden", elkapi.PermissionDeniedError),
        ("error_404_url", elkapi.NotFoundError),
        ("error_413_gateway", elkapi.APIStatusError),
        ("error_422", elkapi.UnprocessableEntityError),
        ("error_429_no_retry_after", elkapi.RateLimitError),
        ("error_500_do_request", elkapi.InternalServerError),
        ("error_502_html", elkapi.InternalServerError),
        ("error_524_html", elkapi.InternalServerError),
        ("error_529", elkapi.InternalServerError),
        ("broken_redirect", elkapi.APIStatusError),
        ("broken_200_invalid_json", elkapi.APIResponseValidationError),
        ("broken_200_empty_body", elkapi.APIResponseValidationError),
        ("broken_204", elkapi.APIResponseValidationError),
        ("error_200_html_wrong_base", elkapi.APIResponseValidationError),
        ("models_retrieve_missing", elkapi.NotFoundError),
        ("broken_200_short_body", elkapi.APIConnectionError),
        ("broken_reset_before_response", elkapi.APIConnectionError),
        ("broken_unary_slow", elkapi.APITimeoutError),
    ],
)
def test_the_class_follows_the_status(gateway: Gateway, fixture: str, cls: type[elkapi.Error]) -> None:
    error = failure(gateway, fixture, timeout=0.5)
    assert type(error) is cls
    assert isinstance(error, elkapi.APIError)
    expect = json.loads((FIXTURES / f"{fixture}.json").read_text())["expect"]
    assert error.kind == expect["kind"]
    assert (error.status or 0) == expect["status"]


def test_every_member_of_the_error_document_is_an_attribute(gateway: Gateway) -> None:
    error = failure(gateway, "error_429_retry_after_seconds")
    assert error.kind == "rate_limit"
    assert error.status == 429
    assert error.verdict == "failed"
    assert error.retryable is True
    assert error.billed == "no"
    assert isinstance(error.retry_after_ms, int)
    assert error.elapsed_ms >= 0
    assert error.bytes_sent >= 0
    assert error.bytes_received >= 0
    assert [attempt.status for attempt in error.attempts][-1] == 429
    assert error.attempts[-1].kind == "rate_limit"
    assert error.headers is not None
    assert error.request_id == error.headers["x-oneapi-request-id"]
    assert json.loads(error.raw)["error"]["message"] == error.message
    assert error.completion is None
    assert error.limit is None
    assert error.body is not None
    assert str(error) == error.args[0]
    assert error.message in str(error)
    assert str(error) != error.message


def test_without_a_reply_there_is_no_status(gateway: Gateway) -> None:
    error = failure(gateway, "broken_reset_before_response")
    assert (error.status, error.headers, error.raw, error.request_id) == (None, None, b"", None)
    assert error.kind == "connection"


def test_nobody_listening_is_a_connection_error() -> None:
    client = elkapi.Client(base_url="http://127.0.0.1:1/v1", api_key="sk-x", environment=False, max_retries=0)
    with pytest.raises(elkapi.APIConnectionError) as caught:
        client.ask("Hi")
    assert (caught.value.kind, caught.value.billed) == ("connection", "no")


def test_broken_replies_keep_their_bytes(gateway: Gateway) -> None:
    error = failure(gateway, "broken_200_invalid_json")
    assert error.raw
    assert error.body
    assert error.raw.decode(errors="replace").startswith(error.body[:20])


def test_the_tree_is_the_one_people_know() -> None:
    tree = {
        elkapi.APIStatusError: elkapi.APIError,
        elkapi.RateLimitError: elkapi.APIStatusError,
        elkapi.InternalServerError: elkapi.APIStatusError,
        elkapi.APITimeoutError: elkapi.APIConnectionError,
        elkapi.APIConnectionError: elkapi.APIError,
        elkapi.StalledError: elkapi.APITimeoutError,
        elkapi.TruncatedError: elkapi.APIConnectionError,
        elkapi.ConfigError: ValueError,
        elkapi.InvalidArgumentError: ValueError,
        elkapi.FileError: OSError,
    }
    for cls, base in tree.items():
        assert issubclass(cls, base)
        assert issubclass(cls, elkapi.Error)
    assert not issubclass(elkapi.ConfigError, elkapi.APIError)


def test_others_can_subclass_an_error() -> None:
    class MineError(elkapi.RateLimitError):
        pass

    with pytest.raises(elkapi.RateLimitError, match="mine") as caught:
        raise MineError("mine")
    assert caught.value.kind == "internal"

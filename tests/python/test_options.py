"""Options: the core's table by keyword, limits in seconds, and keys that stay secret."""

import inspect
import pickle
import re
import traceback
from typing import Any

import elkapi
import pytest
from conftest import KEY, Gateway

Options = dict[str, Any]


def test_keywords_are_exactly_the_options_of_the_core() -> None:
    with pytest.raises(TypeError) as caught:
        elkapi.Client(zzzzzzzzzzzz=1)  # type: ignore[call-arg]
    told = set(str(caught.value).split("there are ")[1].split(", "))
    parameters = inspect.signature(elkapi.Client).parameters
    assert told == set(parameters)
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters.values())


def test_keywords_of_a_call_are_those_of_with_options(client: elkapi.Client) -> None:
    unchecked: Any = client
    with pytest.raises(TypeError) as caught:
        unchecked.with_options(zzzzzzzzzzzz=1)
    told = set(str(caught.value).split("there are ")[1].split(", "))
    for method in (client.with_options, client.chat_completions, client.models, client.ask):
        taken = set(inspect.signature(method).parameters)
        assert taken - {"request", "prompt", "model", "image", "members", "cancel"} == told, method


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"bsae_url": ""},
            "Client() got an unexpected keyword argument 'bsae_url'; did you mean 'base_url'?",
        ),
        ({"key": ""}, "did you mean 'api_key'?"),
        ({"extra_headers": {}}, "did you mean 'headers'?"),
        ({"timeout_ms": 5}, "limits are given in seconds, as timeout="),
        ({"total_timeout_ms": 5}, "limits are given in seconds, as timeout="),
        ({"base_url": 5}, "base_url must be str, not int"),
        ({"api_key": b"sk-secret"}, "api_key must be str, not bytes"),
        (
            {"timeout": "5"},
            "timeout must be seconds as float or elkapi.Timeout, or None for no limit, not str",
        ),
        ({"timeout": True}, "not bool"),
        ({"headers": [("a", "b")]}, "headers must be a dict of str and str, not list"),
        ({"headers": {"a": None}}, "headers must be a dict of str and str"),
        ({"max_body_bytes": 1.5}, "max_body_bytes must be int, not float"),
        ({"max_body_bytes": True}, "max_body_bytes must be int, not bool"),
        ({"allow_http": 1}, "allow_http must be bool, not int"),
    ],
)
def test_wrong_names_and_types_are_type_errors(options: Options, says: str) -> None:
    with pytest.raises(TypeError) as caught:
        elkapi.Client(**{"api_key": KEY, **options})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"base_url": "ftp://x"}, "base_url"),
        ({"base_url": "http://example.com/v1"}, "base_url"),
        ({"contract": "x"}, "contract"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1.5}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": 10**400}, "timeout"),
        ({"max_body_bytes": -1}, "max_body_bytes"),
        ({"max_body_bytes": 2**70}, "max_body_bytes"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"user_agent": "a\nb"}, "user_agent"),
        ({"api_key": "sk-a\nb"}, "api_key"),
        ({"api_key": ""}, "api_key"),
    ],
)
def test_unusable_options_are_config_errors_that_name_them(options: Options, param: str) -> None:
    with pytest.raises(elkapi.ConfigError) as caught:
        elkapi.Client(**{"api_key": KEY, "environment": False, **options})
    assert (caught.value.kind, caught.value.param, caught.value.status) == ("config", param, None)
    assert isinstance(caught.value, ValueError)


def test_options_reach_the_wire(gateway: Gateway) -> None:
    with gateway.client(
        headers={"X-Team": "a", "X-Other": "b"},
        user_agent="mine/1",
        traceparent="00-aa-bb-01",
        contract="openai",
    ) as client:
        client.ask("Hi", model="gemini-3.1-pro-preview")
    headers = gateway.last_headers()
    assert (headers["x-team"], headers["user-agent"], headers["traceparent"]) == (
        "a",
        "mine/1",
        "00-aa-bb-01",
    )
    assert "contents" not in gateway.last_body()


def test_header_fields_of_a_call_are_merged_over_the_clients_own(gateway: Gateway) -> None:
    with gateway.client(headers={"X-Team": "a", "X-Other": "b"}) as client:
        client.ask("Hi", extra_headers={"x-team": "c"}, traceparent="00-cc-dd-01")
        headers = gateway.last_headers()
        assert (headers["x-team"], headers["x-other"], headers["traceparent"]) == ("c", "b", "00-cc-dd-01")
        client.with_options(extra_headers={"X-Third": "d"}).models()
        headers = gateway.last_headers()
        assert (headers["x-team"], headers["x-third"]) == ("a", "d")
        client.ask("Hi")
        assert "x-third" not in gateway.last_headers()


def test_retries_can_be_set_for_one_call(gateway: Gateway) -> None:
    with gateway.client("/wire/sequence_503_503_200/v1", max_retries=0) as client:
        answer = client.ask("Hi", max_retries=2, base_delay_ms=1)
    assert [attempt.status for attempt in answer.attempts] == [503, 503, 200]
    assert answer.attempts[0].kind is not None
    assert gateway.requests() == 3


def test_clients_with_other_options_share_connections(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.ask("Hi")
        client.with_options(timeout=5).ask("Hi")
        client.ask("Hi", timeout=elkapi.Timeout(total=5))
        assert (gateway.requests(), gateway.stats()["connections"]) == (3, 1)


@pytest.mark.parametrize(
    "timeout",
    [0.05, elkapi.Timeout(total=0.05), elkapi.Timeout(connect=5, total=0.05)],
    ids=["float", "total", "connect and total"],
)
def test_a_limit_ends_the_call(gateway: Gateway, timeout: float | elkapi.Timeout) -> None:
    with gateway.client("/delay/5000/v1") as client:
        for limited in (
            client.with_options(timeout=timeout),
            gateway.client("/delay/5000/v1", timeout=timeout),
        ):
            with pytest.raises(elkapi.APITimeoutError) as caught:
                limited.ask("Hi")
            assert (caught.value.limit, caught.value.status) == ("total", None)
        with pytest.raises(elkapi.APITimeoutError):
            client.chat_completions({"messages": []}, timeout=timeout)


def test_a_first_byte_limit_is_told_by_name(gateway: Gateway) -> None:
    with gateway.client("/delay/5000/v1", timeout=elkapi.Timeout(first_byte=0.05)) as client:
        with pytest.raises(elkapi.APITimeoutError) as caught:
            client.ask("Hi")
        assert caught.value.limit == "first_byte"


def test_none_is_no_limit_and_absent_is_the_clients_own(gateway: Gateway) -> None:
    with gateway.client("/delay/300/v1", timeout=0.05) as client:
        assert client.ask("Hi", timeout=None).text
        assert client.ask("Hi", timeout=elkapi.Timeout(total=None)).text
        with pytest.raises(elkapi.APITimeoutError):
            client.ask("Hi", timeout=elkapi.Timeout(connect=5))


def test_timeouts_are_values() -> None:
    timeout = elkapi.Timeout(connect=1.5, total=None)
    assert repr(timeout) == "Timeout(connect=1.5, total=None)"
    assert timeout == elkapi.Timeout(connect=1.5, total=None) != elkapi.Timeout(connect=1.5)
    assert hash(timeout) == hash(elkapi.Timeout(connect=1.5, total=None))
    assert pickle.loads(pickle.dumps(timeout)) == timeout
    for wrong in ({"connect": 0}, {"total": -1}, {"total": float("nan")}):
        with pytest.raises(elkapi.ConfigError):
            elkapi.Timeout(**wrong)
    with pytest.raises(TypeError, match="did you mean 'connect'"):
        elkapi.Timeout(conect=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="total must be seconds"):
        elkapi.Timeout(total="1")  # type: ignore[arg-type]


def test_image_options_are_values() -> None:
    options = elkapi.ImageOptions("16:9", image_size="2K")
    assert repr(options) == "ImageOptions('16:9', '2K')"
    assert (options.aspect_ratio, options.image_size) == ("16:9", "2K")
    assert options == elkapi.ImageOptions("16:9", "2K") != elkapi.ImageOptions("16:9")
    assert hash(options) == hash(elkapi.ImageOptions("16:9", "2K"))
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(TypeError):
        elkapi.ImageOptions(16 / 9)  # type: ignore[arg-type]


def test_the_environment_gives_what_is_absent(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELKAPI_API_KEY", KEY)
    monkeypatch.setenv("ELKAPI_BASE_URL", gateway.url())
    with elkapi.Client(api_key=None, base_url=None) as client:
        assert client.base_url == gateway.url()
        client.ask("Hi")
    assert gateway.last_headers()["authorization"] == f"Bearer {KEY}"
    with pytest.raises(elkapi.ConfigError, match="There is no API key"):
        elkapi.Client(environment=False)


def test_a_closed_client_says_so_and_sends_nothing(gateway: Gateway) -> None:
    with gateway.client() as client:
        pass
    client.close()
    for call in (lambda: client.ask("Hi"), client.models, client.with_options, lambda: pickle.dumps(client)):
        with pytest.raises(elkapi.ClosedError) as caught:
            call()
        assert caught.value.kind == "closed"
    assert gateway.requests() == 0
    assert gateway.url() in repr(client)


def test_a_client_made_from_another_goes_on_after_it_closed(gateway: Gateway) -> None:
    with gateway.client() as client:
        other = client.with_options(timeout=5)
    assert other.ask("Hi").text


def test_the_key_is_shown_nowhere(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "sk-invalid-do-not-show-0123456789"
    shown: list[str] = []
    with elkapi.Client(base_url=gateway.url(), api_key=secret, environment=False) as client:
        shown += [repr(client), str(client), f"{client}", repr(vars(type(client)))]
        with pytest.raises(elkapi.AuthenticationError) as caught:
            client.ask("Hi")
        error = caught.value
        shown += [repr(error), str(error), repr(error.__dict__), repr(error.raw), repr(error.args)]
        shown += traceback.format_exception(error)
        shown.append(repr(pickle.dumps(error)))
    for wrong in (
        {"api_key": secret + "\n" + secret},
        {"api_key": [secret]},
        {"api_key": secret, "base_url": "x"},
    ):
        with pytest.raises((TypeError, ValueError)) as refused:
            elkapi.Client(**wrong)
        shown += [str(refused.value), repr(refused.value)]
    monkeypatch.setenv("ELKAPI_API_KEY", secret)
    with elkapi.Client(base_url=gateway.url()) as client:
        shown += [repr(client), repr(pickle.dumps(client))]
    assert not [text for text in shown if secret in text]
    assert re.fullmatch(r"Client\(base_url='http://[^']+'\)", repr(client))

"""Requests: Python objects on the wire as JSON, and what is refused before anything is sent."""

import collections
import dataclasses
import datetime
import enum
import json
import types
from collections import OrderedDict
from typing import Any, ClassVar

import elkapi
import pydantic
import pytest
from conftest import Gateway

MESSAGES = [{"role": "user", "content": "Hi"}]
REPLAY = "/wire/unary_text/v1"


class Colour(enum.StrEnum):
    RED = "red"


class Old(str, enum.Enum):  # noqa: UP042
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 7


class Huge(int, enum.Enum):
    N = 2**80


class Plain(enum.Enum):
    A = "a"


class Odd(enum.Enum):
    A = 1j


@dataclasses.dataclass
class Point:
    x: Any
    y: int = 2
    kind: ClassVar[str] = "not a member"


class City(pydantic.BaseModel):
    name: str = pydantic.Field(alias="cityName")
    country: str | None = None
    since: datetime.date | None = None


class Half(float, enum.Enum):
    A = 0.5


class Quiet(str):
    """A str that shows itself as something else."""

    def __str__(self) -> str:
        return "shown"


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ((1, (2,)), "[1,[2]]"),
        (Colour.RED, '"red"'),
        (Old.RED, '"red"'),
        (Level.HIGH, "7"),
        (Huge.N, str(2**80)),
        (Half.A, "0.5"),
        (Quiet("true"), '"true"'),
        (Plain.A, '"a"'),
        ([Plain.A], '["a"]'),
        (Point(Plain.A), '{"x":"a","y":2}'),
        (Point(Point((1,))), '{"x":{"x":[1],"y":2},"y":2}'),
        (City(cityName="Rome"), '{"cityName":"Rome"}'),
        (
            [City(cityName="Rome", country=None, since=datetime.date(2026, 1, 2))],
            '[{"cityName":"Rome","country":null,"since":"2026-01-02"}]',
        ),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (collections.ChainMap({"a": 1}), '{"a":1}'),
        (range(3), "[0,1,2]"),
        (collections.deque([1, 2]), "[1,2]"),
        ({"a": 1}.items().__iter__(), '[["a",1]]'),
        (True, "true"),
        (None, "null"),
        (-(2**63), "-9223372036854775808"),
        (2**64, "18446744073709551616"),
        (10**4000, "1" + "0" * 4000),
        (0.1, "0.1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e16, "1e16"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
        ("\ud800", r'"\ud800"'),
        ('a\udfff"\n😀\x00', r'"a\udfff\"\n😀\u0000"'),
        ("\ud83d\ude00", '"😀"'),
        ("é\u2028", '"é\u2028"'),
        ("", '""'),
        (OrderedDict(b=1, a={}), '{"b":1,"a":{}}'),
        ({"\ud800": 1, "": []}, r'{"\ud800":1,"":[]}'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_python_values_reach_the_wire_as_json(gateway: Gateway, value: object, wire: str) -> None:
    # A replay takes whatever comes; the ordinary gateway refuses lone surrogates.
    with gateway.client(REPLAY) as client:
        client.chat_completions({"messages": MESSAGES, "x": value})
    assert f'"x":{wire}'.encode() in gateway.last_body_bytes()


def test_a_dict_reaches_the_wire_in_its_own_order(client: elkapi.Client, gateway: Gateway) -> None:
    client.chat_completions({"z": 1, "messages": MESSAGES, "model": "gemini-3.1-pro-preview", "a": 2})
    assert list(gateway.last_body())[:4] == ["z", "messages", "model", "a"]


@pytest.mark.parametrize("kind", [str, bytes])
def test_json_text_reaches_the_wire_as_it_was_written(
    client: elkapi.Client, gateway: Gateway, kind: type
) -> None:
    text = ' {"messages" : [ {"role":"user","content":"\\u00e9"} ], "x": 1.50}'
    client.chat_completions(text if kind is str else text.encode())
    assert gateway.last_body_bytes().startswith(text.rstrip("}").encode())


def test_a_generator_is_read_once_also_where_a_call_is_repeated(gateway: Gateway) -> None:
    messages = ({"role": "user", "content": text} for text in ("one", "two"))
    with gateway.client("/fault/429-ms-1/v1", max_retries=2) as client, pytest.raises(elkapi.RateLimitError):
        client.chat_completions({"messages": messages})
    assert gateway.requests() == 3
    assert [message["content"] for message in gateway.last_body()["messages"]] == ["one", "two"]


def test_an_answer_can_stand_in_a_request(client: elkapi.Client, gateway: Gateway) -> None:
    answer = client.ask("Hi")
    client.chat_completions({"messages": [*MESSAGES, answer.choices[0].message]})
    assert gateway.last_body()["messages"][1] == answer.choices[0].message.to_dict()


def _itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (
            {"messages": [{"role": "user", "content": {1, 2}}]},
            TypeError,
            "messages[0].content is of type set",
        ),
        ({"messages": MESSAGES, "x": b"a"}, TypeError, "x is of type bytes"),
        ({"messages": MESSAGES, "x": bytearray(b"a")}, TypeError, "x is of type bytearray"),
        ({"messages": MESSAGES, "x": Point}, TypeError, "x is the class Point, which JSON does not have"),
        ({"messages": MESSAGES, "response_format": int}, TypeError, "response_format is the class int"),
        ({"messages": MESSAGES, "x": Point([Odd.A], 1)}, TypeError, "x.x[0] is of type complex"),
        ({"messages": MESSAGES, "x": (c for c in [1, {2}])}, TypeError, "x[1] is of type set"),
        ({"messages": MESSAGES, "x": 1j}, TypeError, "x is of type complex"),
        ({"messages": MESSAGES, "a b": [object()]}, TypeError, '["a b"][0] is of type object'),
        (
            {"messages": MESSAGES, "x": {"y": {1: 2}}},
            TypeError,
            "x.y has the key 1 of type int; keys must be str",
        ),
        ({1: 2}, TypeError, "the request has the key 1 of type int"),
        ({"messages": MESSAGES, "x": [float("nan")]}, elkapi.InvalidArgumentError, "x[0] is NaN"),
        ({"messages": MESSAGES, "x": float("-inf")}, elkapi.InvalidArgumentError, "x is infinite"),
        ({"messages": MESSAGES, "x": 10**5000}, elkapi.InvalidArgumentError, "x cannot be written"),
        ({"messages": MESSAGES, "x": _itself()}, elkapi.InvalidArgumentError, "contain itself"),
        ({"messages": MESSAGES, "x": _deep(100_000)}, elkapi.InvalidArgumentError, "deeper than 512"),
        ({}, elkapi.InvalidArgumentError, "messages"),
        ({"messages": "Hi"}, elkapi.InvalidArgumentError, "messages"),
        ({"messages": MESSAGES, "stream": True}, elkapi.InvalidArgumentError, "stream"),
        ("Name three seas.", elkapi.InvalidArgumentError, "use ask(prompt)"),
        ("", elkapi.InvalidArgumentError, "use ask(prompt)"),
        ("[1]", elkapi.InvalidArgumentError, "use ask(prompt)"),
        ('{"messages":', elkapi.InvalidArgumentError, "at byte 12"),
        (b'{"messages":[],}', elkapi.InvalidArgumentError, "at byte"),
        (b'{"messages":"\xff"}', elkapi.InvalidArgumentError, "not UTF-8"),
        (b"\xef\xbb\xbf{}", elkapi.InvalidArgumentError, "byte order mark"),
        (None, TypeError, "must be a dict, or JSON text as str or bytes, not NoneType"),
        (MESSAGES, TypeError, 'not list; messages stand in it: {"messages": […]}'),
        (bytearray(b"{}"), TypeError, "not bytearray"),
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_sent(
    client: elkapi.Client, gateway: Gateway, request_: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        client.chat_completions(request_)
    assert says in str(caught.value)
    if isinstance(caught.value, elkapi.Error):
        assert isinstance(caught.value, ValueError)
        assert (caught.value.kind, caught.value.billed, caught.value.attempts) == (
            "invalid_argument",
            "no",
            [],
        )
    assert gateway.requests() == 0


def test_ask_sends_one_question(client: elkapi.Client, gateway: Gateway) -> None:
    client.ask("Name three seas.", model="gemini-3.1-pro-preview", temperature=0.5, stop=["x"])
    body = gateway.last_body()
    assert body["messages"] == [{"role": "user", "content": "Name three seas."}]
    assert (body["model"], body["temperature"], body["stop"]) == ("gemini-3.1-pro-preview", 0.5, ["x"])


def test_image_options_land_in_the_literal_extra_body(client: elkapi.Client, gateway: Gateway) -> None:
    extra: dict[str, Any] = {"google": {"thinking_config": {"a": 1}}, "other": 1}
    client.ask("A cat", image=elkapi.ImageOptions("16:9", "2K"), extra_body=extra)
    assert gateway.last_body()["extra_body"] == {
        "google": {"thinking_config": {"a": 1}, "image_config": {"aspect_ratio": "16:9", "image_size": "2K"}},
        "other": 1,
    }
    assert extra == {"google": {"thinking_config": {"a": 1}}, "other": 1}
    client.ask("A cat", image=elkapi.ImageOptions(image_size="1K"))
    assert gateway.last_body()["extra_body"] == {"google": {"image_config": {"image_size": "1K"}}}
    client.ask("A cat", image=None)
    assert "extra_body" not in gateway.last_body()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"prompt": 5}, TypeError, "prompt must be str, not int"),
        ({"prompt": ["a"]}, TypeError, "for messages use chat_completions"),
        ({"prompt": "a", "messages": []}, TypeError, "takes no 'messages'"),
        ({"prompt": "a", "contents": []}, TypeError, "takes no 'contents'"),
        ({"prompt": "a", "image": "16:9"}, TypeError, "image must be elkapi.ImageOptions, not str"),
        ({"prompt": "a", "tools": {1}}, TypeError, "tools is of type set"),
        ({"prompt": "a", "timeout": "5"}, TypeError, "timeout must be seconds"),
        (
            {"prompt": "a", "extra_headers": {"X": 1}},
            TypeError,
            "extra_headers must be a dict of str and str",
        ),
        ({"prompt": "a", "extra_headers": {"X": "a\nb"}}, elkapi.ConfigError, "line end"),
        ({"prompt": "a", "stream": True}, elkapi.InvalidArgumentError, "stream"),
        ({"prompt": "a", "model": 5}, elkapi.InvalidArgumentError, "model"),
        (
            {"prompt": "a", "image": elkapi.ImageOptions("1:1"), "extra_body": []},
            TypeError,
            "extra_body must be a dict where image= is given",
        ),
        (
            {
                "prompt": "a",
                "image": elkapi.ImageOptions("1:1"),
                "extra_body": {"google": {"image_config": {"aspect_ratio": "4:3"}}},
            },
            elkapi.InvalidArgumentError,
            "extra_body.google.image_config.aspect_ratio is given twice",
        ),
    ],
)
def test_a_bad_question_is_refused_and_nothing_is_sent(
    client: elkapi.Client, gateway: Gateway, arguments: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        client.ask(**arguments)
    assert says in str(caught.value)
    assert gateway.requests() == 0


def test_the_text_of_a_request_is_json_that_python_reads_back(gateway: Gateway) -> None:
    value = {"a": [1, 2.5, "é\ud800😀", None, True, {"b": 10**30}], "c": ""}
    with gateway.client(REPLAY) as client:
        client.chat_completions({"messages": MESSAGES, "x": value})
    assert json.loads(gateway.last_body_bytes())["x"] == value


@pytest.mark.parametrize("function", ["chat_completions", "stream"])
def test_members_of_a_request_as_keywords_are_shown_their_place(
    client: elkapi.Client, gateway: Gateway, function: str
) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(client, function)(messages=MESSAGES)
    assert f'{function}({{"messages": […]}})' in str(caught.value)
    with pytest.raises(TypeError, match="request must be a dict"):
        getattr(client, function)()
    assert gateway.requests() == 0

"""One suite of behaviours that programs written for `openai` rely on, through every door.

Each case runs on the `openai` package as it is, on `openai` over our transport, and on our own class of
that name. What ours do differently is said in the case: `is_ours` are both of ours, `is_look_alike` is our
own class, whose deviations docs/from-openai.md lists with their reasons.
"""

import copy
import email.utils
import json
import pickle
import time
from collections.abc import Iterator
from typing import Any

import elkapi
import elkapi.openai
import httpx2
import openai
import pydantic
import pytest
from doors import AGAIN, ANSWER, CHAT, DONE, DOORS, KEY, MESSAGES, REFUSED, Door, chunk, event, opened
from scripted import END, RESET, reply, stream


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    yield from opened(request.param, monkeypatch)


class Sea(pydantic.BaseModel):
    """A sea."""

    name: str
    depth: int | None = None


# URLs


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/a/b/v1", "/a%20b/v1/"])
def test_the_path_is_appended_to_the_base_url(door: Door, path: str) -> None:
    door.client(path).chat.completions.create(**CHAT)
    assert door.last.target == path.rstrip("/") + "/chat/completions"
    assert door.last.method == "POST"


def test_the_base_url_ends_with_a_slash_and_can_be_set(door: Door) -> None:
    client = door.client("/old")
    assert str(client.base_url).endswith("/old/")
    client.base_url = door.server.origin + "/new"
    client.chat.completions.create(**CHAT)
    assert door.last.target == "/new/chat/completions"


def test_the_base_url_comes_from_the_environment(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours has its own variables: a key of OpenAI's must not go to another host by mistake."""
    name = "ELKAPI" if door.is_look_alike else "OPENAI"
    monkeypatch.setenv(f"{name}_BASE_URL", door.server.origin + "/env")
    door.client(base_url=None).chat.completions.create(**CHAT)
    assert door.last.target == "/env/chat/completions"


def test_an_absolute_url_is_used_as_it_is(door: Door) -> None:
    if door.is_look_alike:
        # It makes the calls of its resources, and no others.
        with pytest.raises(AttributeError, match=r"httpx2\.Transport"):
            _ = door.client().post
        return
    door.client("/v1").post(door.server.origin + "/elsewhere?x=1", cast_to=object, body={})
    assert door.last.target == "/elsewhere?x=1"


def test_query_parameters_are_merged_and_encoded(door: Door) -> None:
    client = door.client(default_query={"a": "1", "b": "x y"})
    client.chat.completions.create(**CHAT, extra_query={"a": "2", "c": ["p", "q"]})
    target, query = door.last.target.split("?")
    assert target == "/v1/chat/completions"
    assert sorted(query.split("&")) in (
        ["a=2", "b=x+y", "c[]=p", "c[]=q"],
        ["a=2", "b=x%20y", "c%5B%5D=p", "c%5B%5D=q"],
        ["a=2", "b=x+y", "c%5B%5D=p", "c%5B%5D=q"],
    )


def test_the_models_list_is_got(door: Door) -> None:
    door.says(reply({"object": "list", "data": [{"id": "m1", "object": "model"}]}))
    assert [model.id for model in door.client().models.list()] == ["m1"]
    assert (door.last.method, door.last.target, door.last.body) == ("GET", "/v1/models", b"")


def test_redirects_are_followed(door: Door) -> None:
    door.says(reply(status=307, fields=[("Location", "/there")]), reply(ANSWER))
    if door.is_look_alike:
        # One could carry the key elsewhere.
        with pytest.raises(elkapi.APIStatusError, match="redirect to /there") as caught:
            door.client().chat.completions.create(**CHAT)
        assert (caught.value.status_code, door.requests) == (307, 1)
        return
    assert door.client().chat.completions.create(**CHAT).id == "c1"
    assert (door.last.method, door.last.target, door.last.json["model"]) == ("POST", "/there", "m")


# The request


def test_the_body_is_compact_json_in_utf_8(door: Door) -> None:
    door.client().chat.completions.create(model="m", messages=[{"role": "user", "content": "Grüße 🦌"}])
    assert "Grüße 🦌".encode() in door.last.body
    assert b'", "' not in door.last.body
    assert door.last["content-length"] == str(len(door.last.body))


def test_omitted_arguments_are_left_out_and_none_is_null(door: Door) -> None:
    door.client().chat.completions.create(
        **CHAT, temperature=door.sdk.omit, top_p=None, seed=door.sdk.NOT_GIVEN
    )
    assert door.last.json["top_p"] is None
    assert not {"temperature", "seed"} & set(door.last.json)
    # The gateway's contract wants it in every request.
    assert door.last.json.get("stream", "absent") == (False if door.is_look_alike else "absent")


def test_known_parameters_reach_the_body(door: Door) -> None:
    known: dict[str, Any] = {
        "temperature": 0.5,
        "max_completion_tokens": 5,
        "stop": ["a", "b"],
        "n": 2,
        "logit_bias": {"1": 2},
        "response_format": {"type": "json_object"},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": "auto",
        "user": "u",
        "metadata": {"k": "v"},
        "reasoning_effort": "low",
    }
    door.client().chat.completions.create(**CHAT, **known)
    assert {name: door.last.json[name] for name in known} == known


def test_unknown_arguments_are_type_errors(door: Door) -> None:
    with pytest.raises(TypeError, match="temprature"):
        door.client().chat.completions.create(**CHAT, temprature=1)
    assert door.requests == 0


def test_missing_arguments_are_type_errors(door: Door) -> None:
    with pytest.raises(TypeError, match="model"):
        door.client().chat.completions.create(messages=MESSAGES)
    assert door.requests == 0


def test_extra_body_overwrites_top_level_members(door: Door) -> None:
    extra = {"google": {"image_config": {"aspect_ratio": "16:9"}}, "model": "other"}
    door.client().chat.completions.create(**CHAT, extra_body=extra)
    assert door.last.json["google"] == extra["google"]
    assert door.last.json["model"] == "other"


def test_the_nested_extra_body_of_the_gateway_can_be_sent(door: Door) -> None:
    nested = {"google": {"image_config": {"image_size": "2K"}}}
    door.client().chat.completions.create(**CHAT, extra_body={"extra_body": nested})
    assert door.last.json["extra_body"] == nested


def test_image_options_stand_where_the_gateway_looks_for_them(door: Door) -> None:
    google = {"image_config": {"aspect_ratio": "16:9"}}
    client = door.client()
    client.chat.completions.create(**CHAT, extra_body={"google": google})
    # Ours writes them at both places.
    assert door.last.json.get("extra_body") == ({"google": google} if door.is_look_alike else None)
    own = {"google": {}, "x": 1}
    client.chat.completions.create(**CHAT, extra_body={"google": google, "extra_body": own})
    assert (door.last.json["google"], door.last.json["extra_body"]) == (google, own)


def test_an_omitted_member_of_extra_body_deletes_one(door: Door) -> None:
    door.client().chat.completions.create(**CHAT, user="u", extra_body={"user": door.sdk.omit})
    assert "user" not in door.last.json


def test_models_of_pydantic_may_stand_in_a_request(door: Door) -> None:
    class Message(pydantic.BaseModel):
        role: str
        content: str
        name: str | None = None

    message: Any = Message(role="user", content="Hi")
    door.client().chat.completions.create(model="m", messages=[message])
    assert door.last.json["messages"] == [{"role": "user", "content": "Hi"}]


def test_an_answer_is_appended_to_the_messages(door: Door) -> None:
    client = door.client()
    message = client.chat.completions.create(**CHAT).choices[0].message
    client.chat.completions.create(model="m", messages=[*MESSAGES, message])
    assert door.last.json["messages"][1] == ANSWER["choices"][0]["message"]


def test_a_class_as_response_format_belongs_to_parse(door: Door) -> None:
    with pytest.raises(TypeError, match="parse"):
        door.client().chat.completions.create(**CHAT, response_format=Sea)
    assert door.requests == 0


def test_messages_may_be_a_generator(door: Door) -> None:
    door.says(AGAIN, reply(ANSWER))
    door.client(max_retries=1).chat.completions.create(model="m", messages=(m for m in MESSAGES))
    assert [request.json["messages"] for request in door.server.requests] == [MESSAGES, MESSAGES]


# Header fields


def test_the_usual_fields_are_sent_once(door: Door) -> None:
    door.client().chat.completions.create(**CHAT)
    assert door.last.all("authorization") == [f"Bearer {KEY}"]
    assert door.last.all("content-type") == ["application/json"]
    assert door.last.all("accept") == ["application/json"]
    for name in ("host", "user-agent", "content-length"):
        assert len(door.last.all(name)) == 1, name
    assert door.last["host"] == door.server.origin.removeprefix("http://")
    assert door.last["transfer-encoding"] is None


def test_default_fields_are_overridden_by_those_of_a_call(door: Door) -> None:
    client = door.client(default_headers={"X-A": "1", "X-B": "1"})
    client.chat.completions.create(**CHAT, extra_headers={"x-a": "2", "X-C": "3"})
    assert [door.last.all(name) for name in ("X-A", "X-B", "X-C")] == [["2"], ["1"], ["3"]]


def test_a_field_can_be_omitted(door: Door) -> None:
    door.client(default_headers={"X-A": "1"}).chat.completions.create(
        **CHAT,
        extra_headers={"X-A": door.sdk.omit, "User-Agent": "mine/1"},
    )
    assert door.last["x-a"] is None
    assert door.last.all("user-agent") == ["mine/1"]


def test_organization_and_project_become_fields(door: Door) -> None:
    door.client(organization="o", project="p").chat.completions.create(**CHAT)
    assert (door.last["openai-organization"], door.last["openai-project"]) == ("o", "p")


def test_the_retry_count_is_told_and_can_be_omitted(door: Door) -> None:
    door.says(AGAIN, reply(ANSWER))
    client = door.client(max_retries=2)
    client.chat.completions.create(**CHAT)
    counts = [request["x-stainless-retry-count"] for request in door.server.requests]
    # Ours tells the server nothing about its caller's machine and habits.
    assert counts == ([None, None] if door.is_look_alike else ["0", "1"])
    client.chat.completions.create(**CHAT, extra_headers={"x-stainless-retry-count": door.sdk.omit})
    assert door.last["x-stainless-retry-count"] is None


def test_fields_of_a_reply_are_found_whatever_their_case(door: Door) -> None:
    door.says(reply(ANSWER, fields=[("X-Request-Id", "r1"), ("X-Twice", "a"), ("x-twice", "b")]))
    raw = door.client().chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["x-request-id"] == raw.headers.get("X-REQUEST-ID") == raw.request_id == "r1"
    assert raw.headers.get_list("X-Twice") == ["a", "b"]


# Keys


def test_a_missing_key_is_refused_when_the_client_is_made(door: Door) -> None:
    with pytest.raises(door.sdk.OpenAIError):
        door.client(api_key=None)


def test_a_key_may_be_a_function_that_is_asked_for_every_attempt(door: Door) -> None:
    keys = iter(["k-1", "k-2"])
    door.says(AGAIN, reply(ANSWER))
    door.client(api_key=lambda: next(keys), max_retries=1).chat.completions.create(**CHAT)
    # Ours asks once for a call, whose repetitions the core makes by itself.
    second = "Bearer k-1" if door.is_look_alike else "Bearer k-2"
    assert [request["authorization"] for request in door.server.requests] == ["Bearer k-1", second]


def test_a_key_is_not_in_what_an_error_shows(door: Door) -> None:
    door.says(reply(REFUSED, 401))
    with pytest.raises(door.sdk.AuthenticationError) as caught:
        door.client().chat.completions.create(**CHAT)
    assert KEY not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


# Answers


def test_an_answer_is_read_by_attributes_at_every_level(door: Door) -> None:
    answer = door.client().chat.completions.create(**CHAT)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello", "stop")
    assert answer.usage
    assert answer.usage.total_tokens == 3
    assert answer.choices[0].message.tool_calls is None


def test_unknown_members_are_kept_at_every_level(door: Door) -> None:
    answer: Any = door.client().chat.completions.create(**CHAT)
    # Ours gives a node, which reads like a dict, and by attribute too.
    assert answer.gateway_field["deep"] == answer.gateway_field.get("deep") == 1
    assert dict(answer.gateway_field.items()) == {"deep": 1}
    assert answer.choices[0].message.weird == 2
    with pytest.raises(AttributeError):
        _ = answer.choices[0].no_such_member


def test_wrong_types_are_kept_as_they_are(door: Door) -> None:
    door.says(reply({"id": 5, "choices": [{"index": "0", "message": {"content": 7}}]}))
    answer: Any = door.client().chat.completions.create(**CHAT)
    assert (answer.id, answer.model, answer.choices[0].index) == (5, None, "0")
    assert answer.choices[0].message.content == 7


def test_an_answer_with_nothing_in_it(door: Door) -> None:
    """Ours says so where others go on to fail at the first look."""
    door.says(reply({"id": "c1", "choices": None}))
    client = door.client()
    if door.is_look_alike:
        with pytest.raises(elkapi.APIResponseValidationError):
            client.chat.completions.create(**CHAT)
    else:
        assert client.chat.completions.create(**CHAT).choices is None


def test_an_answer_becomes_a_dict_and_json_again(door: Door) -> None:
    answer = door.client().chat.completions.create(**CHAT)
    assert answer.to_dict() == ANSWER
    assert json.loads(answer.to_json()) == ANSWER
    dumped = answer.model_dump(exclude_unset=True)
    assert dumped["choices"][0]["message"]["content"] == "Hello"
    assert json.loads(answer.model_dump_json(exclude_none=True))["id"] == "c1"


def test_the_request_id_stands_in_the_answer(door: Door) -> None:
    door.says(reply(ANSWER, fields=[("x-request-id", "r9")]))
    assert door.client().chat.completions.create(**CHAT)._request_id == "r9"


def test_answers_are_pickled_and_copied(door: Door) -> None:
    answer = door.client().chat.completions.create(**CHAT)
    for other in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer), copy.copy(answer)):
        assert other == answer
        assert other.choices[0].message.content == "Hello"


def test_a_compressed_answer_is_decoded(door: Door) -> None:
    import gzip

    body = gzip.compress(json.dumps(ANSWER).encode())
    door.says(reply(body, fields=[("Content-Encoding", "gzip")]))
    assert door.client().chat.completions.create(**CHAT).id == "c1"


def test_an_answer_without_a_length_ends_with_the_connection(door: Door) -> None:
    body = json.dumps(ANSWER).encode()
    door.says([b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body, END])
    assert door.client().chat.completions.create(**CHAT).id == "c1"


def _whole(message: dict[str, Any], finish: str = "stop") -> list[Any]:
    return reply({**ANSWER, "choices": [{"index": 0, "finish_reason": finish, "message": message}]})


def test_an_answer_is_read_by_a_model(door: Door) -> None:
    door.says(_whole({"role": "assistant", "content": '{"name": "North Sea", "depth": 95}'}))
    answer = door.client().chat.completions.parse(**CHAT, response_format=Sea)
    assert answer.choices[0].message.parsed == Sea(name="North Sea", depth=95)
    schema = {
        "description": "A sea.",
        "properties": {
            "name": {"title": "Name", "type": "string"},
            "depth": {"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "Depth"},
        },
        "required": ["name", "depth"],
        "title": "Sea",
        "type": "object",
        "additionalProperties": False,
    }
    described = {"schema": schema, "name": "Sea", "strict": True}
    assert door.last.json["response_format"] == {"type": "json_schema", "json_schema": described}


def test_a_schema_is_strict_at_every_level(door: Door) -> None:
    class Ocean(pydantic.BaseModel):
        main: Sea = pydantic.Field(description="the largest")
        seas: list[Sea]

    door.says(_whole({"role": "assistant", "content": '{"main": {"name": "a"}, "seas": []}'}))
    door.client().chat.completions.parse(**CHAT, response_format=Ocean)
    schema = door.last.json["response_format"]["json_schema"]["schema"]
    for inner in (schema, schema["$defs"]["Sea"], schema["properties"]["main"]):
        assert inner["additionalProperties"] is False
        assert inner["required"] == list(inner["properties"])
    assert schema["properties"]["main"]["description"] == "the largest"
    assert "default" not in schema["$defs"]["Sea"]["properties"]["depth"]


@pytest.mark.parametrize(
    ("finish", "error"),
    [("length", "LengthFinishReasonError"), ("content_filter", "ContentFilterFinishReasonError")],
)
def test_a_part_of_an_answer_is_not_read(door: Door, finish: str, error: str) -> None:
    door.says(_whole({"role": "assistant", "content": '{"name": "No'}, finish))
    with pytest.raises(getattr(door.sdk, error)) as caught:
        door.client().chat.completions.parse(**CHAT, response_format=Sea)
    assert isinstance(caught.value, door.sdk.OpenAIError)


def test_tool_calls_are_read_by_models(door: Door) -> None:
    calls = [{"id": "t1", "type": "function", "function": {"name": "Sea", "arguments": '{"name": "a"}'}}]
    door.says(_whole({"role": "assistant", "content": None, "tool_calls": calls}, "tool_calls"))
    tool = door.sdk.pydantic_function_tool(Sea)
    answer = door.client().chat.completions.parse(**CHAT, tools=[tool])
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments == Sea(name="a")
    assert answer.choices[0].message.parsed is None
    assert door.last.json["tools"] == [json.loads(json.dumps(tool))]
    with pytest.raises(ValueError, match="strict"):
        door.client().chat.completions.parse(
            **CHAT, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]
        )


def test_details_that_a_server_leaves_out_are_none(door: Door) -> None:
    usage = {**ANSWER["usage"], "completion_tokens_details": {"x": 1}, "prompt_tokens_details": {}}
    door.says(reply({**ANSWER, "usage": usage}))
    got = door.client().chat.completions.create(**CHAT).usage
    assert got.completion_tokens_details.reasoning_tokens is None
    assert (got.prompt_tokens_details.cached_tokens, got.completion_tokens_details.x) == (None, 1)


# Raw responses


def test_a_raw_response_has_the_facts_and_is_parsed_once(door: Door) -> None:
    raw = door.client().chat.completions.with_raw_response.create(**CHAT)
    assert (raw.status_code, raw.retries_taken, raw.http_response.is_closed) == (200, 0, True)
    assert json.loads(raw.text) == ANSWER
    assert raw.parse() is raw.parse()
    assert raw.parse().id == "c1"
    assert (raw.http_request.method, raw.http_version) == ("POST", "HTTP/1.1")
    assert raw.elapsed.total_seconds() >= 0


def test_a_raw_response_of_a_stream_gives_the_stream(door: Door) -> None:
    door.says(stream(event("a"), event("b", "stop"), DONE))
    raw = door.client().chat.completions.with_raw_response.create(**CHAT, stream=True)
    assert [part.choices[0].delta.content for part in raw.parse()] == ["a", "b"]


def test_a_streaming_response_is_read_by_its_reader(door: Door) -> None:
    with door.client().chat.completions.with_streaming_response.create(**CHAT) as response:
        assert response.headers["content-type"] == "application/json"
        assert b"".join(response.iter_bytes()) == json.dumps(ANSWER).encode()
    with door.client().chat.completions.with_streaming_response.create(**CHAT) as response:
        assert response.parse().id == "c1"


def test_the_retries_taken_are_told(door: Door) -> None:
    door.says(AGAIN, AGAIN, reply(ANSWER))
    raw = door.client(max_retries=4).chat.completions.with_raw_response.create(**CHAT)
    assert raw.retries_taken == 2


# Repetition


@pytest.mark.parametrize(
    ("status", "body", "requests"),
    [
        (400, REFUSED, (1, 1, 1)),
        (401, REFUSED, (1, 1, 1)),
        (404, REFUSED, (1, 1, 1)),
        # Nothing says that a second one costs nothing, or helps.
        (408, REFUSED, (2, 1, 1)),
        (409, REFUSED, (2, 1, 1)),
        (504, REFUSED, (2, 1, 1)),
        (502, "<html>", (2, 1, 1)),
        (429, {"error": {"message": "no", "code": "insufficient_user_quota"}}, (2, 1, 1)),
        (429, REFUSED, (2, 2, 2)),
        # The gateway takes no money for these; of other servers, which ours is for too, nobody knows.
        (500, REFUSED, (2, 2, 1)),
        (503, REFUSED, (2, 2, 1)),
    ],
)
def test_which_statuses_are_repeated(door: Door, status: int, body: Any, requests: tuple[int, ...]) -> None:
    body = body.encode() if isinstance(body, str) else body
    media = "text/html" if isinstance(body, bytes) else "application/json"
    door.says(reply(body, status, [("retry-after-ms", "1")], media))
    with pytest.raises(door.sdk.APIStatusError) as caught:
        door.client(max_retries=1).chat.completions.create(**CHAT)
    assert caught.value.status_code == status
    assert door.requests == requests[DOORS.index(door.name)]


def test_the_gateways_own_refusals_are_repeated_on_its_contract(door: Door) -> None:
    door.says(reply(REFUSED, 500, [("retry-after-ms", "1")]), reply(ANSWER))
    contract = {"contract": "elkapi"} if door.is_look_alike else {}
    assert door.client(max_retries=1, **contract).chat.completions.create(**CHAT).id == "c1"


@pytest.mark.parametrize(
    ("said", "status", "requests"), [("false", 429, 1), ("false", 500, 1), ("true", 404, 2), ("true", 400, 2)]
)
def test_the_servers_word_on_repetition_holds(door: Door, said: str, status: int, requests: int) -> None:
    if door.is_look_alike and status == 400:
        # It may have been charged all the same.
        requests = 1
    door.says(reply(REFUSED, status, [("x-should-retry", said), ("retry-after-ms", "1")]))
    with pytest.raises(door.sdk.APIStatusError):
        door.client(max_retries=1).chat.completions.create(**CHAT)
    assert door.requests == requests


def _in(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("fields", "least", "most"),
    [
        (lambda: [("retry-after-ms", "200")], 0.2, 0.37),
        (lambda: [("retry-after-ms", "100"), ("retry-after", "9")], 0.1, 0.37),
        (lambda: [("retry-after", "0.2")], 0.2, 0.37),
        (lambda: [("retry-after", "1")], 1, 3),
        (lambda: [("retry-after", _in(2))], 0.9, 3),
        (lambda: [("retry-after", "soon")], 0.37, 1),
        # Ours takes the server at its word: at once.
        (lambda: [("retry-after", "0")], 0, 1),
        (lambda: [("retry-after", "-5")], 0.37, 1),
        (lambda: [("retry-after", "nan")], 0.37, 1),
        (lambda: [("retry-after", _in(-60))], 0, 1),
        (lambda: [("retry-after", "Fri, 99 Foo 2016 99:99:99 GMT")], 0.37, 1),
        (list, 0.37, 1),
    ],
    ids=[
        "ms",
        "ms-first",
        "float",
        "seconds",
        "date",
        "words",
        "zero",
        "negative",
        "nan",
        "past",
        "no-date",
        "absent",
    ],
)
def test_the_pause_before_a_repetition(door: Door, fields: Any, least: float, most: float) -> None:
    door.says(reply(REFUSED, 429, fields()), reply(ANSWER))
    door.client(max_retries=1).chat.completions.create(**CHAT)
    first, second = (request.at for request in door.server.requests)
    if door.is_look_alike and least == 0.37:
        # Spread over half of the pause, so that clients do not come back together.
        least = 0.25
    if not door.is_look_alike and least == 0:
        least = 0.37
    # A busy machine makes a pause longer, never shorter.
    assert least - 0.02 <= second - first < most + 2, second - first


@pytest.mark.parametrize("asked", ["121", "3600", "1e999"])
def test_a_pause_of_more_than_two_minutes_is_not_waited_for(door: Door, asked: str) -> None:
    door.says(reply(REFUSED, 429, [("retry-after", asked)]))
    with pytest.raises(door.sdk.RateLimitError) as caught:
        door.client(max_retries=3).chat.completions.create(**CHAT)
    assert door.requests == 1 or asked == "1e999"
    assert caught.value.response.headers["retry-after"] == asked


def test_a_broken_connection_is_repeated(door: Door) -> None:
    door.says([RESET], reply(ANSWER))
    client = door.client(max_retries=1)
    if door.is_look_alike:
        # The request had arrived, and may be charged.
        with pytest.raises(elkapi.APIConnectionError) as caught:
            client.chat.completions.create(**CHAT)
        assert (door.requests, caught.value.billed) == (1, "maybe")
        client = door.client(max_retries=1, retry_risky=True)
        door.server.begin_again()
    assert client.chat.completions.create(**CHAT).id == "c1"
    assert door.requests == 2


def test_a_repetition_sends_the_same_body(door: Door) -> None:
    door.says(AGAIN, reply(ANSWER))
    door.client(max_retries=1).chat.completions.create(**CHAT)
    first, second = door.server.requests
    assert first.body == second.body


def test_max_retries_of_a_call_beat_those_of_the_client(door: Door) -> None:
    door.says(AGAIN)
    with pytest.raises(door.sdk.RateLimitError):
        door.client(max_retries=5).with_options(max_retries=1).chat.completions.create(**CHAT)
    assert door.requests == 2


def test_a_connection_whose_reply_was_a_refusal_serves_the_repetition(door: Door) -> None:
    """Stock closes it unread and makes another."""
    door.says(AGAIN, reply(ANSWER))
    door.client(max_retries=1).chat.completions.create(**CHAT)
    connections = {request.connection for request in door.server.requests}
    if door.is_ours:
        assert len(connections) == 1


# Streams


def texts(door: Door, *pieces: Any, **options: Any) -> list[str | None]:
    door.says(stream(*pieces, **options))
    with door.client().chat.completions.create(**CHAT, stream=True) as events:
        return [part.choices[0].delta.content for part in events]


def test_a_stream_asks_for_one_and_gives_its_chunks(door: Door) -> None:
    assert texts(door, event("a"), event("b", "stop"), DONE) == ["a", "b"]
    assert door.last.json["stream"] is True


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_three_ways(door: Door, ending: bytes) -> None:
    whole = (event("a") + event("b", "stop") + DONE).replace(b"\n", ending)
    assert texts(door, whole) == ["a", "b"]


def test_events_may_be_cut_anywhere(door: Door) -> None:
    whole = event("Grüße 🦌") + event("b", "stop") + DONE
    assert texts(door, *[bytes([byte]) for byte in whole]) == ["Grüße 🦌", "b"]


def test_comments_and_other_fields_are_passed_over(door: Door) -> None:
    odd = b": ping\n\nid: 7\nretry: 10\nevent: message\n"
    assert texts(door, b":\n\n", odd + event("a"), b": x\n", event("b", "stop"), DONE) == ["a", "b"]


def test_data_of_several_lines_is_joined(door: Door) -> None:
    document = chunk("a").replace(b', "object"', b',\ndata: "object"')
    assert texts(door, b"data: " + document + b"\n\n", event("b", "stop"), DONE) == ["a", "b"]


def test_a_space_behind_the_colon_is_optional(door: Door) -> None:
    assert texts(door, b"data:" + chunk("a") + b"\n\n", event("b", "stop"), DONE) == ["a", "b"]


def test_nothing_is_read_behind_done(door: Door) -> None:
    assert texts(door, event("a", "stop"), DONE, b"data: no json\n\n") == ["a"]


def test_a_chunk_is_there_before_the_next_is_sent(door: Door) -> None:
    door.says(stream(event("a"), 0.5, event("b", "stop"), DONE))
    with door.client().chat.completions.create(**CHAT, stream=True) as events:
        next(events)
        began = time.monotonic()
        next(events)
    assert time.monotonic() - began > 0.25


def test_a_usage_chunk_without_choices_is_handed_out(door: Door) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    last = b"data: " + json.dumps({"id": "c1", "choices": [], "usage": usage}).encode() + b"\n\n"
    door.says(stream(event("a", "stop"), last, DONE))
    with door.client().chat.completions.create(**CHAT, stream=True) as events:
        parts = list(events)
    assert parts[-1].usage
    assert parts[-1].usage.total_tokens == 2


def test_an_error_in_a_stream_is_raised(door: Door) -> None:
    failure = b'data: {"error": {"message": "broke", "code": "upstream", "type": "t"}}\n\n'
    with pytest.raises(door.sdk.APIError, match="broke") as caught:
        texts(door, event("a"), failure)
    assert (caught.value.code, caught.value.type) == ("upstream", "t")


def test_a_refusal_of_a_stream_is_raised_where_it_is_opened(door: Door) -> None:
    door.says(reply(REFUSED, 429))
    with pytest.raises(door.sdk.RateLimitError):
        door.client().chat.completions.create(**CHAT, stream=True)


def test_a_stream_that_breaks_off_raises_a_connection_error(door: Door) -> None:
    with pytest.raises(door.sdk.APIConnectionError) as caught:
        texts(door, event("a"), 0.1, RESET, end=False)
    # Ours carries the facts itself.
    if door.is_look_alike:
        assert (caught.value.kind, caught.value.completion.text) == ("stream_truncated", "a")
    else:
        assert caught.value.__cause__ is not None


def test_a_second_loop_goes_on_where_the_first_stopped(door: Door) -> None:
    door.says(stream(event("a"), event("b"), event("c", "stop"), DONE))
    with door.client().chat.completions.create(**CHAT, stream=True) as events:
        for part in events:
            assert part.choices[0].delta.content == "a"
            break
        assert [part.choices[0].delta.content for part in events] == ["b", "c"]


def test_a_closed_stream_ends(door: Door) -> None:
    door.says(stream(event("a"), 10, END, end=False))
    events = door.client().chat.completions.create(**CHAT, stream=True)
    next(events)
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 5
    assert events.response.is_closed


def test_the_response_of_a_stream_has_its_facts(door: Door) -> None:
    door.says(stream(event("a", "stop"), DONE, fields=[("x-request-id", "r5")]))
    with door.client().chat.completions.create(**CHAT, stream=True) as events:
        assert (events.response.status_code, events.response.headers["x-request-id"]) == (200, "r5")
        assert events.response.request.method == "POST"


def test_streams_keep_their_connection(door: Door) -> None:
    """Stock opens another one for each."""
    door.says(stream(event("a", "stop"), DONE, 0.02))
    client = door.client()
    for _ in range(20):
        with client.chat.completions.create(**CHAT, stream=True) as events:
            assert len(list(events)) == 1
    connections = len({request.connection for request in door.server.requests})
    assert connections <= 2 if door.is_ours else connections >= 15


def test_the_helper_for_streams_gathers_the_answer(door: Door) -> None:
    door.says(stream(event("a"), event("b", "stop"), DONE))
    with door.client().chat.completions.stream(**CHAT) as events:
        kinds = [event.type for event in events]
        assert events.get_final_completion().choices[0].message.content == "ab"
    assert "content.delta" in kinds


def test_the_helper_tells_what_happens(door: Door) -> None:
    def piece(**delta: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        document = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: " + json.dumps({**document, "choices": [choice]}).encode() + b"\n\n"

    def call(place: int, arguments: str, **more: str) -> dict[str, Any]:
        return {"index": place, "function": {"arguments": arguments, **more}}

    first = {**call(0, "", name="f"), "id": "t0", "type": "function"}
    second = {**call(1, "{}", name="g"), "id": "t1", "type": "function"}
    pieces = [piece(role="assistant", content="a"), piece(tool_calls=[first])]
    pieces += [piece(tool_calls=[call(0, '{"x": 1}')]), piece(tool_calls=[second])]
    door.says(stream(*pieces, event("", "tool_calls"), DONE))
    with door.client().chat.completions.stream(**CHAT) as events:
        told = [event for event in events if event.type != "chunk"]
        final = events.get_final_completion()
    names = [
        *("content.delta", "tool_calls.function.arguments.delta", "content.done"),
        *("tool_calls.function.arguments.delta", "tool_calls.function.arguments.delta"),
        *("tool_calls.function.arguments.done", "content.delta", "tool_calls.function.arguments.done"),
    ]
    assert [event.type for event in told] == names
    assert (told[2].content, told[5].name, told[5].arguments, told[7].index) == ("a", "f", '{"x": 1}', 1)
    assert [call.function.name for call in final.choices[0].message.tool_calls] == ["f", "g"]


def test_the_helper_takes_choices_in_any_order(door: Door) -> None:
    """The package fails at a first choice that is not 0."""
    other = json.loads(chunk("b", "stop"))
    other["choices"][0]["index"] = 1
    door.says(stream(b"data: " + json.dumps(other).encode() + b"\n\n", event("a", "stop"), DONE))
    with door.client().chat.completions.stream(**CHAT) as events:
        if not door.is_look_alike:
            with pytest.raises(IndexError):
                list(events)
            return
        final = events.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["a", "b"]


def test_the_helper_takes_tool_calls_without_an_index(door: Door) -> None:
    """The package fails at them."""
    document = json.loads(chunk(""))
    function = {"name": "f", "arguments": "{}"}
    document["choices"][0]["delta"] = {"tool_calls": [{"id": "t0", "type": "function", "function": function}]}
    one = b"data: " + json.dumps(document).encode() + b"\n\n"
    two = one.replace(b'"t0"', b'"t1"').replace(b'"f"', b'"g"')
    door.says(stream(one, two, event("", "tool_calls"), DONE))
    with door.client().chat.completions.stream(**CHAT) as events:
        if not door.is_look_alike:
            with pytest.raises(TypeError):
                list(events)
            return
        done = [event.name for event in events if event.type == "tool_calls.function.arguments.done"]
        final = events.get_final_completion()
    assert done == ["f", "g"]
    assert [call.id for call in final.choices[0].message.tool_calls] == ["t0", "t1"]


# Errors


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (413, "APIStatusError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (529, "InternalServerError"),
    ],
)
def test_the_class_of_an_error_follows_the_status(door: Door, status: int, name: str) -> None:
    door.says(reply(REFUSED, status))
    with pytest.raises(door.sdk.APIStatusError) as caught:
        door.client().chat.completions.create(**CHAT)
    assert type(caught.value) is getattr(door.sdk, name)


def test_an_error_has_the_facts_of_the_reply(door: Door) -> None:
    door.says(reply(REFUSED, 400, [("x-request-id", "r2")]))
    with pytest.raises(door.sdk.BadRequestError) as caught:
        door.client().chat.completions.create(**CHAT)
    error = caught.value
    assert (error.status_code, error.request_id, error.body) == (400, "r2", REFUSED["error"])
    assert (error.code, error.type, error.param) == ("c", "t", "p")
    assert error.response.json() == REFUSED
    assert error.request.method == "POST"
    assert "no" in error.message


def test_an_error_without_json_keeps_the_text(door: Door) -> None:
    door.says(reply(b"  Bad Gateway\n", 502, media="text/plain"))
    with pytest.raises(door.sdk.InternalServerError) as caught:
        door.client().chat.completions.create(**CHAT)
    assert caught.value.body == "Bad Gateway"
    assert caught.value.code is None


def test_a_refused_connection_is_a_connection_error_with_its_cause(door: Door) -> None:
    with pytest.raises(door.sdk.APIConnectionError) as caught:
        door.client(base_url="http://127.0.0.1:1/v1").chat.completions.create(**CHAT)
    if door.is_look_alike:
        # The facts are its own, and its words say what to do.
        assert (caught.value.phase, caught.value.billed) == ("connect", "no")
        assert "Check the network" in str(caught.value)
    else:
        assert isinstance(caught.value.__cause__, httpx2.ConnectError)
        assert str(caught.value) == "Connection error."
    assert caught.value.body is None


def test_a_silent_server_is_a_timeout_with_its_cause(door: Door) -> None:
    door.says([10, END])
    with pytest.raises(door.sdk.APITimeoutError) as caught:
        door.client(timeout=0.2).chat.completions.create(**CHAT)
    if door.is_look_alike:
        assert (caught.value.limit, caught.value.phase) == ("first_byte", "wait")
    else:
        assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)
    assert isinstance(caught.value, door.sdk.APIConnectionError)


def test_a_stream_that_falls_silent_is_a_timeout(door: Door) -> None:
    door.says(stream(event("a"), 10, END, end=False))
    with pytest.raises(door.sdk.APITimeoutError):
        list(door.client(timeout=0.2).chat.completions.create(**CHAT, stream=True))


@pytest.mark.parametrize(
    "timeout",
    [lambda _: httpx2.Timeout(30, read=0.2), lambda sdk: sdk.Timeout(30, read=0.2), lambda _: 0.2],
    ids=["httpx2", "of-the-package", "float"],
)
def test_a_call_has_its_own_timeout(door: Door, timeout: Any) -> None:
    door.says([10, END])
    with pytest.raises(door.sdk.APITimeoutError):
        door.client(timeout=None).chat.completions.create(**CHAT, timeout=timeout(door.sdk))


def test_a_timeout_is_for_each_read_and_not_for_the_whole(door: Door) -> None:
    body = json.dumps(ANSWER).encode()
    head, *_ = reply(ANSWER)
    head = head[: -len(body)]
    pieces = [part for at in range(8) for part in (0.1, body[at * 40 : (at + 1) * 40 if at < 7 else None])]
    door.says([head, *pieces])
    assert door.client(timeout=0.5).chat.completions.create(**CHAT).id == "c1"


def test_an_unreadable_answer_is_an_error(door: Door) -> None:
    door.says(reply(b"{broken"))
    with pytest.raises((json.JSONDecodeError, door.sdk.APIResponseValidationError)):
        door.client().chat.completions.create(**CHAT)


def test_an_answer_that_breaks_off_is_a_connection_error(door: Door) -> None:
    head, *_ = reply(ANSWER)
    door.says([head[:-20], RESET])
    with pytest.raises(door.sdk.APIConnectionError):
        door.client().chat.completions.create(**CHAT)


def test_errors_can_be_made_by_others(door: Door) -> None:
    response = httpx2.Response(400, request=httpx2.Request("POST", door.server.origin))
    error = door.sdk.BadRequestError("mine", response=response, body={"code": 7})
    assert (error.message, error.status_code, error.code) == ("mine", 400, "7")


def test_timeouts_are_pickled(door: Door) -> None:
    door.says([10, END])
    with pytest.raises(door.sdk.APITimeoutError) as caught:
        door.client(timeout=0.1).chat.completions.create(**CHAT)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))
    assert str(again) == "Request timed out." or door.is_look_alike


def test_refusals_are_pickled(door: Door) -> None:
    """Those of the package are not."""
    door.says(reply(REFUSED, 429, [("x-request-id", "r3")]))
    with pytest.raises(door.sdk.RateLimitError) as caught:
        door.client().chat.completions.create(**CHAT)
    if not door.is_look_alike:
        with pytest.raises(TypeError, match="response"):
            pickle.loads(pickle.dumps(caught.value))
        return
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.status_code, again.body, again.request_id) == (429, REFUSED["error"], "r3")
    assert (again.response.json(), again.request.method) == (REFUSED, "POST")


# The client's life


def test_a_closed_client_refuses(door: Door) -> None:
    with door.client() as client:
        client.chat.completions.create(**CHAT)
    assert client.is_closed()
    with pytest.raises(RuntimeError, match="closed"):
        client.chat.completions.create(**CHAT)


def test_a_copy_shares_the_connections_and_changes_what_it_says(door: Door) -> None:
    client = door.client(default_headers={"X-A": "1"})
    client.chat.completions.create(**CHAT)
    other = client.with_options(api_key="sk-other", default_headers={"X-B": "2"}, timeout=9)
    other.chat.completions.create(**CHAT)
    assert (door.last["authorization"], door.last["x-a"], door.last["x-b"]) == ("Bearer sk-other", "1", "2")
    assert len({request.connection for request in door.server.requests}) == 1
    assert (client.api_key, client.copy().timeout) == (KEY, client.timeout)


def test_calls_of_many_threads_do_not_mix(door: Door) -> None:
    import concurrent.futures

    client = door.client()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: client.chat.completions.create(**CHAT).id, range(40)))
    assert ids == ["c1"] * 40
    assert door.requests == 40


@pytest.mark.parametrize(("value", "error"), [(None, TypeError), ("two", TypeError), (-1, ValueError)])
def test_max_retries_are_checked(door: Door, value: Any, error: Any) -> None:
    with pytest.raises(error):
        door.client(max_retries=value).chat.completions.create(**CHAT)


def test_a_whole_reply_to_a_stream_request_does_not_hang(door: Door) -> None:
    door.says(reply(ANSWER))
    list(door.client().chat.completions.create(**CHAT, stream=True))


def test_a_connection_is_reused_by_whole_answers(door: Door) -> None:
    client = door.client()
    for _ in range(5):
        client.chat.completions.create(**CHAT)
    assert len({request.connection for request in door.server.requests}) == 1


# What only the look-alike has


def test_its_parameters_are_those_of_the_package() -> None:
    import inspect

    from elkapi.openai import _params, _request

    theirs = set(inspect.signature(openai.resources.chat.completions.Completions.create).parameters)
    assert {*_request.BODY, *_request.EXTRAS, "messages", "model", "self"} == theirs
    typed = {*_params.Creates.__annotations__, "stream"}
    assert typed == _request.BODY | _request.EXTRAS


def test_what_the_package_calls_omitted_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in opened("elkapi", monkeypatch):
        absent = {"temperature": openai.omit, "seed": openai.NOT_GIVEN}
        timeout = openai.Timeout(30, read=5)
        door.client().chat.completions.create(**CHAT, **absent, extra_body=openai.omit, timeout=timeout)
        assert set(door.last.json) == {"messages", "model", "stream"}


def test_a_total_bounds_the_whole_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in opened("elkapi", monkeypatch):
        head, *_ = reply(ANSWER)
        door.says([part for byte in head for part in (bytes([byte]), 0.05)])
        with pytest.raises(elkapi.APITimeoutError) as caught:
            door.client().chat.completions.create(**CHAT, timeout=elkapi.Timeout(total=0.4))
        assert caught.value.limit == "total"


def test_a_client_is_pickled_without_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in opened("elkapi", monkeypatch):
        monkeypatch.setenv("ELKAPI_API_KEY", "sk-around-0123456789")
        client = door.client(api_key=None, default_headers={"X-A": "1"})
        pickled = pickle.dumps(client)
        assert b"sk-around" not in pickled
        monkeypatch.setenv("ELKAPI_API_KEY", "sk-later-0123456789")
        pickle.loads(pickled).chat.completions.create(**CHAT)
        assert (door.last["authorization"], door.last["x-a"]) == ("Bearer sk-later-0123456789", "1")
        assert KEY.encode() in pickle.dumps(door.client())


def test_an_http_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in opened("elkapi", monkeypatch):
        with httpx2.Client() as http, pytest.raises(TypeError, match="proxy="):
            door.client(http_client=http)
        with pytest.raises(TypeError, match=r"OpenAI\(\) got an unexpected keyword argument 'timeuot'"):
            door.client(timeuot=3)


def test_a_stream_says_whether_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in opened("elkapi", monkeypatch):
        door.says(stream(event("a")))
        events = door.client().chat.completions.create(**CHAT, stream=True)
        with pytest.raises(elkapi.TruncatedError):
            list(events)
        assert not events.completed
        door.says(stream(event("a", "stop"), DONE))
        events = door.client().chat.completions.create(**CHAT, stream=True)
        assert len(list(events)) == 1
        assert events.completed


def test_a_copy_of_an_answer_has_other_members(monkeypatch: pytest.MonkeyPatch) -> None:
    for door in opened("elkapi", monkeypatch):
        answer = door.client().chat.completions.create(**CHAT)
        other = answer.model_copy(update={"model": "n", "more": [1]})
        assert (other.model, other.more, other.id, answer.model) == ("n", [1], "c1", "m")
        assert type(other) is type(answer)
        assert (answer.model_extra["gateway_field"].deep, set(answer.model_extra)) == (1, {"gateway_field"})
        assert answer.model_fields_set == set(ANSWER)
        assert answer.choices[0].message.model_copy(update={"content": "x"}).content == "x"
        with pytest.raises(TypeError, match="indnt"):
            answer.model_dump(indnt=2)

"""Answers: known members by getter, all by name and key, nothing lost."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import elkapi
import pytest
from conftest import Answering, Gateway

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Name three seas."}]}


def reply(message: str = '{"role":"assistant","content":"Hi"}', more: str = "") -> bytes:
    return f'{{"id":"a","choices":[{{"index":0,"message":{message}}}]{more}}}'.encode()


def ask(answering: Answering, body: bytes) -> elkapi.Completion:
    with answering(body) as client:
        return client.chat_completions(QUESTION)


def test_an_answer_has_text_usage_and_the_facts_of_its_call(client: elkapi.Client, gateway: Gateway) -> None:
    answer = client.ask("Name three seas.")
    assert answer.text
    assert answer.text == answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer["usage"]["total_tokens"]
    assert answer.request_id == answer.headers["X-Oneapi-Request-Id"]
    assert (answer.status, answer.verdict, answer.finish_reason) == (200, "complete", "stop")
    assert [attempt.status for attempt in answer.attempts] == [200]
    assert 0 <= answer.elapsed < 30
    assert answer.model == "gemini-3.1-pro-preview"
    assert answer.object == "chat.completion"
    assert isinstance(answer.created, int)
    assert json.loads(answer.raw) == answer.to_dict()
    assert gateway.requests() == 1


def test_absent_known_members_are_none_and_unknown_names_raise(answering: Answering) -> None:
    answer = ask(answering, reply())
    assert answer.usage is None
    assert answer.system_fingerprint is None
    assert answer.finish_reason is None
    assert answer.choices[0].message.tool_calls is None
    assert answer.tool_calls == []
    assert answer.images == []
    assert answer.image_errors == 0
    assert answer.reasoning == ""
    with pytest.raises(AttributeError, match="'Completion' object has no attribute 'nonsense'"):
        _ = answer.nonsense
    with pytest.raises(AttributeError, match="'Message' object has no attribute 'nonsense'"):
        _ = answer.choices[0].message.nonsense
    with pytest.raises(KeyError, match="nonsense"):
        _ = answer["nonsense"]


def test_unknown_members_are_reached_by_name_and_by_key(answering: Answering) -> None:
    message = '{"role":"assistant","content":"Hi","weird":{"deep":[{"x":1}]}}'
    answer = ask(answering, reply(message, ',"gateway":{"region":"eu"},"status":"theirs","a b":1'))
    assert answer.gateway.region == "eu"
    assert answer["gateway"]["region"] == "eu"
    assert answer.choices[0].message.weird.deep[0].x == 1
    assert answer.status == 200
    assert answer["status"] == "theirs"
    assert answer.get("a b") == 1
    assert answer.get("none") is None
    assert answer.get("none", 7) == 7
    assert "gateway" in answer
    assert "none" not in answer
    assert list(answer) == ["id", "choices", "gateway", "status", "a b"]
    assert list(answer) == answer.keys()
    assert len(answer) == 5
    assert dict(answer.gateway) == {"region": "eu"}
    assert "gateway" in dir(answer)


def test_what_was_looked_at_once_stays_the_same_object(client: elkapi.Client) -> None:
    answer = client.ask("Hi")
    assert answer.choices is answer.choices
    assert answer.choices[0].message is answer["choices"][0]["message"]
    assert answer.text is answer.text
    assert answer.raw is answer.raw
    assert answer.headers is answer.headers
    assert answer.attempts is answer.attempts
    assert answer.usage is answer.usage
    assert answer.tool_calls is answer.tool_calls


def test_changing_a_plain_dict_does_not_change_the_answer(client: elkapi.Client) -> None:
    answer = client.ask("Hi")
    before = answer.to_json()
    answer.to_dict()["choices"].clear()
    answer.choices[0].to_dict()["message"]["content"] = "changed"
    answer.to_message()["content"] = "changed"
    assert answer.to_json() == before
    assert answer.choices[0].message.content == answer.text != "changed"


def test_an_answer_cannot_be_changed(client: elkapi.Client) -> None:
    answer: Any = client.ask("Hi")
    for target, name in [(answer, "text"), (answer, "new"), (answer.choices[0], "message")]:
        with pytest.raises(AttributeError):
            setattr(target, name, "x")


def test_choices_come_lowest_index_first(answering: Answering) -> None:
    choice = '{{"index":{0},"message":{{"content":"{1}"}}}}'
    body = f'{{"choices":[{choice.format(2, "C")},{choice.format(0, "A")},{choice.format(1, "B")}]}}'
    answer = ask(answering, body.encode())
    assert [choice.message.content for choice in answer.choices] == ["A", "B", "C"]
    assert [choice["index"] for choice in answer["choices"]] == [2, 0, 1]
    assert answer.choices is answer.choices
    assert answer.text == "A"


def test_numbers_keep_every_digit(answering: Answering) -> None:
    big = 2**200 + 1
    numbers = f"[{big},-{big},9223372036854775807,9223372036854775808,1.5,1e3,-0.0,0.1,1e400,true,null]"
    answer = ask(answering, reply(more=f',"n":{numbers}'))
    assert answer.n[:4] == [big, -big, 2**63 - 1, 2**63]
    assert [type(n) for n in answer.n[:4]] == [int] * 4
    assert answer.n[4:8] == [1.5, 1000.0, 0.0, 0.1]
    assert [type(n) for n in answer.n[4:8]] == [float] * 4
    assert str(answer.n[6]) == "-0.0"
    assert answer.n[8] == float("inf")
    assert answer.n[9:] == [True, None]


def test_odd_json_is_read_as_promised(answering: Answering) -> None:
    message = r'{"content":"a\ud800b \ud83d\ude00","content2":1,"content2":2}'
    answer = ask(answering, reply(message))
    assert answer.text == answer.choices[0].message.content == "a\N{REPLACEMENT CHARACTER}b 😀"
    assert answer.choices[0].message.content2 == 2
    assert b"\\ud800" in answer.raw
    deep = ask(answering, reply(more=',"deep":' + "[" * 500 + "]" * 500))
    assert isinstance(deep.deep, list)
    with pytest.raises(elkapi.APIResponseValidationError) as caught:
        ask(answering, reply(more=',"deep":' + "[" * 600 + "]" * 600))
    assert caught.value.kind == "decode"


def test_members_named_like_methods_are_reached_by_key(answering: Answering) -> None:
    answer = ask(answering, reply(more=',"get":1,"keys":2,"text":3,"__class__":4'))
    assert [answer[name] for name in ("get", "keys", "text", "__class__")] == [1, 2, 3, 4]
    assert answer.text == "Hi"
    assert isinstance(answer, elkapi.Completion)


def test_a_wrong_shape_is_kept_as_it_is(answering: Answering) -> None:
    answer = ask(answering, b'{"id":5,"usage":"many","choices":[7,{"message":[1]}]}')
    wrong: Any = answer
    assert wrong.id == 5
    assert wrong.usage == "many"
    assert wrong.choices[0] == 7
    assert wrong.choices[1].message == [1]
    assert (answer.text, answer.tool_calls) == ("", [])
    assert answer.to_message() == {"role": "assistant", "content": None}


def test_dumps_are_the_members(answering: Answering) -> None:
    answer = ask(answering, reply('{"role":"assistant","content":"Hi","refusal":null}', ',"x":null'))
    members = json.loads(answer.raw)
    assert answer.model_dump() == answer.to_dict() == members
    assert answer.to_json() == answer.model_dump_json() == answer.raw.decode()
    assert json.loads(answer.to_json(indent=2)) == members
    assert answer.to_json(indent=2).startswith('{\n  "id"')
    without = answer.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    assert "x" not in without
    assert "refusal" not in without["choices"][0]["message"]
    assert json.loads(answer.model_dump_json(exclude_none=True)) == without
    assert answer.model_dump(exclude={"x", "none"}, warnings=False) == {
        name: value for name, value in members.items() if name != "x"
    }
    assert json.loads(answer.choices[0].to_json()) == members["choices"][0]


def test_answers_and_nodes_compare_by_their_members(answering: Answering) -> None:
    one, two = ask(answering, reply()), ask(answering, reply())
    assert one == two
    assert one.choices == two.choices
    assert one != ask(answering, reply(more=',"x":1'))
    assert elkapi.Message({"role": "a"}) == elkapi.Message({"role": "a"})
    assert elkapi.Message({"role": "a"}) != elkapi.Node({"role": "a"})
    assert one != one.to_dict()
    assert bool(elkapi.Node({}))


def test_copies_are_equal(client: elkapi.Client) -> None:
    answer = client.ask("Hi")
    for copied in (copy.copy(answer), copy.deepcopy(answer)):
        assert copied == answer
        assert copied.text == answer.text
    assert copy.deepcopy(answer.choices[0]) == answer.choices[0]


def test_match_takes_answers_apart(client: elkapi.Client) -> None:
    match client.ask("Hi"):
        case elkapi.Completion("complete", text, usage=elkapi.Usage(_, _, total)):
            assert text
            assert total
        case other:
            pytest.fail(repr(other))
    call = elkapi.ToolCall({"id": "1", "function": {"name": "add", "arguments": "{}"}})
    match call:
        case elkapi.ToolCall("add", arguments):
            assert arguments == "{}"
        case _:
            pytest.fail(repr(call))


def test_a_repr_shows_members_and_cuts_long_texts(client: elkapi.Client) -> None:
    answer = client.ask("A cat", model="gemini-3-pro-image-preview")
    text = repr(answer)
    assert len(answer.raw) > 10_000
    assert len(text) < 2_000
    assert text.startswith("Completion(id='")
    assert f"({len(answer.text)} characters)" in text
    assert repr(elkapi.Message({"content": "x" * 80})) == f"Message(content='{'x' * 80}')"
    assert len(repr(elkapi.Node({"a": list(range(1000))}))) < 100
    nested: Any = {}
    for _ in range(300):
        nested = {"a": nested}
    assert len(repr(elkapi.Node(nested))) < 200
    assert repr(elkapi.Message({"content": "'" * 50 + '"' * 50})).count("characters") == 1


def test_a_message_is_appended_as_a_plain_dict(client: elkapi.Client, gateway: Gateway) -> None:
    messages = [{"role": "user", "content": "Add 2 and 3"}]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    answer = client.chat_completions({"messages": messages, "tools": tools})
    assert answer.verdict == "tool_calls"
    call = answer.tool_calls[0]
    assert call.name == call.function.name == "add"  # type: ignore[union-attr]
    assert isinstance(call.args(), dict)
    message = answer.to_message()
    assert type(message) is dict
    assert message["role"] == "assistant"
    assert message["tool_calls"] == answer["choices"][0]["message"].to_dict()["tool_calls"]
    messages += [message, {"role": "tool", "tool_call_id": call.id or "", "content": "5"}]
    client.chat_completions({"messages": messages})
    assert gateway.last_body()["messages"][1] == message


def test_a_message_to_append_has_no_thoughts_and_no_nulls(answering: Answering) -> None:
    message = '{"content":"Hi","reasoning_content":"hm","reasoning":"hm","refusal":null,"extra":{"s":1}}'
    answer = ask(answering, reply(message))
    assert answer.reasoning == "hm"
    assert answer.to_message() == {"role": "assistant", "content": "Hi", "extra": {"s": 1}}


def test_tool_arguments_are_parsed_or_refused_by_kind() -> None:
    def call(arguments: object) -> elkapi.ToolCall:
        return elkapi.ToolCall({"function": {"name": "f", "arguments": arguments}})

    assert call('{"a":[1,2.5,null]}').args() == {"a": [1, 2.5, None]}
    assert call(" ").args() == {}
    assert call({"a": 1}).args() == {"a": 1}
    assert elkapi.ToolCall({}).args() == {}
    with pytest.raises(elkapi.APIResponseValidationError, match="not JSON") as caught:
        call('{"a":').args()
    assert caught.value.kind == "decode"


def test_headers_compare_without_regard_to_case(answering: Answering) -> None:
    headers = ask(answering, reply()).headers
    assert headers["content-TYPE"] == "application/json"
    assert headers.get("Content-Type") == "application/json"
    assert headers.get("none") is None
    assert headers.get("none", "x") == "x"
    assert "CONTENT-LENGTH" in headers
    assert "none" not in headers
    assert headers["x-twice"] == "one"
    assert [value for name, value in headers.items() if name == "x-twice"] == ["one", "two"]
    assert list(headers).count("x-twice") == 1
    assert len(headers) == len(headers.keys())
    with pytest.raises(KeyError, match="none"):
        headers["none"]


def test_pictures_are_bytes_that_can_be_saved_and_shown(client: elkapi.Client, tmp_path: Path) -> None:
    options = elkapi.ImageOptions("16:9", "1K")
    answer = client.ask("A cat", model="gemini-3-pro-image-preview", image=options)
    (picture,) = answer.images
    assert answer.images[0] is picture
    data = picture.bytes
    assert data is not None
    assert data.startswith(b"\x89PNG")
    assert picture.bytes is data
    assert (picture.media_type, picture.url, picture.source) == ("image/png", None, "content_markdown")
    picture.save(tmp_path / "cat.png")
    picture.save(str(tmp_path / "cat2.png"))
    assert (tmp_path / "cat.png").read_bytes() == (tmp_path / "cat2.png").read_bytes() == data
    assert picture._repr_png_() is data
    assert picture._repr_jpeg_() is None
    assert picture._repr_mimebundle_()["image/png"] is data
    assert repr(picture) == f"<elkapi.Image image/png, {len(data)} bytes, from content_markdown>"
    assert "data:" not in answer.text_without_images
    with pytest.raises(elkapi.FileError, match="no/such/place") as caught:
        picture.save("no/such/place.png")
    assert caught.value.kind == "file"
    assert isinstance(caught.value, OSError)
    with pytest.raises(TypeError, match=r"path must be str or os\.PathLike, not bytes"):
        picture.save(b"cat.png")  # type: ignore[arg-type]
    match picture:
        case elkapi.Image("image/png", matched):
            assert matched is data


def test_a_picture_is_shown_by_its_own_media_type(answering: Answering) -> None:
    for data, media_type in ((b"\xff\xd8\xff\xe0", "image/jpeg"), (b"RIFF....WEBP", "image/webp")):
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        (picture,) = ask(answering, reply(json.dumps({"content": f"![a]({url})"}))).images
        bundle = picture._repr_mimebundle_()
        assert bundle == {"text/plain": repr(picture), media_type: data}
        assert picture._repr_png_() is None
        assert picture._repr_jpeg_() == (data if media_type == "image/jpeg" else None)


def test_a_remote_picture_has_an_address_and_no_bytes(answering: Answering) -> None:
    answer = ask(answering, reply('{"content":"![a](https://example.com/a.png)"}'))
    (picture,) = answer.images
    assert (picture.url, picture.bytes, picture.media_type) == ("https://example.com/a.png", None, None)
    assert picture._repr_png_() is None
    with pytest.raises(elkapi.InvalidArgumentError, match="remote"):
        picture.save("never.png")


def test_the_models_list_is_a_document(client: elkapi.Client) -> None:
    models = client.models()
    assert type(models) is elkapi.Document
    assert "gemini-3.1-pro-preview" in [model.id for model in models.data]
    assert models.status == 200
    assert models.object == "list"
    assert models.verdict == "complete"
    assert models.data is models.data


def test_documents_come_only_from_calls() -> None:
    for cls in (elkapi.Completion, elkapi.Document):
        with pytest.raises(TypeError):
            cls({})  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            elkapi.Node.__new__(cls, {})


def test_every_class_says_that_it_is_of_elkapi() -> None:
    for name in elkapi.__all__:
        value = getattr(elkapi, name)
        if isinstance(value, type):
            assert value.__module__ == "elkapi", name
            assert value.__doc__, name

"""Answers that follow a schema: asked for by a class, read by the same class."""

import json
from typing import Any

import elkapi
import pydantic
import pytest
from conftest import Answering, Gateway


class City(pydantic.BaseModel):
    city: str
    country: str
    inhabitants: int


CITIES = pydantic.TypeAdapter(list[City])
ROME = '{"city":"Rome","country":"Italy","inhabitants":3}'


def reply(content: str, finish_reason: str = "stop") -> bytes:
    choice = {"index": 0, "message": {"content": content}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice]}).encode()


def test_a_model_asks_for_its_schema_and_reads_the_answer(client: elkapi.Client, gateway: Gateway) -> None:
    answer = client.ask("Where is the Colosseum?", response_format=City)
    described = {"name": "City", "schema": City.model_json_schema()}
    assert gateway.last_body()["response_format"] == {"type": "json_schema", "json_schema": described}
    city = answer.parse(City)
    assert isinstance(city, City)
    assert city.model_dump() == json.loads(answer.text)


def test_a_model_may_stand_in_the_request_itself(client: elkapi.Client, gateway: Gateway) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    asked: dict[str, Any] = {"messages": messages, "response_format": City}
    answer = client.chat_completions(asked)
    assert isinstance(answer.parse(City), City)
    with client.stream(asked) as stream:
        assert stream.finish().parse(City) == answer.parse(City)
    assert asked == {"messages": messages, "response_format": City}


def test_a_type_adapter_does_the_same(gateway: Gateway, answering: Answering) -> None:
    with gateway.client() as client:
        client.ask("Which cities?", response_format=CITIES)
    described = {"name": "answer", "schema": CITIES.json_schema()}
    assert gateway.last_body()["response_format"] == {"type": "json_schema", "json_schema": described}
    with answering(reply(f"[{ROME}]")) as client:
        (city,) = client.ask("Hi").parse(CITIES)
    assert city == City(city="Rome", country="Italy", inhabitants=3)


def test_an_odd_class_name_becomes_one_that_servers_take(client: elkapi.Client, gateway: Gateway) -> None:
    model = pydantic.create_model("Größe[int]" + "x" * 80, n=(int, ...))
    client.ask("Hi", response_format=model)
    name = gateway.last_body()["response_format"]["json_schema"]["name"]
    assert name == "Gr__e_int_" + "x" * 54


def test_a_text_that_does_not_fit_raises_what_the_model_raises(answering: Answering) -> None:
    with answering(reply('{"city":"Rome"}')) as client:
        answer = client.ask("Hi")
    with pytest.raises(pydantic.ValidationError, match="country"):
        answer.parse(City)


def test_a_text_that_was_cut_off_is_an_error_that_says_so(answering: Answering) -> None:
    with answering(reply('{"city":"Ro', "length")) as client:
        answer = client.ask("Hi")
    with pytest.raises(elkapi.APIResponseValidationError, match="verdict length") as caught:
        answer.parse(City)
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
    assert caught.value.kind == "decode"
    with answering(reply(ROME, "length")) as client:
        assert client.ask("Hi").parse(City).city == "Rome"


def test_what_is_no_model_is_a_type_error(answering: Answering) -> None:
    with answering(reply(ROME, "length")) as client:
        answer = client.ask("Hi")
    wrong: Any
    for wrong, says in ((dict, "the class dict"), (5, "not int"), (None, "NoneType")):
        with pytest.raises(TypeError, match=says):
            answer.parse(wrong)


def test_a_model_reads_the_arguments_of_a_tool_call() -> None:
    call = elkapi.ToolCall({"function": {"name": "visit", "arguments": ROME}})
    assert call.args(City) == City(city="Rome", country="Italy", inhabitants=3)
    assert elkapi.ToolCall({"function": {"arguments": [json.loads(ROME)]}}).args(CITIES) == [call.args(City)]
    with pytest.raises(pydantic.ValidationError):
        elkapi.ToolCall({}).args(City)

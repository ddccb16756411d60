"""Let the model use a function of this program. The key comes from ELKAPI_API_KEY."""

import sys
from typing import Any

import elkapi

QUESTION = " ".join(sys.argv[1:]) or "Do I need an umbrella in Tokyo?"
WEATHER = {
    "name": "weather",
    "description": "The weather in a city, now",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def weather(city: str) -> str:
    return f"It rains in {city}."


messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
request = {"messages": messages, "tools": [{"type": "function", "function": WEATHER}]}
try:
    with elkapi.Client(timeout=120) as client:
        answer = client.chat_completions(request)
        while answer.tool_calls:
            messages.append(answer.to_message())
            for call in answer.tool_calls:
                result = weather(**call.args()) if call.name == "weather" else "There is no such tool."
                print(f"{call.name}({call.arguments}): {result}")
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            answer = client.chat_completions(request)
except elkapi.Error as error:
    sys.exit(f"{error.kind}: {error}")

print(answer.text)

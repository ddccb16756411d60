"""openai."""

import base64

import openai
from common import BASE_URL, KEY, MESSAGES, MODE, MODEL, TASK, WISHES, measured

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY)


def small() -> int:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body=WISHES)
    return len(completion.choices[0].message.content or "")


def stream() -> int:
    read = 0
    chunks = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_body=WISHES)
    for chunk in chunks:
        if chunk.choices:
            read += len(chunk.choices[0].delta.content or "")
    return read


def picture() -> int:
    completion = client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body=WISHES)
    text = completion.choices[0].message.content or ""
    if MODE == "text":
        return len(text)
    return len(base64.b64decode(text[text.index(",") + 1 : -1]))


measured({"small": small, "stream": stream, "picture": picture}[TASK])

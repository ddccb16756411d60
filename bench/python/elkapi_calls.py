"""elkapi."""

import elkapi
from common import BASE_URL, KEY, MODE, REQUEST, TASK, measured

client = elkapi.Client(base_url=BASE_URL, api_key=KEY)


def small() -> int:
    return len(client.chat_completions(REQUEST).text)


def stream() -> int:
    read = 0
    with client.stream(REQUEST) as chunks:
        if MODE == "texts":
            for chunk in chunks:
                read += len(chunk.text)
        else:
            for chunk in chunks:
                if chunk.choices:
                    read += len(chunk.choices[0].delta.content or "")
    return read


def picture() -> int:
    answer = client.chat_completions(REQUEST)
    return len(answer.images[0].bytes or b"") if MODE == "bytes" else len(answer.text)


measured({"small": small, "stream": stream, "picture": picture}[TASK])

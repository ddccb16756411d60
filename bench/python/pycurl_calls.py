"""pycurl: one handle, the reply in a buffer, read by the json module."""

import json
from io import BytesIO

import pycurl
from common import BASE_URL, KEY, REQUEST, STREAM_REQUEST, TASK, measured

curl = pycurl.Curl()
curl.setopt(pycurl.URL, f"{BASE_URL}/chat/completions")
curl.setopt(pycurl.HTTPHEADER, [f"Authorization: Bearer {KEY}", "Content-Type: application/json"])


def body(request: dict) -> bytes:
    buffer = BytesIO()
    curl.setopt(pycurl.POSTFIELDS, json.dumps(request))
    curl.setopt(pycurl.WRITEDATA, buffer)
    curl.perform()
    assert curl.getinfo(pycurl.RESPONSE_CODE) == 200
    return buffer.getvalue()


def whole() -> int:
    return len(json.loads(body(REQUEST))["choices"][0]["message"]["content"])


def stream() -> int:
    read = 0
    for line in body(STREAM_REQUEST).splitlines():
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:])["choices"]
            if choices:
                read += len(choices[0]["delta"].get("content") or "")
    return read


measured(stream if TASK == "stream" else whole)

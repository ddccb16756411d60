"""pyreqwest: its blocking client, one for all calls; a stream read as it comes."""

import json

from common import BASE_URL, KEY, REQUEST, STREAM_REQUEST, TASK, measured
from pyreqwest.client import SyncClientBuilder

client = SyncClientBuilder().error_for_status(True).build()


def whole() -> int:
    request = client.post(f"{BASE_URL}/chat/completions").bearer_auth(KEY).body_json(REQUEST)
    return len(request.build().send().json()["choices"][0]["message"]["content"])


def stream() -> int:
    read = 0
    request = client.post(f"{BASE_URL}/chat/completions").bearer_auth(KEY).body_json(STREAM_REQUEST)
    with request.build_streamed() as response:
        rest = b""
        while (piece := response.body_reader.read()) is not None:
            *lines, rest = (rest + bytes(piece)).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    choices = json.loads(line[6:])["choices"]
                    if choices:
                        read += len(choices[0]["delta"].get("content") or "")
    return read


measured(stream if TASK == "stream" else whole)

"""A program that waits in a call and tells which exception ended it, and when: started by a test."""

import sys
import time

import elkapi

base_url, size, call = sys.argv[1], int(sys.argv[2]), sys.argv[3]
client = elkapi.Client(base_url=base_url, api_key="sk-test-interrupted", environment=False, timeout=60)
request = {"messages": [{"role": "user", "content": "x" * size}]}
stream = None
print("calling", flush=True)
try:
    if call == "ask":
        client.ask("x" * size)
    else:
        stream = client.stream(request)
        if call == "finish":
            stream.finish()
        for chunk in stream:
            assert chunk.choices
except BaseException as error:
    print(type(error).__name__, time.monotonic(), stream and stream.verdict)

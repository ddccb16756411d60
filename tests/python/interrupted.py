"""A program that waits in a call and tells which exception ended it, and when: started by a test."""

import sys
import time

import elkapi

client = elkapi.Client(base_url=sys.argv[1], api_key="sk-test-interrupted", environment=False, timeout=60)
prompt = "x" * int(sys.argv[2])
print("calling", flush=True)
try:
    client.ask(prompt)
except BaseException as error:
    print(type(error).__name__, time.monotonic())

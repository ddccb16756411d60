"""Ask one question. The key comes from ELKAPI_API_KEY."""

import sys

import elkapi

# "Hello, please introduce yourself."
QUESTION = " ".join(sys.argv[1:]) or "こんにちは、自己紹介してください"

try:
    with elkapi.Client(timeout=120) as client:
        answer = client.ask(QUESTION)
except elkapi.Error as error:
    sys.exit(f"{error.kind}: {error}")

print(answer.text)
if answer.usage:
    print(f"{answer.usage.total_tokens} tokens, {answer.elapsed:.1f} s, request {answer.request_id}")

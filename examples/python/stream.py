"""Print an answer while it is being written; Ctrl-C stops it. The key comes from ELKAPI_API_KEY."""

import sys

import elkapi

QUESTION = " ".join(sys.argv[1:]) or "Tell me a short story about the sea."
REQUEST = {
    "messages": [{"role": "user", "content": QUESTION}],
    "stream_options": {"include_usage": True},
}

try:
    # Seconds to the first byte, and of silence after it; the whole may take as long as it likes.
    with elkapi.Client(timeout=60) as client, client.stream(REQUEST) as stream:
        for chunk in stream:
            print(chunk.text, end="", flush=True)
except KeyboardInterrupt:
    # Leaving the block closed the connection. What arrived is kept: stream.completion.
    print(" … stopped.")
    sys.exit(130)
except elkapi.Error as error:
    kept = error.completion.text if error.completion else ""
    sys.exit(f"\n{error.kind} after {len(kept)} characters: {error}")

answer = stream.completion
tokens = answer.usage.total_tokens if answer.usage else "unknown"
print(f"\n{stream.verdict}: {len(answer.text)} characters, {tokens} tokens, request {stream.request_id}")

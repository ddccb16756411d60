"""The replies of the bench's server: whole HTTP replies, made beforehand as files."""

import base64
import json
import random
import struct
import zlib
from pathlib import Path

TEXT = "Hello! How can I help you today?"
EVENTS = 1000
WORD = "word "
#: Of a paced stream, as in c/server.c: its events, and the time of sending in each, in nanoseconds.
PACED, STAMP = 2500, "00000000000000000000"
MODEL = "gemini-3.1-pro-preview"
#: Rows and columns of noise, which makes a picture of 3 MiB and a reply of 4.
PICTURE = (1024, 1024)


def png(width: int, height: int) -> bytes:
    """A picture of noise, always the same, not compressed."""
    noise = random.Random(1)
    rows = b"".join(b"\0" + noise.randbytes(3 * width) for _ in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 0))
        + chunk(b"IEND", b"")
    )


def head(media_type: str, length: str) -> bytes:
    lines = [
        "HTTP/1.1 200 OK",
        "Server: nginx",
        "Date: Sat, 01 Nov 2025 12:00:00 GMT",
        f"Content-Type: {media_type}",
        length,
        "Connection: keep-alive",
        "X-Oneapi-Request-Id: 202511011200000000000000bench",
        "Cache-Control: no-cache",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def answer(content: str) -> bytes:
    body = compact(
        {
            "id": "chatcmpl-202511011200000000000000bench",
            "object": "chat.completion",
            "created": 1762000000,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 8, "completion_tokens": 9, "total_tokens": 17},
        }
    )
    return head("application/json", f"Content-Length: {len(body)}") + body.encode()


def stream(*texts: str) -> bytes:
    """One chunk of HTTP for each event, as servers send that flush each."""

    def event(choices: list[object], **more: object) -> str:
        document = {
            "id": "chatcmpl-202511011200000000000000bench",
            "object": "chat.completion.chunk",
            "created": 1762000000,
            "model": MODEL,
            "system_fingerprint": None,
            "choices": choices,
        }
        return compact({**document, **more})

    def delta(delta: dict[str, str], finish: str | None = None) -> str:
        return event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    usage = {"prompt_tokens": 8, "completion_tokens": len(texts), "total_tokens": 8 + len(texts)}
    events = [delta({"role": "assistant", "content": ""})]
    events += [delta({"content": text}) for text in texts]
    events += [delta({}, "stop"), event([], usage=usage), "[DONE]"]
    chunks = [f"data: {one}\n\n".encode() for one in events]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head("text/event-stream", "Transfer-Encoding: chunked") + body + b"0\r\n\r\n"


def write(folder: Path) -> dict[tuple[str, str], int]:
    """Makes the files; tells for each scenario's word and what is read of it how many bytes that are."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = png(*PICTURE)
    content = f"![image](data:image/png;base64,{base64.b64encode(picture).decode()})"
    replies = {
        "small": answer(TEXT),
        "picture": answer(content),
        "burst": stream(*[WORD] * EVENTS),
        "paced": stream(STAMP),
    }
    for name, reply in replies.items():
        (folder / name).write_bytes(reply)
    sizes = {("picture", "text"): len(content), ("picture", "bytes"): len(picture)}
    for read in ("text", "path"):
        sizes["burst", read] = EVENTS * len(WORD)
        sizes["paced", read] = PACED * len(STAMP)
    return sizes

"""Writes the wire exchanges as seeds: raw replies for `server_bytes`, bodies of streams for `events`."""

import base64
import http.client
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def body_of(reply: dict) -> bytes:
    if "chunks" in reply:
        return b"".join(
            piece["text"].encode() if "text" in piece else base64.b64decode(piece["base64"])
            for piece in reply["chunks"]
        )
    if "body_base64" in reply:
        return base64.b64decode(reply["body_base64"])
    return reply.get("body", "").encode()


def raw(reply: dict) -> bytes:
    status, body = reply["status"], body_of(reply)
    head = [f"HTTP/1.1 {status} {reply.get('reason', http.client.responses.get(status, ''))}"]
    head += [f"{name}: {value}" for name, value in reply["headers"].items()]
    if reply["framing"] == "content-length":
        head.append(f"Content-Length: {len(body)}")
    if reply["framing"] == "chunked":
        head.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def main() -> None:
    replies_folder = ROOT / "fuzz" / "corpus" / "server_bytes"
    events_folder = ROOT / "fuzz" / "corpus" / "events"
    for folder in (replies_folder, events_folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "tests" / "wire").glob("*.json")):
        fixture = json.loads(path.read_text())
        if not isinstance(fixture, dict) or path.stat().st_size > 20_000:
            continue
        replies = fixture.get("responses") or [fixture["response"]] if "request" in fixture else []
        for reply in replies[:1]:
            (replies_folder / path.stem).write_bytes(b"\xff" + raw(reply))
            if path.stem.startswith("stream_"):
                (events_folder / path.stem).write_bytes(b"\x07" + body_of(reply))


if __name__ == "__main__":
    sys.exit(main())

"""Writes seeds: of the wire exchanges raw replies for `server_bytes`, bodies of streams for `events` and
those of whole replies for `answers`, and pictures in every shape for `answers`."""

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


def is_stream(fixture: dict) -> bool:
    return fixture["request"].get("body", {}).get("stream") is True


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


PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFUlEQVR4nAXBAQEAAACAEP9PF0JQGR7vBPykAXTzAAAAAElFTkSuQmCC"
)
DATA_URLS = (
    f"data:image/png;base64,{PNG}",
    f"DATA:IMAGE/PNG;charset=utf-8;BASE64,{PNG}",
    f"data:image/png;base64,{PNG.replace('/', '_').replace('+', '-').rstrip('=')}",
    f"data:image/png;base64,{PNG[:76]}\r\n{PNG[76:]}",
    f"data:image/png;base64,{PNG.replace('/', '%2F')}",
    f"data:image/png;base64,{PNG[:41]}",
    "data:image/svg+xml,%3Csvg/%3E",
    "data:image/png;base64,",
    "https://example.com/a.png",
)


def pictures() -> list[dict]:
    """Messages with a picture in every place where gateways put one."""
    messages: list[dict] = []
    for url in DATA_URLS:
        data = url.split(",")[-1]
        inline = {"mimeType": "image/png", "data": data}
        messages += [
            {"content": url},
            {"content": f'text ![image]({url}) and ![again]({url} "title") text'},
            {"content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": url}]},
            {"content": [{"b64_json": data}, {"inlineData": inline}, {"inline_data": inline}]},
            {"content": None, "images": [{"type": "image_url", "image_url": url}, url, {"url": url}]},
        ]
    return messages


def main() -> None:
    answers_folder = ROOT / "fuzz" / "corpus" / "answers"
    answers_folder.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(pictures()):
        choice = {"index": number % 3, "message": message, "finish_reason": "stop"}
        (answers_folder / f"picture-{number}").write_text(json.dumps({"choices": [choice]}))
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
            if reply["status"] == 200 and not is_stream(fixture):
                (answers_folder / path.stem).write_bytes(body_of(reply))
            if is_stream(fixture):
                (events_folder / path.stem).write_bytes(b"\x07" + body_of(reply))


if __name__ == "__main__":
    sys.exit(main())

"""The interpreter's limit: a prepared request over a bare socket, the least that has to be understood."""

import json
import socket
from urllib.parse import urlsplit

from common import KEY, REQUEST, URL, event_text, run

SERVER = urlsplit(URL)
BODY = json.dumps(REQUEST).encode()
HEAD = (
    f"POST {SERVER.path} HTTP/1.1\r\nHost: {SERVER.netloc}\r\nAuthorization: Bearer {KEY}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
)
connection = socket.create_connection((SERVER.hostname, SERVER.port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def streamed() -> int:
    connection.sendall(HEAD.encode() + BODY)
    name, read, rest, end = b'"content":"', 0, b"", [b"", b""]
    while end != [b"0\r", b"\r"]:
        piece = connection.recv(1 << 16)
        assert piece, "the connection ended"
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            start = line.find(name) + len(name)
            if start > len(name):
                read += event_text(line[start : line.index(b'"', start)].decode())
        end = (end + lines)[-2:]
    return read


run(streamed, streamed)

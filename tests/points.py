"""A server for streams that are stopped at any point: prints its base URL, and ends with its stdin.

A request with `"stop": {"events": N, "bytes": B}` is answered by N events and B bytes of the next one, then
the server waits for the client to leave; others get the whole stream. `GET /v1/left` tells when the client
had left the last one: `{"at_ns": CLOCK_MONOTONIC}`. Event N adds the text `éN `.
"""

import contextlib
import json
import queue
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

EVENTS = 40


def event(number: int) -> bytes:
    choice = {
        "index": 0,
        "delta": {"content": f"é{number} "},
        "finish_reason": "stop" if number + 1 == EVENTS else None,
    }
    data = f"data: {json.dumps({'choices': [choice]}, ensure_ascii=False)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    left: "queue.Queue[int]" = queue.Queue()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        point = request.get("stop", {"events": EVENTS, "bytes": 0})
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = head.encode() + b"".join(map(event, range(point["events"])))
        if "stop" in request:
            self.connection.sendall(sent + event(point["events"])[: point["bytes"]])
            with contextlib.suppress(ConnectionResetError):
                if self.rfile.read(1):
                    return
            self.left.put(time.monotonic_ns())
            self.close_connection = True
        else:
            self.connection.sendall(sent + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def do_GET(self) -> None:
        try:
            body = json.dumps({"at_ns": self.left.get(timeout=10)}).encode()
        except queue.Empty:
            return self.send_error(504, "the client has not left")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    sys.stdin.read()

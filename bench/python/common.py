"""What each program is asked: BASE_URL TASK MODE COUNT; it prints µs of wall time and of CPU per call."""

import sys
import time
from collections.abc import Callable

BASE_URL, TASK, MODE, COUNT = *sys.argv[1:4], int(sys.argv[4])
KEY = "sk-bench-0123456789012345678901234567890123456789"
MESSAGES = [{"role": "user", "content": "Hello"}]
MODEL = "gemini-3.1-pro-preview"
WISHES = {
    "small": {},
    "stream": {"sim": {"text": "word " * 1000, "chunks": 1000}},
    "picture": {"sim": {"bytes": 4 << 20}},
}[TASK]
if TASK == "picture":
    MODEL = "gemini-3-pro-image-preview"
REQUEST = {"model": MODEL, "messages": MESSAGES, **WISHES}
STREAM_REQUEST = {**REQUEST, "stream": True}


def measured(call: Callable[[], int]) -> None:
    """`call` tells how much it read, so that none is faster because it read less."""
    expected = call()
    least = {"small": 1, "stream": 4000, "picture": 4 << 20}[TASK]
    assert expected >= least, f"only {expected} were read"
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(COUNT):
        assert call() == expected
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(wall / COUNT * 1e6, cpu / COUNT * 1e6)

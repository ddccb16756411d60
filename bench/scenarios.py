"""What is measured: the scenarios, and for each of them who takes part and what of the reply it reads."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    client: str
    #: The programs' word for what is read.
    read: str
    #: The same in words.
    what: str


@dataclass(frozen=True)
class Scenario:
    letter: str
    #: The programs' word.
    word: str
    title: str
    #: The server's name of the reply; empty where the simulator serves.
    place: str
    rows: list[Row]
    #: Calls of a run; 0: as many as fit into its time.
    calls: int = 0
    #: Of short runs there have to be more: rounds, and those of a quick look.
    rounds: tuple[int, int] = (0, 0)
    #: The same for `IN_ALL_ROUNDS`, where a difference is smaller than what the machine adds to it.
    close: tuple[int, int] = (0, 0)
    #: Names of the two columns of time; the second one is empty where it says nothing.
    times: tuple[str, str] = ("wall, µs", "")
    #: Empty where processor time says nothing.
    cpu: str = "CPU, µs"
    #: Over TLS: new connections in all calls but the first, and whether they resume a session.
    tls: tuple[bool, bool] | None = None


def rows(*all_of_them: tuple[str, str, str]) -> list[Row]:
    return [Row(*one) for one in all_of_them]


QUOTED = "the text between the quotes, escapes kept"
PATH = "`completion.choices[0].message.content`"
BY_KEY = "`json.loads` of the body, the content by key"
JSON = "`response.json()`, the content by key"
EVENTS = "lines as they come, `json.loads` of each, the content by key"
OVER = "openai over elkapi"

#: Whoever reads the text of a whole reply, in words.
WHOLE = {
    "limit": QUOTED,
    "libcurl": QUOTED,
    "elkapi (C)": "`elk_result_text`",
    "elkapi (Rust)": "`answer.text()`",
    "reqwest": "`response.json::<Value>()`, the content by key",
    "async-openai": "`answer.choices[0].message.content`",
    "elkapi (Python)": "`answer.text`",
    OVER: PATH,
    "openai": PATH,
    "httpx": JSON,
    "requests": JSON,
    "pycurl": BY_KEY,
    "primp": JSON,
    "pyreqwest": JSON,
    "liter-llm": "`answer.choices[0].message.content.text`; asyncio only",
}
C = ("limit", "libcurl", "elkapi (C)")
IN_PYTHON = list(WHOLE)[6:]
#: The measures, and what is measured: all others are there to be compared.
IN_ALL_ROUNDS = ("limit", "libcurl", "bare socket (Python)", "elkapi (C)", "elkapi (Rust)", "elkapi (Python)")
DECODED = "the same, and its base64 decoded"
PICTURE = {"elkapi (C)": "`elk_result_image_bytes`", "elkapi (Rust)": "`answer.images()[0].bytes()`"}
PICTURE |= {"elkapi (Python)": "`answer.images[0].bytes`"}
#: Of a stream, by the full path and as text.
STREAM_PATH = {
    "elkapi (C)": "`elk_stream_get`, `/choices/0/delta/content`",
    "elkapi (Python)": "`chunk.choices[0].delta.content`",
    OVER: "`chunk.choices[0].delta.content`",
    "openai": "`chunk.choices[0].delta.content`",
    "reqwest": "lines of `bytes_stream()`, `serde_json::Value` of each, the content by key",
    "async-openai": "`chunk.choices[0].delta.content`",
    "httpx": EVENTS,
    "requests": EVENTS,
    "pycurl": EVENTS + ", in the write callback",
    "primp": EVENTS,
    "pyreqwest": EVENTS,
    "liter-llm": "`chunk.choices[0].delta.content`; asyncio only",
}
STREAM_TEXT = {
    "limit": "lines, and in each the text between the quotes",
    "libcurl": "the same, in the write callback",
    "elkapi (C)": "`elk_stream_text`",
    "elkapi (Rust)": "`chunk.text()`",
    "bare socket (Python)": "as the limit",
    "elkapi (Python)": "`chunk.text`",
}
STREAM = [
    *(Row(name, "text", STREAM_TEXT[name]) for name in C),
    Row("elkapi (C)", "path", STREAM_PATH["elkapi (C)"]),
    Row("elkapi (Rust)", "text", STREAM_TEXT["elkapi (Rust)"]),
    *(Row(name, "path", STREAM_PATH[name]) for name in ("reqwest", "async-openai")),
    *(Row(name, "text", STREAM_TEXT[name]) for name in ("bare socket (Python)", "elkapi (Python)")),
    *(Row(name, "path", STREAM_PATH[name]) for name in IN_PYTHON),
]
#: Many at once, in words.
ASYNC, THREADS = "asyncio, ", "64 threads, "
UPLOADED = "a dict, written as JSON by "

SCENARIOS = [
    Scenario(
        "a",
        "small",
        "Small reply on a kept connection",
        "small",
        [Row(name, "text", what) for name, what in WHOLE.items()],
    ),
    Scenario(
        "b",
        "picture",
        "Reply of 4 MiB with a picture in it, as text and as bytes",
        "picture",
        [
            row
            for name, what in WHOLE.items()
            for row in (Row(name, "text", what), Row(name, "bytes", PICTURE.get(name, DECODED)))
        ],
    ),
    Scenario("c", "burst", "Stream of 1,000 events in one write of the server; per stream", "burst", STREAM),
    Scenario(
        "d",
        "paced",
        "Stream of 2,500 events, one every 200 µs: their age when they are read",
        "paced",
        STREAM,
        calls=1,
        # Half a second each: which of them the machine disturbs is chance.
        rounds=(5, 3),
        close=(41, 5),
        times=("age, median, µs", "age, 99 %, µs"),
        cpu="CPU per event, µs",
    ),
    Scenario(
        "e",
        "many",
        "1,024 calls that the server answers after 20 ms, 64 at once; per call (20 ms / 64 = 312.5 µs)",
        "late",
        rows(
            ("limit", "async", "an epoll loop over bare sockets"),
            ("libcurl", "async", "a multi handle over epoll"),
            ("elkapi (C)", "async", "`elk_queue`, over epoll"),
            ("elkapi (Rust)", "async", "`Queue`"),
            ("reqwest", "async", "tokio, `buffer_unordered(64)`"),
            ("async-openai", "async", "tokio, `buffer_unordered(64)`"),
            ("elkapi (Python)", "async", ASYNC + "`AsyncClient`"),
            ("elkapi (Python)", "threads", THREADS + "`Client`"),
            (OVER, "async", ASYNC + "`AsyncOpenAI` over `AsyncTransport`"),
            ("openai", "async", ASYNC + "`AsyncOpenAI`"),
            ("openai", "threads", THREADS + "`OpenAI`"),
            ("httpx", "async", ASYNC + "`AsyncClient`"),
            ("httpx", "threads", THREADS + "`Client`"),
            ("requests", "threads", THREADS + "`Session`; it has no asyncio"),
            ("pycurl", "async", "`CurlMulti`, in one thread"),
            ("primp", "async", ASYNC + "`AsyncClient`"),
            ("primp", "threads", THREADS + "`Client`"),
            ("pyreqwest", "async", ASYNC + "`Client`"),
            ("pyreqwest", "threads", THREADS + "`SyncClient`"),
            ("liter-llm", "async", ASYNC + "`chat`"),
        ),
        calls=1024,
    ),
    Scenario(
        "f",
        "upload",
        "Request of 1 MiB; as `elkapi` the prompt's mirror is sent as well, 2 MiB",
        "upload",
        rows(
            ("limit", "openai", "1 MiB of JSON, prepared"),
            ("limit", "elkapi", "2 MiB of JSON, prepared"),
            ("libcurl", "openai", "1 MiB of JSON, prepared"),
            ("libcurl", "elkapi", "2 MiB of JSON, prepared"),
            ("elkapi (C)", "openai", "1 MiB of JSON, checked and completed"),
            ("elkapi (C)", "elkapi", "the same, and the mirror made"),
            ("elkapi (Rust)", "openai", "1 MiB of JSON, checked and completed"),
            ("elkapi (Rust)", "elkapi", "the same, and the mirror made"),
            ("reqwest", "openai", "a `Value`, written as JSON by `json`"),
            ("async-openai", "openai", "a typed request, written as JSON"),
            ("elkapi (Python)", "openai", UPLOADED + "elkapi, checked and completed"),
            ("elkapi (Python)", "elkapi", "the same, and the mirror made"),
            (OVER, "openai", UPLOADED + "openai"),
            ("openai", "openai", UPLOADED + "openai"),
            ("httpx", "openai", UPLOADED + "httpx"),
            ("requests", "openai", UPLOADED + "requests"),
            ("pycurl", "openai", UPLOADED + "`json.dumps`"),
            ("primp", "openai", UPLOADED + "primp"),
            ("pyreqwest", "openai", UPLOADED + "pyreqwest"),
            ("liter-llm", "openai", "a typed request, written as JSON"),
        ),
    ),
    Scenario(
        "g",
        "warm",
        "Small reply over TLS, on a kept connection",
        "",
        [Row(name, "text", what) for name, what in WHOLE.items() if name not in ("limit", OVER)],
        tls=(False, False),
    ),
    Scenario(
        "g",
        "resumed",
        "Small reply over TLS, on a new connection each that resumes a session",
        "",
        [Row(name, "text", WHOLE[name]) for name in ("libcurl", "elkapi (C)", "elkapi (Python)", "pycurl")],
        tls=(True, True),
    ),
    Scenario(
        "g",
        "cold",
        "Small reply over TLS, by a new client each, which also reads the one authority",
        "",
        [
            Row(name, "text", WHOLE[name])
            for name in WHOLE
            if name not in ("limit", OVER, "elkapi (Rust)", "reqwest", "async-openai", "liter-llm")
        ],
        tls=(True, False),
    ),
    Scenario(
        "h",
        "first",
        "Cold start: from a process's exec until the first reply was read; in Python the interpreter's too",
        "small",
        [Row(name, "text", what) for name, what in WHOLE.items()],
        calls=1,
        rounds=(21, 4),
    ),
]

#: Calls that stall in one phase and are stopped from another thread; not all can stall in all phases.
STOPPED = Scenario(
    "i",
    "cancel",
    "From the stop of a call, by another thread, until it has returned",
    "",
    [
        Row("limit", "wait", "`shutdown` of the socket"),
        Row("libcurl", "wait", "`curl_multi_wakeup`, `curl_multi_remove_handle`"),
        *(
            Row("elkapi (C)", phase, f"`elk_cancel_signal`, phase `{phase}`")
            for phase in ("dns", "connect", "tls", "send", "wait", "read")
        ),
        Row("elkapi (Python)", "wait", "`Cancel.cancel`"),
        Row("elkapi (Python)", "async", "`cancel` of a task of asyncio"),
        Row("httpx", "async", "`cancel` of a task of asyncio"),
    ],
    calls=40,
    rounds=(3, 1),
    times=("median, µs", "99 %, µs"),
    cpu="",
)

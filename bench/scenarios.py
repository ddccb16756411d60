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
    #: Calls of a run; 0: as many as take a quarter of a second.
    calls: int = 0
    #: Names of the two columns of time; the second one is empty where it says nothing.
    times: tuple[str, str] = ("wall, µs", "")
    cpu: str = "CPU, µs"


def rows(*all_of_them: tuple[str, str, str]) -> list[Row]:
    return [Row(*one) for one in all_of_them]


QUOTED = "the text between the quotes, escapes kept"
BASE64 = "the same, through a plain base64 table"
LINES = "lines, and in each the text between the quotes"

SCENARIOS = [
    Scenario(
        "a",
        "small",
        "Small reply on a kept connection",
        "small",
        rows(
            ("limit", "text", QUOTED),
            ("libcurl", "text", QUOTED),
            ("elkapi (C)", "text", "`elk_result_text`"),
        ),
    ),
    Scenario(
        "b",
        "picture",
        "Reply of 4 MiB with a picture in it, as text and as bytes",
        "picture",
        rows(
            ("limit", "text", QUOTED),
            ("limit", "bytes", BASE64),
            ("libcurl", "text", QUOTED),
            ("libcurl", "bytes", BASE64),
            ("elkapi (C)", "text", "`elk_result_text`"),
            ("elkapi (C)", "bytes", "`elk_result_image_bytes`"),
        ),
    ),
    Scenario(
        "c",
        "burst",
        "Stream of 1,000 events, all in one write of the server; per stream",
        "burst",
        rows(
            ("limit", "text", LINES),
            ("libcurl", "text", LINES + ", in the write callback"),
            ("elkapi (C)", "text", "`elk_stream_text`"),
            ("elkapi (C)", "path", "`elk_stream_get`, `/choices/0/delta/content`"),
        ),
    ),
    Scenario(
        "f",
        "upload",
        "Request of 1 MiB; as `elkapi` the prompt's mirror is sent as well, 2 MiB",
        "upload",
        rows(
            ("limit", "openai", "1 MiB, prepared"),
            ("limit", "elkapi", "2 MiB, prepared"),
            ("libcurl", "openai", "1 MiB, prepared"),
            ("libcurl", "elkapi", "2 MiB, prepared"),
            ("elkapi (C)", "openai", "1 MiB of JSON, checked and completed"),
            ("elkapi (C)", "elkapi", "the same, and the mirror made"),
        ),
    ),
]

"""Attempts as lines of `logging`: for who listens, readable, with the record's members, and never a key."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import elkapi
import pytest
from conftest import KEY, Gateway

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "elkapi")


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "elkapi"]


def test_a_good_attempt_is_one_line_at_info(
    client: elkapi.Client, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.chat_completions(QUESTION)
    (line,) = lines(caplog)
    assert line.levelno == logging.INFO
    assert answer.usage is not None
    port = gateway.url().split(":")[2].split("/")[0]
    words = line.getMessage()
    assert words.startswith(f"POST 127.0.0.1:{port}/chat/completions: 200 complete in 0.")
    assert f"{answer.usage.prompt_tokens} tokens in, {answer.usage.completion_tokens} out" in words
    assert words.endswith(f"request {answer.request_id}")
    assert vars(line)["gen_ai.request.model"] == "gemini-3.1-pro-preview"
    assert vars(line)["gen_ai.usage.output_tokens"] == answer.usage.completion_tokens
    assert vars(line)["verdict"] == "complete"
    assert (line.filename, line.funcName) == (
        os.path.basename(__file__),
        "test_a_good_attempt_is_one_line_at_info",
    )


def test_each_attempt_that_failed_is_a_line_at_warning(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway.client("/fault/429-ms-1/v1", max_retries=2) as client, pytest.raises(elkapi.RateLimitError):
        client.chat_completions(QUESTION)
    records = lines(caplog)
    assert [record.levelno for record in records] == [logging.WARNING] * 3
    words = [record.getMessage() for record in records]
    assert "429 rate_limit in 0." in words[0]
    assert "billed: no, " in words[0]
    assert "the server asks to wait 0.001 s" in words[0]
    assert "attempt" not in words[0]
    assert ", attempt 3, " in words[2]
    assert [vars(record)["error.type"] for record in records] == ["rate_limit"] * 3


def test_a_stream_is_a_line_where_it_ends(client: elkapi.Client, caplog: pytest.LogCaptureFixture) -> None:
    with client.stream(QUESTION) as stream:
        next(stream)
        assert lines(caplog) == []
        stream.finish()
        (line,) = lines(caplog)
    assert "200 complete in" in line.getMessage()
    assert ", first chunk after 0." in line.getMessage()
    assert vars(line)["gen_ai.request.stream"] is True
    with client.stream(QUESTION) as stream:
        next(stream)
    assert "200 cancelled in" in lines(caplog)[1].getMessage()


def test_a_stream_that_is_dropped_is_a_line_too(
    client: elkapi.Client, caplog: pytest.LogCaptureFixture
) -> None:
    stream = client.stream(QUESTION)
    next(stream)
    with pytest.warns(ResourceWarning):
        del stream
    assert "200 cancelled in" in lines(caplog)[0].getMessage()


def test_the_level_chooses_what_is_told(
    client: elkapi.Client, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        caplog.clear()
        client.chat_completions(QUESTION)
        refused = gateway.client("/wire/error_429_no_retry_after/v1")
        with refused, pytest.raises(elkapi.RateLimitError):
            refused.chat_completions(QUESTION)
        return len(lines(caplog))

    assert told() == 2
    caplog.set_level(logging.WARNING, "elkapi")
    assert told() == 1
    caplog.set_level(logging.ERROR, "elkapi")
    assert told() == 0
    caplog.set_level(logging.INFO, "elkapi")
    assert told() == 2


def test_clients_with_other_options_are_heard_too(
    client: elkapi.Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.with_options(timeout=5).ask(
        "Hi", max_retries=1, traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    )
    (line,) = lines(caplog)
    assert vars(line)["traceparent"] == "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


def test_calls_of_an_event_loop_are_lines_too(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = elkapi.AsyncClient(base_url=gateway.url(), api_key=KEY, environment=False)
        async with client, client.stream(QUESTION) as stream:
            await stream.finish()
            await client.ask("Hi")

    asyncio.run(main())
    assert ["200 complete in 0." in line.getMessage() for line in lines(caplog)] == [True, True]


def test_no_line_has_a_key_or_a_text(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    with gateway.client("/fault/echo-key/v1") as client, pytest.raises(elkapi.AuthenticationError):
        client.ask("Something private")
    (line,) = lines(caplog)
    assert KEY not in str(vars(line))
    assert "private" not in str(vars(line))


def test_what_a_handler_raises_does_not_end_the_call(
    client: elkapi.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise ValueError("broken")

    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(str(unraisable.exc_value)))
    logger = logging.getLogger("elkapi")
    logger.addFilter(broken)
    try:
        assert client.ask("Hi").text
    finally:
        logger.removeFilter(broken)
    assert seen == ["broken"]


def test_ctrl_c_in_a_handler_is_raised_by_the_call(client: elkapi.Client) -> None:
    class Interrupted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            signal.raise_signal(signal.SIGINT)

    logger, handler = logging.getLogger("elkapi"), Interrupted()
    logger.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            client.ask("Hi")
        with client.stream(QUESTION) as stream, pytest.raises(KeyboardInterrupt):
            for _ in stream:
                pass
    finally:
        logger.removeHandler(handler)
    assert client.ask("Hi").text


def run(code: str, gateway: Gateway, **environment: str) -> subprocess.CompletedProcess[str]:
    start = f"import sys, elkapi; client = elkapi.Client(base_url={gateway.url()!r}, api_key={KEY!r})\n"
    everything = {**os.environ, **environment}
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, env=everything, capture_output=True, text=True, timeout=60)


def test_without_listeners_nothing_is_imported_and_nothing_printed(gateway: Gateway) -> None:
    done = run("client.ask('Hi'); print([m for m in sys.modules if m.endswith('logging')])", gateway)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    # `logging` alone, without a handler: its last resort would print warnings.
    code = (
        "import logging\n"
        "try: client.ask('Hi', model='no-such-model-unknown')\n"
        "except elkapi.Error as error: print(error.kind)"
    )
    done = run(code, gateway)
    assert (done.stdout, done.stderr) == ("not_found\n", "")


def test_the_environment_asks_for_lines_on_standard_error(gateway: Gateway) -> None:
    done = run("client.ask('Hi')", gateway, ELKAPI_LOG="info")
    assert " elkapi INFO POST 127.0.0.1" in done.stderr
    assert done.stderr.count("\n") == 1
    assert KEY not in done.stderr
    done = run("client.ask('Hi')", gateway, ELKAPI_LOG="DEBUG")
    assert "\n    gen_ai.request.model=gemini-3.1-pro-preview\n" in done.stderr
    assert run("client.ask('Hi')", gateway, ELKAPI_LOG="warning").stderr == ""
    done = run("", gateway, ELKAPI_LOG="loud")
    assert "ConfigError: ELKAPI_LOG must be debug, info, warning or off" in done.stderr
    command = [sys.executable, "-c", "import elkapi; elkapi.Client(api_key='k', environment=False)"]
    assert subprocess.run(command, env={"ELKAPI_LOG": "loud"}, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "kept", ["kept = [stream]; kept.append(kept)", "import builtins; builtins.kept = stream"]
)
def test_a_stream_that_outlives_the_modules_prints_nothing(gateway: Gateway, kept: str) -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        "stream = client.stream({'messages': [{'role': 'user', 'content': 'Hi'}]}); next(stream)\n"
    )
    assert run(code + kept, gateway).stderr == ""


def test_lines_of_the_environment_stop_where_the_program_has_handlers(gateway: Gateway) -> None:
    code = "import logging; logging.basicConfig(format='mine %(message)s'); client.ask('Hi')"
    done = run(code, gateway, ELKAPI_LOG="info")
    assert done.stderr.startswith("mine POST ")
    assert done.stderr.count("\n") == 1

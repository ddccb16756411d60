"""`elkapi.testing`: a test tells the gateway what to answer, and sees what came."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elkapi
import elkapi.testing
import pytest
from conftest import ROOT, simulator_program

QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def started() -> Iterator[elkapi.testing.Simulator]:
    with elkapi.testing.Simulator(simulator_program()) as started:
        yield started


@pytest.fixture
def told(started: elkapi.testing.Simulator) -> elkapi.testing.Gateway:
    return started.gateway()


def test_calls_get_what_was_told_and_then_what_the_simulator_makes_up(told: elkapi.testing.Gateway) -> None:
    told.answer("One.").answer("Two, in pieces.", chunks=3)
    assert told.waiting == 2
    with told.client() as client:
        assert client.ask("Hi").text == "One."
        with client.stream(QUESTION) as stream:
            assert len([chunk for chunk in stream if chunk.text]) == 3
        assert stream.completion.text == "Two, in pieces."
        assert told.waiting == 0
        assert "What is moss?" in client.ask("What is moss?").text


def test_a_client_for_event_loops_is_answered_too(told: elkapi.testing.Gateway) -> None:
    async def main() -> str:
        async with told.async_client() as client:
            return (await client.ask("Hi")).text

    told.refuse(429).answer("At last.")
    assert asyncio.run(main()) == "At last."
    assert len(told.requests) == 2


def test_tool_calls_are_told_by_name_and_arguments(told: elkapi.testing.Gateway) -> None:
    told.tool_call("add", {"a": 1}, ("now", {}), ("broken", "{"))
    with told.client() as client:
        calls = client.ask("Hi").tool_calls
    assert [(call.name, call.arguments) for call in calls] == [
        ("add", '{"a":1}'),
        ("now", "{}"),
        ("broken", "{"),
    ]


def test_a_refusal_has_the_status_message_and_pause(told: elkapi.testing.Gateway) -> None:
    told.refuse(429, "Slow down", code="busy", type="mine", retry_after=7)
    with told.client(max_retries=0) as client, pytest.raises(elkapi.RateLimitError) as caught:
        client.ask("Hi")
    error = caught.value
    assert (error.message, error.code, error.type) == ("Slow down", "busy", "mine")
    assert error.retry_after_ms == 7000


def test_a_repeated_call_takes_what_was_told_next(told: elkapi.testing.Gateway) -> None:
    told.refuse(429).answer("At last.")
    with told.client() as client:
        answer = client.ask("Hi")
    assert (answer.text, len(answer.attempts), len(told.requests)) == ("At last.", 2, 2)


def test_faults_and_replies_come_as_told(told: elkapi.testing.Gateway) -> None:
    told.fault("truncate").reply({"choices": []}).reply("<html>", headers={"Content-Type": "text/html"})
    with told.client(max_retries=0) as client:
        with pytest.raises(elkapi.TruncatedError), client.stream(QUESTION) as stream:
            stream.finish()
        with pytest.raises(elkapi.APIResponseValidationError):
            client.ask("Hi")
        with pytest.raises(elkapi.APIResponseValidationError) as caught:
            client.ask("Hi")
    assert caught.value.kind == "unexpected_content_type"


def test_a_url_may_make_every_call_misbehave(told: elkapi.testing.Gateway) -> None:
    with told.client(base_url=told.url(fault="close-before-reply", delay=0.001), max_retries=0) as client:
        for _ in range(2):
            with pytest.raises(elkapi.APIConnectionError):
                client.ask("Hi")
    assert len(told.requests) == 2


def test_a_delay_is_waited_for(told: elkapi.testing.Gateway) -> None:
    told.answer("Late.", delay=60)
    with told.client(timeout=0.05) as client, pytest.raises(elkapi.APITimeoutError):
        client.ask("Hi")


def test_requests_are_seen_with_fields_and_body(
    told: elkapi.testing.Gateway, started: elkapi.testing.Simulator
) -> None:
    other = started.gateway()
    with told.client() as client:
        client.models()
        client.ask("Hi", extra_headers={"X-Mine": "1"})
    listed, asked = told.requests
    assert (listed.method, listed.path, listed.body) == ("GET", "/v1/models", b"")
    assert (asked.method, asked.path, asked.headers["x-mine"]) == ("POST", "/v1/chat/completions", "1")
    assert asked.json()["messages"] == QUESTION["messages"]
    assert other.requests == []
    assert told.stats["requests"] == 2
    told.answer("Never.").reset()
    assert (told.requests, told.waiting) == ([], 0)


def test_a_program_finds_the_gateway_by_its_environment(told: elkapi.testing.Gateway) -> None:
    told.answer("From the environment.")
    code = "import elkapi; print(elkapi.Client().ask('Hi').text)"
    environment = {**os.environ, **told.environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("From the environment.\n", "")


def test_what_cannot_be_told_is_a_value_error(told: elkapi.testing.Gateway) -> None:
    with pytest.raises(ValueError, match="there is no fault"):
        told.fault("none")
    with pytest.raises(ValueError, match="from 200 to 599"):
        told.refuse(7)
    assert told.waiting == 0


def test_a_program_that_does_not_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        elkapi.testing.Simulator(tmp_path / "none")
    with pytest.raises(RuntimeError, match="did not start"):
        elkapi.testing.Simulator("/bin/false")


def test_the_simulator_ends_with_the_process_that_started_it() -> None:
    code = "import os, elkapi.testing as t; s = t.Simulator(); print(s._process.pid, flush=True); os._exit(0)"
    environment = {**os.environ, "ELKAPI_SIM": str(simulator_program())}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    waiting = Path("/proc") / done.stdout.strip()
    for _ in range(1000):
        state = (waiting / "stat").read_text().split(")")[1].split()[0] if waiting.exists() else "gone"
        if state in ("gone", "Z"):
            return
        subprocess.run(["sleep", "0.01"], check=True)
    pytest.fail("it still runs")


def test_pytest_has_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "def test_one(elkapi_sim):\n"
        "    elkapi_sim.answer('Mine.')\n"
        "    assert elkapi_sim.client().ask('Hi').text == 'Mine.'\n"
        "def test_two(elkapi_sim):\n"
        "    assert (elkapi_sim.requests, elkapi_sim.waiting) == ([], 0)\n"
    )
    paths = os.pathsep.join([str(ROOT / "crates/elkapi-sim/python"), str(ROOT / "python")])
    environment = {**os.environ, "ELKAPI_SIM": str(simulator_program()), "PYTHONPATH": paths}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "elkapi_sim.pytest_plugin",
        "--rootdir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr

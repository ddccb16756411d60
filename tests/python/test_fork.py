"""A forked child opens connections of its own and leaves its parent's alone."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import child
import elkapi
import pytest
from conftest import Gateway

FORK = multiprocessing.get_context("fork")

# Python warns of forks in processes with threads; a fork with threads is what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def _in_child(work: Callable[[], None]) -> int:
    """Forks, works in the child, and tells how it ended: 0 is well."""
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            work()
            code = 0
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_client_used_before_the_fork_serves_both_sides_after_it(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.ask("Before")
        child = FORK.Process(target=lambda: client.ask("In the child"))
        child.start()
        child.join(timeout=30)
        assert child.exitcode == 0
        for _ in range(3):
            client.ask("After")
    stats = gateway.stats()
    assert stats["requests"] == 5
    # One of the parent, kept throughout, and one of the child.
    assert stats["connections"] == 2


def test_twenty_children_at_once_each_have_their_own_connection(gateway: Gateway) -> None:
    with gateway.client("/delay/100/v1") as client:
        client.ask("Before")
        children = [FORK.Process(target=lambda: [client.ask("Hi") for _ in range(3)]) for _ in range(20)]
        for child in children:
            child.start()
        for child in children:
            child.join(timeout=60)
        assert [child.exitcode for child in children] == [0] * 20
        client.ask("After")
    stats = gateway.stats()
    assert stats["requests"] == 62
    assert stats["connections"] == 21


def test_a_fork_while_other_threads_are_in_calls_leaves_no_lock_behind(gateway: Gateway) -> None:
    with gateway.client() as client:
        stop = threading.Event()

        def hammer() -> None:
            while not stop.is_set():
                client.ask("Hi")

        threads = [threading.Thread(target=hammer) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(30):
                signal.alarm(30)
                assert _in_child(lambda: (client.ask("In the child"), None)[1]) == 0
        finally:
            signal.alarm(0)
            stop.set()
            for thread in threads:
                thread.join(timeout=30)


def test_a_child_of_a_child_works_too(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.ask("Before")

        def work() -> None:
            client.ask("Child")
            assert _in_child(lambda: (client.ask("Grandchild"), None)[1]) == 0
            client.ask("Child again")

        assert _in_child(work) == 0
    assert gateway.stats()["connections"] == 3


def test_a_cancel_in_the_child_does_not_stop_the_parent(gateway: Gateway) -> None:
    stop = elkapi.Cancel()
    outcome: list[str] = []

    def call() -> None:
        with gateway.client("/delay/800/v1") as client:
            outcome.append(client.ask("Hi", cancel=stop).verdict)

    thread = threading.Thread(target=call)
    thread.start()
    deadline = time.monotonic() + 10
    while gateway.stats()["in_flight"] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)

    def cancel_there() -> None:
        stop.cancel()
        assert stop.cancelled
        with gateway.client() as client, pytest.raises(elkapi.CallCancelledError):
            client.ask("Hi", cancel=stop)

    assert _in_child(cancel_there) == 0
    thread.join(timeout=30)
    assert outcome == ["complete"]
    assert not stop.cancelled


def test_a_stream_stays_with_its_parent(gateway: Gateway) -> None:
    request = {
        "messages": [{"role": "user", "content": "Hi"}],
        "sim": {"chunks": 5, "chunk_delay_us": 30_000},
    }
    with gateway.client() as client:
        stream = client.stream(request)
        first = next(text for text in stream.text_stream)

        def use_and_drop() -> None:
            nonlocal stream
            with pytest.raises(elkapi.ForkedError) as caught:
                next(stream)
            assert caught.value.completion is stream.completion
            assert stream.completion.text == first
            del stream

        def drop_unread() -> None:
            nonlocal stream
            del stream

        assert _in_child(use_and_drop) == 0
        assert _in_child(drop_unread) == 0
        assert first + "".join(stream.text_stream) == stream.completion.text
        assert stream.verdict == "complete"
    assert gateway.stats()["closed_by_client"] == 0


def test_a_prefork_server_answers_from_all_its_workers(gateway: Gateway) -> None:
    """A client made before the workers, as with gunicorn's preload."""
    client = gateway.client()
    client.ask("Warm")
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        while True:
            connection, _ = listener.accept()
            with connection:
                question = connection.recv(1000).decode()
                text = client.ask(question).text or ""
                connection.sendall(f"{os.getpid()} {text}".encode())

    workers = [FORK.Process(target=work, daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    answered = set()
    for number in range(40):
        with socket.create_connection(listener.getsockname(), timeout=30) as connection:
            connection.sendall(f"Question {number}".encode())
            said = connection.recv(10_000).decode()
            answered.add(said.split()[0])
            assert len(said.split()) > 2
    for worker in workers:
        worker.terminate()
        worker.join(timeout=10)
    assert answered <= {str(worker.pid) for worker in workers}
    listener.close()
    client.close()


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_20_children_of_every_start_method_use_the_clients_they_are_given(
    gateway: Gateway, method: str
) -> None:
    context = multiprocessing.get_context(method)
    with gateway.client() as client:
        asynchronous = gateway.async_client()
        child.calls(client, asynchronous)
        children = [context.Process(target=child.calls, args=(client, asynchronous)) for _ in range(20)]  # type: ignore[attr-defined]
        for process in children:
            process.start()
        for process in children:
            process.join(timeout=60)
        assert [process.exitcode for process in children] == [0] * 20
        child.calls(client, asynchronous)
    assert gateway.requests() == 22 * 2

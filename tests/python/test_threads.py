"""One client, many threads: calls run side by side, and the interpreter goes on meanwhile."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import elkapi
from conftest import Gateway


def test_calls_of_several_threads_run_side_by_side(gateway: Gateway) -> None:
    with gateway.client("/delay/300/v1") as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.ask(f"Question {n}"), range(8)))
    assert len({answer.id for answer in answers}) == 8
    assert gateway.stats()["max_in_flight"] == 8


def test_other_threads_run_while_one_waits(gateway: Gateway) -> None:
    counted = 0
    done = threading.Event()

    def call() -> None:
        with gateway.client("/delay/300/v1") as client:
            client.ask("Hi")
        done.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not done.is_set():
        counted += 1
        time.sleep(0.001)
    thread.join()
    assert counted > 10


def test_a_client_closed_by_another_thread_lets_the_call_end(gateway: Gateway) -> None:
    client = gateway.client("/delay/300/v1")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.ask, "Hi")
        deadline = time.monotonic() + 10
        while gateway.stats()["in_flight"] == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        client.close()
        assert call.result(timeout=30).text


def test_all_threads_see_the_same_nodes(client: elkapi.Client) -> None:
    answer = client.ask("Hi")
    barrier = threading.Barrier(8)

    def look(_: int) -> int:
        barrier.wait(timeout=10)
        return id(answer.choices[0].message)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(look, range(8)))) == 1

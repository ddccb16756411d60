"""The wire fixtures through the public API, as they are and as the network may cut them."""

import json

import pytest
from conftest import FIXTURES, Gateway
from exchange import ANSWER, ERROR, OTHER, check, is_stream, load, names_in

ALL = {name: load(FIXTURES / f"{name}.json") for name in names_in(FIXTURES)}

#: Streams of one reply: the network may cut them in any way.
STREAMS = [name for name, fixture in ALL.items() if is_stream(fixture) and "response" in fixture]
MODES = ["bytes", "events", "whole", *(f"random-{seed}" for seed in range(1, 6))]
#: Half a million writes of one byte; and a pause that is lost when all is one write.
UNFIT = {("bytes", "stream_image_large_line"), ("whole", "stream_idle")}
REFRAMED = [(mode, name) for mode in MODES for name in STREAMS if (mode, name) not in UNFIT]


@pytest.mark.parametrize("name", ALL)
def test_the_exchange_ends_as_the_fixture_expects(gateway: Gateway, name: str) -> None:
    check(gateway, name, ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_the_exchange_ends_so_in_an_event_loop_too(gateway: Gateway, name: str) -> None:
    check(gateway, name, ALL[name], in_loop=True)


@pytest.mark.parametrize(("mode", "name"), REFRAMED)
def test_a_stream_is_understood_however_the_network_cuts_it(gateway: Gateway, mode: str, name: str) -> None:
    check(gateway, name, ALL[name], f"/reframe/{mode}")


def test_every_fixture_of_the_index_runs() -> None:
    index = json.loads((FIXTURES / "index.json").read_text())
    names = index if isinstance(index, list) else index.get("fixtures", index)
    listed = {entry["name"] if isinstance(entry, dict) else entry for entry in names}
    assert listed == set(ALL)


def test_keys_of_the_fixtures_are_all_compared() -> None:
    for name, fixture in ALL.items():
        expect = fixture["expect"]
        compared = ANSWER if expect["outcome"] == "ok" else ERROR
        assert set(expect) <= set(compared) | OTHER, name

"""Broken copies of wire fixtures: each differs from a good one in a single expectation.

The copies of a fixture cover every key of its `expect`, and every member and element within the lists
and objects that runners compare piece by piece.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runners import names

Fixture = dict[str, Any]
#: Compared piece by piece, so each piece is broken on its own.
WITHIN = {"images", "tool_calls", "usage", "choices", "model_ids"}
#: Settings of the client: they are not expectations. An unknown one must be refused all the same.
SETTINGS = "client"

#: How the name of a good copy ends.
GOOD = "-good"

Place = tuple[str | int, ...]


def other(value: object) -> object:
    """A value of the same type that differs; of null a text, because null has no other."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + " but not this"
    if isinstance(value, list):
        return [*value, "one more"]
    if isinstance(value, dict):
        return {**value, "one_more": 1}
    return "not null"


def places(expect: dict[str, Any]) -> Iterator[Place]:
    """Where something is expected."""

    def within(value: object, place: Place) -> Iterator[Place]:
        if isinstance(value, dict):
            for name, member in value.items():
                yield (*place, name)
                yield from within(member, (*place, name))
        if isinstance(value, list):
            for index, element in enumerate(value):
                yield (*place, index)
                yield from within(element, (*place, index))

    for key, value in expect.items():
        yield (key,)
        if key in WITHIN:
            yield from within(value, (key,))


def broken_at(fixture: Fixture, place: Place) -> Fixture:
    """A copy in which another value is expected at that place."""
    broken = copy.deepcopy(fixture)
    holder = broken["expect"]
    for step in place[:-1]:
        holder = holder[step]
    last = place[-1]
    wanted = holder[last]
    # Of several kinds the right one must be gone, whichever it is.
    holder[last] = ["no such kind"] if last == "kind_any" else other(wanted)
    return broken


def shortened(fixture: Fixture, key: str) -> Fixture:
    """A copy that expects one element less."""
    broken = copy.deepcopy(fixture)
    broken["expect"][key].pop()
    return broken


def copies(fixture: Fixture) -> Iterator[tuple[str, Fixture]]:
    """Every broken copy, with the words for what was broken."""
    expect = fixture["expect"]
    for place in places(expect):
        yield "/".join(map(str, place)), broken_at(fixture, place)
    for key in WITHIN & expect.keys():
        if isinstance(expect[key], list) and expect[key]:
            yield f"{key} without its last", shortened(fixture, key)
    unknown = copy.deepcopy(fixture)
    unknown["expect"]["not_a_key"] = None
    yield "a key that no runner knows", unknown


def write(good: Path, into: Path) -> dict[str, str]:
    """Writes the broken copies of all fixtures; gives what was broken, by the copy's name.

    Beside them stands a copy of each that is still good, so that it is the break that is seen.
    """
    told = {}
    for name in names(good):
        fixture = json.loads((good / f"{name}.json").read_text())
        good_copy = {**fixture, "name": f"{name}{GOOD}"}
        (into / f"{name}{GOOD}.json").write_text(json.dumps(good_copy))
        for number, (what, broken) in enumerate(copies(fixture)):
            copy_name = f"{name}-{number}"
            broken["name"] = copy_name
            (into / f"{copy_name}.json").write_text(json.dumps(broken))
            told[copy_name] = f"{name}: {what}"
    return told

"""Breaking any single expectation of any wire fixture makes the runner of every language fail."""

import json
from pathlib import Path

import pytest
from broken import GOOD, copies, write
from runners import RUNNERS, WIRE, Outcomes, all_outcomes, names

LANGUAGES = [runner.language for runner in RUNNERS]


class Broken:
    """What the runners found of the broken copies."""

    def __init__(self, folder: Path) -> None:
        self.told = write(WIRE, folder)
        self.found: dict[str, Outcomes] = all_outcomes(folder)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    return Broken(tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_broken_expectation_is_seen(broken: Broken, language: str) -> None:
    found = broken.found[language]
    unseen = [what for name, what in broken.told.items() if not found[name]]
    assert unseen == []
    assert not any("says nothing" in wrong for all_wrong in found.values() for wrong in all_wrong)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_good_copy_beside_the_broken_ones_passes(broken: Broken, language: str) -> None:
    found = {name: wrong for name, wrong in broken.found[language].items() if name.endswith(GOOD)}
    assert len(found) == len(names(WIRE))
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("name", names(WIRE))
def test_a_copy_differs_from_the_good_fixture_in_its_expectation_alone(name: str) -> None:
    fixture = json.loads((WIRE / f"{name}.json").read_text())
    made = [broken for _, broken in copies(fixture)]
    assert len(made) > len(fixture["expect"])
    for broken in made:
        assert broken["expect"] != fixture["expect"]
        assert {**broken, "expect": None} == {**fixture, "expect": None}

"""The pages for readers: their Python runs against the simulator, and their links lead somewhere.

Their C and C++ is run by tests/c/snippets.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elkapi
import elkapi.testing
import pytest
from conftest import KEY, ROOT, Gateway, simulator_program

EVERY = [ROOT / "README.md", ROOT / "python" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


@pytest.fixture(scope="module")
def started() -> Iterator[elkapi.testing.Simulator]:
    with elkapi.testing.Simulator(simulator_program()) as started:
        yield started


@pytest.mark.parametrize(
    "page", [page for page in EVERY if blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_python_of_a_page_runs(
    page: Path,
    gateway: Gateway,
    started: elkapi.testing.Simulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELKAPI_API_KEY", KEY)
    monkeypatch.setenv("ELKAPI_BASE_URL", gateway.url())
    monkeypatch.setenv("ELKAPI_SIM", str(simulator_program()))
    with elkapi.Client() as client:
        answer = client.ask("A cat", model="gemini-3-pro-image-preview")
        place: dict[str, Any] = {"elkapi": elkapi, "client": client, "answer": answer}
        for code in blocks(page):
            # A block that opens a client of its own has closed it again at its end.
            exec(code, place)
            place["client"] = client
        for name in [name for name in place if name.startswith("test_")]:
            told = elkapi.testing.Gateway(started, name)
            place[name](told)
            assert told.waiting == 0


def test_there_are_blocks_to_run() -> None:
    pages = {"README.md", "python/README.md"}
    pages |= {f"docs/{name}.md" for name in ("from-openai", "images", "records", "streaming", "testing")}
    assert pages <= {str(page.relative_to(ROOT)) for page in EVERY if blocks(page)}


@pytest.mark.parametrize("page", EVERY, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target

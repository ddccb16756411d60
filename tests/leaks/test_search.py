"""The search for keys sees a planted one in every spelling, and says nothing where there is none."""

import base64
import html
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest
from search import AWKWARD, keys, leaks

SPELLINGS: dict[str, Callable[[str], str]] = {
    "clear": str,
    "upper case": str.upper,
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "JSON, every character": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "URL": lambda key: urllib.parse.quote(key, safe=""),
    "URL, every character": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "HTML": html.escape,
    "HTML, every character": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "base64": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64, one further": lambda key: base64.b64encode(f" Bearer {key}.".encode()).decode(),
    "base64, two further": lambda key: base64.b64encode(f"x: Bearer {key}..".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "hexadecimal": lambda key: key.encode().hex(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", ["sk-planted", "sk-planted-0123", *AWKWARD])
def test_a_planted_key_is_found(key: str, spelling: str, tmp_path: Path) -> None:
    (tmp_path / "suite.log").write_text(f"ok\nsaid {SPELLINGS[spelling](key)}, and ended\n")
    looked_for = ["sk-planted", *AWKWARD]
    found = leaks([tmp_path], looked_for)
    assert len(found) >= 1, spelling
    assert all("suite.log" in line for line in found)
    assert key not in str(found)


def test_what_is_no_key_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "suite.log").write_text("ask-plant sk-*** Bearer [the key] c2stcGxhbn sk-plante\n")
    assert leaks([tmp_path], ["sk-planted", *AWKWARD]) == []


def test_the_keys_of_the_tests_are_known() -> None:
    known = keys()
    assert "sk-test" in known
    assert any(key.startswith("sk-MooseAntler") for key in known)
    awkward = AWKWARD[0]
    assert awkward in (Path(__file__).parents[2] / "crates/elkapi/tests/secrets.rs").read_text()


def test_nothing_to_look_at_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing to look at"):
        leaks([tmp_path], ["sk-planted"])

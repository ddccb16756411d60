"""Docstrings: the stub says what the runtime says, and every example runs."""

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elkapi
import pytest
from conftest import KEY, ROOT, Gateway

STUB = ROOT / "python" / "elkapi" / "_elkapi.pyi"
EXAMPLES = sorted((ROOT / "examples" / "python").glob("*.py"))


def _stub_docs() -> Iterator[tuple[str, str | None]]:
    """Dotted names of the stub's functions, classes, methods and properties, with their docstrings."""
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.FunctionDef) and hasattr(elkapi, node.name):
            yield node.name, ast.get_docstring(node)
        if isinstance(node, ast.ClassDef) and hasattr(elkapi, node.name):
            yield node.name, ast.get_docstring(node)
            for member in node.body:
                # Of several overloads the first one has the docstring.
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    overloaded = any(
                        ast.unparse(decorator) == "overload" for decorator in member.decorator_list
                    )
                    if overloaded and not ast.get_docstring(member):
                        continue
                    yield f"{node.name}.{member.name}", ast.get_docstring(member)


DOCS = dict(_stub_docs())


@pytest.mark.parametrize("name", DOCS)
def test_the_stub_has_the_docstring_of_the_runtime(name: str) -> None:
    value: Any = elkapi
    for part in name.split("."):
        value = inspect.getattr_static(value, part)
    doc = inspect.getdoc(value)
    assert doc
    assert DOCS[name] == doc


def _example(doc: str) -> str | None:
    block = re.search(r"(?:^|\n\n)((?: {4}.*\n|\n)+)", doc + "\n")
    return textwrap.dedent(block.group(1)) if block else None


WITH_EXAMPLE = {
    "elkapi": inspect.getdoc(elkapi) or "",
    "Error": inspect.getdoc(elkapi.Error) or "",
    **{name: doc for name, doc in DOCS.items() if doc and _example(doc)},
}


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_the_example_of_a_docstring_runs(
    name: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELKAPI_API_KEY", KEY)
    monkeypatch.setenv("ELKAPI_BASE_URL", gateway.url())
    code = _example(WITH_EXAMPLE[name])
    assert code
    with elkapi.Client() as client:
        answer = client.ask("A cat", model="gemini-3-pro-image-preview")
        exec(code, {"elkapi": elkapi, "client": client, "answer": answer})


ASYNCHRONOUS = {
    f"{kind.__name__}.{name}": _example(doc)
    for kind in (elkapi.AsyncClient, elkapi.AsyncStream)
    for name, member in [("__doc__", kind), *vars(kind).items()]
    if not name.startswith("_") or name == "__doc__"
    for doc in [inspect.getdoc(member)]
    if doc and _example(doc)
}


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_the_example_of_an_asynchronous_docstring_runs(
    name: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELKAPI_API_KEY", KEY)
    monkeypatch.setenv("ELKAPI_BASE_URL", gateway.url())
    code = ASYNCHRONOUS[name]
    assert code
    if "asyncio.run" in code:
        exec(code, {"elkapi": elkapi})
    else:
        body = f"async def main(client):\n{textwrap.indent(code, '    ')}\n"
        space: dict[str, Any] = {"elkapi": elkapi}
        exec(body, space)
        asyncio.run(space["main"](elkapi.AsyncClient()))
    assert gateway.requests() >= (0 if "with_options" in name else 1)


BEGINNINGS = [
    *("Client", "Client.ask", "Client.chat_completions", "Client.models", "Client.with_options"),
    *("Client.stream", "Stream", "Chunk"),
    *("Completion", "Document", "Image", "ImageOptions", "Timeout", "Error", "elkapi"),
    *("image_part",),
]


def test_the_classes_that_people_begin_with_have_an_example() -> None:
    for name in BEGINNINGS:
        assert name in WITH_EXAMPLE, name


def _run(example: Path, gateway: Gateway, key: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ELKAPI_API_KEY": key, "ELKAPI_BASE_URL": gateway.url()}
    command = [sys.executable, str(example)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_program_runs(example: Path, gateway: Gateway, tmp_path: Path) -> None:
    done = _run(example, gateway, KEY, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert gateway.requests() >= 1
    if example.stem == "picture":
        assert (tmp_path / "cat.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_program_fails_with_a_sentence(example: Path, gateway: Gateway, tmp_path: Path) -> None:
    done = _run(example, gateway, "sk-invalid", tmp_path)
    assert done.returncode == 1
    assert "Check the API key" in done.stderr
    assert "Traceback" not in done.stderr

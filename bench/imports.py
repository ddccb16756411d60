"""What an import takes: fresh processes, interleaved, with the bytecode compiled."""

import statistics
import subprocess
from pathlib import Path

from clients import PACKAGES, environment, interpreter
from ground import pinned
from table import spread, table

MODULES = {
    "elkapi": "elkapi",
    "openai": "openai",
    "httpx": "httpx",
    "requests": "requests",
    "pycurl": "pycurl",
    "primp": "primp",
    "pyreqwest": "pyreqwest.client",
    "liter-llm": "liter_llm",
}
CODE = """
import sys, time
before = len(sys.modules); start = time.perf_counter()
{statement}
took = time.perf_counter() - start
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
peak = int(status["VmHWM"].split()[0]) / 1024
print(took * 1000, peak, len(sys.modules) - before)
"""


def measured(processes: int) -> tuple[float, str]:
    """The milliseconds that elkapi takes, and the table."""
    programs: dict[str, tuple[Path, str]] = {"(nothing)": (interpreter(""), "pass")}
    for name, module in MODULES.items():
        programs[name] = (interpreter(name if name in PACKAGES else ""), f"import {module}")
    figures: dict[str, list[list[float]]] = {name: [] for name in programs}
    for number in range(processes + 1):
        for name, (python, statement) in programs.items():
            command = pinned(1, python, "-c", CODE.format(statement=statement))
            done = subprocess.run(command, env=environment(), stdout=subprocess.PIPE, text=True, check=True)
            if number:
                figures[name].append([float(word) for word in done.stdout.split()])
    lines = [("package", "import, ms", "peak, MiB", "modules loaded", "version")]
    for name, rows in figures.items():
        took, peak, modules = ([row[column] for row in rows] for column in range(3))
        version = PACKAGES[name].partition("==")[2] if name in PACKAGES else ""
        times = spread(took, statistics.median(took))
        lines.append((name, times, f"{statistics.median(peak):.1f}", f"{modules[0]:.0f}", version))
    return statistics.median(row[0] for row in figures["elkapi"]), table(*lines)

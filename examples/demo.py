"""`make demo`: one exchange and one picture from each of a C, a C++ and a Python program.

They talk to the simulator, or to the real gateway when ELKAPI_API_KEY is set.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "demo"
LIBRARY = ROOT / "target" / "release"


def compiled(source: str, *compiler: str) -> str:
    program = OUT / Path(source).name.replace(".", "_")
    command = [
        *compiler,
        "-O1",
        "-Wall",
        f"-I{ROOT / 'include'}",
        str(ROOT / source),
        "-o",
        str(program),
        f"-L{LIBRARY}",
        "-lelkapi",
        f"-Wl,-rpath,{LIBRARY}",
    ]
    subprocess.run(command, check=True)
    return str(program)


def show(title: str, *command: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)
    subprocess.run(command, check=True, cwd=OUT)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    simulator = None
    if os.environ.get("ELKAPI_API_KEY"):
        print("Talking to", os.environ.get("ELKAPI_BASE_URL", "https://api.elkapi.com/v1"))
    else:
        simulator = subprocess.Popen(
            [LIBRARY / "elkapi-sim", "--until-stdin-closes", "--quiet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert simulator.stdout is not None
        os.environ["ELKAPI_BASE_URL"] = simulator.stdout.readline().strip()
        os.environ["ELKAPI_API_KEY"] = "sk-demo"
        print("Talking to the simulator at", os.environ["ELKAPI_BASE_URL"])
    try:
        show("C: examples/c/hello.c", compiled("examples/c/hello.c", "cc", "-std=c99"))
        show("C++: examples/cpp/hello.cpp", compiled("examples/cpp/hello.cpp", "c++", "-std=c++17"))
        show("Python: examples/python/hello.py", sys.executable, str(ROOT / "examples/python/hello.py"))
        show("C: examples/c/picture.c", compiled("examples/c/picture.c", "cc", "-std=c99"), "c.png")
        show(
            "C++: examples/cpp/picture.cpp",
            compiled("examples/cpp/picture.cpp", "c++", "-std=c++17"),
            "cpp.png",
        )
        show(
            "Python: examples/python/picture.py",
            sys.executable,
            str(ROOT / "examples/python/picture.py"),
            "python.png",
        )
        print(f"\nThe pictures are in {OUT.relative_to(ROOT)}/")
    finally:
        if simulator is not None:
            simulator.communicate(timeout=10)


if __name__ == "__main__":
    main()

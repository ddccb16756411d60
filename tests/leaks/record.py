"""Runs a Python test suite and keeps what it leaves behind, for `search.py`.

`record.py FOLDER pytest|SCRIPT ARGUMENTS…`. Into FOLDER go what the processes that the suite starts have
said, every elkapi error with its document, and the suite's temporary files, which are not removed. What
the suite itself prints goes where it always goes.
"""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(folder: Path, suite: str, arguments: list[str]) -> None:
    # Tests change the working directory.
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    files = folder / "files"
    files.mkdir(parents=True)
    keep_temporary_files(files)
    keep_what_processes_say(folder / "processes.log")
    sys.argv = [suite, *arguments]
    if suite == "pytest":
        keep_errors(folder / "errors.log")
        sys.argv.append(f"--basetemp={files / 'pytest'}")
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(suite).resolve().parent)
        runpy.run_path(suite, run_name="__main__")


def keep_temporary_files(files: Path) -> None:
    tempfile.tempdir = os.environ["TMPDIR"] = str(files.resolve())
    for name in ("_cleanup", "_rmtree"):
        setattr(tempfile.TemporaryDirectory, name, classmethod(lambda *_, **__: None))


def keep_what_processes_say(log: Path) -> None:
    ordinary = subprocess.Popen.communicate

    def communicate(self: Any, *arguments: Any, **options: Any) -> Any:
        said = ordinary(self, *arguments, **options)
        with log.open("ab") as file:
            for text in said:
                file.write((text.encode() if isinstance(text, str) else text or b"") + b"\n")
        return said

    subprocess.Popen.communicate = communicate  # type: ignore[method-assign]


def keep_errors(log: Path) -> None:
    import elkapi

    ordinary = elkapi.Error.__init__

    def init(self: Any, *arguments: Any, **facts: Any) -> None:
        ordinary(self, *arguments, **facts)
        with log.open("a", errors="backslashreplace") as file:
            # Not the reply's own bytes, which stay as they came, also where a server echoes the key.
            kept = {name: value for name, value in vars(self).items() if name != "raw"}
            given = [value for value in arguments if not isinstance(value, bytes)]
            file.write(f"{self}\n{self!r}\n{kept}\n{given} {facts}\n")

    elkapi.Error.__init__ = init  # type: ignore[method-assign]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])

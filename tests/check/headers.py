"""The headers, in clang."""

import os

from base import check, run


@check("clang", "clang++")
def headers_compile_with_clang() -> None:
    """Everything that `make test` asks of gcc: each standard, alone and from two files of one program."""
    said = run("python3", "tests/c/run.py", "headers/compile", env={**os.environ, "ELKAPI_TOOLS": "clang"})
    assert "ok     headers/compile" in said, said

"""The headers, in clang and in Doxygen."""

import os
import shutil

from base import BUILD, ROOT, check, run


@check("clang", "clang++")
def headers_compile_with_clang() -> None:
    """Everything that `make test` asks of gcc: each standard, alone and from two files of one program."""
    said = run("python3", "tests/c/run.py", "headers/compile", env={**os.environ, "ELKAPI_TOOLS": "clang"})
    assert "ok     headers/compile" in said, said


@check("g++")
def the_cpp_tests_pass_in_the_standards_between() -> None:
    """`make test` has C++17, C++23 and clang's C++20, which together compile every line of the header."""
    said = run("python3", "tests/c/run.py", "cpp/20", "cpp/23-own")
    assert "2 passed, 0 failed" in said, said


@check("doxygen")
def doxygen_reads_the_headers_without_a_warning() -> None:
    pages = BUILD / "doxygen"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    settings = (ROOT / "docs/Doxyfile").read_text() + f"OUTPUT_DIRECTORY = {pages}\n"
    said = run("doxygen", "-", input=settings)
    assert not said.strip(), said
    # The comments of all three kinds have arrived: functions, numbers, C++.
    text = " ".join(page.read_text() for page in (pages / "html").glob("*.html"))
    for sentence in (
        "Sends a chat request, a JSON object, and waits for the whole answer.",
        "The balance or the key's budget is used up.",
        "A client of one gateway with one key; it holds the connections.",
    ):
        assert sentence in text.replace("&#39;", "'"), f"{sentence!r} is on no page"
    # And a warning is one: a reference to what does not exist.
    broken = settings.replace("include/elkapi.h ", f"{BUILD / 'broken.h'} ", 1)
    (BUILD / "broken.h").write_text(
        "/** @file\n * @ref nothing_of_that_name */\n/** One. */\nint one(void);\n"
    )
    seen = ""
    try:
        run("doxygen", "-", input=broken)
    except AssertionError as failure:
        seen = str(failure)
    assert "nothing_of_that_name" in seen, "a broken reference was not seen"

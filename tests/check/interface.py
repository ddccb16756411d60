"""The binary interface, and the parsers of other languages that read elkapi.ffi.h as it is."""

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from base import RELEASE, ROOT, check, run, simulator

sys.path.insert(0, str(ROOT / "packaging"))
import abi


@check("abidw", "abidiff", "cargo")
def the_binary_interface_is_as_promised() -> None:
    """docs/abi.md. And each kind of broken promise is seen: in a library that does not keep it."""
    abi.check(abi.library())

    whole, listed = abi.promised("xml").read_text(), abi.promised("txt").read_text().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "changed.xml"

        def library_with(change: Callable[[str], str]) -> Callable[[], None]:
            def compared() -> None:
                text = change(whole)
                assert text != whole, "the change changes nothing"
                changed.write_text(text)
                abi.compare(abi.promised("xml"), changed)

            return compared

        narrower = re.search(r'name="i32" size-in-bits="32" id="(.*?)"', whole).group(1)
        wider = re.search(r'name="i64" size-in-bits="64" id="(.*?)"', whole).group(1)
        function = re.compile(r'(<function-decl name="elk_result_int".*?</function-decl>)', re.S)
        parameter = re.compile(r' *<parameter type-id="\S+" name="fallback" />\n')
        broken = {
            "an argument of another size": library_with(
                lambda text: function.sub(
                    lambda one: one[1].replace(f'"{wider}" name', f'"{narrower}" name'), text
                )
            ),
            "a result of another size": library_with(
                lambda text: function.sub(
                    lambda one: one[1].replace(f'<return type-id="{wider}"', f'<return type-id="{narrower}"'),
                    text,
                )
            ),
            "an argument less": library_with(lambda text: parameter.sub("", text)),
            "a function less": library_with(
                lambda text: re.sub(r' *<elf-symbol name="elk_result_int".*?\n', "", function.sub("", text))
            ),
            "another soname": library_with(lambda text: text.replace("libelkapi.so.0", "libelkapi.so.1")),
            "a pointer that is no longer to const": lambda: abi.keeps(
                listed,
                [
                    line.replace(
                        "const elk_client *client, const char *path", "elk_client *client, const char *path"
                    )
                    for line in listed
                ],
            ),
            "a number that is another": lambda: abi.keeps(
                listed, [line.replace("ELK_E_DNS = -33", "ELK_E_DNS = -34") for line in listed]
            ),
        }
        for what, comparison in broken.items():
            try:
                comparison()
            except abi.BrokenPromiseError:
                continue
            raise AssertionError(f"{what} was not seen")
        # A function more is no broken promise.
        added = whole.replace("elk_result_int", "elk_result_more")
        more = re.search(r' *<elf-symbol name="elk_result_more".*?\n', added).group(0)
        declared = function.search(whole).group(1).replace("elk_result_int", "elk_result_more")
        changed.write_text(
            whole.replace("  </elf-function-symbols>", more + "  </elf-function-symbols>").replace(
                "  </abi-instr>", declared + "\n  </abi-instr>"
            )
        )
        abi.compare(abi.promised("xml"), changed)


def calls_through(*command: object) -> None:
    """The program reads the header unchanged and makes a call by it."""
    with simulator() as base_url:
        env = {"ELKAPI_BASE_URL": base_url, "ELKAPI_API_KEY": "sk-test", "PATH": "/usr/bin:/bin"}
        said = run(*command, ROOT / "include/elkapi.ffi.h", RELEASE / "libelkapi.so", env=env)
    wanted = f"elkapi {version()}: Moss, status 0; not_found -15"
    assert said.strip() == wanted, f"{said!r} is not {wanted!r}"


def version() -> str:
    return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)


@check("luajit")
def luajit_reads_the_header_and_calls() -> None:
    calls_through("luajit", ROOT / "tests/check/call.lua")


@check("php")
def php_reads_the_header_and_calls() -> None:
    calls_through("php", "-d", "ffi.enable=1", ROOT / "tests/check/call.php")


@check("python3")
def cffi_reads_the_header_and_calls() -> None:
    """With Debian's python3-cffi; `make test` reads it by the one from PyPI."""
    calls_through("/usr/bin/python3", ROOT / "tests/check/call_cffi.py")

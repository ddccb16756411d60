"""How the test programs are built and run: plain, by another compiler, or watched by a tool.

`ELKAPI_TOOLS` names the way; without it a program is built by gcc and linked as a newcomer would.

    clang           clang and clang++
    address-gcc     AddressSanitizer and UndefinedBehaviorSanitizer, in C, C++ and the Rust side
    address-clang   the same by clang
    valgrind        the library that is handed out, under valgrind: no error, no definite leak
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SANITIZED = ROOT / "build" / "address" / "x86_64-unknown-linux-gnu" / "static"
VALGRIND = "valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99"


class Toolchain:
    def __init__(self, name: str) -> None:
        names = ("", "clang", "address-gcc", "address-clang", "valgrind")
        if name not in names:
            raise SystemExit(f"ELKAPI_TOOLS is {name}, not one of {', '.join(names[1:])}")
        self.name = name
        self.c, self.cpp = ("clang", "clang++") if "clang" in name else ("gcc", "g++")
        self.sanitized = name.startswith("address")
        # Lines are for the tools to name; the checks themselves name their own.
        self.flags: tuple[str, ...] = ("-g",) if name else ()
        if self.sanitized:
            # A sanitizer that only warns would be overlooked.
            self.flags += ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

    @property
    def sees(self) -> dict[str, str]:
        """The mistakes of faulty.c that the tool must see, and the words it has for them."""
        if self.sanitized:
            overflow = "signed integer overflow"
            return {"leak": "LeakSanitizer", "read": "heap-buffer-overflow", "undefined": overflow}
        if self.name == "valgrind":
            return {"leak": "definitely lost", "read": "Invalid read"}
        return {}

    def libraries(self, folder: Path) -> tuple[str, ...]:
        if self.sanitized:
            needs = (SANITIZED / "native-libs").read_text().split()
            return (str(SANITIZED / "libelkapi.a"), *needs)
        return (f"-L{folder}", "-lelkapi", "-lpthread", f"-Wl,-rpath,{folder}")

    def runnable(self, program: Path) -> Path:
        """What to run for the program."""
        if self.sanitized:
            self.is_really_in(program)
        if self.name != "valgrind":
            return program
        script = program.with_name(program.name + "-valgrind")
        script.write_text(f'#!/bin/sh\nexec {VALGRIND} "{program}" "$@"\n')
        script.chmod(0o755)
        return script

    def is_really_in(self, program: Path) -> None:
        """AddressSanitizer is in the program, and Rust code calls it. Of UndefinedBehaviorSanitizer a
        program without arithmetic has no trace; `tools/see` shows it at work."""
        symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
        assert "__asan_init" in symbols, f"no sanitizer is in {program}"
        code = ["objdump", "-d", "--no-show-raw-insn", "--disassemble=elk_result_image_bytes", program]
        assert "__asan_report_" in subprocess.run(code, capture_output=True, text=True, check=True).stdout, (
            f"the Rust side of {program} is not watched"
        )


TOOLS = Toolchain(os.environ.get("ELKAPI_TOOLS", ""))

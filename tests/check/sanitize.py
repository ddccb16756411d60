"""The C and C++ tests once more, watched: by sanitizers on both sides of the interface, and by valgrind."""

import os

from base import ROOT, check, run

SANITIZED = ROOT / "build" / "address"
# What goes through the interface in every way; other stops and forks are about time, which the tools stretch.
PROGRAMS = (
    "programs/arguments",
    "programs/answer",
    "programs/quote",
    "programs/stream",
    "programs/stop-points",
    "queue/arguments",
    "queue/calls",
    "queue/streams",
    "queue/stop",
    "queue/hook",
    "queue/record",
    "queue/freed",
    "queue/exit",
    "queue/return",
    "queue/quick-exit",
    "cpp/17",
)
EXAMPLES = ("examples/hello", "examples/picture", "examples/tools", "snippets/")


def watched(tools: str, *names: str) -> None:
    said = run("python3", "tests/c/run.py", "tools/", *names, env={**os.environ, "ELKAPI_TOOLS": tools})
    assert "ok     tools/see" in said, f"nothing shows that {tools} sees mistakes: {said}"


def build_sanitized() -> None:
    target = "x86_64-unknown-linux-gnu"
    needs = SANITIZED / target / "static" / "native-libs"
    needs.parent.mkdir(parents=True, exist_ok=True)
    run(
        *("cargo", "+nightly", "rustc", "-q", "--profile", "static", "-p", "elkapi-ffi", "--lib"),
        *("--crate-type", "staticlib", "--target", target, "--target-dir", SANITIZED),
        *("--", f"--print=native-static-libs={needs}"),
        env={**os.environ, "RUSTFLAGS": "-Zsanitizer=address"},
    )


@check("gcc", "g++", "cargo", "rustup", slow=True)
def no_sanitizer_complains_with_gcc() -> None:
    """AddressSanitizer, leaks included, and UndefinedBehaviorSanitizer; the wire fixtures too."""
    build_sanitized()
    watched("address-gcc", *PROGRAMS, *EXAMPLES, "stop/token", "wire/")


@check("clang", "clang++", "cargo", "rustup", slow=True)
def no_sanitizer_complains_with_clang() -> None:
    build_sanitized()
    watched("address-clang", *PROGRAMS, "examples/hello", "stop/token")


@check("valgrind", slow=True)
def no_leak_and_no_bad_access_under_valgrind() -> None:
    """On the library that is handed out."""
    watched("valgrind", *PROGRAMS, "examples/hello", "stop/token")

"""The Rust side: variants, fuzzing, documentation, the package."""

import os

from base import ROOT, check, run


@check("cargo", slow=True)
def the_variant_for_systems_without_eventfd() -> None:
    flags = {**os.environ, "RUSTFLAGS": "--cfg elkapi_portable"}
    folder = ROOT / "target" / "portable"
    run("cargo", "test", "-q", "-p", "elkapi", "--lib", "--test", "net", "--target-dir", folder, env=flags)


@check("cargo", "rustup", slow=True)
def half_a_minute_of_fuzzing() -> None:
    """Arbitrary bytes from a server and in a stream; `make fuzz` goes on for longer."""
    tools = ROOT / "build" / "tools"
    if not (tools / "bin" / "cargo-fuzz").exists():
        run("cargo", "+nightly", "install", "-q", "cargo-fuzz", "--root", tools)
    run("python3", "fuzz/seeds.py")
    path = {**os.environ, "PATH": f"{tools / 'bin'}:{os.environ['PATH']}"}
    for target in ("server_bytes", "events"):
        limits = ["-max_total_time=30", "-timeout=20", "-verbosity=0"]
        run("cargo", "+nightly", "fuzz", "run", target, "--", *limits, env=path)


@check("cargo")
def the_documentation_of_the_crate_has_no_warning() -> None:
    """The other crates are no libraries for Rust."""
    run("cargo", "doc", "-q", "--no-deps", "-p", "elkapi", env={**os.environ, "RUSTDOCFLAGS": "-Dwarnings"})
    run("cargo", "doc", "-q", "--no-deps", "--workspace", env={**os.environ, "RUSTDOCFLAGS": "-Dwarnings"})


@check("cargo")
def the_crate_can_be_packaged() -> None:
    """Cargo builds what it packed; the licences and a description go with it."""
    said = run("cargo", "package", "-p", "elkapi", "--allow-dirty", "--locked")
    # That examples and tests stay behind is meant.
    warnings = [line for line in said.splitlines() if "warning" in line and "is not included" not in line]
    assert not warnings, said
    listed = run("cargo", "package", "-p", "elkapi", "--allow-dirty", "--list").split()
    for wanted in ("Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src/lib.rs"):
        assert wanted in listed, f"{wanted} is not in {listed}"

"""Installed: `make install`, `make uninstall`, the Debian packages, and programs built against them."""

import os
import shutil
import tempfile
from pathlib import Path

from base import ROOT, check, run, simulator

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
HELLO = {"c": ROOT / "examples/c/hello.c", "cpp": ROOT / "examples/cpp/hello.cpp"}
COMPILERS = {"c": ("cc", "-std=c99"), "cpp": ("c++", "-std=c++17")}
PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(hello C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(elkapi 0.1 CONFIG REQUIRED)
foreach(language c cpp)
  foreach(target elkapi elkapi-static)
    add_executable(hello_${language}_${target} hello.${language})
    target_link_libraries(hello_${language}_${target} PRIVATE elkapi::${target})
    target_compile_options(hello_${language}_${target} PRIVATE -Wall -Wextra -Werror)
  endforeach()
endforeach()
"""


def installed(folder: Path, *directories: str) -> Path:
    """The image of a `make install` below PREFIX=/usr; what is there is rebuilt first if it is stale."""
    run("make", "library", "simulator")
    run("make", "install", f"DESTDIR={folder}", "PREFIX=/usr", *directories)
    return folder / "usr"


def answers(program: Path, library: Path | None) -> None:
    """The program's chat completion works, with the shared library from that folder or with none."""
    dynamic = run("readelf", "-d", program)
    assert ("[libelkapi.so.0]" in dynamic) == (library is not None), f"{program} needs\n{dynamic}"
    with simulator() as base_url:
        env = {"ELKAPI_BASE_URL": base_url, "ELKAPI_API_KEY": "sk-test"}
        if library is not None:
            env["LD_LIBRARY_PATH"] = str(library)
        said = run(program, env=env)
    assert "tokens" in said, f"{program} says {said!r}"


def programs_build_three_ways(prefix: Path, libraries: Path, folder: Path) -> None:
    """In C and C++: pkg-config shared, pkg-config static, and CMake with both targets."""
    pkg_config = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig")}
    for language, compiler in COMPILERS.items():
        flags = run("pkg-config", "--cflags", "--libs", "elkapi", env=pkg_config).split()
        program = folder / f"{language}-shared"
        run(*compiler, *STRICT, HELLO[language], "-o", program, *flags)
        answers(program, libraries)

        # What `pkg-config --static` names is complete for a linker that finds no shared library.
        archive_only = folder / "archive-only"
        archive_only.mkdir(exist_ok=True)
        shutil.copy(libraries / "libelkapi.a", archive_only)
        flags = run("pkg-config", "--static", "--cflags", "--libs", "elkapi", env=pkg_config).split()
        flags = [f"-L{archive_only}" if flag.startswith("-L") else flag for flag in flags]
        program = folder / f"{language}-static"
        run(*compiler, *STRICT, HELLO[language], "-o", program, *flags)
        answers(program, None)
        # And the way that docs/c-guide.md shows.
        needs = run("pkg-config", "--variable=static_needs", "elkapi", env=pkg_config).split()
        flags = run("pkg-config", "--cflags", "--libs", "elkapi", env=pkg_config).split()
        program = folder / f"{language}-static-chosen"
        both = ["-Wl,-Bstatic", *flags, "-Wl,-Bdynamic", *needs]
        run(*compiler, *STRICT, HELLO[language], "-o", program, *both)
        answers(program, None)

    project = folder / "project"
    project.mkdir()
    (project / "CMakeLists.txt").write_text(PROJECT)
    for source in HELLO.values():
        shutil.copy(source, project)
    run("cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", project / "build")
    for language in HELLO:
        answers(project / "build" / f"hello_{language}_elkapi", libraries)
        answers(project / "build" / f"hello_{language}_elkapi-static", None)


@check("make", "cargo", "pkg-config", "cmake", "readelf")
def programs_build_against_an_installed_library() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "image"
        # Debian's directory, one deeper than the usual one.
        there = "lib/" + run("cc", "-print-multiarch").strip()
        prefix = installed(image, f"LIBDIR=/usr/{there}")
        libraries = prefix / there
        links = {path.name: path.readlink().name for path in libraries.iterdir() if path.is_symlink()}
        assert links == {"libelkapi.so": "libelkapi.so.0", "libelkapi.so.0": "libelkapi.so.0.1.0"}, links
        dynamic = run("readelf", "-d", libraries / "libelkapi.so")
        assert "soname: [libelkapi.so.0]" in dynamic, dynamic
        assert "NODELETE" in dynamic, dynamic

        # The image is a prefix elsewhere than /usr, and may be moved once more.
        (folder / "first").mkdir()
        programs_build_three_ways(prefix, libraries, folder / "first")
        moved = Path(shutil.move(prefix, folder / "moved"))
        (folder / "second").mkdir()
        programs_build_three_ways(moved, moved / there, folder / "second")


@check("make", "cargo")
def uninstall_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory() as name:
        installed(Path(name))
        files = [path for path in Path(name).rglob("*") if not path.is_dir()]
        assert len(files) == 10, files
        run("make", "uninstall", f"DESTDIR={name}", "PREFIX=/usr")
        left = [path for path in Path(name).rglob("*") if not path.is_dir()]
        assert not left, left


SECOND = """
use std::ffi::c_char;

/// Something of the standard library that both archives have: text, a thread, a caught panic.
#[unsafe(no_mangle)]
pub extern "C" fn second_works(text: *const c_char) -> i32 {
    let text = unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned();
    let length = std::thread::spawn(move || format!("{text}{text}").len()).join().unwrap_or(0);
    let caught = std::panic::catch_unwind(|| { if length > 0 { panic!("on purpose") } }).is_err();
    if caught { length as i32 } else { -1 }
}
"""
BOTH = """
#include <elkapi.h>
#include <stdio.h>

int second_works(const char *text);

int main(void) {
    elk_client *client = elk_client_new(NULL, 0);
    elk_result *answer = elk_chat_completions(
        client, "{\\"messages\\":[{\\"role\\":\\"user\\",\\"content\\":\\"Hi\\"}]}", ELK_NUL, NULL);
    int works = elk_result_status(answer) == ELK_OK && second_works("elk") == 6;
    if (works) puts("both work, tokens or not");
    elk_result_free(answer);
    elk_client_free(client);
    return works ? 0 : 1;
}
"""


@check("make", "cargo", "rustc", "cc")
def two_static_libraries_of_rust_link_into_one_program() -> None:
    run("make", "library", "simulator")
    needs = (ROOT / "target/static/native-libs").read_text().split()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "second.rs").write_text(SECOND)
        (folder / "both.c").write_text(BOTH)
        archive = folder / "libsecond.a"
        rustc = ["rustc", "--edition=2024", "--crate-type=staticlib", "-Copt-level=2"]
        run(*rustc, folder / "second.rs", "-o", archive)
        for order in (
            [ROOT / "target/static/libelkapi.a", archive],
            [archive, ROOT / "target/static/libelkapi.a"],
        ):
            program = folder / "both"
            run("cc", *STRICT, f"-I{ROOT / 'include'}", folder / "both.c", *order, *needs, "-o", program)
            answers(program, None)


@check("dpkg-buildpackage", "dh", "lintian", "cargo", "cmake", "pkg-config", slow=True)
def debian_packages_build_and_serve() -> None:
    """Built, without warnings of lintian, and installed into a root of their own that programs use."""
    run("make", "deb", "simulator")
    packages = sorted((ROOT / "build/deb").glob("*.deb"))
    names = [package.name.split("_")[0] for package in packages]
    assert names == ["libelkapi-dev", "libelkapi0"], names
    normal = ("--suppress-tags", "initial-upload-closes-no-bugs")
    run("lintian", "--fail-on", "error,warning", *normal, *packages)
    symbols = run("dpkg-deb", "-I", packages[1], "symbols")
    written = (ROOT / "packaging/debian/libelkapi0.symbols").read_text()
    assert symbols.count("@Base") == written.count("@Base") > 20, symbols
    documents = run("dpkg-deb", "--contents", packages[0])
    for page in (ROOT / "docs").glob("*.md"):
        assert f"/libelkapi-dev/docs/{page.name}" in documents, f"{page.name} is not in the package"
    run("apt-get", "install", "--simulate", *packages)  # that this system has what they depend on
    with tempfile.TemporaryDirectory() as name:
        # A system with nothing on it: what they depend on is therefore not looked at here.
        root = Path(name) / "root"
        for folder in ("info", "updates"):
            (root / "var/lib/dpkg" / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        run("dpkg", f"--root={root}", "--force-depends", "--force-not-root", "--install", *packages)
        triplet = run("dpkg-architecture", "-qDEB_HOST_MULTIARCH").strip()
        programs = Path(name) / "programs"
        programs.mkdir()
        programs_build_three_ways(root / "usr", root / "usr/lib" / triplet, programs)

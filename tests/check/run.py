"""`make check`: what needs Debian packages or more time than `make test` has.

Each check names the tools it needs. One that is missing prints `NOT RUN: name` and fails the run,
so that a green run always means that everything was looked at. Names as arguments run only those.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RELEASE = ROOT / "target" / "release"
BUILD = ROOT / "build" / "check"


@dataclass
class Check:
    name: str
    tools: tuple[str, ...]
    run: Callable[[], None]


CHECKS: list[Check] = []


def check(*tools: str):
    def add(function: Callable[[], None]) -> Callable[[], None]:
        CHECKS.append(Check(function.__name__.replace("_", "-"), tools, function))
        return function

    return add


def run(*command: object, **options) -> str:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        **options,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout}")
    return done.stdout


@contextmanager
def simulator():
    command = [RELEASE / "elkapi-sim", "--fixtures", ROOT / "tests/wire", "--until-stdin-closes", "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=10)


def compiled(source: str, *flags: str, compiler: str = "cc", name: str = "") -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / (name or Path(source).name.replace(".", "_"))
    libraries = [f"-L{RELEASE}", "-lelkapi", f"-Wl,-rpath,{RELEASE}"]
    run(compiler, *flags, f"-I{ROOT / 'include'}", ROOT / source, "-o", program, *libraries, "-lpthread")
    return program


@check("clang", "clang++")
def headers_compile_with_clang() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I", ROOT / "include"]
    for standard in ("c99", "c11", "c17"):
        run("clang", f"-std={standard}", *strict, "-x", "c", ROOT / "include/elkapi.h")
    for standard in ("c++11", "c++14", "c++17", "c++20", "c++2b"):
        run("clang++", f"-std={standard}", *strict, "-x", "c++", ROOT / "include/elkapi.h")
    for standard in ("c++17", "c++20", "c++2b"):
        run("clang++", f"-std={standard}", *strict, "-x", "c++", ROOT / "include/elkapi.hpp")


@check("valgrind")
def no_leak_and_no_bad_access_under_valgrind() -> None:
    program = compiled("examples/c/hello.c", "-std=c99", "-g")
    with simulator() as base_url:
        run(
            "valgrind",
            "--quiet",
            "--leak-check=full",
            "--errors-for-leak-kinds=definite",
            "--error-exitcode=9",
            program,
            env={"ELKAPI_BASE_URL": base_url, "ELKAPI_API_KEY": "sk-test", "PATH": "/usr/bin:/bin"},
        )


NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 64m;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream gateway {{ server {upstream}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    {server}
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; {location}
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@check("nginx")
def an_independent_server_in_front() -> None:
    """nginx before the simulator: kept and closed connections, replies with length and chunked."""
    program = compiled("tests/c/repeat.c", "-std=c99")
    gzip = "gzip on; gzip_min_length 1; gzip_types application/json; gzip_proxied any;"
    with simulator() as base_url:
        upstream = re.search(r"//([^/]+)", base_url).group(1)
        for server, location, headers in (
            ("", "", "{}"),
            ("keepalive_timeout 0;", "", "{}"),
            ("", "proxy_buffering off;", "{}"),
            (gzip, "", '{"accept-encoding":"gzip"}'),
        ):
            with tempfile.TemporaryDirectory() as folder:
                port = free_port()
                config = Path(folder) / "nginx.conf"
                config.write_text(
                    NGINX.format(
                        folder=folder, upstream=upstream, port=port, server=server, location=location
                    )
                )
                process = subprocess.Popen(["nginx", "-c", config, "-e", f"{folder}/error.log"])
                try:
                    wait_until_listening(port)
                    # A short reply, a long one that nginx sends chunked under gzip, the models list.
                    run(program, f"http://127.0.0.1:{port}/v1", headers)
                finally:
                    process.terminate()
                    process.wait(timeout=10)


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)


def asks_through(scheme: str, password: str, proxy: list[object], port: int) -> None:
    """Calls through a proxy that wants a login: with it, with a wrong one, without any."""
    program = compiled("tests/c/once.c", "-std=c99")
    escaped = "".join(f"%{byte:02X}" for byte in password.encode())
    process = subprocess.Popen([str(part) for part in proxy], stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(port)
        with simulator() as base_url:
            for login, says in (
                (f"elk:{escaped}@", "Moss"),
                (f"elk:no-{escaped}@", f"proxy: The proxy 127.0.0.1:{port} refused the login"),
                ("", f"proxy: The proxy 127.0.0.1:{port} wants a login"),
            ):
                options = {
                    "base_url": base_url,
                    "api_key": "sk-test",
                    "proxy": f"{scheme}://{login}127.0.0.1:{port}",
                }
                said = run(program, json.dumps(options))
                assert said.startswith(says), f"{options['proxy']}: {said}"
                assert password not in said, said
    finally:
        process.terminate()
        process.wait(timeout=10)


@check("tinyproxy")
def through_tinyproxy() -> None:
    with tempfile.TemporaryDirectory() as folder:
        port, password = free_port(), "p.ss-w0rd"
        config = Path(folder) / "tinyproxy.conf"
        lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", f"BasicAuth elk {password}"]
        config.write_text("\n".join([*lines, f'LogFile "{folder}/log"', ""]))
        asks_through("http", password, ["tinyproxy", "-d", "-c", config], port)


@check("microsocks")
def through_a_socks_proxy() -> None:
    for scheme in ("socks5", "socks5h"):
        port, password = free_port(), "p@ss:w0rd"
        proxy = ["microsocks", "-i", "127.0.0.1", "-p", port, "-u", "elk", "-P", password]
        asks_through(scheme, password, proxy, port)


@check("strace")
def four_system_calls_per_warm_call() -> None:
    """The difference between two runs, so that start and end do not count."""
    program = compiled("tests/c/repeat_count.c", "-std=c99", "-O2")

    def calls(repeats: int) -> int:
        with simulator() as base_url, tempfile.NamedTemporaryFile() as report:
            run("strace", "-f", "-c", "-o", report.name, program, base_url, str(repeats))
            total = [line for line in Path(report.name).read_text().splitlines() if line.endswith("total")]
            return int(total[0].split()[3 if len(total[0].split()) > 4 else 2])

    few, many = calls(100), calls(1100)
    per_call = (many - few) / 1000
    assert per_call <= 4.05, f"{per_call:.2f} system calls per warm call"


@check("cargo")
def the_variant_for_systems_without_eventfd() -> None:
    flags = {**os.environ, "RUSTFLAGS": "--cfg elkapi_portable"}
    folder = ROOT / "target" / "portable"
    run("cargo", "test", "-q", "-p", "elkapi", "--lib", "--test", "net", "--target-dir", folder, env=flags)


@check("cargo", "rustup")
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


def main() -> int:
    wanted = sys.argv[1:]
    passed = failed = 0
    for one in CHECKS:
        if wanted and one.name not in wanted:
            continue
        missing = [tool for tool in one.tools if shutil.which(tool) is None]
        if missing:
            print(
                f"NOT RUN: {one.name} (needs {', '.join(missing)}; see .ci/run for the packages)", flush=True
            )
            failed += 1
            continue
        started = time.monotonic()
        try:
            one.run()
            passed += 1
            print(f"ok {one.name} ({time.monotonic() - started:.0f} s)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {one.name}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())

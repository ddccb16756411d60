"""What stands between client and gateway in the world: a web server, proxies; and the system calls."""

import json
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from base import check, compiled, run, simulator

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

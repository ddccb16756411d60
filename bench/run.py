"""`make bench`: the whole suite, printed as Markdown; README.md says how to read it.

`--quick`: fewer rounds, shorter runs. `--write FILE`: the Markdown also replaces what stands in FILE between
the lines `<!-- bench:begin -->` and `<!-- bench:end -->`. ONLY=a,c: only these scenarios; `counts` is one.
WITH=C or WITH=Rust,Python: only clients in these languages, and those in C.
Fails when a program does, or when one reads another amount than it should.
"""

import argparse
import datetime
import http.client
import io
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import zipfile
from pathlib import Path

import imports
import replies
import table
from clients import CLIENTS, PACKAGES, Line, run
from counts import CASES, PROGRAMS, count
from ground import BUILD, RELEASE, ROOT, Server, authority, compiled, running, simulator
from results import Key, Results
from scenarios import IN_ALL_ROUNDS, SCENARIOS, STOPPED, Row, Scenario
from targets import cells

sys.path.insert(0, str(ROOT / "tests" / "c"))
from stalls import slow_dns, stalls

TOOLS = {
    "cc": "gcc",
    "taskset": "util-linux",
    "openssl": "openssl",
    "strace": "strace",
    "valgrind": "valgrind",
    "curl-config": "libcurl4-openssl-dev",
}
WARM_UP = 3


class Bench:
    def __init__(self, quick: bool, only: list[str]) -> None:
        self.quick, self.only = quick, only
        self.rounds = int(os.environ.get("ROUNDS", "2" if quick else "5"))
        #: How long one run takes, roughly.
        self.seconds = 0.05 if quick else 0.2
        self.sizes = replies.write(BUILD / "replies")
        self.results = Results()
        self.said = ""
        #: How long a call of each row took in the last run, so that not every run has to find out.
        self.known = BUILD / "calls.json"
        self.took_us: dict[str, float] = json.loads(self.known.read_text()) if self.known.exists() else {}

    def wants(self, letter: str) -> bool:
        return not self.only or letter in self.only

    def rows(self, scenario: Scenario) -> list[Row]:
        """Those in the languages that are wanted; the limit and libcurl are what all are compared with."""
        languages = [*words_of("WITH"), "C"]
        return [
            row for row in scenario.rows if len(languages) == 1 or CLIENTS[row.client].language in languages
        ]

    def show(self, text: str) -> None:
        print(text, flush=True)
        self.said += f"{text}\n"

    def show_section(self, title: str, text: str) -> None:
        self.show(f"\n### {title}\n\n{text}")

    def whole(self) -> None:
        compiled("server", "-lpthread")
        compiled("start")
        self.results.facts["library_mb"] = (RELEASE / "libelkapi.so").stat().st_size / 1e6
        self.results.facts["wheel_mb"] = wheel_mb()
        self.show(
            f"{machine()}\n\n{versions()}\n\n{self.rounds} interleaved rounds of about {self.seconds} s"
        )
        ca, options = authority()
        with running(BUILD / "server", BUILD / "replies") as server, simulator(*options) as secure:
            for scenario in SCENARIOS:
                if self.wants(scenario.letter):
                    self.measure(scenario, secure if scenario.tls else server, ca)
            if self.wants("counts") and (self.only or not self.quick):
                self.count(server)
        if self.wants("h"):
            took, text = imports.measured(5 if self.quick else 21)
            self.results.facts["import_ms"] = took
            self.show_section("(h) Import, in fresh processes", text)
        if self.wants("i"):
            self.stop()
        if self.wants("j") or (self.wants("a") and self.wants("b")):
            self.show_section("(j) Peak of resident memory, scenarios a and b", table.of_memory(self.results))
        everything = list(cells(self.results))
        chosen = [cell for cell in everything if not self.only or cell.measured is not None]
        self.show_section("Targets", table.of_targets(chosen))

    def measure(self, scenario: Scenario, server: Server, ca: Path) -> None:
        """Rounds in which every row takes its turn."""
        place = f"/{scenario.place}/v1" if scenario.place else "/v1"
        only = BUILD / "no-authorities"
        only.mkdir(exist_ok=True)
        # All trust the bench's authority, and read no other.
        trust = {"SSL_CERT_FILE": str(ca), "SSL_CERT_DIR": str(only)} if scenario.tls else {}

        def one(row: Row, calls: int) -> Line:
            more = [ca] if scenario.tls else []
            line = run(row.client, scenario.word, row.read, server.url + place, calls, *more, **trust)
            expected = self.sizes.get((scenario.word, row.read), len(replies.TEXT))
            if line.read != expected:
                sys.exit(f"{row.client}, {scenario.word} {row.read}: read {line.read}, not {expected}")
            return line

        notes: list[str] = []

        def as_many_as_fit(row: Row) -> int:
            name = f"{scenario.word} {row.client} {row.read}"
            if scenario.tls:
                before = handshakes(server, ca)
                self.took_us[name] = one(row, 5).median_us
                notes.append(confirm(scenario, row, before, handshakes(server, ca)))
            elif name not in self.took_us:
                self.took_us[name] = one(row, 5).median_us
            return max(3, int(self.seconds * 1e6 / self.took_us[name]))

        tell(f"({scenario.letter}) {scenario.title}")
        calls = {row: scenario.calls or as_many_as_fit(row) for row in self.rows(scenario)}
        rounds = scenario.rounds[self.quick] or self.rounds
        for number in range(max(rounds, scenario.close[self.quick])):
            for row in calls:
                if number >= rounds and row.client not in IN_ALL_ROUNDS:
                    continue
                key = Key(scenario.word, row.client, row.read)
                line = one(row, calls[row])
                self.results.lines.setdefault(key, []).append(line)
                self.took_us[f"{scenario.word} {row.client} {row.read}"] = line.median_us
        self.known.write_text(json.dumps(self.took_us))
        text = table.of_scenario(scenario, self.results) + "".join(notes)
        self.show_section(f"({scenario.letter}) {scenario.title}", text)

    def count(self, server: Server) -> None:
        tell("Counted")
        counted = {
            (case.word, case.read, client): count(client, server.url, case)
            for case in CASES
            for client in PROGRAMS
            if case.read != "path" or client == "elkapi (C)"
        }
        self.show_section("Counted per call", table.of_counts(counted))

    def stop(self) -> None:
        tell(f"({STOPPED.letter}) {STOPPED.title}")
        with simulator() as server, stalls(server.url) as urls:
            for _ in range(STOPPED.rounds[self.quick]):
                for row in self.rows(STOPPED):
                    env = {"LD_PRELOAD": str(slow_dns(BUILD))} if row.read == "dns" else {}
                    url = urls["wait" if row.read == "async" else row.read]
                    line = run(
                        row.client, "cancel", row.read, url, STOPPED.calls // (4 if self.quick else 1), **env
                    )
                    self.results.lines.setdefault(Key("cancel", row.client, row.read), []).append(line)
        self.show_section(f"({STOPPED.letter}) {STOPPED.title}", table.of_scenario(STOPPED, self.results))


def words_of(variable: str) -> list[str]:
    return [word for word in os.environ.get(variable, "").split(",") if word]


def tell(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def handshakes(server: Server, ca: Path) -> tuple[int, int]:
    """The simulator's counts of handshakes, and of those that resumed a session."""
    host = server.url.removeprefix("https://")
    connection = http.client.HTTPSConnection(host, context=ssl.create_default_context(cafile=ca))
    connection.request("GET", "/__stats")
    stats = json.load(connection.getresponse())
    connection.close()
    return stats["tls_handshakes"], stats["tls_resumed"]


def confirm(scenario: Scenario, row: Row, before: tuple[int, int], after: tuple[int, int]) -> str:
    """What the title says is what happened in a run of five calls: the simulator counted it.

    A peer that opens more connections than it needs is told of; others have to be right.
    """
    calls = WARM_UP + 5
    assert scenario.tls is not None
    anew, resumes = scenario.tls
    expected = (calls if anew else 1, calls - 1 if resumes else 0)
    # The second look is a connection of its own.
    seen = (after[0] - before[0] - 1, after[1] - before[1])
    if seen == expected:
        return ""
    words = f"{row.client} made {seen[0]} handshakes in {calls} calls, {seen[1]} of them resumed a session"
    if row.client.startswith(("elkapi", "libcurl", "pycurl")):
        sys.exit(f"{scenario.word}: {words}")
    return f"\n\n{words}."


def need_tools() -> None:
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"make bench needs these Debian packages: {' '.join(missing)}")


def machine() -> str:
    with open("/proc/cpuinfo") as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    now = datetime.datetime.now(datetime.UTC).date()
    return f"{now}; {cpu}, {os.cpu_count()} cores; Linux {platform.release().partition('-')[0]}"


def versions() -> str:
    def first_line(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]

    lock = (ROOT / "bench" / "rust" / "Cargo.lock").read_text()
    crates = {
        name: re.search(rf'name = "{name}"\nversion = "([^"]+)"', lock)
        for name in ("reqwest", "async-openai")
    }
    words = [first_line("curl-config", "--version"), first_line("cc", "--version")]
    words += [" ".join(first_line("rustc", "--version").split()[:2])]
    words += [f"{name} {found[1]}" for name, found in crates.items() if found]
    words += [f"CPython {platform.python_version()}"]
    words += [package.replace("==", " ") for package in PACKAGES.values()]
    return "; ".join(words)


def wheel_mb() -> float:
    """The package's files as a wheel holds them."""
    package = ROOT / "python" / "elkapi"
    files = [file for file in package.rglob("*") if file.suffix in (".py", ".pyi", ".so")]
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(package))
    return len(whole.getvalue()) / 1e6


def written(file: Path, text: str) -> None:
    begin, end = "<!-- bench:begin -->\n", "<!-- bench:end -->"
    before, found, rest = file.read_text().partition(begin)
    if not found:
        sys.exit(f"{file} has no line {begin}")
    file.write_text(before + begin + text + end + rest.partition(end)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    need_tools()
    bench = Bench(arguments.quick, words_of("ONLY"))
    bench.whole()
    if arguments.write:
        written(arguments.write, bench.said)


if __name__ == "__main__":
    main()

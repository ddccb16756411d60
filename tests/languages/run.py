"""`make languages`: one script of cases in every language that reads the header, as a table.

`cases.json` says what is done and what must come of it. A runner in each language
(`bindings/LANGUAGE/test/runner.*`) does it with the binding's public interface and tells what it saw; it
judges nothing. This program starts the simulator and the runners, judges, and looks at what the runners
cannot tell: the simulator's counters, signals, open sockets, written files. Then it runs every program of
each binding's README in a fresh folder against an installed library.

A missing interpreter is NOT RUN and a failure. Languages as arguments run only those.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "languages"
PREFIX = BUILD / "prefix"
VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
#: Far more than any case takes; what takes longer hangs.
LONGEST = 60.0


@dataclass(frozen=True)
class Language:
    """How a language's runner is built and started; commands run in the build folder of the language."""

    name: str
    title: str
    sources: str
    tools: tuple[str, ...]
    start: list[str]
    build: list[list[str]] = field(default_factory=list)

    @property
    def binding(self) -> Path:
        return ROOT / "bindings" / self.name

    @property
    def folder(self) -> Path:
        return BUILD / self.name


def binding(path: str) -> str:
    return str(ROOT / "bindings" / path)


#: For the types alone.
NODE_TOOLS = ["typescript@5", "@types/node@20"]

JNA = "/usr/share/java/jna.jar"

LANGUAGES = [
    Language(
        "ruby",
        "Ruby",
        "lib/elkapi.rb",
        ("ruby",),
        ["ruby", "-W", "-I", binding("ruby/lib"), binding("ruby/test/runner.rb")],
        [
            [
                "sh",
                "-euc",
                f"cd '{binding('ruby')}'; gem build --strict -o '{BUILD}/ruby/elkapi.gem' elkapi.gemspec",
            ]
        ],
    ),
    Language(
        "go",
        "Go",
        "elkapi.go",
        ("go", "cc", "pkg-config"),
        ["./runner"],
        [
            ["sh", "-euc", f"cd '{binding('go')}'; test -z \"$(gofmt -l .)\"; go vet ./..."],
            ["sh", "-euc", f"cd '{binding('go')}'; go build -o '{BUILD}/go/runner' ./test"],
        ],
    ),
    Language(
        "node",
        "Node.js",
        "elkapi.js",
        ("node", "npm"),
        ["node", "--expose-gc", "runner.mjs"],
        [
            # npm does not copy a package anew whose version it has.
            ["rm", "-rf", "node_modules/elkapi", "package-lock.json"],
            ["sh", "-c", f"test -f package.json || npm init -y && cp '{binding('node/test')}/'* ."],
            ["npm", "install", "-s", "--install-links", "--no-audit", binding("node"), *NODE_TOOLS],
            ["npx", "tsc", "--noEmit", "--strict", "--module", "nodenext", "--types", "node", "types.ts"],
        ],
    ),
    Language(
        "luajit",
        "LuaJIT",
        "elkapi.lua",
        ("luajit",),
        ["env", f"LUA_PATH={binding('luajit')}/?.lua", "luajit", binding("luajit/test/runner.lua")],
    ),
    Language(
        "csharp",
        "C#",
        "Elkapi.cs",
        ("mcs", "mono"),
        ["mono", "runner.exe"],
        [
            [
                "mcs",
                "-warnaserror",
                "-r:Mono.Posix",
                "-out:runner.exe",
                binding("csharp/test/Runner.cs"),
                binding("csharp/Elkapi.cs"),
            ]
        ],
    ),
    Language(
        "java",
        "Java",
        "src/com/elkapi/*.java",
        ("java", "javac", JNA),
        ["java", "-cp", f".:{JNA}", "Runner"],
        [
            [
                "sh",
                "-c",
                'javac -nowarn -cp "$1" -d . "$2"/src/com/elkapi/*.java "$2"/test/Runner.java',
                "sh",
                JNA,
                binding("java"),
            ]
        ],
    ),
]


def environment() -> dict[str, str]:
    """The installed library and nothing else of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ELKAPI_")}
    kept["LD_LIBRARY_PATH"] = str(PREFIX / "lib")
    kept["PKG_CONFIG_PATH"] = str(PREFIX / "lib/pkgconfig")
    # Java takes the names of files in the locale's encoding.
    kept["LC_ALL"] = "C.UTF-8"
    return kept


@contextlib.contextmanager
def simulator() -> Iterator[str]:
    program = ROOT / "target/release/elkapi-sim"
    command = [program, "--fixtures", ROOT / "tests/wire", "--until-stdin-closes", "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip().removesuffix("/v1")
    finally:
        process.communicate(timeout=10)


class Server:
    """The simulator, as one case sees it."""

    def __init__(self, origin: str, scope: str) -> None:
        self.root = f"{origin}/s/{scope}"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.root}/__stats", timeout=10) as reply:
            return json.load(reply)

    def wait_for(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The counters, as soon as they are as wanted, or as they are after ten seconds."""
        until = time.monotonic() + 10
        while True:
            stats = self.stats()
            if "sent" in wanted and stats["last_request"]:
                body = json.loads(base64.b64decode(stats["last_request"]["body_base64"]))
                stats["sent"] = body["messages"][0]["content"]
            seen = {name: stats.get(name) for name in wanted}
            if seen == wanted or time.monotonic() > until:
                return seen
            time.sleep(0.005)


class Held(http.server.ThreadingHTTPServer):
    """A gateway on loopback that answers when a test wants it, so that no test hopes for a time.

    A stream's second chunk waits for `cue`; an answer waits until as many calls as `together` are there.
    What waits longer than ten seconds goes on, and `kept_waiting` tells that it happened.
    """

    daemon_threads = True

    def __init__(self, together: int) -> None:
        self.cue = threading.Event()
        self.together = threading.Barrier(together)
        self.kept_waiting = False
        super().__init__(("127.0.0.1", 0), HeldReply)

    def __enter__(self) -> "Held":
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class HeldReply(http.server.BaseHTTPRequestHandler):
    server: Held
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        streamed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["stream"]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        if streamed:
            self.send_header("Connection", "close")
            self.end_headers()
            self.event({"delta": {"content": "first"}, "finish_reason": None})
            self.server.kept_waiting |= not self.server.cue.wait(10)
            self.event({"delta": {"content": "second"}, "finish_reason": "stop"})
            self.wfile.write(b"data: [DONE]\n\n")
            return
        try:
            self.server.together.wait(10)
        except threading.BrokenBarrierError:
            self.server.kept_waiting = True
        message = {"role": "assistant", "content": "Moss"}
        answer = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def event(self, choice: dict[str, Any]) -> None:
        self.wfile.write(b"data: %s\n\n" % json.dumps({"choices": [{"index": 0} | choice]}).encode())


class BrokenError(Exception):
    """The runner ended, hangs, or says what is not understood."""


class Runner:
    """One process of a language's runner: a line of JSON texts between tabs in, lines of JSON out."""

    def __init__(self, language: Language, origin: str) -> None:
        self.root = f"{origin}/s/{language.name}-environment"
        added = {"ELKAPI_BASE_URL": f"{self.root}/v1", "ELKAPI_API_KEY": "sk-environment"}
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            language.start,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=language.folder,
            env={**environment(), **added},
        )
        self.rest = b""

    def tell(
        self, what: str, config: Any = "", request: Any = "", argument: Any = "", good: Any = ""
    ) -> None:
        """What to do, with what; `good` is a configuration for a call that succeeds in any case."""
        parts = (what, config, request, argument, good)
        texts = [part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts]
        self.process.stdin.write(("\t".join(texts) + "\n").encode())
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        until = time.monotonic() + LONGEST
        while b"\n" not in self.rest:
            left = max(0.0, until - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise BrokenError(f"the runner says nothing for {LONGEST:.0f} s\n{self.stacks()}")
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                raise BrokenError(f"the runner ended with {self.process.wait()}\n{self.said()}")
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError:
            raise BrokenError(f"the runner says {line!r}\n{self.said()}") from None

    def said(self) -> str:
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")[-30_000:]

    def stacks(self) -> str:
        """Where the threads of a runner that hangs stand; Mono, Java and Go say more on SIGQUIT."""
        found = []
        for task in sorted(Path(f"/proc/{self.process.pid}/task").iterdir()):
            with contextlib.suppress(OSError):
                told = [(task / name).read_text().strip() for name in ("comm", "wchan", "syscall")]
                found.append(" ".join([task.name, *told]))
        self.process.send_signal(signal.SIGQUIT)
        while select.select([self.process.stdout], [], [], 3)[0]:
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            if not piece:
                break
            self.rest += piece
        return "\n".join([*found, self.rest.decode(errors="replace"), self.said()])

    def sockets(self) -> int:
        """How many TCP connections to the simulator the process holds."""
        found = 0
        connections = Path(f"/proc/{self.process.pid}/net/tcp").read_text()
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry))
                found += bool(inode and f" {inode[1]} " in connections)
        return found

    def close(self) -> None:
        """A runner ends by itself, with 0, when there is nothing more to do."""
        self.process.stdin.close()
        try:
            status = self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            stacks = self.stacks()
            self.kill()
            raise BrokenError(f"the runner does not end\n{stacks}") from None
        if status != 0:
            raise BrokenError(f"the runner ended with {status}\n{self.said()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def mismatch(wanted: Any, seen: Any) -> bool:
    if not isinstance(wanted, dict):
        return type(wanted) is not type(seen) or wanted != seen
    ((rule, value),) = wanted.items()
    if rule in ("at_least", "below"):
        return not isinstance(seen, int | float) or (seen < value if rule == "at_least" else seen >= value)
    if rule == "among":
        return seen not in value
    if not isinstance(seen, str):
        return True
    return {
        "contains": lambda: value not in seen,
        "begins": lambda: not seen.startswith(value),
        "length": lambda: len(seen) != value,
    }[rule]()


def wrong(expected: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    return [
        f"{name} is {facts.get(name, 'not told')!r}, not {wanted!r}"
        for name, wanted in expected.items()
        if name not in facts or mismatch(wanted, facts[name])
    ]


def broken(wanted: Any) -> Any:
    """An expectation that what is right does not meet."""
    if isinstance(wanted, dict):
        ((rule, value),) = wanted.items()
        return {
            "at_least": lambda: {rule: 10**9},
            "below": lambda: {rule: -1},
            "among": lambda: {rule: ["nothing"]},
            "length": lambda: {rule: value + 1},
        }.get(rule, lambda: {rule: value + "#"})()
    if isinstance(wanted, bool):
        return not wanted
    if isinstance(wanted, int):
        return wanted + 1
    return "something" if wanted is None else wanted + "#"


def drive(runner: Runner, server: Server, case: dict[str, Any], facts_of_file: Path) -> dict[str, Any]:
    """Has the runner do one case, and adds what only this side can see."""
    what = case["do"]
    argument = case.get("argument", "")
    if what in ("first", "concurrent"):
        with Held(argument or 1) as held:
            runner.tell(what, {"base_url": held.base_url, "api_key": "sk-test"}, case["request"], argument)
            first = runner.read() if what == "first" else {}
            held.cue.set()
            return first | runner.read() | {"kept_waiting": held.kept_waiting}
    good = {"base_url": f"{server.root}/v1", "api_key": "sk-test"}
    config = case.get("config", {})
    if config is not None:
        config = good | {"base_url": server.root + case.get("base", "/v1")} | config
    if argument == "FILE":
        argument = str(facts_of_file)
    before = runner.sockets()
    runner.tell(what, config or "", case.get("request", ""), argument, good)

    if what in ("cancel", "interrupt"):
        waiting = runner.read()
        if waiting != {"waiting": True}:
            raise BrokenError(f"the runner says {waiting} before it waits")
        server.wait_for({"in_flight": 1})
        if case["argument"] == "stream" and (begun := runner.read()) != {"begun": True}:
            raise BrokenError(f"the runner says {begun} in place of the first chunk")
        # That the call has come so far is known; that it waits on its socket takes it no time worth naming.
        started = time.monotonic()
        if what == "interrupt":
            runner.process.send_signal(signal.SIGINT)
        else:
            runner.tell("go")
        stopped = runner.read()
        stopped.setdefault("ms", (time.monotonic() - started) * 1000)
        return stopped | runner.read()
    facts = runner.read()
    if what in ("forget", "close"):
        # A collector comes when it likes; a close needs no more than what runs beside it.
        until = time.monotonic() + (10 if what == "forget" else 2)
        while (left := runner.sockets() - before) > 0 and time.monotonic() < until:
            time.sleep(0.02)
        facts["connections_left"] = max(0, left)
    if what == "picture":
        written = facts_of_file.read_bytes()
        whole = len(written) == facts.get("bytes") and written.startswith(b"\x89PNG\r\n")
        facts["file"] = "as told, a PNG" if whole else f"{len(written)} bytes"
    return facts


def try_case(runner: Runner, origin: str, language: str, number: int, case: dict[str, Any]) -> list[str]:
    server = Server(origin, f"{language}-{number}")
    with tempfile.TemporaryDirectory() as folder:
        facts = drive(runner, server, case, Path(folder) / "鹿.png")
    expected = {name: VERSION if wanted == "VERSION" else wanted for name, wanted in case["expect"].items()}
    found = wrong(expected, facts)
    if "stats" in case:
        found += [f"the simulator's {text}" for text in wrong(case["stats"], server.wait_for(case["stats"]))]
    # A case that cannot fail shows nothing.
    for name, wanted in expected.items():
        if not found and not wrong({name: broken(wanted)}, facts):
            found.append(f"an expectation that is broken passes: {name}")
    return found


def prepare(language: Language) -> None:
    language.folder.mkdir(parents=True, exist_ok=True)
    for command in language.build:
        done = subprocess.run(
            command,
            cwd=language.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            raise BrokenError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}")


def run_language(language: Language, cases: list[dict[str, Any]], origin: str) -> dict[str, list[str]]:
    outcome: dict[str, list[str]] = {}
    try:
        prepare(language)
    except BrokenError as error:
        return {cases[0]["case"]: [str(error)]}
    runner = Runner(language, origin)
    for number, case in enumerate(cases):
        try:
            outcome[case["case"]] = try_case(runner, origin, language.name, number, case)
        except BrokenError as error:
            outcome[case["case"]] = [str(error)]
            runner.kill()
            runner = Runner(language, origin)
    try:
        runner.close()
        outcome[ENDS] = []
    except BrokenError as error:
        outcome[ENDS] = [str(error)]
    outcome[README] = readme(language, origin)
    outcome[SIZE] = size(language)
    outcome[PACKAGE] = package(language)
    return outcome


ENDS = "the program ends by itself"
README = "every program of the README runs in a fresh folder"
SIZE = "the binding is as small as docs/embedding.md says"
#: Lines of code that a binding stays below: more than that, and the C library does too little.
LARGEST = 300
COMMENT = re.compile(r"^\s*/\*.*?\*/", re.S | re.M)


def size(language: Language) -> list[str]:
    text = "".join(COMMENT.sub("", path.read_text()) for path in language.binding.glob(language.sources))
    lines = sum(not re.match(r"\s*(//|#|--|$)", line) for line in text.splitlines())
    page = (ROOT / "docs/embedding.md").read_text()
    row = re.search(rf"^\| {re.escape(language.title)} \| [^|]+ \| (\d+)\b", page, re.M)
    if row is None or int(row[1]) != lines or lines >= LARGEST:
        return [f"{lines} lines, of {LARGEST - 1} at most; docs/embedding.md says {row and row[1]}"]
    return []


BLOCK = re.compile(r"^(?:<!-- (\S+) prints ([^\n]+) -->\n)?```(\w+)\n(.*?)^```$", re.S | re.M)


PACKAGE = "its package is of the library's version"


def package(language: Language) -> list[str]:
    """Go's modules and a file of Lua have no version of their own."""
    files = [
        file
        for file in language.binding.iterdir()
        if file.suffix in (".gemspec", ".csproj", ".xml") or file.name == "package.json"
    ]
    version = re.compile(rf"""version["> =:]+{re.escape(VERSION)}["<]""", re.I)
    return [
        f"{file.name} has not the version {VERSION}" for file in files if not version.search(file.read_text())
    ]


def readme(language: Language, origin: str) -> list[str]:
    """Each program by the commands of the page's first shell block, which names the first program."""
    page = (language.binding / "README.md").read_text()
    blocks = [match.groups() for match in BLOCK.finditer(page)]
    programs = [(name, prints, code) for name, prints, _, code in blocks if name]
    unnamed = [kind for name, _, kind, _ in blocks if not name and kind != "sh"]
    shell = next((code for name, _, kind, code in blocks if kind == "sh"), None)
    if not programs or shell is None or unnamed:
        return [f"README: {len(programs)} programs, shell block: {shell}, blocks without a name: {unnamed}"]
    first = Path(programs[0][0]).stem
    found = []
    for name, prints, code in programs:
        with tempfile.TemporaryDirectory() as folder:
            left_out = shutil.ignore_patterns("test", "node_modules")
            shutil.copytree(language.binding, Path(folder) / language.name, ignore=left_out)
            (Path(folder) / name).write_text(code)
            done = subprocess.run(
                ["bash", "-euc", re.sub(rf"\b{first}\b", Path(name).stem, shell)],
                cwd=folder,
                env={**environment(), "ELKAPI_BASE_URL": f"{origin}/v1", "ELKAPI_API_KEY": "sk-test"},
                capture_output=True,
                text=True,
            )
        if done.returncode != 0 or prints not in done.stdout:
            found.append(
                f"README, {name}: ended with {done.returncode}, printed {done.stdout!r}, "
                f"not {prints!r}\n{done.stderr[-2000:]}"
            )
    return found


def main() -> int:
    wanted = sys.argv[1:]
    known = [language.name for language in LANGUAGES]
    if unknown := set(wanted) - set(known):
        sys.exit(f"no language is called {' or '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = [language for language in LANGUAGES if not wanted or language.name in wanted]
    cases = json.loads((Path(__file__).parent / "cases.json").read_text())
    installed = subprocess.run(
        ["make", "-s", "install", f"PREFIX={PREFIX}"], cwd=ROOT, capture_output=True, text=True
    )
    if installed.returncode != 0:
        sys.exit(f"make install: {installed.stdout}{installed.stderr}")

    absent = {
        language.name: [tool for tool in language.tools if not (shutil.which(tool) or Path(tool).is_file())]
        for language in chosen
    }
    present = [language for language in chosen if not absent[language.name]]
    with simulator() as origin, concurrent.futures.ThreadPoolExecutor(2) as lanes:
        ran = lanes.map(lambda language: run_language(language, cases, origin), present)
        outcomes = dict(zip([language.name for language in present], ran, strict=True))

    rows = [case["case"] for case in cases] + [ENDS, README, SIZE, PACKAGE]
    widest = max(map(len, rows))
    print(f"{'case':{widest}}", *(f"{name:6}" for name in outcomes))
    for row in rows:
        marks = ["ok" if outcome.get(row) == [] else "FAILED" for outcome in outcomes.values()]
        print(f"{row:{widest}}", *(f"{mark:6}" for mark in marks))
    failures = 0
    for name, outcome in outcomes.items():
        for row in rows:
            for text in outcome.get(row, ["it was not run"]):
                failures += 1
                print(f"{name}, {row}: {text}", file=sys.stderr)
    for name, tools in absent.items():
        if tools:
            failures += 1
            print(f"NOT RUN: {name} (needs {', '.join(tools)}; see .ci/run for the packages)")
    print(f"{len(rows)} cases in {len(outcomes)} of {len(chosen)} languages, {failures} failures")
    return 0 if failures == 0 else 1


if __name__ == "__main__":
    sys.exit(main())

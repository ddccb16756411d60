"""What elkapi has to reach, as ratios within one run, and whether it does."""

from collections.abc import Iterator
from dataclasses import dataclass

from results import Key, Results

FIGURES = {"median_us": "time", "p99_us": "99 %", "cpu_us": "CPU"}
PYTHON_PEERS = ("openai", "httpx", "requests", "pycurl", "primp", "pyreqwest", "liter-llm")


@dataclass(frozen=True)
class Cell:
    letter: str
    language: str
    what: str
    measured: float | None
    must: float | None
    reach: float | None
    #: Higher is better.
    higher: bool = False

    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"

        def within(bound: float | None) -> bool:
            return bound is not None and (
                (self.measured >= bound) if self.higher else (self.measured <= bound)
            )

        if within(self.reach):
            return "reached"
        if self.must is None:
            return "not reached"
        return "holds" if within(self.must) else "**does not hold**"


def cells(r: Results) -> Iterator[Cell]:
    yield from cells_of_c(r)
    yield from cells_of_python(r)


def said(what: str) -> str:
    return what and f"{what}: "


class Face:
    """The cells of one of elkapi's languages."""

    def __init__(self, r: Results, language: str) -> None:
        self.r, self.language, self.client = r, language, f"elkapi ({language})"

    def ratio(self, letter, scenario, read, figure, base, must, reach, what="") -> Cell:
        key = Key(scenario, self.client, read)
        words = f"{said(what)}{FIGURES[figure]} / {'L' if base == 'limit' else base}"
        return Cell(letter, self.language, words, self.r.ratio(key, figure, base), must, reach)

    def below_every_peer(self, letter, scenario, read, figure, what="") -> Cell:
        ratio, peer = self.r.worst(Key(scenario, self.client, read), figure, PYTHON_PEERS) or (None, "peer")
        words = f"{said(what)}{FIGURES[figure]} / the best of the peers, {peer}"
        return Cell(letter, self.language, words, ratio, 1.0, None)

    def times_below(self, letter, scenario, read, figure, peer, must, what="") -> Cell:
        ratio = self.r.ratio(Key(scenario, self.client, read), figure, peer)
        words = f"{said(what)}{FIGURES[figure]} of {peer} / ours"
        return Cell(letter, self.language, words, ratio and 1 / ratio, must, None, higher=True)

    def peak(self, letter, scenario, read, must, reach) -> Cell:
        key = Key(scenario, self.client, read)
        value = self.r.median(key, "peak_mib") if self.r.of(key) else None
        return Cell(letter, self.language, f"{read}: peak memory, MiB", value, must, reach)


def cells_of_python(r: Results) -> Iterator[Cell]:
    python = Face(r, "Python")
    for figure in ("median_us", "cpu_us"):
        yield python.below_every_peer("a", "small", "text", figure)
        yield python.times_below("a", "small", "text", figure, "openai", 15)
    yield python.ratio("a", "small", "text", "median_us", "limit", None, 1.5)
    yield python.ratio("a", "small", "text", "cpu_us", "limit", None, 2.0)
    for read in ("text", "bytes"):
        yield python.ratio("b", "picture", read, "cpu_us", "pyreqwest", 1.0, None, read)
        yield python.ratio("b", "picture", read, "cpu_us", "limit", None, 2.0, read)
        yield python.peak("b", "picture", read, 45, None)
    yield python.below_every_peer("c", "burst", "path", "cpu_us", "path")
    yield python.times_below("c", "burst", "path", "cpu_us", "openai", 20, "path")
    yield python.ratio("c", "burst", "path", "cpu_us", "limit", None, 14, "path")
    yield python.ratio("c", "burst", "text", "cpu_us", "limit", None, 6, "text")
    yield python.ratio("d", "paced", "text", "median_us", "limit", 1.2, 1.1, "text: median age")
    yield python.ratio("e", "many", "async", "median_us", "limit", 1.12, 1.08, "`AsyncClient`")
    yield python.ratio("f", "upload", "openai", "cpu_us", "pyreqwest", 1.0, 0.7, "contract `openai`")
    yield python.below_every_peer("h", "first", "text", "median_us")
    yield Cell("h", "Python", "`import elkapi`, ms", r.facts.get("import_ms"), None, 2.0)
    yield Cell("size", "Python", "the wheel's files, deflated, MB", r.facts.get("wheel_mb"), 3.0, 1.5)


def cells_of_c(r: Results) -> Iterator[Cell]:
    c = Face(r, "C")
    ratio, peak = c.ratio, c.peak
    yield ratio("a", "small", "text", "median_us", "libcurl", 1.0, None)
    yield ratio("a", "small", "text", "cpu_us", "libcurl", 0.9, None)
    yield ratio("a", "small", "text", "median_us", "limit", None, 1.2)
    yield ratio("a", "small", "text", "cpu_us", "limit", None, 1.5)
    for read in ("text", "bytes"):
        yield ratio("b", "picture", read, "cpu_us", "libcurl", 1.3, None, read)
        yield ratio("b", "picture", read, "cpu_us", "limit", None, 1.1, read)
        yield peak("b", "picture", read, 14, 10)
    for read in ("text", "path"):
        yield ratio("c", "burst", read, "cpu_us", "libcurl", 1.5, None, read)
        yield ratio("c", "burst", read, "cpu_us", "limit", None, 1.5, read)
    yield ratio("d", "paced", "text", "median_us", "limit", 1.1, 1.02, "median age")
    yield ratio("d", "paced", "text", "p99_us", "limit", 1.25, None, "age")
    yield ratio("e", "many", "async", "median_us", "limit", 1.07, 1.04)
    yield ratio("e", "many", "async", "cpu_us", "libcurl", 2.4, 1.7)
    yield ratio("f", "upload", "openai", "cpu_us", "libcurl", 0.9, 0.7, "contract `openai`")
    yield ratio("h", "first", "text", "median_us", "libcurl", 1.0, 0.5)
    yield Cell("size", "C", "`libelkapi.so`, stripped, MB", r.facts.get("library_mb"), 3.0, 2.2)

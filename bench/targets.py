"""What elkapi has to reach, as ratios within one run, and whether it does."""

from collections.abc import Iterator
from dataclasses import dataclass

from results import Key, Results

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


def cells_of_c(r: Results) -> Iterator[Cell]:
    def ratio(letter, scenario, read, figure, base, must, reach, what=""):
        names = {"median_us": "wall", "cpu_us": "CPU", "p99_us": "p99"}
        who = {"limit": "L"}.get(base, base)
        words = f"{what}{what and ': '}{names[figure]} / {who}"
        return Cell(letter, "C", words, r.ratio(Key(scenario, "elkapi (C)", read), figure, base), must, reach)

    def peak(letter, scenario, read, must, reach):
        key = Key(scenario, "elkapi (C)", read)
        value = r.median(key, "peak_mib") if r.of(key) else None
        return Cell(letter, "C", f"{read}: peak memory, MiB", value, must, reach)

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
    yield ratio("d", "paced", "text", "median_us", "limit", 1.1, 1.02, "age, median")
    yield ratio("d", "paced", "text", "p99_us", "limit", 1.25, None, "age, 99 %")
    yield ratio("e", "many", "text", "median_us", "limit", 1.07, 1.04)
    yield ratio("e", "many", "text", "cpu_us", "libcurl", 2.4, 1.7)
    yield ratio("f", "upload", "openai", "cpu_us", "libcurl", 0.9, 0.7, "contract `openai`")
    yield ratio("h", "first", "text", "median_us", "libcurl", 1.0, 0.5)
    yield Cell("size", "C", "`libelkapi.so`, stripped, MB", r.facts.get("library_mb"), 3.0, 2.2)

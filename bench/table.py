"""The results as Markdown."""

from collections.abc import Iterable

from counts import Counts
from results import Key, Results
from scenarios import Scenario
from targets import FIGURES, Cell


def table(*rows: tuple[str, ...], left: int = 1) -> str:
    """The first row names the columns; `left` of them and the last hold words."""
    head, *rest = rows
    aligned = ["---" if place < left or place == len(head) - 1 else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, tuple(aligned), *rest))


def short(value: float) -> str:
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def spread(values: list[float], median: float) -> str:
    return f"{short(median)} ({short(min(values))} - {short(max(values))})"


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def of_scenario(scenario: Scenario, r: Results) -> str:
    columns = {"median_us": scenario.times[0], "p99_us": scenario.times[1], "cpu_us": scenario.cpu}
    columns = {figure: title for figure, title in columns.items() if title}
    ratios = {figure: words for figure, words in FIGURES.items() if figure in columns}
    bases = {"limit": "L", "libcurl": "libcurl"}
    bases = {name: words for name, words in bases.items() if any(row.client == name for row in scenario.rows)}
    head = [f"{figure} / {base}" for base in bases.values() for figure in ratios.values()]
    lines = [("client", *columns.values(), *head, "peak, MiB", "what it reads")]
    for row in scenario.rows:
        key = Key(scenario.word, row.client, row.read)
        if r.of(key) is None:
            continue
        cells = [spread(r.values(key, figure), r.median(key, figure)) for figure in columns]
        cells += [ratio(r.ratio(key, figure, base)) for base in bases for figure in ratios]
        lines.append((row.client, *cells, f"{r.median(key, 'peak_mib'):.1f}", row.what))
    return table(*lines)


def of_memory(r: Results) -> str:
    """Peaks of resident memory in two scenarios, beside each other."""
    small, *pictures = (("small", "text"), ("picture", "text"), ("picture", "bytes"))
    lines = [("client", "small reply, MiB", "4 MiB as text, MiB", "4 MiB as bytes, MiB", "")]
    for client in dict.fromkeys(key.client for key in r.lines if key.scenario in ("small", "picture")):
        keys = [Key(word, client, read) for word, read in (small, *pictures)]
        lines.append((client, *(f"{r.median(key, 'peak_mib'):.1f}" if r.of(key) else "" for key in keys), ""))
    return table(*lines)


def of_counts(counts: dict[tuple[str, str, str], Counts]) -> str:
    lines = [("scenario", "client", "system calls", "allocations", "instructions", "what is read")]
    for (word, read, client), count in counts.items():
        figures = (f"{count.system_calls:.1f}", f"{count.allocations:.1f}", f"{count.instructions:,.0f}")
        lines.append((word, client, *figures, read))
    return table(*lines, left=2)


def of_targets(cells: Iterable[Cell]) -> str:
    lines = [("scenario", "language", "what", "measured", "must", "reach", "verdict")]
    for cell in cells:
        sign = "≥ " if cell.higher else "≤ "
        bounds = ("" if bound is None else f"{sign}{bound:g}" for bound in (cell.must, cell.reach))
        measured = "" if cell.measured is None else f"{cell.measured:.2f}"
        lines.append((cell.letter, cell.language, cell.what, measured, *bounds, cell.verdict()))
    return table(*lines, left=3)

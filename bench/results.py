"""Figures of interleaved rounds, and what is asked of them: medians, spreads, ratios within a round."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from clients import Line


@dataclass(frozen=True)
class Key:
    """A row: the scenario's word, who, and what is read."""

    scenario: str
    client: str
    read: str


@dataclass
class Results:
    lines: dict[Key, list[Line]] = field(default_factory=dict)
    #: Single figures by name: sizes, times of imports.
    facts: dict[str, float] = field(default_factory=dict)

    def of(self, key: Key) -> list[Line] | None:
        return self.lines.get(key)

    def values(self, key: Key, figure: str) -> list[float]:
        return [getattr(line, figure) for line in self.lines[key]]

    def median(self, key: Key, figure: str) -> float:
        return statistics.median(self.values(key, figure))

    def base(self, key: Key, client: str) -> Key | None:
        """The row of another client that reads the same, or else whatever that one reads."""
        rows = [one for one in self.lines if one.scenario == key.scenario and one.client == client]
        return next((one for one in rows if one.read == key.read), rows[0] if rows else None)

    def ratio(self, key: Key, figure: str, client: str) -> float | None:
        """The median of the ratios within each round in which both took part, which are the first ones."""
        base = self.base(key, client)
        if base is None or key not in self.lines:
            return None
        pairs = zip(self.values(key, figure), self.values(base, figure), strict=False)
        return statistics.median(mine / other for mine, other in pairs)

    def worst(self, key: Key, figure: str, clients: Iterable[str]) -> tuple[float, str] | None:
        """The ratio to the best of these clients, and which it is."""
        ratios = [(ratio, one) for one in clients if (ratio := self.ratio(key, figure, one)) is not None]
        return max(ratios, default=None)

"""What the rounds of a benchmark found, by figure."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from bench.processes import Failed
from bench.report import Figure


class Rounds:
    """The values of each figure, one a round; a measurement that fails leaves its round without a value."""

    def __init__(self) -> None:
        self._values: dict[str, list[float | None]] = defaultdict(list)

    def take(self, figure: str, measurement: Callable[[], float]) -> None:
        """Add what the measurement returns; when it fails say why on standard error and go on."""
        try:
            self.add(figure, measurement())
        except Failed as error:
            print(f"{figure}: {error}", file=sys.stderr, flush=True)
            self.add(figure, None)

    def take_all(self, figures: Sequence[str], measurement: Callable[[], Mapping[str, float]]) -> None:
        """The same for a measurement that returns several figures; when it fails none of them has a value."""
        values: Mapping[str, float] = {}
        try:
            values = measurement()
        except Failed as error:
            print(f"{figures[0]} and others: {error}", file=sys.stderr, flush=True)
        for figure in figures:
            self.add(figure, values.get(figure))

    def add(self, figure: str, value: float | None) -> None:
        """Add this round's value; None when there is none."""
        self._values[figure].append(value)

    def ratio(self, figure: str, over: str, under: str) -> None:
        """Add the ratio of this round's two latest values: a pair of one round saw the same machine."""
        above, below = self._values[over][-1], self._values[under][-1]
        self.add(figure, above / below if above is not None and below else None)

    def figure(self, name: str, unit: str, **bar: float) -> Figure:
        """The figure of that name; the bar as Figure takes it."""
        values = [value for value in self._values[name] if value is not None]
        return Figure(name, values, unit, failed=len(self._values[name]) - len(values), **bar)

"""The bounds of an answer: the model's table of multiples, applied to the series of one state.

What the multiples are is in ``scalecast_assets.contract.intervals``, class and scale of a series
in ``contract.demand_classes``; both ways of asking here give the same numbers to the last bit.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat
from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import MODEL, SOURCES, Source
from scalecast_assets.contract.demand_classes import (
    COLD_START,
    FORECAST_SHARE,
    DemandProfile,
    cold_start_scale,
)
from scalecast_assets.contract.intervals import DEFAULT_LEVEL, LEVELS, IntervalTable
from scalecast_assets.contract.panel import Float64s, Ints, Panel

_FROM_MODEL: Final = SOURCES[MODEL]


class Interval(NamedTuple):
    """Where ``level`` per cent of the days are expected; all None without a table."""

    lower: float | None
    upper: float | None
    level: int | None


NONE: Final = Interval(None, None, None)


class Bounds(NamedTuple):
    """The intervals of ``n`` answers, as columns; all None if the model has no table."""

    lower: Float64s | None
    upper: Float64s | None
    level: Ints | None

    def rows(self, rows: Sequence[int] | slice) -> Iterator[tuple[Any, Any, Any]]:
        """Yield lower, upper and level of these answers."""
        if self.lower is None or self.upper is None or self.level is None:
            return repeat(NONE)
        return zip(*(c[rows].tolist() for c in (self.lower, self.upper, self.level)), strict=True)


class Intervals:
    """Bounds for answers from one model and one panel."""

    def __init__(self, table: IntervalTable | None, panel: Panel) -> None:
        self.table = table
        self._profile = DemandProfile.of(panel) if table is not None else None
        self._multiples: Sequence[Any] = table.by_day.tolist() if table is not None else []

    def around(
        self,
        series: Ints,
        point: NDArray[Any],
        horizon: Ints,
        source: NDArray[Any],
        level: int = DEFAULT_LEVEL,
    ) -> tuple[Float64s, Float64s] | None:
        """Return lower and upper bounds of many answers; None if the model has no table.

        The arguments broadcast. ``series`` indexes the panel (any number where the pair has never
        been seen), ``source`` indexes ``SOURCES``, ``horizon`` is 1 or more.
        """
        if self.table is None or self._profile is None:
            return None
        demand_class, scale = self._profile.answered(series, point, source)
        return self.table.bounds(point, horizon, demand_class, scale, level)

    def columns(
        self, series: Ints, point: Float64s, horizon: Ints, source: NDArray[Any], level: Ints
    ) -> Bounds:
        """Return the intervals of ``n`` answers, each with a level of its own."""
        if self.table is None:
            return Bounds(None, None, None)
        lower, upper = np.empty(len(point)), np.empty(len(point))
        for one in np.unique(level).tolist():
            at = np.flatnonzero(level == one)
            found = self.around(series[at], point[at], horizon[at], source[at], one)
            assert found is not None
            lower[at], upper[at] = found
        return Bounds(lower, upper, level)

    def around_one(
        self, series: int | None, point: float, horizon: int, source: Source, level: int
    ) -> Interval:
        """Do the same for one answer, in a microsecond or two."""
        if self._profile is None:
            return NONE
        if source == _FROM_MODEL and series is not None:
            demand_class = int(self._profile.demand_class[series])
            deviation, part = float(self._profile.deviation[series]), FORECAST_SHARE * point
            scale = sqrt(deviation * deviation + part * part)
        else:
            demand_class, scale = COLD_START, float(cold_start_scale(point))
        at = LEVELS.index(level)
        below, above = (tail[at][demand_class][horizon] for tail in self._multiples)
        return Interval(max(point - below * scale, 0.0), point + above * scale, level)

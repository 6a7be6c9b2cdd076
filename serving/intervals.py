"""The bounds of an answer: the model's table of multiples, applied to the series of one state.

What the multiples are is in ``scalecast_assets.contract.intervals``, class and scale of a series
in ``contract.demand_classes``; both ways of asking here give the same numbers to the last bit.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, Final, NamedTuple

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

"""How far promised forecasts were from what came: WAPE and bias of pooled rows, from their sums.

Sums of rows add up where ratios do not: a store's day is kept as sums, and any group of days is
pooled before it is divided. The same formulas on rows of a holdout are in ``metrics.py``; whether
the data themselves have moved is in ``drift.py``; the join with the sales is in
``scalecast_assets.monitoring``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scalecast_assets.forecasting.training_rows import Float64

Ints = npt.NDArray[np.integer[Any]]

MIN_ROWS: Final = 100
"""Scored rows from which a live error is held against a promise."""


@dataclass(frozen=True, eq=False)
class ErrorSums:
    """Sums over the scored rows of ``n`` groups; every array is ``(n,)``.

    ``actual`` and ``absolute_error`` in units; ``error`` is forecast minus actual.
    """

    rows: Float64
    actual: Float64
    absolute_error: Float64
    error: Float64

    @property
    def wape(self) -> Float64:
        """Sum of |error| over sum of actuals, a fraction; NaN where nothing was sold."""
        return _ratio(self.absolute_error, self.actual)

    @property
    def bias(self) -> Float64:
        """Mean error, units per row and day: positive means too much was forecast."""
        return _ratio(self.error, self.rows)

    def pooled(self, group: Ints, n_groups: int) -> "ErrorSums":
        """Add up to ``n_groups`` groups; ``group`` ``(n,)`` numbers that of each entry."""
        pooled = (np.bincount(group, sums, minlength=n_groups) for sums in vars(self).values())
        return ErrorSums(*(sums.astype(np.float64) for sums in pooled))


class Accuracy(NamedTuple):
    """One group of scored rows, beside the seasonal naive on the same; None where undefined."""

    rows: int
    wape: float | None
    bias: float | None
    naive_wape: float | None
    naive_bias: float | None


@dataclass(frozen=True, eq=False)
class ScoredDays:
    """One model's scored days, ``n`` entries: one per store, day and horizon.

    ``model`` and ``naive`` are of all scored rows; ``as_planned`` are the model's errors on those
    whose price and promotion came as the forecast assumed.
    """

    store_id: tuple[str, ...]
    day: tuple[date, ...]
    horizon: npt.NDArray[np.int64]
    model: ErrorSums
    naive: ErrorSums
    as_planned: ErrorSums

    def by_day(self) -> dict[date, Accuracy]:
        """Pool over stores and horizons; days ascend."""
        return self._by(self.day)

    def by_day_and_store(self) -> dict[tuple[date, str], Accuracy]:
        """Pool over horizons: over every origin that had promised the day."""
        return self._by(list(zip(self.day, self.store_id, strict=True)))

    def by_horizon(self) -> dict[int, Accuracy]:
        """Pool over stores and days."""
        return self._by(self.horizon.tolist())

    def overall(self) -> Accuracy:
        """Pool everything; no rows and no ratios where nothing was scored."""
        everything = self._by([0] * len(self.day))
        return everything.get(0, Accuracy(0, None, None, None, None))

    def _by(self, label: Sequence[Any]) -> dict[Any, Accuracy]:
        place = {one: at for at, one in enumerate(sorted(set(label)))}
        group = np.array([place[one] for one in label], dtype=np.int64)
        model, naive = (sums.pooled(group, len(place)) for sums in (self.model, self.naive))
        figures = (model.wape, model.bias, naive.wape, naive.bias)
        return {
            one: Accuracy(int(model.rows[at]), *(_known(column[at]) for column in figures))
            for one, at in place.items()
        }


class Promise(NamedTuple):
    """The live WAPE of ``rows`` beside the one on the holdout with which the model was promoted."""

    rows: int
    live_wape: float
    promised_wape: float

    @property
    def ratio(self) -> float:
        """How many times the promised error the live one is."""
        if self.promised_wape > 0:
            return self.live_wape / self.promised_wape
        return 1.0 if self.live_wape == 0 else float("inf")


def held_against(promised_wape: float, scored: ScoredDays) -> Promise | None:
    """Compare the rows that came as planned, because the holdout was forecast with its plans.

    None where fewer than ``MIN_ROWS`` rows did, or nothing was sold.
    """
    live = scored.as_planned
    rows, actual = int(live.rows.sum()), float(live.actual.sum())
    if rows < MIN_ROWS or actual <= 0:
        return None
    return Promise(rows, float(live.absolute_error.sum()) / actual, promised_wape)


def _ratio(above: Float64, below: Float64) -> Float64:
    ratio = np.full(len(below), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)

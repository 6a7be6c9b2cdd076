"""What kind of demand a series has, and by how much it varies: from its kept history alone.

Smooth, erratic, intermittent or lumpy after Syntetos, Boylan and Croston (2005), "On the
categorization of demand patterns", J. Oper. Res. Soc. 56: how often something is sold (average
inter-demand interval), and how unequal the quantities are (squared coefficient of variation). The
sidecar computes both from its state, so an interval needs nothing else; see ``intervals.py``.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import MEAN_DAYS, MODEL
from scalecast_assets.contract.panel import (
    NO_ROW,
    Bools,
    Float64s,
    Ints,
    Panel,
    StorePanel,
)

DEMAND_CLASSES: Final = ("smooth", "erratic", "intermittent", "lumpy")
_BLOCK: Final = 4_096
"""Series that are looked at together: the state of many would take hundreds of megabytes."""

COLD_START: Final = len(DEMAND_CLASSES)
"""The index of the fifth class: whatever the cold-start rule answers for."""

ALL_CLASSES: Final = (*DEMAND_CLASSES, "cold_start")

RARE_INTERVAL: Final = 1.32
"""Days per day with a sale from which demand is intermittent or lumpy."""

UNEQUAL: Final = 0.49
"""Squared coefficient of variation of the quantities from which demand is erratic or lumpy."""

FORECAST_SHARE: Final = 0.5
"""How much of a forecast counts as deviation of its own, see ``DemandProfile.answered``."""


@dataclass(frozen=True, eq=False)
class DemandProfile:
    """Class and variation of each of ``S`` series, on the kept days of their panel."""

    demand_class: NDArray[np.int8]
    """``(S,)`` indices into ``DEMAND_CLASSES``."""
    deviation: Float64s
    """``(S,)``: standard deviation of the daily quantity; at least that of one unit sold once."""

    @classmethod
    def of(cls, panel: Panel) -> "DemandProfile":
        """Look at each series' open days (calendar ``observed``: its rows), zeros included."""
        counted = _counted(panel)
        found = cls(np.empty(panel.n_series, np.int8), np.empty(panel.n_series))
        for begin in range(0, panel.n_series, _BLOCK):
            part = slice(begin, begin + _BLOCK)
            quantity = panel.quantity[part].astype(np.float64)
            found.demand_class[part], found.deviation[part] = _described(quantity, counted[part])
        return found

    def answered(
        self, series: Ints, point: NDArray[Any], source: NDArray[Any]
    ) -> tuple[NDArray[np.int8], Float64s]:
        """Return class and scale, both shaped as ``point``, of answers for ``series``.

        ``series`` broadcasts with ``point`` (units per day) and ``source`` (indices of
        ``cold_start.SOURCES``). The scale of an answer of the model is the root of the sum of two
        squares, the series' deviation and half the forecast: a day forecast high, for a promotion
        say, is more uncertain than the series' usual one.
        """
        by_model = np.equal(source, MODEL)
        demand_class = np.where(by_model, self.demand_class[series], COLD_START)
        deviation, part = self.deviation[series], FORECAST_SHARE * np.asarray(point)
        own = np.sqrt(deviation * deviation + part * part)
        return demand_class.astype(np.int8), np.where(by_model, own, cold_start_scale(point))


def cold_start_scale(point: Any) -> Any:
    """Return the scale of an answer of which only the mean, ``point``, is known.

    The geometric distribution leaves most open among those of a mean m on 0, 1, 2, ...; its
    variance is m + m². Most series of a mean m vary less. A mean of 0 may have missed one unit.
    """
    return np.sqrt(point * point + point + 1.0 / MEAN_DAYS)


def _described(quantity: Float64s, counted: Bools) -> tuple[NDArray[np.int8], Float64s]:
    sold = counted & (quantity > 0)
    n_sold, n_counted = sold.sum(axis=1), np.maximum(counted.sum(axis=1), 1)
    mean, variance = _moments(quantity, sold)
    unequal = (n_sold > 1) & (variance >= UNEQUAL * mean**2)
    rare = n_counted >= RARE_INTERVAL * n_sold
    of_all = _moments(quantity, counted)[1]
    demand_class = (2 * rare + unequal).astype(np.int8)
    return demand_class, np.sqrt(np.maximum(of_all, 1.0 / n_counted))


def _counted(panel: Panel) -> Bools:
    days = panel.cell_days
    if isinstance(panel, StorePanel):
        return np.asarray(panel.open[panel.series_store] & (days >= panel.first_day[:, None]))
    return np.asarray(days != NO_ROW)


def _moments(quantity: Float64s, chosen: Bools) -> tuple[Float64s, Float64s]:
    """Return mean and variance (ddof 1) of the chosen cells of each row; 0 where too few are."""
    n = chosen.sum(axis=1)
    mean = np.where(chosen, quantity, 0.0).sum(axis=1) / np.maximum(n, 1)
    squared = np.where(chosen, quantity - mean[:, None], 0.0) ** 2
    return mean, squared.sum(axis=1) / np.maximum(n - 1, 1)

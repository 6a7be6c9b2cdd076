"""From residuals on days not fitted on to the multiples of an interval, and what it covers.

Split conformal prediction on time series: the residuals of rolling origins before the holdout are
the calibration set, by demand class and horizon (Mondrian), each divided by a scale known at its
origin (normalized scores), with the two tails apart. Sources:

* Papadopoulos, Proedrou, Vovk & Gammerman (2002), Inductive confidence machines for regression:
  split conformal, and the quantile of rank ceil((n + 1)(1 - alpha)) that makes it valid for n.
* Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, 4.5: Mondrian taxonomies.
* Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), JASA 113: locally weighted scores.
* Wang & Hyndman (2024), Online conformal inference for multi-step time series forecasting,
  arXiv:2410.13115: a calibration set of its own for each horizon, and one for each tail.

Days follow each other, so the residuals are not exchangeable and the guarantee is approximate: what
the intervals cover on later days is measured, on the holdout. Where residuals come from is in
``calibration.py``; how a table is applied is in ``contract/intervals.py``.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scalecast_assets.contract.demand_classes import ALL_CLASSES, COLD_START, DEMAND_CLASSES
from scalecast_assets.contract.intervals import HORIZON_ENDS, LEVELS, MAX_MULTIPLE, IntervalTable
from scalecast_assets.forecasting.training_rows import Float64, Int32, TrainingError

MIN_RESIDUALS: Final = 50
"""A cell with fewer borrows: 39 are what a tail of 2.5 % needs at least."""

COLD_START_FACTOR: Final = 1.5
"""Where too few young series were seen: so much wider than the widest class of the same days."""

LOWER_SHARE: Final = {"smooth": 0.5, "erratic": 0.5, "intermittent": 0.25, "lumpy": 0.25}
"""The share of what may lie outside that lies below. Where most days sell nothing, an interval that
leaves out zero is often wrong; a quarter instead of a half made it 12 % narrower (Walmart file)."""

EVERYTHING: Final = "all"

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Residuals:
    """Answers beside what came, one row per (origin, series, day); arrays are ``(n_rows,)``.

    ``actual``, ``forecast`` and ``scale`` (above 0) are units per day, ``horizon`` days after the
    last day known, ``demand_class`` indexes ``ALL_CLASSES``; ``series`` and ``day`` as in the
    training set.
    """

    series: Int32
    day: Int32
    actual: Float64
    forecast: Float64
    scale: Float64
    horizon: npt.NDArray[np.int64]
    demand_class: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def scores(self) -> Float64:
        """Residuals in units of their scale."""
        return (self.actual - self.forecast) / self.scale

    def take(self, chosen: Bools) -> "Residuals":
        """Return the rows of a mask."""
        return Residuals(**{name: values[chosen] for name, values in vars(self).items()})

    @classmethod
    def joined(cls, parts: "list[Residuals]") -> "Residuals":
        """Put the rows of several origins together."""
        names = cls.__dataclass_fields__
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def conformal_quantile(scores: Float64, miss: float) -> float:
    """Return the score that a new one exceeds with probability ``miss`` at most.

    That is the one of rank ceil((n + 1)(1 - miss)) among n exchangeable scores; where n is too
    small for there to be such a one, the greatest.
    """
    n = len(scores)
    # 1e-9: (n + 1)(1 - miss) is often whole but for a rounding error
    rank = min(max(math.ceil((n + 1) * (1 - miss) - 1e-9), 1), n)
    return float(np.partition(scores, rank - 1)[rank - 1])


def multiples(scores: Float64, level: int, lower_share: float) -> tuple[float, float]:
    """Return how many scales the interval reaches below and above the forecast, both 0 or more.

    The forecast itself always lies inside. Where one tail would have to end on the other side of
    it, as on days that mostly sell nothing, it ends at the forecast, misses less than its share,
    and the other tail may miss the rest.
    """
    miss = 1 - level / 100
    above = conformal_quantile(scores, miss * (1 - lower_share))
    below = conformal_quantile(-scores, miss * lower_share)
    if above < 0:
        above, below = 0.0, conformal_quantile(-scores, max(miss - _share(scores > 0), 0.0))
    elif below < 0:
        below, above = 0.0, conformal_quantile(scores, max(miss - _share(scores < 0), 0.0))
    return max(below, 0.0), max(above, 0.0)


def calibrate(residuals: Residuals, *, fit_cutoff: str, calibrated_until: str) -> IntervalTable:
    """Make the table; raises TrainingError with fewer than ``MIN_RESIDUALS`` of the model's own.

    A cell of few residuals takes those of its class on all horizons, then those of all classes on
    its horizons, then all. A longer horizon never has a smaller multiple. The cold-start class has
    one multiple for all horizons, at least the widest of the others.
    """
    own = residuals.demand_class != COLD_START
    if np.count_nonzero(own) < MIN_RESIDUALS:
        raise TrainingError(
            f"intervals need at least {MIN_RESIDUALS} days forecast by a fit that has not seen "
            f"them, found {np.count_nonzero(own)}; load a longer history"
        )
    calibrated_days = min(int(residuals.horizon[own].max()), HORIZON_ENDS[-1])
    n_groups = int(np.searchsorted(HORIZON_ENDS, calibrated_days)) + 1
    group = np.minimum(np.searchsorted(HORIZON_ENDS, residuals.horizon), n_groups - 1)
    shape = (len(ALL_CLASSES), n_groups, len(LEVELS))
    lower, upper = np.zeros(shape), np.zeros(shape)
    counts = np.zeros(shape[:2], dtype=np.int64)
    scores = residuals.scores
    for at, name in enumerate(DEMAND_CLASSES):
        of_class = residuals.demand_class == at
        for g in range(n_groups):
            of_group = group == g
            counts[at, g] = np.count_nonzero(of_class & of_group)
            choices = (of_class & of_group, of_class, own & of_group, own)
            chosen = next(c for c in choices if np.count_nonzero(c) >= MIN_RESIDUALS)
            _fill(lower[at, g], upper[at, g], scores[chosen], LOWER_SHARE[name])
    widest = [tail[:COLD_START].max(axis=(0, 1)) for tail in (lower, upper)]
    cold = scores[~own]
    counts[COLD_START] = len(cold)
    if len(cold) >= MIN_RESIDUALS:
        _fill(lower[COLD_START], upper[COLD_START], cold, 0.5)
        for tail, least in zip((lower, upper), widest, strict=True):
            np.maximum(tail[COLD_START], least, out=tail[COLD_START])
    else:
        for tail, least in zip((lower, upper), widest, strict=True):
            tail[COLD_START] = COLD_START_FACTOR * least
    lower, upper = (
        np.maximum.accumulate(np.minimum(tail, MAX_MULTIPLE), axis=1) for tail in (lower, upper)
    )
    return IntervalTable(lower, upper, counts, calibrated_days, fit_cutoff, calibrated_until)


@dataclass(frozen=True)
class CoverageRow:
    """What the intervals of one level covered of one group of answers.

    ``covered``, ``below`` and ``above`` are fractions of the ``rows``, ``mean_width`` is units per
    day, ``width_to_demand`` the sum of the widths over that of the demand; None if nothing sold.
    """

    group: str
    level: int
    rows: int
    covered: float
    below: float
    above: float
    mean_width: float
    width_to_demand: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as an object of the manifest's ``coverage``."""
        return asdict(self)


def measure_coverage(table: IntervalTable, unseen: Residuals) -> list[CoverageRow]:
    """Hold the intervals against days after those they were calibrated on.

    By group: everything, each demand class, each group of horizons; those without a row are left
    out.
    """
    found = []
    bounds = {
        level: table.bounds(
            unseen.forecast, unseen.horizon, unseen.demand_class, unseen.scale, level
        )
        for level in LEVELS
    }
    for name, chosen in _groups(unseen):
        sold = float(unseen.actual[chosen].sum())
        for level, (lower, upper) in bounds.items():
            actual = unseen.actual[chosen]
            below, above = actual < lower[chosen], actual > upper[chosen]
            width = upper[chosen] - lower[chosen]
            found.append(
                CoverageRow(
                    group=name,
                    level=level,
                    rows=len(actual),
                    covered=float(np.mean(~below & ~above)),
                    below=float(np.mean(below)),
                    above=float(np.mean(above)),
                    mean_width=float(np.mean(width)),
                    width_to_demand=float(width.sum()) / sold if sold > 0 else None,
                )
            )
    return found


def _groups(unseen: Residuals) -> Iterator[tuple[str, Bools]]:
    groups = [(EVERYTHING, np.ones(len(unseen), dtype=np.bool_))]
    groups += [(name, unseen.demand_class == at) for at, name in enumerate(ALL_CLASSES)]
    begins = [1, *(end + 1 for end in HORIZON_ENDS[:-1])]
    for first, last in zip(begins, HORIZON_ENDS, strict=True):
        name = f"day {first}" if first == last else f"days {first} to {last}"
        groups.append((name, (unseen.horizon >= first) & (unseen.horizon <= last)))
    return ((name, chosen) for name, chosen in groups if chosen.any())


def _share(missed: Bools) -> float:
    """The largest probability of another miss that so many of n are evidence for."""
    return (int(np.count_nonzero(missed)) + 1) / (len(missed) + 1)


def _fill(lower: Float64, upper: Float64, scores: Float64, lower_share: float) -> None:
    """Write the multiples of every level into the last axis of both arrays."""
    for at, level in enumerate(LEVELS):
        lower[..., at], upper[..., at] = multiples(scores, level, lower_share)
    for tail in (lower, upper):
        np.maximum.accumulate(tail, axis=-1, out=tail)

"""Whether new data are still like those a model was trained on: the population stability index.

Both samples of a feature are cut at the reference's deciles; the index is the sum over the cells of
(new share − reference share) · ln(new share / reference share) (Siddiqi, Credit Risk Scorecards,
2006). Up to 0.1 is commonly read as no change, above 0.2 as one that matters, if there are rows
enough to tell it from chance. Which rows are compared is decided by whoever reads them, in
``scalecast_assets.monitoring``; how far forecasts were off is in ``live_accuracy.py``.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scalecast_assets.forecasting.training_rows import Float64

Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

MEASURED: Final = (
    "quantity_sold",
    "lag_1",
    "lag_7",
    "lag_14",
    "rolling_mean_7",
    "rolling_std_7",
    "rolling_mean_14",
    "price",
    "promotion",
    "product_id_encoded",
)
"""The target and the features that are compared. Those of the calendar alone, and the store, are
matched instead: a December is not June, and a store that has not delivered is no new world."""

CELLS: Final = 10
_WINDOW: Final = {"rolling_mean_7": 7, "rolling_std_7": 7, "rolling_mean_14": 14}
"""Days that one value sums up: the values of neighbouring days say nearly the same."""

_ONCE_IN_A_THOUSAND: Final = 3.09
"""Standard deviations of a normal variable."""


@dataclass(frozen=True, eq=False)
class Sample:
    """``n`` rows with history on ``days`` days: ``values`` ``(n, len(MEASURED))`` and ``stratum``.

    Rows are compared with rows of the same stratum ``(n,)``: any number that stands for the row's
    store and weekday, see :func:`stratum_of`.
    """

    values: Float64
    stratum: npt.NDArray[np.int64]
    days: int

    def __len__(self) -> int:
        return len(self.stratum)


class FeatureDrift(NamedTuple):
    """How far one feature has moved; means are weighted as the shares are.

    ``chance`` is what the index exceeds once in a thousand times although nothing has changed.
    """

    feature: str
    psi: float
    chance: float
    mean: float
    reference_mean: float


@dataclass(frozen=True)
class Drift:
    """Every measured feature; ``unmatched_rows`` are new ones of strata the reference lacks."""

    features: tuple[FeatureDrift, ...]
    rows: int
    reference_rows: int
    unmatched_rows: int

    @property
    def worst(self) -> FeatureDrift:
        """The feature that has moved most."""
        return max(self.features, key=lambda feature: feature.psi)

    def beyond(self, threshold: float) -> list[FeatureDrift]:
        """Return the features above the threshold and above chance, the worst first."""
        moved = [f for f in self.features if f.psi > max(threshold, f.chance)]
        return sorted(moved, key=lambda feature: -feature.psi)


def stratum_of(store_code: Ints, day_of_week: Ints) -> npt.NDArray[np.int64]:
    """Number the pairs of store and weekday."""
    return np.asarray(store_code, dtype=np.int64) * 7 + np.asarray(day_of_week, dtype=np.int64)


def measure_drift(reference: Sample, new: Sample) -> Drift | None:
    """Compare every feature, the reference weighted to the stores and weekdays of the new rows.

    Returns ``None`` where no new row has a counterpart.
    """
    weights, matched = match_strata(reference.stratum, new.stratum)
    used, rows = weights > 0, int(matched.sum())
    if not rows:
        return None
    weights = weights[used]
    features = []
    for place, name in enumerate(MEASURED):
        before, now = reference.values[used, place], new.values[matched, place]
        p, q = _shares(before, now, weights)
        window = _WINDOW.get(name, 1)
        features.append(
            FeatureDrift(
                feature=name,
                psi=_index(p, q),
                chance=chance(
                    len(p),
                    rows / min(window, new.days),
                    1 / float(np.square(weights).sum()) / min(window, reference.days),
                ),
                mean=float(now.mean()),
                reference_mean=float(np.average(before, weights=weights)),
            )
        )
    return Drift(tuple(features), rows, int(used.sum()), len(new) - rows)


def match_strata(reference: Ints, new: Ints) -> tuple[Float64, Bools]:
    """Weigh the reference so that each stratum has the same share as among the new rows.

    Returns the weights ``(n_reference,)``, summing to 1 unless nothing matches, and which of the
    new rows ``(n_new,)`` have any reference.
    """
    strata, place = np.unique(np.concatenate([reference, new]), return_inverse=True)
    before, now = place[: len(reference)], place[len(reference) :]
    n_before = np.bincount(before, minlength=len(strata))
    n_now = np.where(n_before > 0, np.bincount(now, minlength=len(strata)), 0)
    share = n_now / max(int(n_now.sum()), 1)
    return share[before] / n_before[before], np.asarray(n_before[now] > 0)


def psi(reference: Float64, new: Float64, weights: Float64 | None = None) -> float:
    """Return the population stability index of two samples of one feature.

    ``weights`` are those of the reference's rows (default: all equal). Half a row is added to each
    cell, so that an empty one is no infinity. Raises ValueError on an empty or non-finite sample.
    """
    for name, sample in (("reference", reference), ("new", new)):
        if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
            raise ValueError(f"{name}: expected a sample (n,) of finite numbers, n at least 1")
    weights = np.ones(len(reference)) if weights is None else weights
    return _index(*_shares(reference, new, weights / weights.sum()))


def chance(cells: int, rows: float, reference_rows: float) -> float:
    """Return what the index of two samples of the same world exceeds once in a thousand times.

    Divided by 1/rows + 1/reference_rows, independent rows on both sides, it is χ² distributed with
    cells - 1 degrees of freedom (Yurdakul & Naranjo, Statistical properties of the population
    stability index, 2020); the quantile is Wilson and Hilferty's.
    """
    degrees = max(cells - 1, 1)
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + _ONCE_IN_A_THOUSAND * spread**0.5) ** 3
    return float(quantile * (1 / rows + 1 / reference_rows))


def _cuts(reference: Float64, weights: Float64) -> Float64:
    """Return ascending upper bounds, included, of all cells but the last.

    They are the weighted deciles. A value that alone fills half a cell or more gets a cell to
    itself: of a price that never changed, a lower one is as much a change as a higher one.
    """
    order = np.argsort(reference, kind="stable")
    ordered, filled = reference[order], np.cumsum(weights[order])
    levels = np.arange(1, CELLS) / CELLS
    at = np.minimum(np.searchsorted(filled, levels - 1e-12), len(ordered) - 1)
    deciles = np.unique(ordered[at])
    ends = np.searchsorted(ordered, deciles, side="right") - 1
    begins = np.searchsorted(ordered, deciles)
    alone = filled[ends] - np.where(begins > 0, filled[begins - 1], 0.0)
    heavy = deciles[alone >= 0.5 / CELLS - 1e-12]
    return np.unique(np.concatenate([deciles, np.nextafter(heavy, -np.inf)]))


def _shares(reference: Float64, new: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Return each cell's share of both samples, half a row added; cells empty in both left out."""
    cuts = _cuts(reference, weights)
    before = np.bincount(np.searchsorted(cuts, reference), weights, minlength=len(cuts) + 1)
    now = np.bincount(np.searchsorted(cuts, new), minlength=len(cuts) + 1) / len(new)
    filled = (before > 0) | (now > 0)
    p, q = (
        (shares[filled] * n + 0.5) / (n + 0.5 * filled.sum())
        for shares, n in ((before, len(reference)), (now, len(new)))
    )
    return p, q


def _index(p: Float64, q: Float64) -> float:
    return float(np.sum((q - p) * np.log(q / p)))

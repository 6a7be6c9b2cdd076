"""Cuts in time: the origin, the holdout, folds for tuning, the slice for early stopping.

Every cut is a list of dates, never of row positions; rows are found by their date afterwards. What
is measured on a cut is in ``metrics.py`` and ``evaluation.py``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scalecast_assets.forecasting.training_rows import Indices, Int32, TrainingError

STOPPING_SHARE = 0.15
"""The share of the dates, the last ones, on which early stopping watches the error."""


CALIBRATION_DAYS = 84
"""The most days before the holdout on which intervals are calibrated."""

CALIBRATION_SHARE = 3
"""They take at most the last of so many equal parts of the days before the holdout."""

LEAST_CALIBRATION_DAYS = 14

ORIGIN_STEP = 6
"""Days from one origin to the next: prime to 7, so that every horizon meets each weekday."""


@dataclass(frozen=True)
class CalibrationCut:
    """A fit on days up to ``fit_cutoff`` forecasts from each of ``origins`` up to ``until``."""

    fit_cutoff: int
    origins: tuple[int, ...]
    until: int


def calibration_cut(first_day: int, origin: int) -> CalibrationCut:
    """Cut the days before the holdout: nothing after ``origin`` is used.

    Raises TrainingError when they are too few.
    """
    length = min(CALIBRATION_DAYS, (origin - first_day + 1) // CALIBRATION_SHARE)
    if length < LEAST_CALIBRATION_DAYS:
        raise TrainingError(
            f"intervals are calibrated on the last third of the days before the holdout and need "
            f"at least {LEAST_CALIBRATION_DAYS}, found {length}; load a longer history"
        )
    cutoff = origin - length
    return CalibrationCut(cutoff, tuple(range(cutoff, origin, ORIGIN_STEP)), origin)


@dataclass(frozen=True)
class Fold:
    """Dates (days since 1970-01-01) to fit on, and later dates to score on."""

    train_days: tuple[int, ...]
    test_days: tuple[int, ...]


def origin_of(last_day: int, horizon_days: int) -> int:
    """Return the origin: the last day a forecast of the final ``horizon_days`` days may know."""
    if horizon_days < 1:
        raise TrainingError(f"horizon_days: expected at least 1, found {horizon_days}")
    return last_day - horizon_days


def date_folds(days: npt.ArrayLike, n_folds: int = 3) -> list[Fold]:
    """Cut the distinct dates into ``n_folds`` rolling origins with a growing past.

    The dates are cut into ``n_folds + 1`` blocks as equal as can be; fold k fits on the first k
    blocks and scores on the next. Test dates of different folds never meet.

    Raises TrainingError when there are fewer distinct dates than blocks.
    """
    dates = np.unique(np.asarray(days))
    if len(dates) < n_folds + 1:
        raise TrainingError(
            f"{n_folds} time-ordered folds need rows of at least {n_folds + 1} distinct dates, "
            f"found {len(dates)}; load a longer history"
        )
    blocks = [tuple(int(day) for day in block) for block in np.array_split(dates, n_folds + 1)]
    return [
        Fold(train_days=sum(blocks[:k], ()), test_days=blocks[k]) for k in range(1, n_folds + 1)
    ]


def fold_rows(days: Int32, folds: list[Fold]) -> list[tuple[Indices, Indices]]:
    """Return (train, test) row positions of each fold: the ``cv`` argument of scikit-learn."""
    return [
        (
            np.flatnonzero(np.isin(days, fold.train_days)),
            np.flatnonzero(np.isin(days, fold.test_days)),
        )
        for fold in folds
    ]


def stopping_rows(days: Int32, share: float = STOPPING_SHARE) -> tuple[Indices, Indices]:
    """Return positions of the rows to fit on, and of those of the last dates to watch.

    Raises TrainingError when there is only one distinct date.
    """
    dates = np.unique(days)
    if len(dates) < 2:
        raise TrainingError(
            "early stopping watches later dates than it fits on and needs rows of at least "
            f"2 distinct dates, found {len(dates)}; load a longer history"
        )
    watched = min(max(1, round(len(dates) * share)), len(dates) - 1)
    first_watched = dates[-watched]
    return np.flatnonzero(days < first_watched), np.flatnonzero(days >= first_watched)

"""Every cut is made at a date: nothing fitted on is later than anything scored on."""

import itertools

import numpy as np
import pytest

from scalecast_assets.forecasting.splits import (
    date_folds,
    fold_rows,
    origin_of,
    stopping_rows,
)
from scalecast_assets.forecasting.training_rows import TrainingError


def shuffled_days(n_days: int, per_day: int = 3) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Return days in no order, as rows sorted by series have them."""
    days = np.repeat(np.arange(n_days, dtype=np.int32) * 2 + 50, per_day)
    return np.random.default_rng(0).permutation(days)


def test_the_holdout_is_the_last_days_and_starts_after_the_origin() -> None:
    origin = origin_of(last_day=100, horizon_days=14)
    assert origin == 86


def test_a_horizon_without_days_is_refused() -> None:
    with pytest.raises(TrainingError, match="horizon_days: expected at least 1, found 0"):
        origin_of(100, 0)


@pytest.mark.parametrize("n_days", [4, 5, 10, 101])
def test_folds_are_rolling_origins_over_dates(n_days: int) -> None:
    folds = date_folds(shuffled_days(n_days))
    assert len(folds) == 3
    for fold in folds:
        assert fold.train_days
        assert fold.test_days
        assert max(fold.train_days) < min(fold.test_days)
    for earlier, later in itertools.pairwise(folds):
        assert later.train_days == earlier.train_days + earlier.test_days
        assert not set(earlier.test_days) & set(later.test_days)
    assert folds[-1].test_days[-1] == 50 + 2 * (n_days - 1)


def test_fold_rows_are_all_rows_of_the_dates_wherever_they_stand() -> None:
    days = shuffled_days(20)
    folds = date_folds(days)
    for fold, (train, test) in zip(folds, fold_rows(days, folds), strict=True):
        assert sorted(days[train]) == sorted(3 * fold.train_days)
        assert sorted(days[test]) == sorted(3 * fold.test_days)


def test_too_few_dates_for_folds_say_how_many_are_needed() -> None:
    with pytest.raises(TrainingError, match="at least 4 distinct dates, found 3"):
        date_folds(shuffled_days(3))


@pytest.mark.parametrize("n_days", [2, 3, 7, 100])
def test_early_stopping_watches_the_last_dates_only(n_days: int) -> None:
    days = shuffled_days(n_days)
    fitting, watching = stopping_rows(days)
    assert days[fitting].max() < days[watching].min()
    assert sorted([*fitting, *watching]) == list(range(len(days)))
    assert len(np.unique(days[watching])) == max(1, round(0.15 * n_days))


def test_early_stopping_needs_a_second_date() -> None:
    with pytest.raises(TrainingError, match="at least 2 distinct dates, found 1"):
        stopping_rows(shuffled_days(1))

"""TrainingRows refuses what does not fit together, and samples the whole past, not the latest."""

from typing import Any

import numpy as np
import pytest

from scalecast_assets.forecasting.budget import Budget, within_budget
from scalecast_assets.forecasting.training_rows import TrainingError, TrainingRows


def make_rows(n_rows: int = 10, **overrides: Any) -> TrainingRows:
    columns: dict[str, Any] = {
        "features": np.arange(n_rows * 16, dtype=np.float32).reshape(n_rows, 16),
        "target": np.arange(n_rows, dtype=np.float64),
        "day": np.arange(n_rows, dtype=np.int32) + 100,
        "series": np.zeros(n_rows, dtype=np.int32),
    }
    return TrainingRows(**(columns | overrides))


def test_before_excludes_the_day_and_up_to_includes_it() -> None:
    rows = make_rows()
    assert rows.before(103).day.tolist() == [100, 101, 102]
    assert rows.up_to(103).day.tolist() == [100, 101, 102, 103]


def test_rows_stay_together_when_they_are_taken() -> None:
    taken = make_rows().take(np.array([7, 2]))
    assert taken.target.tolist() == [7.0, 2.0]
    assert taken.day.tolist() == [107, 102]
    assert taken.features[:, 0].tolist() == [112.0, 32.0]


def test_a_sample_keeps_the_order_and_is_the_same_for_the_same_seed() -> None:
    rows = make_rows(1000)
    first, again, other = rows.sample(100, 7), rows.sample(100, 7), rows.sample(100, 8)
    assert len(first) == 100
    assert (np.diff(first.target) > 0).all()
    assert first.target.tolist() == again.target.tolist()
    assert first.target.tolist() != other.target.tolist()


def test_a_sample_is_spread_over_all_days_and_not_just_the_latest() -> None:
    sample = make_rows(10_000).sample(1000, 0)
    per_tenth = np.histogram(sample.target, bins=10, range=(0, 10_000))[0]
    assert per_tenth.min() > 60
    assert per_tenth.max() < 140


def test_a_budget_that_does_not_bite_changes_nothing_and_says_nothing() -> None:
    rows = make_rows()
    lines: list[str] = []
    used, notes = within_budget(rows, 10, seed=0, verb="fitted", log=lines.append)
    assert used is rows
    assert notes == lines == []


def test_a_budget_that_bites_is_logged_and_noted() -> None:
    lines: list[str] = []
    used, notes = within_budget(make_rows(2000), 1500, seed=0, verb="fitted", log=lines.append)
    assert len(used) == 1500
    assert notes == lines == ["fitted on 1,500 of 2,000 rows (budget 1,500)"]


def test_a_budget_without_rows_is_refused() -> None:
    with pytest.raises(TrainingError, match="tune_rows: expected at least 1, found 0"):
        Budget(fit_rows=1, tune_rows=0)
    with pytest.raises(TrainingError, match="at least 1, found 0"):
        make_rows().sample(0, seed=0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"features": np.zeros((10, 15), dtype=np.float32)}, r"expected shape \(n_rows, 16\)"),
        ({"features": np.zeros((10, 16))}, "features: expected dtype float32, found float64"),
        ({"target": np.zeros(9)}, "target: expected 10 rows"),
        ({"day": np.zeros(10, dtype=np.int64)}, "day: expected dtype int32, found int64"),
        ({"target": np.array([0.0] * 9 + [np.inf])}, "target: .* the first in row 9"),
        ({"features": np.full((10, 16), np.nan, dtype=np.float32)}, "day_of_week: .* in row 0"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        make_rows(**overrides)

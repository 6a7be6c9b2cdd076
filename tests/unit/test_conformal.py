"""The quantiles against a naive twin, and coverage on exchangeable data within chance."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.contract.demand_classes import ALL_CLASSES, COLD_START
from scalecast_assets.contract.intervals import LEVELS, IntervalTable
from scalecast_assets.forecasting.conformal import (
    COLD_START_FACTOR,
    MIN_RESIDUALS,
    Residuals,
    calibrate,
    conformal_quantile,
    measure_coverage,
    multiples,
)
from scalecast_assets.forecasting.training_rows import TrainingError

MISSES = (0.0, 0.025, 0.05, 0.1, 0.25, 0.5, 0.9)


def residuals(
    actual: np.ndarray,
    forecast: np.ndarray,
    *,
    scale: np.ndarray | float = 1.0,
    horizon: np.ndarray | int = 1,
    demand_class: np.ndarray | int = 0,
) -> Residuals:
    n = len(actual)
    return Residuals(
        series=np.zeros(n, np.int32),
        day=np.arange(n, dtype=np.int32),
        actual=np.asarray(actual, np.float64),
        forecast=np.asarray(forecast, np.float64),
        scale=np.broadcast_to(np.asarray(scale, np.float64), n),
        horizon=np.broadcast_to(np.asarray(horizon, np.int64), n),
        demand_class=np.broadcast_to(np.asarray(demand_class, np.int8), n),
    )


def gamma(n: int, seed: int, *, mean: float = 20.0) -> Residuals:
    """Skewed demand around an honest forecast, its spread known but for a factor."""
    random = np.random.default_rng(seed)
    forecast = random.uniform(5, 2 * mean - 5, n)
    scale = random.uniform(0.5, 2, n)
    drawn = random.gamma(2.0, 1.0, n) - 2.0
    return residuals(np.maximum(forecast + scale * drawn, 0.0), forecast, scale=scale)


def table(rows: Residuals) -> IntervalTable:
    return calibrate(rows, fit_cutoff="2024-01-01", calibrated_until="2024-03-01")


def naive_quantile(scores: list[float], miss: float) -> float:
    """The least score that the (n + 1)-th exceeds with no more than that probability, else the max.

    Among n + 1 exchangeable scores, each rank of the new one is as likely.
    """
    n = len(scores)
    for rank, score in enumerate(sorted(scores), start=1):
        if (n + 1 - rank) / (n + 1) <= miss + 1e-12:
            return score
    return max(scores)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.sampled_from(MISSES))
def test_the_quantile_is_that_of_the_naive_twin(scores: list[float], miss: float) -> None:
    assert conformal_quantile(np.array(scores), miss) == naive_quantile(scores, miss)


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (19, 18), (99, 90), (100, 91)])
def test_the_rank_counts_the_new_score_too(n: int, rank: int) -> None:
    assert conformal_quantile(np.arange(1.0, n + 1), 0.1) == rank == math.ceil((n + 1) * 0.9 - 1e-9)


@given(
    st.lists(st.floats(-100, 100), min_size=MIN_RESIDUALS, max_size=300),
    st.sampled_from([0.25, 0.5]),
)
def test_multiples_are_never_negative_and_nest(scores: list[float], share: float) -> None:
    found = [multiples(np.array(scores), level, share) for level in LEVELS]
    assert min(found[0]) >= 0
    for inner, outer in pairwise(found):
        assert inner[0] <= outer[0]
        assert inner[1] <= outer[1]


@given(
    st.lists(st.floats(-100, 100), min_size=MIN_RESIDUALS, max_size=300),
    st.sampled_from(LEVELS),
    st.sampled_from([0.25, 0.5]),
)
def test_a_level_covers_at_least_its_share_of_what_it_was_made_from(
    scores: list[float], level: int, share: float
) -> None:
    below, above = multiples(np.array(scores), level, share)
    inside = sum(-below <= score <= above for score in scores)
    assert inside >= level / 100 * len(scores) - 1e-9


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_exchangeable_data_the_coverage_is_nominal_within_chance(level: int, seed: int) -> None:
    """Given n calibration scores the coverage is Beta distributed; five deviations of it, and of
    the binomial count of the days tried, bound the difference."""
    n, tried = 2_000, 20_000
    made = table(gamma(n, seed))
    all_of_it = next(
        row for row in measure_coverage(made, gamma(tried, seed + 100)) if row.level == level
    )
    nominal = level / 100
    deviation = math.sqrt(nominal * (1 - nominal) * (1 / n + 1 / tried))
    assert all_of_it.group == "all"
    assert abs(all_of_it.covered - nominal) < 5 * deviation
    assert all_of_it.below == pytest.approx((1 - nominal) / 2, abs=5 * deviation)


@pytest.mark.parametrize("level", LEVELS)
def test_where_most_days_sell_nothing_the_coverage_is_nominal_too(level: int) -> None:
    """The upper tail of the narrow levels would end below the forecast: it ends on it."""
    random = np.random.default_rng(5)

    def draw(n: int) -> Residuals:
        rate = random.uniform(0.05, 0.3, n)
        sold = random.poisson(rate).astype(float)
        return residuals(sold, rate, scale=np.sqrt(rate), demand_class=2)

    made = table(draw(5_000))
    found = next(r for r in measure_coverage(made, draw(20_000)) if r.level == level)
    assert found.covered == pytest.approx(level / 100, abs=0.03)


def test_what_is_covered_is_counted_as_a_person_would() -> None:
    made = table(residuals(np.arange(100.0), np.full(100, 49.5)))
    lower, upper = made.bounds(49.5, 1, 0, 1.0, 80)
    held = residuals(np.array([lower, upper, 49.0, 0.0, 100.0]), np.full(5, 49.5))
    row = next(r for r in measure_coverage(made, held) if (r.group, r.level) == ("all", 80))
    assert (row.rows, row.covered, row.below, row.above) == (5, 0.6, 0.2, 0.2)
    assert row.mean_width == pytest.approx(float(upper - lower))
    assert row.width_to_demand == pytest.approx(5 * float(upper - lower) / held.actual.sum())


def test_groups_are_everything_the_classes_and_the_horizons() -> None:
    rows = residuals(
        np.ones(600),
        np.zeros(600),
        horizon=np.tile([1, 5, 14], 200),
        demand_class=np.tile([0, 3, COLD_START], 200),
    )
    found = measure_coverage(table(rows), rows)
    groups = ["all", "smooth", "lumpy", "cold_start", "day 1", "days 2 to 7", "days 8 to 14"]
    assert list(dict.fromkeys(row.group for row in found)) == groups
    assert {row.rows for row in found} == {600, 200}
    assert next(row for row in found if row.group == "lumpy").width_to_demand is not None


def test_each_cell_has_the_multiples_of_its_own_residuals() -> None:
    wide = np.repeat([1.0, 2.0, 4.0, 8.0], 100)
    random = np.random.default_rng(3).uniform(-1, 1, 400)
    rows = residuals(
        100 + wide * random,
        np.full(400, 100.0),
        horizon=np.tile(np.repeat([1, 7], 50), 4),
        demand_class=np.repeat([0, 1, 2, 3], 100),
    )
    made = table(rows)
    for at in range(4):
        mine = rows.take((rows.demand_class == at) & (rows.horizon == 1))
        share = 0.5 if at < 2 else 0.25
        expected = multiples(mine.scores, 80, share)
        assert (made.lower[at, 0, 1], made.upper[at, 0, 1]) == expected
    assert made.residuals[:4].tolist() == [[50, 50]] * 4
    assert made.calibrated_days == 7


def test_a_cell_of_few_borrows_from_its_class_then_from_its_horizon() -> None:
    far = np.concatenate([np.ones(60), np.full(30, 7.0), np.full(60, 1.0), np.full(60, 7.0)])
    kind = np.concatenate([np.zeros(90), np.ones(120)])
    error = np.concatenate([np.full(90, 2.0), np.full(60, 3.0), np.full(60, 5.0)])
    made = table(residuals(100 + error, np.full(210, 100.0), horizon=far, demand_class=kind))
    assert made.upper[0, 1, 1] == 2.0
    assert made.upper[1, :, 1].tolist() == [3.0, 5.0]
    assert made.upper[2, :, 3].tolist() == [3.0, 5.0]


def test_a_longer_horizon_is_never_narrower() -> None:
    error = np.concatenate([np.full(60, 5.0), np.full(60, 1.0)])
    rows = residuals(10 + error, np.full(120, 10.0), horizon=np.repeat([1, 3], 60))
    assert table(rows).upper[0].tolist() == [[5.0] * 4] * 2


@pytest.mark.parametrize("n_cold", [0, MIN_RESIDUALS - 1, MIN_RESIDUALS, 400])
@pytest.mark.parametrize("error", [0.1, 30.0])
def test_the_cold_start_class_is_wider_than_any_other(n_cold: int, error: float) -> None:
    """Measured where enough young series were seen, and never narrower than the others' widest."""
    own = gamma(500, 4)
    random = np.random.default_rng(9)
    cold = residuals(
        100 + error * random.uniform(-1, 1, n_cold), np.full(n_cold, 100.0), demand_class=COLD_START
    )
    made = table(Residuals.joined([own, cold]))
    for tail in (made.lower, made.upper):
        widest = tail[:COLD_START].max(axis=(0, 1))
        assert np.all(tail[COLD_START] >= widest)
        if n_cold < MIN_RESIDUALS:
            np.testing.assert_allclose(tail[COLD_START, 0], COLD_START_FACTOR * widest)
        elif error > 1:
            assert tail[COLD_START, 0, 3] == pytest.approx(error, rel=0.25)
    assert made.residuals[COLD_START].tolist() == [n_cold]


def test_too_few_residuals_are_an_error_that_says_what_to_do() -> None:
    few = gamma(MIN_RESIDUALS - 1, 1)
    with pytest.raises(TrainingError, match=r"found 49; load a longer history"):
        table(few)
    assert table(gamma(MIN_RESIDUALS, 1)).residuals[0].tolist() == [MIN_RESIDUALS]


def test_a_table_made_here_is_one_that_readers_accept() -> None:
    random = np.random.default_rng(2)
    n = 5_000
    rows = residuals(
        random.poisson(3, n).astype(float) * 1e5,
        np.full(n, 3e5),
        scale=1e-2,
        horizon=random.integers(1, 57, n),
        demand_class=random.integers(0, len(ALL_CLASSES), n),
    )
    made = table(rows)
    assert made.upper.max() == 1e6
    assert IntervalTable.parse(made.to_bytes()).calibrated_days == 56

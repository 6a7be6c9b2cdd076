"""The population stability index against a naive twin, and what counts as a changed world."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.forecasting.drift import (
    MEASURED,
    Drift,
    Sample,
    chance,
    match_strata,
    measure_drift,
    psi,
    stratum_of,
)
from scalecast_assets.forecasting.training_rows import Float64

THRESHOLD = 0.2
MONDAY, SATURDAY = 0, 5
Values = list[float]

SAMPLES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=60)


def naive_psi(reference: Values, new: Values) -> float:
    ordered, n = sorted(reference), len(reference)
    deciles = sorted({ordered[math.ceil(k * n / 10) - 1] for k in range(1, 10)})
    alone = [d for d in deciles if reference.count(d) >= n / 20]
    cells = [(place, False) for place in range(len(deciles) + 1)]
    cells += [(deciles.index(d), True) for d in alone]

    def share(sample: Values, cell: tuple[int, bool]) -> float:
        inside = sum((sum(d < x for d in deciles), x in alone) == cell for x in sample)
        return (inside + 0.5) / (len(sample) + 0.5 * len(cells))

    def is_filled(cell: tuple[int, bool]) -> bool:
        return any((sum(d < x for d in deciles), x in alone) == cell for x in reference + new)

    cells = [cell for cell in cells if is_filled(cell)]
    pairs = [(share(reference, cell), share(new, cell)) for cell in cells]
    return sum((q - p) * math.log(q / p) for p, q in pairs)


def days(rng: np.random.Generator, n_days: int, n_series: int = 20, first: int = 0) -> Sample:
    """Two stores; everything is twice as much on Saturdays and Sundays; S2 sells ten times more."""
    day = np.repeat(np.arange(first, first + n_days), 2 * n_series)
    store = np.tile(np.repeat([1, 2], n_series), n_days)
    level = np.where(day % 7 >= SATURDAY, 2.0, 1.0) * np.where(store == 2, 10.0, 1.0)
    values = rng.gamma(5.0, level[:, None], (len(day), len(MEASURED)))
    values[:, MEASURED.index("promotion")] = rng.random(len(day)) < 0.1
    return Sample(values, stratum_of(store, day % 7), n_days)


def only(sample: Sample, *, store: int | None = None, weekday: int | None = None) -> Sample:
    keep = np.ones(len(sample), dtype=bool)
    if store is not None:
        keep &= sample.stratum // 7 == store
    if weekday is not None:
        keep &= sample.stratum % 7 == weekday
    return Sample(sample.values[keep], sample.stratum[keep], sample.days)


def times(sample: Sample, feature: str, factor: float) -> Sample:
    values = sample.values.copy()
    values[:, MEASURED.index(feature)] *= factor
    return Sample(values, sample.stratum, sample.days)


def weekly_means(windows: Float64) -> Sample:
    """A store whose series differ in nothing but ``windows`` ``(n_series, n_days)``."""
    values = np.zeros((windows.size, len(MEASURED)))
    values[:, MEASURED.index("rolling_mean_7")] = windows.ravel()
    return Sample(values, np.zeros(windows.size, dtype=np.int64), windows.shape[1])


def compared(reference: Sample, new: Sample) -> Drift:
    drift = measure_drift(reference, new)
    assert drift is not None
    return drift


@given(reference=SAMPLES, new=SAMPLES)
def test_the_index_equals_its_naive_twin(reference: Values, new: Values) -> None:
    found = psi(np.array(reference), np.array(new))
    assert found == pytest.approx(naive_psi(reference, new), rel=1e-9, abs=1e-12)


def test_the_index_of_halves_that_became_quarters_is_the_one_of_the_books() -> None:
    by_hand = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5)
    found = psi(np.repeat([0.0, 1.0], 50_000), np.repeat([0.0, 1.0], [25_000, 75_000]))
    assert found == pytest.approx(by_hand, rel=1e-3)


@given(reference=SAMPLES)
def test_a_sample_has_not_moved_from_itself(reference: Values) -> None:
    assert psi(np.array(reference), np.array(reference)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("now", [1.99, 2.01])
def test_a_price_that_never_changed_is_missed_in_either_direction(now: float) -> None:
    assert psi(np.full(500, 2.0), np.full(200, now)) > THRESHOLD


def test_promotions_that_were_never_there_before_are_noticed() -> None:
    assert psi(np.zeros(1000), np.repeat([0.0, 1.0], [120, 80])) > THRESHOLD


@pytest.mark.parametrize("sample", [[], [1.0, math.nan], [math.inf]])
def test_an_empty_or_unsound_sample_is_an_error_and_never_a_number(sample: Values) -> None:
    with pytest.raises(ValueError, match="reference"):
        psi(np.array(sample), np.array([1.0]))
    with pytest.raises(ValueError, match="new"):
        psi(np.array([1.0]), np.array(sample))


@given(
    reference=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    new=st.lists(st.integers(0, 5), min_size=1, max_size=40),
)
def test_the_reference_gets_the_strata_of_the_new_rows(
    reference: list[int], new: list[int]
) -> None:
    weights, matched = match_strata(np.array(reference), np.array(new))
    common = [s for s in new if s in reference]
    assert matched.tolist() == [s in reference for s in new]
    for stratum in set(reference):
        total = sum(w for w, s in zip(weights, reference, strict=True) if s == stratum)
        share = common.count(stratum) / len(common) if common else 0
        assert total == pytest.approx(share)


def test_a_stable_world_has_not_moved() -> None:
    rng = np.random.default_rng(1)
    drift = compared(days(rng, 56), days(rng, 14))
    assert drift.worst.psi < THRESHOLD / 2
    assert drift.beyond(THRESHOLD) == []
    assert [feature.feature for feature in drift.features] == list(MEASURED)
    assert (drift.rows, drift.reference_rows, drift.unmatched_rows) == (560, 2240, 0)


def test_a_weekend_is_compared_with_weekends() -> None:
    rng = np.random.default_rng(2)
    reference, new = days(rng, 56), only(days(rng, 56), weekday=SATURDAY)
    assert compared(reference, new).beyond(THRESHOLD) == []
    drift = compared(only(reference, weekday=SATURDAY), new)
    assert compared(reference, new).rows == drift.rows == len(new)
    quantity = MEASURED.index("quantity_sold")
    assert psi(reference.values[:, quantity], new.values[:, quantity]) > THRESHOLD


def test_a_store_that_has_not_delivered_is_no_new_world() -> None:
    rng = np.random.default_rng(3)
    reference, new = days(rng, 56), only(days(rng, 14), store=1)
    assert compared(reference, new).beyond(THRESHOLD) == []
    quantity = MEASURED.index("quantity_sold")
    assert psi(reference.values[:, quantity], new.values[:, quantity]) > THRESHOLD


def test_rows_of_a_store_that_the_reference_lacks_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(4)
    drift = compared(only(days(rng, 56), store=1), days(rng, 14))
    assert (drift.rows, drift.unmatched_rows) == (280, 280)
    assert drift.beyond(THRESHOLD) == []


@pytest.mark.parametrize("feature", ["quantity_sold", "price", "rolling_mean_7"])
def test_the_feature_that_moved_is_named_with_both_means(feature: str) -> None:
    rng = np.random.default_rng(5)
    reference, new = days(rng, 56), times(days(rng, 14), feature, 1.8)
    drift = compared(reference, new)
    assert [moved.feature for moved in drift.beyond(THRESHOLD)] == [feature]
    assert drift.worst.feature == feature
    assert drift.worst.mean == pytest.approx(1.8 * drift.worst.reference_mean, rel=0.15)


def test_without_a_common_stratum_nothing_is_compared() -> None:
    rng = np.random.default_rng(6)
    many = days(rng, 56)
    assert measure_drift(only(many, weekday=MONDAY), only(many, weekday=SATURDAY)) is None
    assert measure_drift(many, only(many, store=3)) is None


def test_chance_is_the_chi_squared_quantile_of_the_table() -> None:
    assert chance(10, 2, 2) == pytest.approx(27.88, rel=0.01)
    assert chance(2, 2, 2) == pytest.approx(10.83, rel=0.05)
    assert chance(10, 200, 200) == pytest.approx(chance(10, 2, 2) / 100)


def test_chance_alone_hardly_ever_exceeds_it() -> None:
    rng = np.random.default_rng(7)
    found = [psi(rng.normal(size=600), rng.normal(size=80)) for _ in range(1000)]
    assert sum(index > THRESHOLD for index in found) > 50
    assert sum(index > chance(10, 80, 600) for index in found) <= 5


def test_a_small_retailers_overlapping_windows_are_no_new_world() -> None:
    rng = np.random.default_rng(8)
    above = 0
    for _ in range(50):
        sold = rng.normal(size=(12, 76))
        windows = np.lib.stride_tricks.sliding_window_view(sold, 7, axis=1).mean(axis=2)
        drift = compared(weekly_means(windows[:, :56]), weekly_means(windows[:, 56:]))
        above += drift.worst.psi > THRESHOLD
        assert drift.beyond(THRESHOLD) == []
    assert above > 10

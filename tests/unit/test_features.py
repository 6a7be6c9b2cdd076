"""The numpy features against their naive twin, and against the future."""

import random
from datetime import date

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.contract.columns import FEATURES, Calendar
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.features import (
    as_model_input,
    calendar_features,
    calendar_one,
    features,
    features_one,
)
from scalecast_assets.contract.panel import Panel
from tests.unit.naive_features import (
    EPOCH,
    History,
    Sale,
    Series,
    naive_calendar,
    naive_features,
    panel_of,
    random_history,
)

CALENDARS: tuple[Calendar, ...] = ("store", "observed")
quickly = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def compute(panel: Panel, series: list[int], days: list[int]) -> tuple[np.ndarray, np.ndarray]:
    n = len(series)
    return features(
        panel,
        np.array(series),
        np.array(days),
        np.full(n, 9.5),
        np.zeros(n, np.bool_),
        np.full(n, 3),
        np.full(n, 4),
    )


def open_days(history: History) -> tuple[list[Series], list[int], list[int]]:
    """Thirty open days of each series from its first row on, and some days after the last."""
    keys, series, days = [], [], []
    for number, key in enumerate(history.series):
        opened = history.open_days(key[0])
        begun = [day for day in opened if day >= min(history.sales[key])]
        some = random.Random(number).sample(begun, min(30, len(begun)))
        for day in [*some, opened[-1] + 1, opened[-1] + 9, opened[-1] + 30]:
            keys.append(key)
            series.append(number)
            days.append(day)
    return keys, series, days


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6))
def test_features_equal_their_naive_twin(calendar: Calendar, seed: int) -> None:
    history = random_history(seed)
    keys, series, days = open_days(history)
    matrix, has_history = compute(panel_of(history, calendar), series, days)
    for row, (key, day) in enumerate(zip(keys, days, strict=True)):
        expected, known = naive_features(history, key, day, calendar)
        np.testing.assert_allclose(matrix[row, :12], expected, 1e-9, 1e-9, err_msg=f"{key} {day}")
        assert has_history[row] == known, (key, day)
        if known:
            assert np.isfinite(matrix[row]).all()


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6))
def test_one_row_equals_the_same_row_of_many(calendar: Calendar, seed: int) -> None:
    history = random_history(seed)
    panel = panel_of(history, calendar)
    _, series, days = open_days(history)
    matrix, has_history = compute(panel, series, days)
    for row, (number, day) in enumerate(zip(series, days, strict=True)):
        one, known = features_one(panel, number, day, 9.5, False, 3, 4)
        np.testing.assert_allclose(one, matrix[row], rtol=1e-12, atol=1e-12)
        assert known == has_history[row]


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6), offset=st.integers(20, 140))
def test_no_feature_moves_when_that_day_or_a_later_one_changes(
    calendar: Calendar, seed: int, offset: int
) -> None:
    history = random_history(seed)
    first = min(min(rows) for rows in history.sales.values())
    day = first + offset
    known = [n for n, key in enumerate(history.series) if min(history.sales[key]) < day]
    if not known:
        return
    before, had_history = compute(panel_of(history, calendar), known, [day] * len(known))
    for rows in history.sales.values():
        for at in [*rows, day, day + 1, day + 60]:
            if at >= day:
                rows[at] = Sale(rows[at].quantity + 1000 if at in rows else 77.0, 1.0, True)
    after, has_history = compute(panel_of(history, calendar), known, [day] * len(known))
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(had_history, has_history)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_the_day_before_does_move_them(calendar: Calendar) -> None:
    history = History({("S", "P"): {d: Sale(1.0, 2.0, False) for d in range(19_000, 19_030)}})
    before, _ = compute(panel_of(history, calendar), [0], [19_030])
    history.sales["S", "P"][19_029] = Sale(8.0, 2.0, False)
    after, _ = compute(panel_of(history, calendar), [0], [19_030])
    moved = {FEATURES[i] for i in np.flatnonzero(before[0] != after[0])}
    assert moved == {"lag_1", "rolling_mean_7", "rolling_std_7", "rolling_mean_14"}


def test_a_lag_on_a_closed_day_is_the_latest_open_day_before_it() -> None:
    days = [d for d in range(19_000, 19_040) if d not in (19_033, 19_034)]
    history = History({("S", "P"): {d: Sale(float(d - 19_000), 2.0, False) for d in days}})
    matrix, _ = compute(panel_of(history), [0], [19_040])
    lags = dict(zip(FEATURES, matrix[0], strict=True))
    assert (lags["lag_1"], lags["lag_7"], lags["lag_14"]) == (39, 32, 26)


def test_a_week_without_an_open_day_takes_the_fortnights_mean() -> None:
    days = range(19_000, 19_020)
    history = History({("S", "P"): {d: Sale(float(d % 2), 2.0, False) for d in days}})
    matrix, has_history = compute(panel_of(history), [0, 0], [19_030, 19_034])
    row = dict(zip(FEATURES, matrix[0], strict=True))
    assert has_history.tolist() == [True, False]
    assert row["rolling_mean_7"] == row["rolling_mean_14"] == 0.5
    assert row["rolling_std_7"] == 0.0


def test_price_promotion_and_codes_are_the_callers() -> None:
    history = History({("S", "P"): {d: Sale(1.0, 2.0, False) for d in range(19_000, 19_030)}})
    row, _ = features_one(panel_of(history), 0, 19_030, 29.99, True, 5, 6)
    assert row[-4:].tolist() == [29.99, 1.0, 5.0, 6.0]


def test_calendar_features_are_the_datetime_modules_on_every_day_of_fifty_years() -> None:
    days = np.arange((date(1999, 1, 1) - EPOCH).days, (date(2049, 1, 1) - EPOCH).days)
    table = calendar_features(days)
    for row, day in enumerate(days.tolist()):
        assert table[row].tolist() == naive_calendar(day)
        assert list(calendar_one(day)) == naive_calendar(day)


def test_an_id_that_the_model_has_not_seen_has_code_zero() -> None:
    history = History({(s, "P"): {19_000: Sale(1.0, 2.0, False)} for s in ("A", "B")})
    encoders = Encoders({"B": 7}, {})
    codes = encoders.codes(panel_of(history))
    assert codes.store.tolist() == [0, 7]
    assert codes.product.tolist() == [0, 0]
    assert (encoders.store_code("A"), encoders.store_code("B")) == (0, 7)


def test_model_input_is_contiguous_float32_of_two_dimensions() -> None:
    row = as_model_input(np.arange(16.0))
    assert row.shape == (1, 16)
    assert row.dtype == np.dtype("float32")
    assert row.flags.c_contiguous

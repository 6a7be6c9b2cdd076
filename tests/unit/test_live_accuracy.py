"""WAPE and bias of pooled sums against naive twins on the rows themselves."""

import datetime as dt
from collections import defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.forecasting.live_accuracy import (
    MIN_ROWS,
    Accuracy,
    ErrorSums,
    Promise,
    ScoredDays,
    held_against,
)


class Row(NamedTuple):
    """One forecast that met its actual."""

    day: dt.date
    store: str
    horizon: int
    actual: float
    forecast: float
    naive: float


UNITS = st.integers(0, 40).map(lambda quarters: quarters / 4)
ROWS = st.lists(
    st.builds(
        Row,
        st.dates(dt.date(2024, 1, 1), dt.date(2024, 1, 3)),
        st.sampled_from(["0012", "S2"]),
        st.integers(1, 3),
        UNITS,
        UNITS,
        UNITS,
    ),
    max_size=40,
)


def naive_wape(rows: list[Row], name: str) -> float | None:
    sold = sum(row.actual for row in rows)
    return sum(abs(getattr(row, name) - row.actual) for row in rows) / sold if sold else None


def naive_bias(rows: list[Row], name: str) -> float | None:
    return sum(getattr(row, name) - row.actual for row in rows) / len(rows) if rows else None


def scored(rows: list[Row]) -> ScoredDays:
    """What the database keeps of the rows: one entry per day, store and horizon."""
    entries = defaultdict(list)
    for row in rows:
        entries[row.day, row.store, row.horizon].append(row)
    keys = sorted(entries)

    def sums(name: str) -> ErrorSums:
        errors = [[getattr(row, name) - row.actual for row in entries[key]] for key in keys]
        return ErrorSums(
            np.array([len(entries[key]) for key in keys], dtype=float),
            np.array([sum(row.actual for row in entries[key]) for key in keys], dtype=float),
            np.array([sum(map(abs, of_key)) for of_key in errors], dtype=float),
            np.array([sum(of_key) for of_key in errors], dtype=float),
        )

    return ScoredDays(
        store_id=tuple(store for _, store, _ in keys),
        day=tuple(day for day, _, _ in keys),
        horizon=np.array([horizon for *_, horizon in keys], dtype=np.int64),
        model=sums("forecast"),
        naive=sums("naive"),
        as_planned=sums("forecast"),
    )


def assert_is_of(found: Accuracy, rows: list[Row]) -> None:
    assert found.rows == len(rows)
    expected = (
        naive_wape(rows, "forecast"),
        naive_bias(rows, "forecast"),
        naive_wape(rows, "naive"),
        naive_bias(rows, "naive"),
    )
    for figure, twin in zip(found[1:], expected, strict=True):
        assert figure == (twin if twin is None else pytest.approx(twin, rel=1e-9, abs=1e-12))


@given(rows=ROWS)
def test_every_pooling_equals_its_naive_twin_on_the_rows(rows: list[Row]) -> None:
    days = scored(rows)
    assert_is_of(days.overall(), rows)
    for groups, label in (
        (days.by_day(), lambda row: row.day),
        (days.by_horizon(), lambda row: row.horizon),
        (days.by_day_and_store(), lambda row: (row.day, row.store)),
    ):
        assert list(groups) == sorted({label(row) for row in rows})
        for one, accuracy in groups.items():
            of_one = [row for row in rows if label(row) == one]
            assert_is_of(accuracy, of_one)


def test_where_nothing_was_sold_there_is_a_bias_but_no_wape() -> None:
    rows = [Row(dt.date(2024, 1, 1), "S2", 1, 0.0, 2.0, 0.0)]
    assert scored(rows).overall() == Accuracy(1, None, 2.0, None, 0.0)


def test_where_nothing_is_scored_there_is_no_figure() -> None:
    assert scored([]).overall() == Accuracy(0, None, None, None, None)
    assert scored([]).by_day() == {}


def live(forecast: float, actual: float = 10.0, rows: int = MIN_ROWS) -> ScoredDays:
    """Rows of one day that all came as planned, beside as many that did not and were far off."""
    days = scored([Row(dt.date(2024, 1, 1), "S2", 1, actual, forecast, 0.0)] * rows)
    far_off = scored([Row(dt.date(2024, 1, 1), "S2", 1, actual, 99.0, 0.0)] * 2 * rows)
    return replace(far_off, as_planned=days.model)


def test_a_live_error_is_held_against_the_promised_one_where_the_plan_came_true() -> None:
    promise = held_against(0.2, live(13.0))
    assert promise == Promise(MIN_ROWS, 0.3, 0.2)
    assert promise.ratio == pytest.approx(1.5)


@pytest.mark.parametrize(("forecast", "ratio"), [(10.0, 1.0), (10.1, float("inf"))])
def test_a_promise_of_no_error_at_all_is_kept_only_by_none(forecast: float, ratio: float) -> None:
    promise = held_against(0.0, live(forecast))
    assert promise is not None
    assert promise.ratio == ratio


@pytest.mark.parametrize(
    "days",
    [live(1.0, actual=0.0), live(13.0, rows=MIN_ROWS - 1), scored([])],
    ids=["nothing sold", "too few rows", "no row"],
)
def test_without_sales_or_enough_rows_nothing_is_said(days: ScoredDays) -> None:
    assert held_against(0.2, days) is None

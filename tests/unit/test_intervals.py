"""Bounds never cross, never fall below zero, and nest; a table that is not one is refused."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.contract.columns import MAX_HORIZON_DAYS
from scalecast_assets.contract.demand_classes import ALL_CLASSES, COLD_START
from scalecast_assets.contract.intervals import LEVELS, IntervalTable
from scalecast_assets.contract.strict_json import BundleError
from tests.interval_tables import plain_table, tables


@given(
    tables(),
    st.lists(
        st.tuples(
            st.floats(0, 1e9),
            st.integers(1, MAX_HORIZON_DAYS),
            st.integers(0, COLD_START),
            st.floats(0, 1e9),
        ),
        min_size=1,
        max_size=20,
    ),
)
def test_bounds_are_ordered_nested_and_never_negative(
    table: IntervalTable, answers: list[tuple[float, int, int, float]]
) -> None:
    point, horizon, demand_class, scale = (
        np.array(column) for column in zip(*answers, strict=True)
    )
    inside = (point, point)
    for level in LEVELS:
        lower, upper = table.bounds(point, horizon, demand_class, scale, level)
        assert np.all(lower >= 0)
        assert np.all(lower <= inside[0])
        assert np.all(upper >= inside[1])
        inside = (lower, upper)


@given(tables(), st.integers(1, MAX_HORIZON_DAYS - 1), st.integers(0, COLD_START))
def test_no_interval_narrows_with_the_horizon(
    table: IntervalTable, horizon: int, demand_class: int
) -> None:
    for level in LEVELS:
        lower, upper = table.bounds(1e9, [horizon, horizon + 1], demand_class, 10.0, level)
        assert lower[0] >= lower[1]
        assert upper[0] <= upper[1]


def test_each_horizon_has_the_multiple_of_its_group() -> None:
    table = plain_table()
    _, upper = table.bounds(100.0, np.arange(1, 15), 0, 10.0, 80)
    np.testing.assert_allclose(upper, [110.0] + [112.5] * 6 + [115.0] * 7)
    lower, _ = table.bounds(100.0, 8, [0, 1, 4], 10.0, 95)
    np.testing.assert_allclose(lower, [77.5, 55.0, 0.0])


def test_beyond_the_calibrated_horizon_the_width_grows_with_the_square_root() -> None:
    table = plain_table(n_groups=3, calibrated_days=10)
    lower, upper = table.bounds(100.0, [8, 10, 14, 40, 56], 0, 10.0, 80)
    grown = np.sqrt(np.array([1.0, 1.0, 1.4, 4.0, 5.6]))
    np.testing.assert_allclose(upper, 100 + 15.0 * grown)
    np.testing.assert_allclose(lower, 100 - 7.5 * grown)


@pytest.mark.parametrize("level", [0, 79, 100, 80.5, True])
def test_a_level_that_is_not_offered_is_an_error(level: int) -> None:
    with pytest.raises(ValueError, match=r"level: expected one of \(50, 80, 90, 95\)"):
        plain_table().bounds(1.0, 1, 0, 1.0, level)


def test_a_day_beyond_the_furthest_forecast_is_an_error() -> None:
    with pytest.raises(IndexError):
        plain_table().bounds(1.0, MAX_HORIZON_DAYS + 1, 0, 1.0)


@given(tables())
def test_a_table_is_read_back_to_the_last_bit(table: IntervalTable) -> None:
    data = table.to_bytes()
    again = IntervalTable.parse(data)
    for name in ("lower", "upper", "residuals"):
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name))
    assert again.to_bytes() == data


def first_upper(document: dict[str, Any]) -> Any:
    return document["classes"]["smooth"]["upper"]


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "negative": (lambda d: first_upper(d)[0].__setitem__(0, -0.1), "numbers from 0 to"),
    "huge": (lambda d: first_upper(d)[-1].__setitem__(3, 2e6), "numbers from 0 to"),
    "whole number": (lambda d: first_upper(d)[0].__setitem__(0, 0), "decimal numbers"),
    "text": (lambda d: first_upper(d)[0].__setitem__(0, "1.0"), "decimal numbers"),
    "crossed levels": (lambda d: first_upper(d)[0].__setitem__(0, 2.5), "fall with the level"),
    "narrowing": (lambda d: first_upper(d)[0].__setitem__(3, 50.0), "fall with the horizon"),
    "a level too few": (lambda d: first_upper(d)[0].pop(), "3 lists of 4"),
    "a group too few": (lambda d: first_upper(d).pop(), "3 lists of 4"),
    "no class": (lambda d: d["classes"].pop("lumpy"), "'lumpy' is missing"),
    "a class too many": (lambda d: d["classes"].update(odd={}), "unknown field 'odd'"),
    "other levels": (lambda d: d.update(levels=[50, 80, 90, 99]), "'levels'"),
    "other horizons": (lambda d: d.update(horizon_ends=[1, 7, 15]), "'horizon_ends'"),
    "no horizon": (lambda d: d.update(horizon_ends=[]), "'horizon_ends'"),
    "too far": (lambda d: d.update(calibrated_days=15), "from 8 to 14"),
    "not far enough": (lambda d: d.update(calibrated_days=7), "from 8 to 14"),
    "negative count": (lambda d: d["classes"]["lumpy"]["residuals"].__setitem__(0, -1), "whole"),
    "days mixed up": (lambda d: d.update(calibrated_until="2023-12-31"), "after fit_cutoff"),
    "other format": (lambda d: d.update(format=2), "format 2 is unknown"),
    "more": (lambda d: d.update(more=1), "unknown field 'more'"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_table_that_could_not_have_been_written_is_refused(how: str) -> None:
    spoil, said = SPOILT[how]
    document = json.loads(plain_table().to_bytes())
    spoil(document)
    with pytest.raises(BundleError, match=said):
        IntervalTable.parse(json.dumps(document).encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(number: str) -> None:
    data = plain_table().to_bytes().replace(b"15.0", number.encode(), 1)
    assert number.encode() in data
    with pytest.raises(BundleError, match=r"intervals\.json"):
        IntervalTable.parse(data)


def test_a_huge_file_is_refused_unread() -> None:
    with pytest.raises(BundleError, match="larger than"):
        IntervalTable.parse(b" " * (1024 * 1024 + 1))


def test_every_class_has_its_own_row() -> None:
    table = plain_table()
    _, upper = table.bounds(0.0, 1, np.arange(len(ALL_CLASSES)), 1.0, 80)
    np.testing.assert_allclose(upper, [1, 2, 3, 4, 5])

"""The cold-start rule against its naive twin, and each of its steps by hand."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.contract.cold_start import SOURCES, ColdStart
from scalecast_assets.contract.columns import Calendar
from tests.unit.naive_features import History, Sale, panel_of, random_history
from tests.unit.naive_forecast import naive_cold_start

CALENDARS: tuple[Calendar, ...] = ("store", "observed")


def days(begin: int, end: int, quantity: float) -> dict[int, Sale]:
    return {day: Sale(quantity, 1.0, False) for day in range(begin, end)}


@pytest.mark.parametrize("calendar", CALENDARS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(seed=st.integers(0, 10**6))
def test_the_means_equal_their_naive_twin(calendar: Calendar, seed: int) -> None:
    history = random_history(seed)
    panel = panel_of(history, calendar)
    cold_start = ColdStart.of(panel)
    values, sources = cold_start.many(np.arange(panel.n_series))
    for number, key in enumerate(history.series):
        expected, source = naive_cold_start(history, key, calendar)
        assert values[number] == pytest.approx(expected)
        assert SOURCES[sources[number]] == source
        value, named = cold_start.one(number)
        assert (value, named) == (values[number], source)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_pair_that_never_met_has_its_products_mean_then_its_stores_then_everythings(
    calendar: Calendar,
) -> None:
    history = History({("A", "P"): days(100, 140, 3.0), ("B", "Q"): days(100, 140, 5.0)})
    cold_start = ColdStart.of(panel_of(history, calendar))
    assert cold_start.one(None, product=1, store=0) == (5.0, "product_mean")
    assert cold_start.one(None, product=None, store=0) == (3.0, "store_mean")
    assert cold_start.one() == (4.0, "global_mean")


def test_a_series_own_mean_counts_the_days_without_a_sale() -> None:
    history = History({("A", "P"): days(100, 140, 3.0), ("A", "Q"): {100: Sale(7.0, 1.0, False)}})
    history.sales["A", "Q"][139] = Sale(14.0, 1.0, False)
    cold_start = ColdStart.of(panel_of(history))
    assert cold_start.one(1) == (0.5, "series_mean")


def test_days_older_than_twenty_eight_do_not_count() -> None:
    history = History({("A", "P"): days(100, 112, 90.0) | days(112, 140, 3.0)})
    assert ColdStart.of(panel_of(history)).one(0) == (3.0, "series_mean")


def test_a_store_that_stopped_long_ago_does_not_move_what_its_product_sells_today() -> None:
    history = History({("A", "P"): days(100, 140, 3.0), ("Gone", "P"): days(10, 60, 90.0)})
    cold_start = ColdStart.of(panel_of(history))
    assert cold_start.one(None, product=0) == (3.0, "product_mean")
    assert cold_start.one(1) == (90.0, "series_mean")


def test_a_product_gone_for_eight_weeks_does_not_pull_the_stores_mean_down() -> None:
    history = History({("A", "P"): days(100, 240, 3.0), ("A", "Q"): days(100, 120, 3.0)})
    cold_start = ColdStart.of(panel_of(history))
    assert cold_start.one(1) == (0.0, "series_mean")
    assert cold_start.one(None, store=0) == (3.0, "store_mean")
    assert cold_start.one(None, product=1, store=0) == (3.0, "store_mean")


def test_when_every_store_stopped_long_before_the_origin_their_last_days_are_averaged() -> None:
    history = History({("A", "P"): days(100, 140, 3.0), ("B", "P"): days(300, 310, 5.0)})
    cold_start = ColdStart.of(panel_of(history, origin_day=290))
    assert cold_start.one(1) == (3.0, "global_mean")

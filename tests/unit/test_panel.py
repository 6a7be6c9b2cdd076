"""Building panels: from all rows, from their end, at an origin, and what they refuse."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.features import features, features_one
from scalecast_assets.contract.panel import KEPT_DAYS, NEVER, Panel, StorePanel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from tests.unit.naive_features import (
    History,
    Sale,
    final_rows,
    naive_features,
    panel_of,
    random_history,
)

CALENDARS: tuple[Calendar, ...] = ("store", "observed")
quickly = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


def steady(days: range, *series: tuple[str, str]) -> History:
    return History({key: {d: Sale(1.0, 2.0, False) for d in days} for key in series})


def assert_same(one: Panel, other: Panel) -> None:
    assert type(one) is type(other)
    for field in fields(one):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, tuple):
            assert left == right, field.name
        else:
            np.testing.assert_array_equal(left, right, err_msg=field.name)
            assert left.dtype == right.dtype, field.name


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6), offset=st.integers(1, 160))
def test_a_panel_at_an_origin_is_the_panel_of_the_days_up_to_it(
    calendar: Calendar, seed: int, offset: int
) -> None:
    history = random_history(seed)
    origin = min(min(rows) for rows in history.sales.values()) + offset
    cut = panel_of(history, calendar, origin_day=origin)
    past = panel_of(history.before(origin + 1), calendar)
    begun = np.flatnonzero(cut.first_day != NEVER)
    assert [
        (cut.stores[cut.series_store[s]], cut.products[cut.series_product[s]]) for s in begun
    ] == (history.before(origin + 1).series)
    for name in ("first_day", "last_price", "quantity", "price", "promotion"):
        np.testing.assert_array_equal(getattr(cut, name)[begun], getattr(past, name))
    for store, name in enumerate(cut.stores):
        if name in past.store_index:
            assert cut.until[store] == past.until[past.store_index[name]]
        else:
            assert cut.until[store] == origin


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6))
def test_the_end_of_the_rows_makes_the_same_panel_as_all_of_them(
    calendar: Calendar, seed: int
) -> None:
    history = random_history(seed, n_days=220)
    whole = panel_of(history, calendar, kept_days=KEPT_DAYS)
    keys = history.series
    kept = []
    for number, key in enumerate(keys):
        opened = history.open_days(key[0])
        older = [d for d in opened if d <= opened[-1] - KEPT_DAYS]
        since = older[-1] if older else 0
        own = [row for row in final_rows(history, calendar) if row[0] == key]
        late = own[-KEPT_DAYS:] if calendar == "observed" else []
        kept += [(number, *row[1:]) for row in own if row[1] >= since or row in late]
    rows = PanelRows(
        np.array([row[0] for row in kept]),
        np.array([row[1] for row in kept]),
        np.array([row[2].quantity for row in kept]),
        np.array([row[2].price for row in kept]),
        np.array([row[2].promotion for row in kept]),
    )
    end = build_panel(
        rows,
        stores=whole.stores,
        products=whole.products,
        series_store=whole.series_store,
        series_product=whole.series_product,
        calendar=calendar,
        first_day=whole.first_day,
        last_price=whole.last_price,
    )
    assert_same(end, whole)


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6))
def test_the_kept_eight_weeks_need_no_older_day(calendar: Calendar, seed: int) -> None:
    history = random_history(seed, n_days=220)
    panel = panel_of(history, calendar, kept_days=KEPT_DAYS)
    for number, key in enumerate(history.series):
        store = int(panel.series_store[number])
        until = int(panel.until[store])
        assert panel.earliest_day(store) == until - 55
        days = range(max(until - 55, min(history.sales[key])), until + 2)
        for day in {*days[:3], *days[::9], *days[-3:]}:
            expected, known = naive_features(history, key, day, calendar)
            row, has_history = features_one(panel, number, day, 1.0, False, 0, 0)
            np.testing.assert_allclose(row[:12], expected, 1e-9, 1e-9, err_msg=f"{key} {day}")
            assert has_history == known


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_day_before_the_kept_history_is_refused_by_name(calendar: Calendar) -> None:
    panel = panel_of(steady(range(19_000, 19_200), ("Lyon", "P")), calendar, kept_days=KEPT_DAYS)
    early = panel.earliest_day(0) - 1
    one, zero = np.ones(1), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match=r"'Lyon'.*reaches back to 2022-06-01"):
        features_one(panel, 0, early, 1.0, False, 0, 0)
    with pytest.raises(ValueError, match=r"'Lyon'.*reaches back to 2022-06-01"):
        features(panel, np.array([0]), np.array([early]), one, one > 0, zero, zero)


def test_a_series_is_found_by_its_ids_and_a_stranger_is_not() -> None:
    panel = panel_of(steady(range(19_000, 19_010), ("A", "P"), ("A", "Q"), ("B", "Q")))
    assert [panel.find("A", "P"), panel.find("A", "Q"), panel.find("B", "Q")] == [0, 1, 2]
    assert [panel.find("B", "P"), panel.find("C", "P"), panel.find("A", "R")] == [None] * 3


def test_a_day_open_for_another_series_is_a_zero_and_a_closed_one_is_not() -> None:
    history = steady(range(19_000, 19_030), ("A", "P"))
    history.sales["A", "Q"] = {19_000: Sale(5.0, 1.0, False)}
    history.sales["B", "Q"] = dict(history.sales["A", "Q"])
    panel = panel_of(history)
    there = panel.windows(np.array([1, 2]), np.array([19_007, 19_007]))
    assert there.counted[0].sum() == 7
    assert there.counted[1].sum() == 1
    assert there.lags[0, 0] == 0.0
    assert there.lags[1, 0] == 5.0


def test_a_store_open_on_a_weekday_of_the_last_four_weeks_opens_on_it_again() -> None:
    until = 19_034
    last = {until - 27: 1, until - 15: 1, until: 1, until - 28: 0}
    history = History({("A", "P"): {d: Sale(1.0, 2.0, False) for d in last}})
    panel = panel_of(history)
    opened = {(until + 1 + j) % 7 for j in range(7) if panel.open_weekdays[0, j]}
    assert opened == {d % 7 for d, recent in last.items() if recent}


def test_a_series_inactive_before_the_window_carries_a_zero_and_a_new_one_nothing() -> None:
    history = steady(range(19_000, 19_200), ("A", "P"))
    history.sales["A", "Gone"] = {19_000: Sale(4.0, 1.0, False)}
    history.sales["A", "New"] = {19_199: Sale(4.0, 1.0, False)}
    panel = panel_of(history, kept_days=KEPT_DAYS)
    assert isinstance(panel, StorePanel)
    np.testing.assert_array_equal(panel.carry, [0.0, np.nan, 1.0])


@pytest.mark.parametrize(
    ("series", "day", "complaint"),
    [
        ([0, 0], [5, 5], "sorted"),
        ([0, 0], [6, 5], "sorted"),
        ([1, 0], [5, 6], "sorted"),
        ([0, 2], [5, 6], r"within 0\.\.1"),
        ([-1, 0], [5, 6], r"within 0\.\.1"),
        ([0], [5, 6], "one length"),
        ([], [], "at least one"),
    ],
)
def test_rows_that_are_not_a_sorted_table_are_refused(
    series: list[int], day: list[int], complaint: str
) -> None:
    n = len(day)
    rows = PanelRows(
        np.array(series, np.int32),
        np.array(day, np.int32),
        np.ones(n),
        np.ones(n),
        np.zeros(n, np.bool_),
    )
    with pytest.raises(ValueError, match=complaint):
        build_panel(
            rows,
            stores=["A"],
            products=["P", "Q"],
            series_store=np.zeros(2, np.int32),
            series_product=np.arange(2),
        )

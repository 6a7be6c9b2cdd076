"""A product that a store never sold: its mean elsewhere, at the store's level and weekdays."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from scalecast_assets.contract.cold_start import ColdStart
from scalecast_assets.contract.columns import Calendar
from tests.unit.naive_features import History, Sale, panel_of, random_history
from tests.unit.naive_forecast import naive_unseen

CALENDARS: tuple[Calendar, ...] = ("store", "observed")
DAYS = range(1_000, 1_056)


def selling(quantity: float, weekend: float = 1.0) -> dict[int, Sale]:
    """Eight weeks of sales; 1970-01-01 was a Thursday."""
    return {
        day: Sale(quantity * (weekend if (day + 3) % 7 >= 5 else 1.0), 1.0, False) for day in DAYS
    }


@pytest.mark.parametrize("calendar", CALENDARS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    database=None,
)
@given(seed=st.integers(0, 10**6), ahead=st.integers(1, 14))
def test_the_answer_equals_its_naive_twin(calendar: Calendar, seed: int, ahead: int) -> None:
    history = random_history(seed)
    panel = panel_of(history, calendar)
    cold_start = ColdStart.of(panel)
    stores = [s for s in panel.stores if panel.end_day - panel.until[panel.store_index[s]] < 28]
    assume(len(stores) > 1)
    for store in stores:
        index = panel.store_index[store]
        day = int(panel.until[index]) + ahead
        for product in [*panel.products, "never seen"]:
            value, source = cold_start.one(None, panel.product_index.get(product), index, day)
            expected, named = naive_unseen(history, store, product, day, calendar)
            assert value == pytest.approx(expected)
            assert str(source) == named


def test_a_store_that_sells_twice_as_much_is_expected_to_do_so_of_a_new_product() -> None:
    shared = {f"P{n}": 5.0 + n for n in range(40)}
    sales = {("Big", p): selling(2 * q) for p, q in shared.items()}
    sales |= {("Small", p): selling(q) for p, q in shared.items()}
    sales["Small", "New"] = selling(8.0)
    panel = panel_of(History(sales))
    cold_start = ColdStart.of(panel)

    new, big = panel.product_index["New"], panel.store_index["Big"]
    value, source = cold_start.one(None, new, big, DAYS.stop)

    assert source == "product_at_store"
    assert value == pytest.approx(8.0 * (40 * 2 + 10) / (40 + 10))


def test_a_store_with_little_in_common_is_taken_for_an_ordinary_one() -> None:
    sales = {("Big", "P"): selling(300.0), ("Small", "P"): selling(1.0)}
    panel = panel_of(History(sales))
    big = panel.store_index["Big"]

    assert ColdStart.of(panel).store_level[big] == pytest.approx((300 + 10) / 11)


def test_weekends_of_the_store_shape_what_it_never_sold() -> None:
    sales = {("A", f"P{n}"): selling(4.0, weekend=3.0) for n in range(50)}
    cold_start = ColdStart.of(panel_of(History(sales)))
    saturday = next(day for day in range(DAYS.stop, DAYS.stop + 7) if (day + 3) % 7 == 5)

    weekend, source = cold_start.one(None, None, 0, saturday)
    weekday, _ = cold_start.one(None, None, 0, saturday - 1)

    assert source == "store_mean"
    assert weekend / weekday == pytest.approx(3.0, rel=0.15)


def test_a_store_that_sold_nothing_has_no_shape() -> None:
    cold_start = ColdStart.of(panel_of(History({("A", "P"): selling(0.0)})))

    assert cold_start.one(None, None, 0, DAYS.stop) == (0.0, "store_mean")
    assert cold_start.weekday_share.tolist() == [[1.0] * 7]

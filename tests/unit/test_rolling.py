"""Rolling forward against its naive twin, against an oracle, and on what it refuses."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import SOURCES
from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.encoders import Encoders, SeriesCodes
from scalecast_assets.contract.features import features
from scalecast_assets.contract.panel import NEVER, Panel
from scalecast_assets.contract.rolling import roll_forward
from tests.unit.naive_features import History, Sale, panel_of, random_history
from tests.unit.naive_forecast import Plan, naive_roll

CALENDARS: tuple[Calendar, ...] = ("store", "observed")
quickly = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
WEIGHTS = np.array(
    [0.1, 0, 0.01, 0.2, 0, 0.3, 0.4, 0.2, 0.1, 0.2, 0.3, -0.4, -0.1, 1.5, 0, 0], np.float64
)


def linear(matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """A model that minds every feature, and goes below zero at times."""
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert np.isfinite(matrix).all()
    return matrix.astype(np.float64) @ WEIGHTS


def no_codes(panel: Panel) -> SeriesCodes:
    return Encoders({}, {}).codes(panel)


def steady(n_days: int = 60, *, quantity: float = 2.0) -> History:
    return History({("A", "P"): {19_000 + d: Sale(quantity, 3.0, False) for d in range(n_days)}})


@pytest.mark.parametrize("calendar", CALENDARS)
@quickly
@given(seed=st.integers(0, 10**6), horizon=st.integers(1, 20), gap=st.sampled_from([0, 3, 45]))
def test_rolling_equals_its_naive_twin(
    calendar: Calendar, seed: int, horizon: int, gap: int
) -> None:
    history = random_history(seed, n_stores=2, n_products=3, n_days=90)
    panel = panel_of(history, calendar, kept_days=100)
    origin = panel.end_day + gap
    chance = random.Random(seed)
    prices: Plan = {}
    promotions: Plan = {}
    price = np.full((panel.n_series, horizon), np.nan)
    promotion = np.full((panel.n_series, horizon), np.nan)
    for row, key in enumerate(history.series):
        for step in range(horizon):
            if chance.random() < 0.5:
                prices[key, origin + 1 + step] = price[row, step] = chance.uniform(1, 9)
            if chance.random() < 0.5:
                promotions[key, origin + 1 + step] = promotion[row, step] = float(
                    chance.random() < 0.5
                )
    forecast = roll_forward(
        panel, origin, horizon, linear, no_codes(panel), price=price, promotion=promotion
    )
    expected = naive_roll(
        history,
        origin,
        horizon,
        lambda row: float(np.dot(row, WEIGHTS[:14])),
        calendar,
        prices,
        promotions,
    )
    for (key, day), (value, source, is_open) in expected.items():
        row, step = history.series.index(key), day - origin - 1
        assert forecast.source_of(row, step) == source, (key, day)
        assert bool(forecast.is_open[row, step]) == is_open, (key, day)
        assert forecast.predictions[row, step] == pytest.approx(value, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("calendar", CALENDARS)
def test_with_an_oracle_every_step_sees_the_one_step_features_of_the_truth(
    calendar: Calendar,
) -> None:
    chance = random.Random(5)
    days = [d for d in range(19_000, 19_120) if d % 7 != 3]
    history = History(
        {
            ("A", product): {
                d: Sale(float(chance.randrange(50)), 3.0, False) for d in days if d >= first
            }
            for product, first in {"P": 19_000, "Q": 19_040, "R": 19_080}.items()
        }
    )
    truth = panel_of(history, calendar)
    origin, horizon = 19_100, 19
    past = panel_of(history, calendar, origin_day=origin)
    seen = []

    def oracle(matrix: NDArray[np.float32]) -> list[float]:
        seen.append(matrix)
        day = origin + len(seen)
        return [
            history.quantity(("A", product), day) if day in days else 10**6
            for product in truth.products
        ]

    roll_forward(
        past, origin, horizon, lambda m: np.array(oracle(m)), SeriesCodes(*np.full((2, 3), 4))
    )
    for step, matrix in enumerate(seen):
        n = np.arange(3)
        day = np.full(3, origin + 1 + step)
        one_step, has_history = features(
            truth, n, day, np.full(3, 3.0), n < 0, n * 0 + 4, n * 0 + 4
        )
        assert has_history.all()
        np.testing.assert_allclose(matrix, one_step, rtol=1e-6)
    assert len(seen) == horizon


def test_a_subset_of_the_series_is_forecast_as_among_all() -> None:
    panel = panel_of(random_history(11))
    everything = roll_forward(panel, panel.end_day, 14, linear, no_codes(panel))
    for chosen in ([0], [3, 1], []):
        some = roll_forward(
            panel, panel.end_day, 14, linear, no_codes(panel), series=np.array(chosen, np.int64)
        )
        np.testing.assert_allclose(some.predictions, everything.predictions[chosen], rtol=1e-12)
        np.testing.assert_array_equal(some.source, everything.source[chosen])


def test_a_closed_day_is_answered_but_not_fed_back() -> None:
    days = [d for d in range(19_000, 19_060) if d % 7 != 4]
    history = History({("A", "P"): {d: Sale(2.0, 3.0, False) for d in days}})
    panel = panel_of(history)
    closed = [(panel.end_day + 1 + step) % 7 == 4 for step in range(14)]

    def model(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        np.testing.assert_allclose(matrix[:, 6:12], [[2, 2, 2, 2, 0, 2]])
        day_of_week = int(matrix[0, 0])
        return np.array([999.0 if (day_of_week - 3) % 7 == 4 else 2.0], np.float32)

    forecast = roll_forward(panel, panel.end_day, 14, model, no_codes(panel))
    assert forecast.predictions[0].tolist() == [999.0 if shut else 2.0 for shut in closed]
    assert forecast.is_open[0].tolist() == [not shut for shut in closed]


def test_a_new_series_is_answered_by_its_mean_until_it_has_fourteen_days() -> None:
    panel = panel_of(steady(10))
    forecast = roll_forward(panel, panel.end_day, 7, lambda m: np.full(1, 9.0), no_codes(panel))
    assert forecast.predictions[0].tolist() == [2, 2, 2, 2, 9, 9, 9]
    assert [forecast.source_of(0, step) for step in (3, 4)] == ["series_mean", "model"]


def test_a_series_that_begins_after_the_origin_is_never_the_models() -> None:
    history = steady()
    history.sales["A", "New"] = {19_059: Sale(50.0, 3.0, False)}
    panel = panel_of(history, origin_day=19_050)
    new = panel.find("A", "New")
    assert new is not None
    assert panel.first_day[new] == NEVER
    forecast = roll_forward(panel, 19_050, 30, linear, no_codes(panel))
    assert {SOURCES[code] for code in forecast.source[new]} == {"store_mean"}
    np.testing.assert_array_equal(forecast.predictions[new], 2.0)


def test_more_than_eight_weeks_after_a_stores_last_day_the_mean_answers() -> None:
    panel = panel_of(steady())
    forecast = roll_forward(panel, panel.end_day + 50, 8, lambda m: np.ones(1), no_codes(panel))
    assert forecast.predictions[0].tolist() == [1] * 6 + [2] * 2
    assert not forecast.is_open[0, 6:].any()


def test_a_forecast_is_never_negative() -> None:
    panel = panel_of(steady())
    forecast = roll_forward(
        panel, panel.end_day, 3, lambda m: np.full((1, 1), -4.0), no_codes(panel)
    )
    assert forecast.predictions.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("told", [[np.nan], [np.inf], [1.0, 2.0], []])
def test_a_model_that_does_not_return_one_finite_number_per_row_is_named(
    told: list[float],
) -> None:
    panel = panel_of(steady())
    with pytest.raises(ValueError, match="asked for 1 finite predictions"):
        roll_forward(panel, panel.end_day, 3, lambda m: np.array(told), no_codes(panel))


def test_a_panel_that_knows_the_future_is_refused() -> None:
    panel = panel_of(steady())
    with pytest.raises(ValueError, match=r"2022-03-08, after the origin 2022-03-07"):
        roll_forward(panel, panel.end_day - 1, 3, linear, no_codes(panel))


@pytest.mark.parametrize("name", ["price", "promotion"])
def test_a_plan_of_another_shape_is_refused(name: str) -> None:
    panel = panel_of(steady())
    plan: dict[str, Any] = {name: np.ones((1, 4))}
    with pytest.raises(ValueError, match=rf"{name}: expected shape \(1, 3\), found \(1, 4\)"):
        roll_forward(panel, panel.end_day, 3, linear, no_codes(panel), **plan)

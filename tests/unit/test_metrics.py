"""Every metric against a naive twin, and the inputs that have no metric."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecast_assets.forecasting import metrics

Floats = list[float]
UNITS = st.floats(0, 1000).map(lambda units: round(units, 2))
PAIRS = st.lists(st.tuples(UNITS, UNITS), min_size=1, max_size=30)


def naive_mae(a: Floats, f: Floats) -> float:
    return sum(abs(y - x) for x, y in zip(a, f, strict=True)) / len(a)


def naive_rmse(a: Floats, f: Floats) -> float:
    return math.sqrt(sum((y - x) ** 2 for x, y in zip(a, f, strict=True)) / len(a))


def naive_bias(a: Floats, f: Floats) -> float:
    return sum(y - x for x, y in zip(a, f, strict=True)) / len(a)


def naive_mape(a: Floats, f: Floats) -> float | None:
    ratios = [abs(y - x) / x for x, y in zip(a, f, strict=True) if x]
    return sum(ratios) / len(ratios) if ratios else None


def naive_wape(a: Floats, f: Floats) -> float | None:
    return sum(abs(y - x) for x, y in zip(a, f, strict=True)) / sum(a) if sum(a) else None


def naive_r2(a: Floats, f: Floats) -> float | None:
    if len(set(a)) == 1:
        return None
    mean = sum(a) / len(a)
    spread = sum((x - mean) ** 2 for x in a)
    return 1 - sum((y - x) ** 2 for x, y in zip(a, f, strict=True)) / spread


TWINS = [
    (metrics.mae, naive_mae),
    (metrics.rmse, naive_rmse),
    (metrics.bias, naive_bias),
    (metrics.mape, naive_mape),
    (metrics.wape, naive_wape),
    (metrics.r2, naive_r2),
]


@pytest.mark.parametrize(("metric", "twin"), TWINS, ids=lambda f: f.__name__)
@given(pairs=PAIRS)
def test_every_metric_equals_its_naive_twin(
    metric: Callable[..., float | None],
    twin: Callable[[Floats, Floats], float | None],
    pairs: list[tuple[float, float]],
) -> None:
    actual, forecast = [list(column) for column in zip(*pairs, strict=True)]
    found, expected = metric(np.array(actual), np.array(forecast)), twin(actual, forecast)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_bias_is_positive_when_too_much_was_forecast() -> None:
    assert metrics.bias(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 1.5


@pytest.mark.parametrize("metric", [metric for metric, _ in TWINS], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("actual", "forecast", "message"),
    [
        ([], [], "no row to score"),
        ([1.0, 2.0], [1.0], "one length"),
        ([1.0, math.nan], [1.0, 1.0], r"actual must be finite, found 1 of 2"),
        ([1.0, 2.0], [math.inf, 1.0], r"forecast must be finite, found 1 of 2"),
    ],
)
def test_unsound_input_is_an_error_and_never_a_number(
    metric: Callable[..., float | None], actual: Floats, forecast: Floats, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(np.array(actual, dtype=float), np.array(forecast, dtype=float))


def test_the_scale_is_the_mean_squared_step_within_each_series() -> None:
    quantity = np.array([1.0, 3.0, 2.0, 50.0, 7.0, 7.0])
    series = np.array([0, 0, 0, 1, 2, 2], dtype=np.int32)
    scale = metrics.one_day_scale(quantity, series, 4)
    np.testing.assert_array_equal(scale, [2.5, np.nan, 0.0, np.nan])


def test_rmsse_is_the_mean_over_series_that_have_a_scale() -> None:
    actual, forecast = np.array([1.0, 2.0, 5.0, 9.0]), np.array([3.0, 2.0, 8.0, 0.0])
    series = np.array([0, 0, 2, 3], dtype=np.int32)
    scale = np.array([2.0, 1.0, 9.0, 0.0])
    expected = (math.sqrt(4 / 2 / 2) + math.sqrt(9 / 9)) / 2
    assert metrics.mean_rmsse(actual, forecast, series, scale) == pytest.approx(expected)
    assert metrics.mean_rmsse(actual, forecast, series, np.full(4, np.nan)) is None

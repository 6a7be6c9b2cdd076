"""The sixteen features in numpy, from a panel: what the model is asked with.

The definitions are those of ``dbt_project/models/features`` (SQL), which makes the training rows;
the two agree to |a - b| <= 1e-6 * max(1, |b|) in float64. Whoever changes one changes both, and
raises ``FEATURE_SEMANTICS`` in ``columns.py``. How far a series looks back is the panel's affair.
"""

from datetime import date
from functools import lru_cache
from math import nan, sqrt
from operator import mul
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.encoders import SeriesCodes
from scalecast_assets.contract.panel import (
    WINDOW,
    Bools,
    Float64s,
    Floats,
    Ints,
    Panel,
    Windows,
)

N_FEATURES: Final = len(FEATURES)
_N_CALENDAR: Final = 6
_WEEK: Final = 7
_THURSDAY: Final = 3
_EPOCH: Final = date(1970, 1, 1).toordinal()


def features(
    panel: Panel,
    series: Ints,
    day: Ints,
    price: Floats,
    promotion: Bools | Ints,
    store_code: Ints,
    product_code: Ints,
) -> tuple[Float64s, Bools]:
    """Compute the features of ``n`` (series, day) pairs from days before ``day`` only.

    All arguments after ``panel`` are ``(n,)``. Returns the matrix ``(n, 16)`` and ``has_history``
    ``(n,)``: where that is False the row is for the cold-start rule; its lags and windows may be
    NaN, or hold what little there is, where SQL has null. Raises ValueError for a day
    before the kept history.
    """
    windows = panel.windows(series, day)
    matrix = np.empty((len(series), N_FEATURES))
    matrix[:, :_N_CALENDAR] = calendar_features(day)
    fill_features(matrix, windows, price, promotion, SeriesCodes(store_code, product_code))
    return matrix, windows.has_history


def fill_features(
    matrix: Float64s,
    windows: Windows,
    price: Floats,
    promotion: Bools | Ints | Floats,
    codes: SeriesCodes,
) -> None:
    """Fill the columns after the calendar's of ``matrix`` (n, 16)."""
    values, counted = windows.values, windows.counted
    half = WINDOW - _WEEK
    n_14 = counted.sum(axis=1)
    n_7 = counted[:, half:].sum(axis=1)
    mean_14 = np.where(n_14 > 0, values.sum(axis=1) / np.maximum(n_14, 1), np.nan)
    mean_7 = values[:, half:].sum(axis=1) / np.maximum(n_7, 1)
    off = np.where(counted[:, half:], values[:, half:] - mean_7[:, None], 0.0)
    spread = np.sqrt((off * off).sum(axis=1) / np.maximum(n_7 - 1, 1))
    matrix[:, 6:9] = windows.lags
    matrix[:, 9] = np.where(n_7 > 0, mean_7, mean_14)
    matrix[:, 10] = np.where(n_7 > 1, spread, 0.0)
    matrix[:, 11] = mean_14
    matrix[:, 12] = price
    matrix[:, 13] = promotion
    matrix[:, 14] = codes.store
    matrix[:, 15] = codes.product


def features_one(
    panel: Panel,
    series: int,
    day: int,
    price: float,
    promotion: bool,
    store_code: int,
    product_code: int,
) -> tuple[Float64s, bool]:
    """Do the same as :func:`features` for one row ``(16,)``, without the cost of arrays."""
    window = panel.window_one(series, day)
    half = WINDOW - _WEEK
    week, counted = window.values[half:], window.counted[half:]
    n_14, n_7 = sum(window.counted), sum(counted)
    mean_14 = sum(window.values) / n_14 if n_14 else nan
    mean_7 = sum(week) / n_7 if n_7 else mean_14
    spread = 0.0
    if n_7 > 1:
        if n_7 < _WEEK:
            week = [v for v, counts in zip(week, counted, strict=True) if counts]
        off = [v - mean_7 for v in week]
        spread = sqrt(sum(map(mul, off, off)) / (n_7 - 1))
    row = np.array(
        (
            *calendar_one(day),
            *window.lags,
            mean_7,
            spread,
            mean_14,
            price,
            promotion,
            store_code,
            product_code,
        ),
        dtype=np.float64,
    )
    return row, window.has_history


def calendar_features(day: Ints) -> Float64s:
    """Compute day_of_week … is_month_end, ``(n, 6)``, of days since 1970-01-01."""
    number = day.astype(np.int64)
    weekday = (number + _THURSDAY) % _WEEK
    dates = number.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    next_months = (dates + 1).astype("datetime64[M]")
    thursday = dates - weekday + _THURSDAY
    new_year = thursday.astype("datetime64[Y]").astype("datetime64[D]")
    matrix = np.empty((len(number), _N_CALENDAR))
    matrix[:, 0] = weekday
    matrix[:, 1] = months.astype(np.int64) % 12 + 1
    matrix[:, 2] = (thursday - new_year).astype(np.int64) // _WEEK + 1
    matrix[:, 3] = weekday >= 5
    matrix[:, 4] = dates == months.astype("datetime64[D]")
    matrix[:, 5] = months != next_months
    return matrix


@lru_cache(maxsize=1024)
def calendar_one(day: int) -> tuple[int, int, int, bool, bool, bool]:
    """Compute day_of_week … is_month_end of one day since 1970-01-01."""
    on = date.fromordinal(_EPOCH + day)
    weekday = on.weekday()
    week = on.isocalendar().week
    tomorrow = date.fromordinal(_EPOCH + day + 1)
    return weekday, on.month, week, weekday >= 5, on.day == 1, tomorrow.day == 1


def as_model_input(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """Cast features to what every model takes: contiguous ``(n, 16) float32``."""
    return np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1, N_FEATURES)

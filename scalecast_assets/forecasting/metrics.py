"""How far forecasts are from what happened: pure functions of two aligned arrays.

Every function takes ``actual`` and ``forecast`` as ``(n,)`` units per day and raises ``ValueError``
on empty, misaligned or non-finite input. A metric that is undefined on sound input (no non-zero
actual, a constant actual, no series with a scale) is ``None``. Ratios are fractions: 0.25 is 25 %.
Which rows are scored is decided in ``evaluation.py``.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]


def mae(actual: FloatArray, forecast: FloatArray) -> float:
    """Mean absolute error, units per day."""
    return float(np.mean(np.abs(_errors(actual, forecast))))


def rmse(actual: FloatArray, forecast: FloatArray) -> float:
    """Root of the mean squared error, units per day."""
    return float(np.sqrt(np.mean(np.square(_errors(actual, forecast)))))


def bias(actual: FloatArray, forecast: FloatArray) -> float:
    """Mean of forecast minus actual, units per day: positive means too much was forecast."""
    return float(np.mean(_errors(actual, forecast)))


def mape(actual: FloatArray, forecast: FloatArray) -> float | None:
    """Mean of |error| / actual over the rows whose actual is not zero; ``None`` without any."""
    errors = _errors(actual, forecast)
    sold = actual != 0
    if not sold.any():
        return None
    return float(np.mean(np.abs(errors[sold] / actual[sold])))


def r2(actual: FloatArray, forecast: FloatArray) -> float | None:
    """Share of the variance explained, 1 − SSE/SST; ``None`` where the actual is constant."""
    errors = _errors(actual, forecast)
    if actual.min() == actual.max():
        return None
    total = float(np.sum(np.square(actual - actual.mean())))
    return 1.0 - float(np.sum(np.square(errors))) / total


def wape(actual: FloatArray, forecast: FloatArray) -> float | None:
    """Sum of |error| over sum of actuals; ``None`` where nothing was sold."""
    errors = _errors(actual, forecast)
    sold = float(np.sum(np.abs(actual)))
    return float(np.sum(np.abs(errors))) / sold if sold > 0 else None


def mean_rmsse(
    actual: FloatArray, forecast: FloatArray, series: IntArray, scale: FloatArray
) -> float | None:
    """Mean over series of the root mean squared scaled error (Hyndman & Koehler 2006; M5).

    ``series`` ``(n,)`` numbers each row's series; ``scale`` ``(n_series,)`` is that series' mean
    squared one-day difference in training. Series without scored rows, or with a scale of zero or
    NaN, are left out; ``None`` where none is left.
    """
    squared = np.square(_errors(actual, forecast))
    rows = np.bincount(series, minlength=len(scale))
    total = np.bincount(series, weights=squared, minlength=len(scale))
    scored = (rows > 0) & np.isfinite(scale) & (scale > 0)
    if not scored.any():
        return None
    return float(np.mean(np.sqrt(total[scored] / rows[scored] / scale[scored])))


def one_day_scale(quantity: FloatArray, series: IntArray, n_series: int) -> FloatArray:
    """Mean squared difference between consecutive rows of each series, ``(n_series,)``.

    Rows are sorted by series, then day. A series with fewer than two rows has scale NaN.
    """
    same = series[1:] == series[:-1]
    squared = np.square(np.diff(quantity))[same]
    owner = series[1:][same]
    pairs = np.bincount(owner, minlength=n_series)
    total = np.bincount(owner, weights=squared, minlength=n_series)
    scale = np.full(n_series, np.nan)
    np.divide(total, pairs, out=scale, where=pairs > 0)
    return scale


def _errors(actual: FloatArray, forecast: FloatArray) -> FloatArray:
    if actual.shape != forecast.shape or actual.ndim != 1:
        raise ValueError(
            f"actual and forecast must be two arrays (n,) of one length, "
            f"found {actual.shape} and {forecast.shape}"
        )
    if actual.size == 0:
        raise ValueError("there is no row to score: expected at least one actual")
    for name, values in (("actual", actual), ("forecast", forecast)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise ValueError(f"{name} must be finite, found {bad} of {values.size} NaN or inf")
    return np.asarray(forecast, dtype=np.float64) - actual

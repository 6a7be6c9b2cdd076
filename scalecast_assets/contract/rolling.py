"""Forecasts of more than one day: the features rolled forward on the model's own predictions.

One pass serves the evaluation (all series) and ``/predict`` (one series). Every store starts on
the day after its own ``until``. A future day counts as open if the store was open on that weekday
in its last four weeks; a closed day is answered, but not fed back.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import MODEL, SOURCES, ColdStart, Source
from scalecast_assets.contract.columns import MAX_HORIZON_DAYS, MIN_HISTORY_DAYS
from scalecast_assets.contract.encoders import SeriesCodes
from scalecast_assets.contract.features import (
    N_FEATURES,
    as_model_input,
    calendar_one,
    fill_features,
)
from scalecast_assets.contract.panel import (
    WINDOW,
    Bools,
    Float64s,
    Floats,
    Ints,
    Panel,
    StorePanel,
    Windows,
)

Predict = Callable[[NDArray[np.float32]], NDArray[Any]]
"""``(m, 16) float32`` features → ``(m,)`` or ``(m, 1)`` demand."""


class Forecast(NamedTuple):
    """The answers for ``n`` series on ``H`` days after the origin."""

    predictions: Float64s
    """``(n, H)`` units per day, never negative."""
    source: NDArray[np.int8]
    """``(n, H)`` indices into ``SOURCES``: the model's, or a cold-start mean."""
    is_open: Bools
    """``(n, H)``: whether the day counted as open, and was fed back."""

    def source_of(self, row: int, step: int) -> Source:
        """Name the source of one answer."""
        return SOURCES[int(self.source[row, step])]


def roll_forward(
    panel: Panel,
    origin_day: int,
    horizon: int,
    predict: Predict,
    codes: SeriesCodes,
    *,
    series: Ints | None = None,
    price: Floats | None = None,
    promotion: Floats | Bools | None = None,
    cold_start: ColdStart | None = None,
) -> Forecast:
    """Forecast ``origin_day + 1 … origin_day + horizon`` for ``series`` (n,), or for all (S,).

    ``codes`` are those of all S series. ``price`` and ``promotion`` are ``(n, horizon)``, NaN
    where unknown: then the price is the last one, the promotion none. Days between a store's
    ``until`` and the origin are rolled over in the same way. Where the features are not defined,
    and more than 56 days after the store's ``until``, the cold-start rule answers; its answers
    are fed back too. Raises ValueError if the panel knows days after the origin, or if the model
    returns something that is not a finite number per row.
    """
    chosen = np.arange(panel.n_series) if series is None else np.asarray(series, dtype=np.int64)
    until = panel.until[panel.series_store[chosen]].astype(np.int64)
    if chosen.size and int(until.max()) > origin_day:
        raise ValueError(
            f"roll_forward: the panel knows days up to {np.datetime64(int(until.max()), 'D')}, "
            f"after the origin {np.datetime64(origin_day, 'D')}; build it with that origin_day"
        )
    for name, given in (("price", price), ("promotion", promotion)):
        if given is not None and given.shape != (len(chosen), horizon):
            raise ValueError(
                f"roll_forward: {name}: expected shape {(len(chosen), horizon)}, "
                f"found {given.shape}"
            )
    means, whose = (cold_start or ColdStart.of(panel)).many(chosen)
    forecast = Forecast(
        np.repeat(means[:, None], horizon, axis=1),
        np.repeat(whose[:, None], horizon, axis=1),
        np.zeros((len(chosen), horizon), dtype=np.bool_),
    )
    for day in np.unique(until).tolist():
        at = np.flatnonzero(until == day)
        group = _Group(
            panel=panel,
            series=chosen[at],
            means=means[at],
            codes=SeriesCodes(codes.store[chosen[at]], codes.product[chosen[at]]),
            price=None if price is None else price[at].astype(np.float64),
            promotion=None if promotion is None else promotion[at].astype(np.float64),
            until=day,
            origin_day=origin_day,
            horizon=horizon,
        )
        _roll_group(group, at, predict, forecast)
    return forecast


class _Group(NamedTuple):
    """The series whose stores end on the same day, so that they share every step's date."""

    panel: Panel
    series: NDArray[np.int64]
    means: Float64s
    codes: SeriesCodes
    price: Float64s | None
    promotion: Float64s | None
    until: int
    origin_day: int
    horizon: int

    def price_on(self, step: int) -> Float64s:
        """Return the planned price of the ``step``-th day after the origin, else the last."""
        last = self.panel.last_price[self.series]
        if self.price is None or step < 0:
            return last
        planned = self.price[:, step]
        return np.where(np.isnan(planned), last, planned)

    def promotion_on(self, step: int) -> Float64s:
        """Return the planned promotion of the ``step``-th day after the origin, else none."""
        if self.promotion is None or step < 0:
            return np.zeros(len(self.series))
        return np.nan_to_num(self.promotion[:, step], nan=0.0)


def _roll_group(group: _Group, at: Ints, predict: Predict, forecast: Forecast) -> None:
    """Roll one group and write its answers into the rows ``at`` of ``forecast``."""
    panel, series = group.panel, group.series
    gap = group.origin_day - group.until
    n_steps = min(gap + group.horizon, MAX_HORIZON_DAYS)
    if n_steps <= gap:
        return
    kind = _DayTail if isinstance(panel, StorePanel) else _RowTail
    tail = kind(panel, series, group.until, n_steps)
    weekdays = panel.open_weekdays[panel.series_store[series]]
    matrix = np.empty((len(series), N_FEATURES))
    for ahead in range(n_steps):
        step = ahead - gap
        windows = tail.windows(ahead)
        matrix[:, :6] = calendar_one(group.until + 1 + ahead)
        fill_features(matrix, windows, group.price_on(step), group.promotion_on(step), group.codes)
        known = windows.has_history
        answer = _ask(predict, matrix, known, group.means)
        is_open = weekdays[:, ahead % 7]
        tail.append(ahead, answer, is_open)
        if step >= 0:
            forecast.predictions[at, step] = answer
            forecast.source[at[known], step] = MODEL
            forecast.is_open[at, step] = is_open


def _ask(predict: Predict, matrix: Float64s, known: Bools, means: Float64s) -> Float64s:
    """Ask the model about the ``known`` rows; the others keep their means."""
    n_known = int(np.count_nonzero(known))
    if n_known == 0:
        return means
    everyone = n_known == len(known)
    asked = as_model_input(matrix if everyone else matrix[known])
    told = np.asarray(predict(asked), dtype=np.float64).reshape(-1)
    if told.shape != (n_known,) or not np.isfinite(told).all():
        n_bad = np.count_nonzero(~np.isfinite(told))
        raise ValueError(
            f"roll_forward: the model was asked for {n_known} finite predictions and returned "
            f"{told.size}, of which {n_bad} are not finite"
        )
    told = np.maximum(told, 0.0)
    if everyone:
        return told
    answer = means.copy()
    answer[known] = told
    return answer


class _DayTail:
    """The last 14 calendar days of a group, and room for ``n_steps`` more."""

    def __init__(self, panel: Panel, series: Ints, until: int, n_steps: int) -> None:
        assert isinstance(panel, StorePanel)
        begin = panel.windows(series, np.full(len(series), until + 1))
        days = np.arange(until + 1 - WINDOW, until + 1)
        shape = (len(series), WINDOW + n_steps)
        self._values = np.zeros(shape)
        self._counted = np.zeros(shape, dtype=np.bool_)
        self._latest = np.empty(shape)
        self._values[:, :WINDOW] = begin.values
        self._counted[:, :WINDOW] = begin.counted
        self._latest[:, :WINDOW] = panel.as_of(series, np.broadcast_to(days, (len(series), WINDOW)))
        self._age = until + 1 - panel.first_day[series].astype(np.int64)
        self._begun = self._age > 0

    def windows(self, ahead: int) -> Windows:
        """Look back from the day ``until + 1 + ahead``."""
        end = ahead + WINDOW
        counted: Bools = self._counted[:, ahead:end]
        old_enough = self._age + ahead >= MIN_HISTORY_DAYS
        return Windows(
            self._values[:, ahead:end],
            counted,
            self._latest[:, (end - 1, end - 7, end - 14)],
            np.asarray(old_enough & counted.any(axis=1)),
        )

    def append(self, ahead: int, answer: Float64s, is_open: Bools) -> None:
        """Let the answers for that day be history, where the store counts as open."""
        end = ahead + WINDOW
        fed_back = is_open & self._begun
        self._counted[:, end] = fed_back
        self._values[:, end] = np.where(fed_back, answer, 0.0)
        self._latest[:, end] = np.where(fed_back, answer, self._latest[:, end - 1])


class _RowTail:
    """The last 14 rows of a group, pushed on by each open day's answer."""

    def __init__(self, panel: Panel, series: Ints, until: int, n_steps: int) -> None:
        begin = panel.windows(series, np.full(len(series), until + 1))
        self._values = begin.values
        self._counted = begin.counted
        self._begun = panel.first_day[series] <= until

    def windows(self, ahead: int) -> Windows:
        """Look back over the last 14 rows, true or fed back."""
        lags = np.where(self._counted, self._values, np.nan)[:, (WINDOW - 1, WINDOW - 7, 0)]
        return Windows(self._values, self._counted, lags, np.asarray(self._counted.all(axis=1)))

    def append(self, ahead: int, answer: Float64s, is_open: Bools) -> None:
        """Let the answers be the latest rows, where the store counts as open."""
        fed_back = (is_open & self._begun)[:, None]
        counted = np.concatenate([self._counted[:, 1:], fed_back], axis=1)
        values = np.concatenate([self._values[:, 1:], answer[:, None]], axis=1)
        self._values = np.where(fed_back, values, self._values)
        self._counted = np.where(fed_back, counted, self._counted)

"""The coming days of one series, of a whole store or of a whole product, plans included.

A day that is planned moves the days after it as well: the forecast is rolled forward day by day
with the prices and promotions that the caller knows. Each series begins after its own store's
latest day. A pair that was never seen is answered by the cold-start rule.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.activity import active_series
from scalecast_assets.contract.cold_start import SOURCES
from scalecast_assets.contract.panel import Bools, Float64s, Panel
from scalecast_assets.contract.rolling import Forecast, roll_forward
from serving.answers import EPOCH, OPEN_UNKNOWN, Answers, Reply, iso_day
from serving.batch import UNKNOWN
from serving.forecaster import Forecaster
from serving.model import PredictionFailed
from serving.schemas_many import ForecastRequest, PlannedDay
from serving.traffic import Traffic
from serving.wide import WidePredictor

PART_SERIES: Final = 256
"""Series that are forecast, and held in memory, together."""


class PlanMiss(ValueError):
    """An entry of the plan is about a day or a series that was not asked for."""

    def __init__(self, entry: int, field: str, value: str | None, rule: str) -> None:
        super().__init__(f"plan.{entry}.{field} {rule}")
        self.field = f"plan.{entry}.{field}"
        self.value = value
        self.rule = rule


class Asked(NamedTuple):
    """The ``n`` series that are asked for, by store and product, and what is planned for them."""

    series: NDArray[np.int64]
    """Indices in the panel; ``UNKNOWN`` for the one pair that was never seen."""
    store_id: NDArray[np.object_]
    product_id: NDArray[np.object_]
    until: NDArray[np.int64]
    """The latest day of each one's store, since 1970-01-01."""
    price: Float64s
    """``(n, horizon)``, NaN where nothing is planned."""
    promotion: Float64s
    """The same; 0 or 1."""
    level: int
    """Of the intervals, in per cent."""

    def part(self, rows: slice | NDArray[np.intp]) -> "Asked":
        """Return some of them."""
        return Asked(
            self.series[rows],
            self.store_id[rows],
            self.product_id[rows],
            self.until[rows],
            self.price[rows],
            self.promotion[rows],
            self.level,
        )


def asked_for(panel: Panel, request: ForecastRequest) -> Asked:
    """Find the series and lay the plan beside them; none if the whole store or product is unknown.

    Raises:
        PlanMiss: an entry of the plan fits none of them: it would be silently ignored.
    """
    series = _series(panel, request)
    if len(series) == 1 and series[0] == UNKNOWN:
        ids = [request.store_id], [request.product_id]
        store = panel.store_index.get(request.store_id or "")
        until = np.array([panel.end_day if store is None else int(panel.until[store])], np.int64)
    else:
        ids = (
            [panel.stores[one] for one in panel.series_store[series].tolist()],
            [panel.products[one] for one in panel.series_product[series].tolist()],
        )
        until = panel.until[panel.series_store[series]].astype(np.int64)
    shape = (len(series), request.horizon)
    store_id, product_id = (np.array(column, np.object_) for column in ids)
    unplanned = (np.full(shape, np.nan), np.full(shape, np.nan))
    asked = Asked(series, store_id, product_id, until, *unplanned, request.level)
    for number, entry in enumerate(request.plan if len(series) else ()):
        _plan(asked, number, entry)
    return asked


def forecast(traffic: Traffic, asked: Asked) -> Iterator[tuple[Asked, list[Reply]]]:
    """Yield what was asked and its forecasts, as ``schemas_many.SeriesForecast``, part by part."""
    for begin in range(0, len(asked.series), PART_SERIES):
        part = asked.part(slice(begin, begin + PART_SERIES))
        replies: list[Reply] = [{}] * len(part.series)
        ids = part.store_id.tolist(), part.product_id.tolist()
        for forecaster, rows in traffic.groups(part.series, *ids):
            mine = part if len(rows) == len(replies) else part.part(rows)
            for row, reply in zip(rows.tolist(), _forecast_part(forecaster, mine), strict=True):
                replies[row] = reply
        yield part, replies


def answer(forecaster: Forecaster, asked: Asked) -> Answers:
    """Forecast every day; the rows of the answer are series by series, day by day."""
    horizon = asked.price.shape[1]
    ahead = np.arange(1, horizon + 1)
    shape = (len(asked.series), horizon)
    prediction, source = np.full(shape, np.nan), np.zeros(shape, np.int8)
    predictor = WidePredictor(forecaster.model.predictor)
    for day in np.unique(asked.until).tolist():
        at = np.flatnonzero((asked.until == day) & (asked.series != UNKNOWN))
        _roll(forecaster, predictor, asked, day, at, prediction, source)
    _start_cold(forecaster, asked, prediction, source)
    return Answers(
        prediction=prediction.ravel(),
        source=source.ravel(),
        horizon=np.broadcast_to(ahead, shape).ravel(),
        data_until=np.repeat(asked.until, horizon),
        store_open=_store_open(forecaster.state.panel, asked, ahead).ravel(),
        bounds=forecaster.intervals.columns(
            np.repeat(asked.series, horizon),
            prediction.ravel(),
            np.broadcast_to(ahead, shape).ravel(),
            source.ravel(),
            np.full(prediction.size, asked.level),
        ),
    )


def _series(panel: Panel, request: ForecastRequest) -> NDArray[np.int64]:
    """Return the one series, active or not, or all active ones of the store or product."""
    if request.store_id is not None and request.product_id is not None:
        one = panel.find(request.store_id, request.product_id)
        return np.array([UNKNOWN if one is None else one], np.int64)
    if request.store_id is not None:
        index, whose = panel.store_index.get(request.store_id), panel.series_store
    else:
        index, whose = panel.product_index.get(request.product_id or ""), panel.series_product
    if index is None:
        return np.empty(0, np.int64)
    return np.flatnonzero((whose == index) & active_series(panel))


def _plan(asked: Asked, number: int, entry: PlannedDay) -> None:
    fits: Bools = np.ones(len(asked.series), np.bool_)
    for field, ids in (("store_id", asked.store_id), ("product_id", asked.product_id)):
        wanted = getattr(entry, field)
        fits = fits if wanted is None else fits & (ids == wanted)
        if not fits.any():
            raise PlanMiss(number, field, wanted, "must be of a series that is forecast")
    horizon = asked.price.shape[1]
    step = entry.date.toordinal() - EPOCH - asked.until - 1
    at = np.flatnonzero(fits & (step >= 0) & (step < horizon))
    if not at.size:
        first, last = int(asked.until[fits].min()) + 1, int(asked.until[fits].max()) + horizon
        rule = f"must be a day that is forecast, from {iso_day(first)} to {iso_day(last)}"
        raise PlanMiss(number, "date", entry.date.isoformat(), rule)
    if entry.price is not None:
        asked.price[at, step[at]] = entry.price
    if entry.promotion is not None:
        asked.promotion[at, step[at]] = entry.promotion


def _roll(
    forecaster: Forecaster,
    predictor: WidePredictor,
    asked: Asked,
    day: int,
    at: NDArray[np.intp],
    prediction: Float64s,
    source: NDArray[np.int8],
) -> None:
    """Roll the series ``at`` forward; of one for which the model fails, nothing is written."""
    if not at.size:
        return
    try:
        rolled: Forecast = roll_forward(
            forecaster.state.panel,
            day,
            asked.price.shape[1],
            predictor,
            forecaster.codes,
            series=asked.series[at],
            price=asked.price[at],
            promotion=asked.promotion[at],
            cold_start=forecaster.state.cold_start,
        )
    except PredictionFailed:
        if len(at) > 1:
            for half in np.array_split(at, 2):
                _roll(forecaster, predictor, asked, day, half, prediction, source)
    else:
        prediction[at], source[at] = rolled.predictions, rolled.source


def _start_cold(
    forecaster: Forecaster, asked: Asked, prediction: Float64s, source: NDArray[np.int8]
) -> None:
    panel, cold_start = forecaster.state.panel, forecaster.state.cold_start
    for row in np.flatnonzero(np.isnan(prediction).any(axis=1)).tolist():
        series = int(asked.series[row])
        product = panel.product_index.get(asked.product_id[row])
        store = panel.store_index.get(asked.store_id[row])
        for step in range(prediction.shape[1]):
            value, whose = cold_start.one(
                None if series == UNKNOWN else series,
                product,
                store,
                int(asked.until[row]) + 1 + step,
            )
            prediction[row, step], source[row, step] = value, SOURCES.index(whose)


def _store_open(panel: Panel, asked: Asked, ahead: NDArray[np.int64]) -> NDArray[np.int8]:
    index = [panel.store_index.get(one, UNKNOWN) for one in asked.store_id.tolist()]
    store = np.array(index, np.int64)[:, None]
    is_open = panel.open_weekdays[store, (ahead - 1) % 7].astype(np.int8)
    return np.where(store == UNKNOWN, np.int8(OPEN_UNKNOWN), is_open)


def _forecast_part(forecaster: Forecaster, asked: Asked) -> list[Reply]:
    version, horizon = forecaster.model.version, asked.price.shape[1]
    replies = answer(forecaster, asked).replies(version)
    last = forecaster.state.panel.last_price[asked.series]
    last = np.where(asked.series == UNKNOWN, np.nan, last)[:, None]
    prices = np.where(np.isnan(asked.price), last, asked.price)
    known: list[float | None] = [p if p == p else None for p in prices.ravel().tolist()]
    promoted = (np.nan_to_num(asked.promotion) > 0).ravel().tolist()
    days = [
        {
            "date": iso_day(int(asked.until[row // horizon]) + 1 + row % horizon),
            "price": known[row],
            "promotion": promoted[row],
            **reply,
        }
        for row, reply in enumerate(replies)
    ]
    return [
        {
            "store_id": asked.store_id[row],
            "product_id": asked.product_id[row],
            "model_version": version,
            "days": days[row * horizon : (row + 1) * horizon],
        }
        for row in range(len(asked.series))
    ]

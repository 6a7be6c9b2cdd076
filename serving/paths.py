"""Series prolonged by their own forecasts: where a question about a later day looks back to.

The days between are forecast with the last price and no promotion, whatever is asked for the day
itself, so one path serves every later question about a series. One series is remembered as a panel
of its own by ``forecaster.py``; many at once are rolled here together and remembered as rows.
"""

import logging
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import ColdStart
from scalecast_assets.contract.columns import MAX_HORIZON_DAYS
from scalecast_assets.contract.encoders import SeriesCodes
from scalecast_assets.contract.panel import (
    NO_ROW,
    Bools,
    Float64s,
    ObservedPanel,
    Panel,
    StorePanel,
)
from scalecast_assets.contract.rolling import Forecast, roll_forward
from serving.model import PredictionFailed
from serving.wide import WidePredictor

logger = logging.getLogger(__name__)


class Paths:
    """The forecasts of the days after the history, of those series that were asked about."""

    def __init__(
        self, panel: Panel, codes: SeriesCodes, predictor: WidePredictor, cold_start: ColdStart
    ) -> None:
        self._panel = panel
        self._codes = codes
        self._predictor = predictor
        self._cold_start = cold_start
        # Memory that is not written to is not taken: 448 bytes for each series asked about.
        self._rolled = np.zeros((panel.n_series, MAX_HORIZON_DAYS))
        self._depth = np.zeros(panel.n_series, np.int8)
        self._lock = threading.Lock()

    def prolonged(self, series: NDArray[np.int64], days: int) -> tuple[Panel, Bools]:
        """Return a panel of ``series`` (n,), no two the same, ``days`` longer than the history.

        With it ``(n,)`` which of them the model could be rolled for; of the others the panel knows
        nothing that may be used.
        """
        with self._lock:
            lacking = series[(self._depth[series] < days) & (self._depth[series] >= 0)]
            if lacking.size:
                self._roll(lacking, days)
            rolled, could = self._rolled[series, :days], self._depth[series] >= days
        return prolonged(self._panel, series, rolled), could

    def _roll(self, series: NDArray[np.int64], days: int) -> None:
        try:
            self._rolled[series, :days] = self._forecast(series, days).predictions
            self._depth[series] = days
        except PredictionFailed as error:
            if len(series) == 1:
                name = self._panel.products[int(self._panel.series_product[series[0]])]
                logger.warning("a series of product %r cannot be rolled: %s", name, error)
                self._depth[series] = -1
                return
            half = len(series) // 2
            self._roll(series[:half], days)
            self._roll(series[half:], days)

    def _forecast(self, series: NDArray[np.int64], days: int) -> Forecast:
        panel = self._panel
        until = panel.until[panel.series_store[series]].astype(np.int64)
        predictions = np.empty((len(series), days))
        for day in np.unique(until).tolist():
            at = np.flatnonzero(until == day)
            rolled = roll_forward(
                panel,
                day,
                days,
                self._predictor,
                self._codes,
                series=series[at],
                cold_start=self._cold_start,
            )
            predictions[at] = rolled.predictions
        return Forecast(predictions, np.empty(0, np.int8), np.empty(0, np.bool_))


def prolonged(panel: Panel, series: NDArray[np.int64], rolled: Float64s) -> Panel:
    """Make a panel of ``series`` (n,): their own cells, then ``rolled`` (n, days) on open days."""
    days = rolled.shape[1]
    stores, store = np.unique(panel.series_store[series], return_inverse=True)
    products, product = np.unique(panel.series_product[series], return_inverse=True)
    coming = panel.open_weekdays[stores][:, np.arange(days) % 7]
    until = panel.until[stores]
    begun = panel.first_day[series] <= until[store]
    fed_back = coming[store] & begun[:, None]
    common: dict[str, Any] = {
        "stores": tuple(panel.stores[one] for one in stores.tolist()),
        "products": tuple(panel.products[one] for one in products.tolist()),
        "series_store": store.astype(np.int32),
        "series_product": product.astype(np.int32),
        "first_day": panel.first_day[series],
        "last_price": panel.last_price[series],
        "until": (until + days).astype(np.int32),
        "open": np.concatenate([panel.open[stores], coming], axis=1),
        "price": np.empty((len(series), 0), np.float32),
        "promotion": np.empty((len(series), 0), np.bool_),
    }
    if isinstance(panel, ObservedPanel):
        return replace(panel, **common, **_more_rows(panel, series, rolled, fed_back))
    assert isinstance(panel, StorePanel)
    sold = np.where(fed_back, rolled, 0.0)
    return replace(
        panel,
        **common,
        quantity=np.concatenate([panel.quantity[series], sold], axis=1),
        carry=panel.carry[series],
    )


def _more_rows(
    panel: ObservedPanel, series: NDArray[np.int64], rolled: Float64s, fed_back: Bools
) -> dict[str, Any]:
    """Append the rows that were fed back; how many there are differs, and the right end counts."""
    until = panel.until[panel.series_store[series]].astype(np.int64)
    coming = until[:, None] + np.arange(1, rolled.shape[1] + 1)
    row_day = np.concatenate(
        [panel.row_day[series], np.where(fed_back, coming, NO_ROW)], axis=1
    ).astype(np.int32)
    quantity = np.concatenate([panel.quantity[series], np.where(fed_back, rolled, 0.0)], axis=1)
    # Unused cells belong at the left; a stable sort moves them there and leaves the rest in order.
    order = np.argsort(row_day != NO_ROW, axis=1, kind="stable")
    return {
        "row_day": np.take_along_axis(row_day, order, axis=1),
        "quantity": np.take_along_axis(quantity, order, axis=1),
    }

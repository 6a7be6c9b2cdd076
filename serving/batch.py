"""Thousands of questions at once: the answers of ``Forecaster.answer``, computed as columns.

What takes a Python call for each row in a single answer takes one numpy call for all of them here.
The rules are the same, and a property test holds the two together.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.cold_start import MODEL, SOURCES
from scalecast_assets.contract.columns import FEATURES, KEPT_HISTORY_DAYS, MAX_HORIZON_DAYS
from scalecast_assets.contract.encoders import SeriesCodes
from scalecast_assets.contract.features import features
from scalecast_assets.contract.panel import WINDOW, Panel
from serving.answers import OPEN_UNKNOWN, Answers
from serving.intervals import Intervals
from serving.model import LoadedModel
from serving.paths import Paths
from serving.state import LoadedState
from serving.wide import WidePredictor, finite_or_nan, in_parts

UNKNOWN: Final = -1
"""The index of a store, product or series that has never been seen."""

_SOURCE_INDEX: Final = {source: index for index, source in enumerate(SOURCES)}


class Questions(NamedTuple):
    """``n`` questions as columns; see ``forecaster.Question`` for one."""

    day: NDArray[np.int64]
    """Days since 1970-01-01."""
    store_id: list[str]
    product_id: list[str]
    price: NDArray[np.float64]
    promotion: NDArray[np.bool_]
    level: NDArray[np.int64]
    """Of the interval, in per cent."""


class Places(NamedTuple):
    """Where ``n`` questions stand in the panel: indices, ``UNKNOWN`` where never seen."""

    series: NDArray[np.int64]
    store: NDArray[np.int64]
    product: NDArray[np.int64]
    until: NDArray[np.int64]
    """The store's latest day; of a store never seen, the latest day of any."""
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    """The days that may be asked about."""


class Batch:
    """Answers many questions with ``model`` from the history in ``state``."""

    def __init__(
        self, model: LoadedModel, state: LoadedState, codes: SeriesCodes, intervals: Intervals
    ) -> None:
        self._panel: Panel = state.panel
        self._codes = codes
        self._intervals = intervals
        self._cold_start = state.cold_start
        self._predictor = WidePredictor(model.predictor)
        self._paths = Paths(state.panel, codes, self._predictor, state.cold_start)
        panel = state.panel
        keys = panel.series_store.astype(np.int64) * len(panel.products) + panel.series_product
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def locate(self, questions: Questions) -> Places:
        """Find what is asked about; a day outside ``first … last`` may not be answered."""
        panel = self._panel
        store = _indices(questions.store_id, panel.store_index)
        product = _indices(questions.product_id, panel.product_index)
        known = store != UNKNOWN
        until = np.where(known, panel.until[store], panel.end_day).astype(np.int64)
        kept = int(panel.open.shape[1]) - WINDOW
        return Places(
            series=self._series(store, product),
            store=store,
            product=product,
            until=until,
            first=until + 1 - np.where(known, kept, KEPT_HISTORY_DAYS),
            last=until + MAX_HORIZON_DAYS,
        )

    def answer(self, questions: Questions, places: Places) -> Answers:
        """Forecast; every day must lie within ``places``."""
        ahead = questions.day - places.until
        prediction = np.full(len(ahead), np.nan)
        known = places.series != UNKNOWN
        self._ask(prediction, np.flatnonzero(known & (ahead <= 1)), questions, places)
        self._ask_later(prediction, np.flatnonzero(known & (ahead > 1)), questions, places)
        source = np.full(len(ahead), MODEL, np.int8)
        self._start_cold(prediction, source, questions.day, places)
        return Answers(
            prediction=prediction,
            source=source,
            horizon=np.maximum(ahead, 1),
            data_until=places.until,
            store_open=self._store_open(ahead, places.store),
            bounds=self._intervals.columns(
                places.series, prediction, np.maximum(ahead, 1), source, questions.level
            ),
        )

    def _ask(
        self,
        prediction: NDArray[np.float64],
        rows: NDArray[np.intp],
        questions: Questions,
        places: Places,
    ) -> None:
        """Ask about days that the history itself reaches."""
        if rows.size:
            series = places.series[rows]
            prediction[rows] = self._ask_model(self._panel, series, series, questions, rows)

    def _ask_later(
        self,
        prediction: NDArray[np.float64],
        rows: NDArray[np.intp],
        questions: Questions,
        places: Places,
    ) -> None:
        """Ask about days that are reached by forecasting those before."""
        if not rows.size:
            return
        series, at = np.unique(places.series[rows], return_inverse=True)
        days = int((questions.day[rows] - places.until[rows]).max()) - 1
        panel, could = self._paths.prolonged(series, days)
        kept = could[at]
        rows, at = rows[kept], at[kept]
        if rows.size:
            prediction[rows] = self._ask_model(panel, at, series[at], questions, rows)

    def _ask_model(
        self,
        panel: Panel,
        at: NDArray[np.int64],
        series: NDArray[np.int64],
        questions: Questions,
        rows: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """Return the model's forecasts, NaN where there is too little history for one.

        ``at`` are the series' indices in ``panel``, ``series`` those in the whole panel.
        """
        told = np.full(len(rows), np.nan)
        matrix = np.empty((len(rows), len(FEATURES)), np.float32)
        has_history = np.empty(len(rows), np.bool_)
        codes = self._codes

        def describe(part: slice) -> None:
            asked, which = rows[part], series[part]
            matrix[part], has_history[part] = features(
                panel,
                at[part],
                questions.day[asked],
                questions.price[asked],
                questions.promotion[asked],
                codes.store[which],
                codes.product[which],
            )

        in_parts(len(rows), describe)
        told[has_history] = finite_or_nan(self._predictor, matrix[has_history])
        return np.asarray(np.maximum(told, 0.0))

    def _start_cold(
        self,
        prediction: NDArray[np.float64],
        source: NDArray[np.int8],
        day: NDArray[np.int64],
        places: Places,
    ) -> None:
        """Answer with a mean where the model did not."""
        lacking = np.isnan(prediction)
        seen = np.flatnonzero(lacking & (places.series != UNKNOWN))
        if seen.size:
            prediction[seen], source[seen] = self._cold_start.many(places.series[seen])
        for row in np.flatnonzero(lacking & (places.series == UNKNOWN)).tolist():
            product, store = int(places.product[row]), int(places.store[row])
            value, whose = self._cold_start.one(
                None,
                None if product == UNKNOWN else product,
                None if store == UNKNOWN else store,
                int(day[row]),
            )
            prediction[row], source[row] = value, _SOURCE_INDEX[whose]

    def _series(self, store: NDArray[np.int64], product: NDArray[np.int64]) -> NDArray[np.int64]:
        key = store * len(self._panel.products) + product
        at = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        found = (self._keys[at] == key) & (store != UNKNOWN) & (product != UNKNOWN)
        return np.where(found, self._order[at], UNKNOWN)

    def _store_open(self, ahead: NDArray[np.int64], store: NDArray[np.int64]) -> NDArray[np.int8]:
        panel = self._panel
        coming = panel.open_weekdays[store, (ahead - 1) % 7]
        was = panel.open[store, np.minimum(ahead, 0) - 1]
        is_open = np.where(ahead > 0, coming, was).astype(np.int8)
        return np.where(store == UNKNOWN, np.int8(OPEN_UNKNOWN), is_open)


def _indices(ids: list[str], index: dict[str, int]) -> NDArray[np.int64]:
    get = index.get
    return np.array([get(one, UNKNOWN) for one in ids], np.int64)

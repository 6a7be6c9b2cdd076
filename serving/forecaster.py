"""One model and one state together: the question in, the answer out.

Immutable but for a cache. Features, rolling and means come from ``scalecast_assets.contract``; how
a question arrives is in ``routes/``. A day that the history reaches is one call of the model. A
later one is, too, once the series' days between have been rolled: see :meth:`Forecaster._path_of`.
"""

import datetime
import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from scalecast_assets.contract.cold_start import Source
from scalecast_assets.contract.columns import KEPT_HISTORY_DAYS, MAX_HORIZON_DAYS
from scalecast_assets.contract.features import as_model_input, features_one
from scalecast_assets.contract.intervals import DEFAULT_LEVEL
from scalecast_assets.contract.panel import WINDOW, Panel
from scalecast_assets.contract.rolling import roll_forward
from serving.batch import Batch
from serving.intervals import Interval, Intervals
from serving.model import LoadedModel, PredictionFailed
from serving.paths import prolonged
from serving.state import LoadedState

logger = logging.getLogger(__name__)

KEPT_PATHS: Final = 8_192
"""Rolled series that are remembered, about 4 kB each."""

EPOCH: Final = datetime.date(1970, 1, 1).toordinal()


class Question(NamedTuple):
    """What a caller wants to know; ``price`` and ``promotion`` are those of ``date``.

    ``level`` is the interval's, in per cent.
    """

    date: datetime.date
    store_id: str
    product_id: str
    price: float
    promotion: bool
    level: int = DEFAULT_LEVEL


class Answer(NamedTuple):
    """A forecast in units per day, and what it stands on; see ``schemas.PredictReply``."""

    prediction: float
    source: Source
    horizon: int
    data_until: datetime.date
    store_open: bool | None
    interval: Interval


class DateOutOfRange(ValueError):
    """The date lies before the history kept, or further ahead than may be forecast."""

    def __init__(self, date: datetime.date, rule: str) -> None:
        super().__init__(f"{date} {rule}")
        self.date = date
        self.rule = rule


@dataclass(frozen=True)
class _Place:
    """Where a question stands in the panel: indices, None where it has never been seen."""

    series: int | None
    store: int | None
    product: int | None
    day: int
    until: int
    """The store's latest day; of a store never seen, the latest day of any."""

    @property
    def must_be_rolled(self) -> bool:
        return self.series is not None and self.day > self.until + 1


class Forecaster:
    """Answers questions with ``model`` from the history in ``state``."""

    def __init__(self, model: LoadedModel, state: LoadedState) -> None:
        self.model = model
        self.state = state
        self._panel = state.panel
        self._encoders = model.encoders
        self.codes = self._encoders.codes(state.panel)
        self._until: list[int] = state.panel.until.tolist()
        self._kept_days = int(state.panel.open.shape[1]) - WINDOW
        self.intervals = Intervals(model.intervals, state.panel)
        self._paths: dict[int, Panel] = {}
        self._paths_lock = threading.Lock()
        self._warm_up()

    @cached_property
    def batch(self) -> Batch:
        """The same answers, many at once."""
        return Batch(self.model, self.state, self.codes, self.intervals)

    def is_quick(self, question: Question) -> bool:
        """Tell whether the answer takes one call of the model, not one per day between."""
        place = self._locate(question)
        return not place.must_be_rolled or place.series in self._paths

    def answer(self, question: Question) -> Answer:
        """Forecast the demand.

        Raises:
            DateOutOfRange: naming the days that may be asked for.
        """
        place = self._locate(question)
        self._check_date(question, place)
        prediction, source = self._predict(question, place)
        horizon = max(place.day - place.until, 1)
        return Answer(
            prediction=prediction,
            source=source,
            horizon=horizon,
            data_until=_date(place.until),
            store_open=self._store_open(place),
            interval=self.intervals.around_one(
                place.series, prediction, horizon, source, question.level
            ),
        )

    def _locate(self, question: Question) -> _Place:
        panel = self._panel
        store = panel.store_index.get(question.store_id)
        return _Place(
            series=panel.find(question.store_id, question.product_id),
            store=store,
            product=panel.product_index.get(question.product_id),
            day=question.date.toordinal() - EPOCH,
            until=panel.end_day if store is None else self._until[store],
        )

    def _check_date(self, question: Question, place: _Place) -> None:
        kept = KEPT_HISTORY_DAYS if place.store is None else self._kept_days
        first, last = place.until + 1 - kept, place.until + MAX_HORIZON_DAYS
        if not first <= place.day <= last:
            whose = "the history" if place.store is None else f"store {question.store_id!r}"
            raise DateOutOfRange(question.date, date_rule(first, last, whose, place.until))

    def _predict(self, question: Question, place: _Place) -> tuple[float, Source]:
        if place.series is not None:
            try:
                predicted = self._ask_model(question, place, place.series)
            except PredictionFailed as error:
                logger.warning("model %s, %s: %s", self.model.version, question, error)
            else:
                if predicted is not None:
                    return predicted, "model"
        return self.state.cold_start.one(place.series, place.product, place.store, place.day)

    def _ask_model(self, question: Question, place: _Place, series: int) -> float | None:
        """Return the model's forecast, None where there is too little history for one."""
        panel, index = self._panel, series
        if place.must_be_rolled:
            panel, index = self._path_of(series), 0
        row, has_history = features_one(
            panel,
            index,
            place.day,
            question.price,
            question.promotion,
            self._encoders.store_code(question.store_id),
            self._encoders.product_code(question.product_id),
        )
        if not has_history:
            return None
        return max(self.model.predictor.one(as_model_input(row)), 0.0)

    def _path_of(self, series: int) -> Panel:
        """Return the series' history prolonged by its own forecasts, rolled once and remembered.

        The days between are forecast with the last price and no promotion whatever is asked for
        the day itself, so one path serves every later question about the series.
        """
        path = self._paths.get(series)
        if path is None:
            path = self._roll(series)
            with self._paths_lock:
                while len(self._paths) >= KEPT_PATHS:
                    del self._paths[next(iter(self._paths))]
                self._paths[series] = path
        return path

    def _roll(self, series: int) -> Panel:
        until = int(self._panel.until[self._panel.series_store[series]])
        forecast = roll_forward(
            self._panel,
            until,
            MAX_HORIZON_DAYS,
            self.model.predictor,
            self.codes,
            series=np.array([series]),
            cold_start=self.state.cold_start,
        )
        return prolonged(self._panel, np.array([series]), forecast.predictions)

    def _store_open(self, place: _Place) -> bool | None:
        if place.store is None:
            return None
        ahead = place.day - place.until
        if ahead > 0:
            return bool(self._panel.open_weekdays[place.store, (ahead - 1) % 7])
        return bool(self._panel.open[place.store, ahead - 1])

    def _warm_up(self) -> None:
        """Answer one question, so that what is computed once is computed before the swap."""
        panel = self._panel
        store, product = int(panel.series_store[0]), int(panel.series_product[0])
        tomorrow = _date(int(panel.until[store]) + 1)
        self.answer(Question(tomorrow, panel.stores[store], panel.products[product], 1.0, False))


def date_rule(first: int, last: int, whose: str, until: int) -> str:
    """Say which days may be asked about, and why."""
    return (
        f"must be from {_date(first)} to {_date(last)}, because the data of {whose} "
        f"end on {_date(until)}"
    )


def _date(day: int) -> datetime.date:
    return datetime.date.fromordinal(EPOCH + day)

"""The forecasts of the coming days, of every active series, with what is served.

They are what the sidecar would answer if it were asked for each day with the last price and no
promotion. The challenger forecasts all of them, too, so that both can be compared. Beside each
stands the seasonal naive, rolled in the same way from the same history. Where the rows go is in
``handover.py``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scalecast_assets.contract.activity import active_series
from scalecast_assets.contract.cold_start import SOURCES, ColdStart
from scalecast_assets.contract.columns import FEATURES, MAX_HORIZON_DAYS
from scalecast_assets.contract.demand_classes import DemandProfile
from scalecast_assets.contract.panel import Bools, Float64s, Ints, Panel
from scalecast_assets.contract.rolling import Forecast, Predict, roll_forward
from scalecast_assets.monitoring.served import Served

COLUMNS: Final = pa.schema(
    [
        pa.field("origin", pa.date32(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("store_id", pa.string(), nullable=False),
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("date", pa.date32(), nullable=False),
        pa.field("horizon", pa.int16(), nullable=False),
        pa.field("forecast", pa.float64(), nullable=False),
        pa.field("seasonal_naive", pa.float64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("store_open", pa.bool_(), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("promotion", pa.bool_(), nullable=False),
        pa.field("data_until", pa.date32(), nullable=False),
        pa.field("lower", pa.float64()),
        pa.field("upper", pa.float64()),
    ]
)
"""Of ``ml.forecasts``, the Parquet file and the CSV alike; explained in ``migrations/``."""

WITH_SERVED: Final = COLUMNS.append(pa.field("served", pa.bool_(), nullable=False))
"""Of ``ml.forecasts`` alone: in the files is what is served, and nothing else."""

BATCH_ROWS: Final = 65_536

_LAG_7: Final = FEATURES.index("lag_7")


@dataclass(frozen=True, eq=False)
class ComingForecasts:
    """``n`` series on ``H`` days after the origin, from one model and one state.

    ``series`` ``(n,)`` index the panel's. ``forecast`` and ``seasonal_naive`` are ``(n, H)``;
    ``reached`` ``(n, H)`` is where the sidecar would answer: not further than 56 days after the
    last day of the series' store. ``bounds`` ``(2, n, H)`` are lower and upper, 80 % between them,
    NaN where the model has no intervals. ``answers`` ``(n,)`` tells for which series this model,
    and not the one beside it, answers.
    """

    panel: Panel
    model_version: str
    origin_day: int
    series: NDArray[np.int64]
    forecast: Forecast
    seasonal_naive: Float64s
    reached: Bools
    bounds: Float64s
    answers: Bools

    @classmethod
    def of(cls, served: Served, horizon_days: int, answers: Bools | None = None) -> Self:
        """Forecast the ``horizon_days`` days after the last day that any store knows.

        ``answers`` ``(S,)`` tells for which of the panel's series it answers; None: for all.
        """
        panel, origin = served.panel, served.panel.end_day
        series = np.flatnonzero(active_series(panel))
        cold_start = ColdStart.of(panel)
        codes = served.encoders.codes(panel)

        def rolled(predict: Predict) -> Forecast:
            return roll_forward(
                panel, origin, horizon_days, predict, codes, series=series, cold_start=cold_start
            )

        forecast = rolled(served.predict)
        ahead = origin - panel.until[panel.series_store[series]].astype(np.int64)
        steps = ahead[:, None] + np.arange(1, horizon_days + 1)
        return cls(
            panel=panel,
            model_version=served.manifest.version,
            origin_day=origin,
            series=series,
            forecast=forecast,
            seasonal_naive=rolled(lambda matrix: matrix[:, _LAG_7]).predictions,
            reached=steps <= MAX_HORIZON_DAYS,
            bounds=_bounds(served, series, forecast, np.minimum(steps, MAX_HORIZON_DAYS)),
            answers=np.ones(len(series), np.bool_) if answers is None else answers[series],
        )

    def __len__(self) -> int:
        return int(np.count_nonzero(self.reached))

    @property
    def by_source(self) -> dict[str, int]:
        """How many rows come from the model, and from which mean."""
        found = np.bincount(self.forecast.source[self.reached], minlength=len(SOURCES))
        return {source: int(n) for source, n in zip(SOURCES, found, strict=True) if n}

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows, and whether they are served, by (store_id, product_id, date).

        A bounded number at a time; those of another model, of the same state, line by line beside.
        """
        step = max(1, batch_rows // self.reached.shape[1])
        for begin in range(0, len(self.series), step):
            yield self._batch(slice(begin, begin + step))

    def _batch(self, part: slice) -> pa.RecordBatch:
        row, column = np.nonzero(self.reached[part])
        series = self.series[part][row]
        store = self.panel.series_store[series]
        cells = (row + part.start, column)
        n = len(row)
        columns = {
            "origin": _dates(np.full(n, self.origin_day)),
            "model_version": pa.repeat(self.model_version, n),
            "store_id": _texts(self.panel.stores, store),
            "product_id": _texts(self.panel.products, self.panel.series_product[series]),
            "date": _dates(self.origin_day + 1 + column),
            "horizon": pa.array((column + 1).astype(np.int16)),
            "forecast": pa.array(self.forecast.predictions[cells]),
            "seasonal_naive": pa.array(self.seasonal_naive[cells]),
            "source": _texts(SOURCES, self.forecast.source[cells]),
            "store_open": pa.array(self.forecast.is_open[cells]),
            "price": pa.array(self.panel.last_price[series]),
            "promotion": pa.repeat(False, n),
            "data_until": _dates(self.panel.until[store]),
            "lower": pa.array(self.bounds[0][cells], from_pandas=True),
            "upper": pa.array(self.bounds[1][cells], from_pandas=True),
            "served": pa.array(self.answers[row + part.start]),
        }
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=WITH_SERVED)


def only_served(champion: pa.RecordBatch, challenger: pa.RecordBatch | None) -> pa.RecordBatch:
    """Take each row from the one that is served; without the column that says so."""
    if challenger is None:
        return champion.select(COLUMNS.names)
    pairs = zip(champion.columns, challenger.columns, strict=True)
    served = [pc.if_else(champion["served"], one, other) for one, other in pairs]
    return pa.RecordBatch.from_arrays(served[: len(COLUMNS)], schema=COLUMNS)


def _bounds(served: Served, series: Ints, forecast: Forecast, horizon: Ints) -> Float64s:
    point = forecast.predictions
    if served.intervals is None:
        return np.full((2, *point.shape), np.nan)
    profile = DemandProfile.of(served.panel)
    demand_class, scale = profile.answered(series[:, None], point, forecast.source)
    return np.stack(served.intervals.bounds(point, horizon, demand_class, scale))


def _dates(days: Ints) -> pa.Array:
    return pa.array(days.astype(np.int32)).cast(pa.date32())


def _texts(ids: Sequence[str], index: Ints) -> pa.Array:
    return pa.array(ids, pa.string()).take(pa.array(index))

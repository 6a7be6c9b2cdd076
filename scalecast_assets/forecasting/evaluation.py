"""How a model would have done: the last days forecast from one origin, as production would have.

What every candidate shares (the panel at the origin, the planned prices and promotions, the rows to
score) is prepared once, in ``Holdout``; ``score`` then asks one model. The figures' formulas are in
``metrics.py``; comparing models is in ``leaderboard.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scalecast_assets.contract.cold_start import MODEL, ColdStart
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.rolling import roll_forward
from scalecast_assets.forecasting import metrics
from scalecast_assets.forecasting.leaderboard import LeaderboardRow
from scalecast_assets.forecasting.training_rows import Float32, Float64, Int32, TrainingError
from scalecast_assets.forecasting.training_set import TrainingSet

Predict = Callable[[Float32], npt.NDArray[Any]]
"""``(m, 16) float32`` features → ``(m,)`` or ``(m, 1)`` units per day."""

UNKNOWN_SERIES = "series began after the origin"
SHORT_HISTORY = "less than 14 days of history, or closed for 14 days"

_CODES = [FEATURES.index("store_id_encoded"), FEATURES.index("product_id_encoded")]


@dataclass(frozen=True, eq=False)
class Holdout:
    """The days after the origin: what was known then, what was planned, what came.

    Row arrays are ``(n_rows,)``, one row per scored (series, day), sorted so. ``chosen`` are the
    series with a scored row; ``price`` and ``promotion`` are ``(n_chosen, horizon_days)``, NaN on
    days without a row. ``scale`` ``(n_series,)`` is the RMSSE's, from training days only.
    """

    origin_day: int
    horizon_days: int
    panel: Panel
    cold_start: ColdStart
    encoders: Encoders
    chosen: npt.NDArray[np.intp]
    price: Float64
    promotion: Float64
    series: Int32
    day: Int32
    actual: Float64
    one_step: Float32
    scale: Float64
    unscored: dict[str, int]

    @classmethod
    def of(cls, training_set: TrainingSet, origin_day: int) -> Self:
        """Prepare what is scored of the days after ``origin_day``, up to the last one.

        Raises TrainingError when no row can be scored.
        """
        scored = training_set.holdout(origin_day)
        if not len(scored):
            raise TrainingError(
                f"no row after {np.datetime64(origin_day, 'D')} can be scored: expected rows with "
                "14 days of history, of series begun by then; load a longer history"
            )
        horizon = training_set.last_day - origin_day
        series = training_set.series[scored]
        chosen = np.unique(series)
        past = training_set.day <= origin_day
        panel = training_set.panel(origin_day)
        price, promotion = _plans(training_set, origin_day, horizon)
        return cls(
            origin_day=origin_day,
            horizon_days=horizon,
            panel=panel,
            cold_start=ColdStart.of(panel),
            encoders=training_set.encoders,
            chosen=chosen.astype(np.intp),
            price=price[chosen],
            promotion=promotion[chosen],
            series=series,
            day=training_set.day[scored],
            actual=training_set.quantity[scored],
            one_step=training_set.features[scored],
            scale=metrics.one_day_scale(
                training_set.quantity[past], training_set.series[past], training_set.n_series
            ),
            unscored=_count_unscored(training_set, origin_day),
        )

    def __len__(self) -> int:
        return len(self.actual)

    @cached_property
    def cells(self) -> tuple[npt.NDArray[np.intp], Int32]:
        """Where each scored row's forecast stands in a ``(n_chosen, horizon_days)`` array."""
        return np.searchsorted(self.chosen, self.series), self.day - self.origin_day - 1

    def rows_after(self, day: int) -> int:
        """Count the scored rows of days strictly after ``day``."""
        return int(np.count_nonzero(self.day > day))


@dataclass(frozen=True, eq=False)
class Scores:
    """One model on the holdout. Row arrays are ``(n_rows,)``, aligned with each other.

    ``cold_started`` rows were answered by the cold-start rule, not by the model.
    """

    series: Int32
    day: Int32
    actual: Float64
    forecast: Float64
    one_step_forecast: Float64
    cold_started: int
    scale: Float64

    def leaderboard_row(self, name: str, fit_seconds: float | None = None) -> LeaderboardRow:
        """Return the figures under the model's name."""
        actual, forecast = self.actual, self.forecast
        return LeaderboardRow(
            name=name,
            mae=metrics.mae(actual, forecast),
            rmse=metrics.rmse(actual, forecast),
            mape=metrics.mape(actual, forecast),
            r2=metrics.r2(actual, forecast),
            wape=metrics.wape(actual, forecast),
            rmsse=metrics.mean_rmsse(actual, forecast, self.series, self.scale),
            bias=metrics.bias(actual, forecast),
            one_step_mae=metrics.mae(actual, self.one_step_forecast),
            fit_seconds=fit_seconds,
        )


def score(
    predict: Predict,
    holdout: Holdout,
    *,
    days_after: int | None = None,
    encoders: Encoders | None = None,
) -> Scores:
    """Forecast the holdout with ``predict``, rolled forward, and one step ahead beside.

    A frozen artefact is scored on days after its own fit cutoff only: ``days_after``; and it knows
    the codes of its own ``encoders`` only. Raises TrainingError when no such day is left.
    """
    if encoders is not None:
        holdout = replace(holdout, encoders=encoders, one_step=_recoded(holdout, encoders))
    forecast = roll_forward(
        holdout.panel,
        holdout.origin_day,
        holdout.horizon_days,
        predict,
        holdout.encoders.codes(holdout.panel),
        series=holdout.chosen,
        price=holdout.price,
        promotion=holdout.promotion,
        cold_start=holdout.cold_start,
    )
    kept = slice(None) if days_after is None else np.flatnonzero(holdout.day > days_after)
    if days_after is not None and not holdout.rows_after(days_after):
        raise TrainingError(
            f"no row to score after {np.datetime64(days_after, 'D')}, the day up to which this "
            f"model was fitted; the holdout ends on {np.datetime64(int(holdout.day.max()), 'D')}"
        )
    rolled = forecast.predictions[holdout.cells][kept]
    source = forecast.source[holdout.cells][kept]
    one_step = np.asarray(predict(holdout.one_step[kept]), dtype=np.float64).reshape(-1)
    return Scores(
        series=holdout.series[kept],
        day=holdout.day[kept],
        actual=holdout.actual[kept],
        forecast=rolled,
        one_step_forecast=np.maximum(one_step, 0.0),
        cold_started=int(np.count_nonzero(source != MODEL)),
        scale=holdout.scale,
    )


def _plans(training_set: TrainingSet, origin_day: int, horizon: int) -> tuple[Float64, Float64]:
    """Return the price and promotion of every series on every later day, NaN without a row."""
    later = np.flatnonzero(training_set.day > origin_day)
    cells = (training_set.series[later], training_set.day[later] - origin_day - 1)
    plans = []
    for name in ("price", "promotion"):
        plan = np.full((training_set.n_series, horizon), np.nan)
        plan[cells] = training_set.features[later, FEATURES.index(name)]
        plans.append(plan)
    return plans[0], plans[1]


def _count_unscored(training_set: TrainingSet, origin_day: int) -> dict[str, int]:
    later = training_set.day > origin_day
    unknown = later & (training_set.series_first_day > origin_day)[training_set.series]
    short = later & ~unknown & ~training_set.has_history
    return {UNKNOWN_SERIES: int(unknown.sum()), SHORT_HISTORY: int(short.sum())}


def _recoded(holdout: Holdout, encoders: Encoders) -> Float32:
    """Return the one-step features with the codes that another model knows."""
    codes = encoders.codes(holdout.panel)
    features = holdout.one_step.copy()
    features[:, _CODES[0]] = codes.store[holdout.series]
    features[:, _CODES[1]] = codes.product[holdout.series]
    return features

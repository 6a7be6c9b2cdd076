"""The residuals that intervals are calibrated on, and what a contender's intervals cover.

The contender's recipe is fitted once, parameters frozen, on the days up to twelve weeks before the
holdout (a third of the history where that is shorter). This fit forecasts from many origins since
then, from the history as it was known at each; so no residual is of a day the fit has seen, and
none is of the holdout. The intervals are then held against the holdout, forecast by the contender.

Tuned parameters have been chosen on days up to the holdout, the calibration days among them: that
leaves the holdout unseen. What is served is fitted on more days than the calibrating fit was, so
its errors are, if anything, smaller. The mathematics is in ``conformal.py``.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from scalecast_assets.contract.cold_start import MODEL
from scalecast_assets.contract.columns import FEATURES, MAX_HORIZON_DAYS, MIN_HISTORY_DAYS
from scalecast_assets.contract.demand_classes import DemandProfile
from scalecast_assets.contract.intervals import IntervalTable
from scalecast_assets.contract.rolling import Predict, roll_forward
from scalecast_assets.forecasting.budget import Budget
from scalecast_assets.forecasting.candidates import candidate, onnx_predictor
from scalecast_assets.forecasting.candidates.base import Log, Params
from scalecast_assets.forecasting.conformal import (
    CoverageRow,
    Residuals,
    calibrate,
    measure_coverage,
)
from scalecast_assets.forecasting.splits import CalibrationCut, calibration_cut
from scalecast_assets.forecasting.training_rows import Float64, Int32, TrainingError
from scalecast_assets.forecasting.training_set import TrainingSet

MAX_SERIES: Final = 5_000
"""More series than these are sampled: 5,000 give millions of residuals, in bounded time."""

YOUNG_ORIGINS: Final = 12
YOUNG_STEP: Final = 14
"""Earlier origins, and days between them, at which only series too young for the model are asked
about: what the cold-start rule answers depends on no fit."""

_LEAST_MEAN_DAYS: Final = 28

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class CalibratedIntervals:
    """The contender's intervals, what they cover, and the answers on the holdout behind that.

    Without a ``table``, ``why_none`` says what was missing.
    """

    table: IntervalTable | None
    coverage: list[CoverageRow]
    holdout: Residuals | None
    why_none: str | None = None

    @classmethod
    def of(
        cls,
        training_set: TrainingSet,
        origin: int,
        name: str,
        params: Params,
        predict: Predict,
        *,
        budget: Budget,
        seed: int,
        log: Log,
    ) -> Self:
        """Calibrate the recipe ``name`` with ``params`` on days up to ``origin``, then measure.

        ``predict`` is the contender as fitted up to ``origin``. Where the history is too short, or
        the recipe cannot be fitted on a part of it, there are no intervals, and that is said.
        """
        try:
            table = calibrate_recipe(
                training_set, origin, name, params, budget=budget, seed=seed, log=log
            )
        except TrainingError as problem:
            log(f"no intervals: {problem}")
            return cls(None, [], None, str(problem))
        answers = answers_from(training_set, origin, training_set.last_day, predict)
        return cls(table, measure_coverage(table, answers), answers)

    def band(self, series: int, days: Int32) -> tuple[Float64, Float64] | None:
        """Return lower and upper bound, at the default level, of a series on days of the holdout.

        None without a table, or where a day was not asked about.
        """
        if self.table is None or self.holdout is None:
            return None
        asked = (self.holdout.series == series) & np.isin(self.holdout.day, days)
        mine = self.holdout.take(asked)
        if not np.array_equal(mine.day, days):
            return None
        return self.table.bounds(mine.forecast, mine.horizon, mine.demand_class, mine.scale)

    def to_json(self) -> dict[str, Any]:
        """Return what the manifest keeps under ``coverage``."""
        return {
            "why_none": self.why_none,
            "rows": [row.to_json() for row in self.coverage],
        }


def calibrate_recipe(
    training_set: TrainingSet,
    origin: int,
    name: str,
    params: Params,
    *,
    budget: Budget,
    seed: int,
    log: Log,
) -> IntervalTable:
    """Fit the recipe on the first days, forecast the others up to ``origin``, take the quantiles.

    Raises TrainingError where there are too few days, rows or residuals.
    """
    cut = calibration_cut(int(training_set.day.min()), origin)
    log(f"calibrating the intervals of {name} on {cut.until - cut.fit_cutoff} days")
    fitted = candidate(name).refit(
        training_set.rows().up_to(cut.fit_cutoff), params, budget=budget, seed=seed, log=log
    )
    residuals = calibration_residuals(training_set, cut, onnx_predictor(fitted.onnx), seed=seed)
    log(f"{len(residuals):,} residuals from {len(cut.origins)} origins")
    return calibrate(
        residuals,
        fit_cutoff=str(np.datetime64(cut.fit_cutoff, "D")),
        calibrated_until=str(np.datetime64(cut.until, "D")),
    )


def calibration_residuals(
    training_set: TrainingSet, cut: CalibrationCut, predict: Predict, *, seed: int
) -> Residuals:
    """Forecast from every origin of the cut, and of earlier days what the cold-start rule answers.

    Of more than ``MAX_SERIES`` series a seeded sample is asked about.
    """
    sampled = _sampled(training_set.n_series, seed)
    parts = [
        answers_from(training_set, origin, cut.until, predict, sampled) for origin in cut.origins
    ]
    first = int(training_set.day.min()) + _LEAST_MEAN_DAYS
    began = training_set.series_first_day
    earliest = max(first, cut.fit_cutoff - YOUNG_ORIGINS * YOUNG_STEP)
    for origin in range(cut.fit_cutoff - YOUNG_STEP, earliest - 1, -YOUNG_STEP):
        young = (began > origin - MIN_HISTORY_DAYS) & (began <= origin + YOUNG_STEP)
        if young.any():
            until = origin + YOUNG_STEP
            parts.append(answers_from(training_set, origin, until, predict, young, by_rule=True))
    return Residuals.joined(parts)


def answers_from(
    training_set: TrainingSet,
    origin: int,
    until: int,
    predict: Predict,
    asked: Bools | None = None,
    *,
    by_rule: bool = False,
) -> Residuals:
    """Forecast the rows after ``origin`` up to ``until`` as production would, beside what came.

    Rows of series in the mask ``asked`` ``(n_series,)``, the days that the model would not be asked
    about included; prices and promotions are taken as planned. With ``by_rule`` only what the
    cold-start rule answers is returned.
    """
    until = min(until, origin + MAX_HORIZON_DAYS)
    chosen = (training_set.day > origin) & (training_set.day <= until)
    if asked is not None:
        chosen &= asked[training_set.series]
    rows = np.flatnonzero(chosen)
    series, day = training_set.series[rows], training_set.day[rows]
    asked_of, at = np.unique(series, return_inverse=True)
    panel = training_set.panel(origin)
    cells = (at, day - origin - 1)

    def planned(feature: str) -> Float64:
        plan = np.full((len(asked_of), until - origin), np.nan)
        plan[cells] = training_set.features[rows, FEATURES.index(feature)]
        return plan

    forecast = roll_forward(
        panel,
        origin,
        until - origin,
        predict,
        training_set.encoders.codes(panel),
        series=asked_of.astype(np.intp),
        price=planned("price"),
        promotion=planned("promotion"),
    )
    point, source = forecast.predictions[cells], forecast.source[cells]
    demand_class, scale = DemandProfile.of(panel).answered(series, point, source)
    horizon = day.astype(np.int64) - panel.until[panel.series_store[series]]
    found = Residuals(
        series=series,
        day=day,
        actual=training_set.quantity[rows],
        forecast=point,
        scale=scale,
        horizon=horizon,
        demand_class=demand_class,
    )
    return found.take((horizon <= MAX_HORIZON_DAYS) & ((source != MODEL) | (not by_rule)))


def _sampled(n_series: int, seed: int) -> Bools | None:
    if n_series <= MAX_SERIES:
        return None
    mask = np.zeros(n_series, dtype=np.bool_)
    mask[np.random.default_rng(seed).choice(n_series, MAX_SERIES, replace=False)] = True
    return mask

"""Gradient-boosted trees: XGBoost with histograms and early stopping on the last dates.

The objective is Tweedie deviance (variance power 1.5) with a log link, not squared error. One step
ahead over 14 days, at three origins each, its MAE was 0.4 to 3.5 % lower than squared error's on a
dense supermarket file and 17 to 39 % lower on a sparse retailer with a few huge orders; RMSE was
lower in three of the six. On the sparse one it forecasts far too little (up to two thirds of mean
demand): read the bias. Absolute error has up to 2 % less MAE on the dense file, and 8 % less on an
intermittent one, but forecasts a median: 7 to 9 % and 28 % too little, where Tweedie stays within
3 %. The log link also keeps the float32 sum of leaves well conditioned.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from scalecast_assets import keys
from scalecast_assets.forecasting.budget import Budget, within_budget
from scalecast_assets.forecasting.candidates import graphs
from scalecast_assets.forecasting.candidates.base import (
    FittedModel,
    Log,
    Params,
    require_params,
    require_rows,
    shares,
)
from scalecast_assets.forecasting.splits import stopping_rows
from scalecast_assets.forecasting.training_rows import (
    Float32,
    Float64,
    TrainingError,
    TrainingRows,
)

GRID: Final = tuple(
    {"max_depth": depth, "learning_rate": rate, "variance_power": 1.5}
    for depth, rate in ((4, 0.1), (6, 0.1), (6, 0.05), (8, 0.05))
)
MAX_ROUNDS: Final = 400
PATIENCE: Final = 20
_PARALLEL_ROWS: Final = 20_000
"""With fewer rows a round is so short that threads spend longer waiting for each other."""
_TUNED: Final = ("max_depth", "learning_rate", "variance_power")
_FIXED: Final = {
    "objective": "reg:tweedie",
    "tree_method": "hist",
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "eval_metric": "mae",
    "disable_default_eval_metric": True,
}


@dataclass(frozen=True)
class Boosting:
    """XGBoost, tuned over depth, learning rate and rounds."""

    name: str = keys.XGBOOST

    def fit(self, rows: TrainingRows, *, budget: Budget, seed: int, log: Log) -> FittedModel:
        """Choose the parameters and rounds of the lowest MAE on the last dates, then fit on all."""
        started = time.perf_counter()
        self._require(rows)
        tuned, notes = within_budget(rows, budget.tune_rows, seed=seed, verb="tuned", log=log)
        fitting, watching = stopping_rows(tuned.day)
        early, late = tuned.take(fitting), tuned.take(watching)
        if not (early.target > 0).any():
            # nothing was sold before the watched dates: too little to tune on, enough to fit
            early = late = tuned
        trials = [_train_stopping(early, late, params, seed) for params in GRID]
        best = min(trials, key=lambda trial: trial[0])
        log(f"{self.name}: MAE {best[0]:.4g} on the last dates with {best[1]}")
        return self._fit(rows, best[1], budget, seed, log, started, notes)

    def refit(
        self, rows: TrainingRows, params: Params, *, budget: Budget, seed: int, log: Log
    ) -> FittedModel:
        """Fit exactly ``params["rounds"]`` trees; nothing is watched."""
        started = time.perf_counter()
        self._require(rows)
        frozen = require_params(self.name, params, *_TUNED, "rounds")
        return self._fit(rows, frozen, budget, seed, log, started, [])

    def _require(self, rows: TrainingRows) -> None:
        require_rows(self.name, rows)
        if rows.target.min() < 0:
            raise TrainingError(
                f"{self.name}: expected quantities of 0 or more, found {rows.target.min()}"
            )

    def _fit(
        self,
        rows: TrainingRows,
        params: dict[str, Any],
        budget: Budget,
        seed: int,
        log: Log,
        started: float,
        notes: list[str],
    ) -> FittedModel:
        import xgboost

        used, fit_notes = within_budget(rows, budget.fit_rows, seed=seed, verb="fitted", log=log)
        matrix = xgboost.QuantileDMatrix(used.features, used.target)
        booster = xgboost.train(
            _library_params(params, used, seed), matrix, num_boost_round=params["rounds"]
        )
        gains = booster.get_score(importance_type="total_gain")
        width = used.features.shape[1]
        return FittedModel(
            name=self.name,
            onnx=graphs.tree_graph(
                self.name,
                _trees(booster),
                goes_left="BRANCH_LT",
                base=float(np.log(_base_score(used))),
                exponential=True,
            ),
            predict_native=_predictor(booster),
            params=dict(params),
            rows_used=len(used),
            rows_available=len(rows),
            fit_seconds=time.perf_counter() - started,
            importances=shares(np.array([gains.get(f"f{k}", 0.0) for k in range(width)])),
            native=booster,
            notes=notes + fit_notes,
        )


def _base_score(rows: TrainingRows) -> float:
    """Return the mean target as float32 holds it; a tiny one where nothing was ever sold."""
    return float(np.float32(max(rows.target.mean(), 1e-6)))


def _library_params(params: Params, rows: TrainingRows, seed: int) -> dict[str, Any]:
    return {
        **_FIXED,
        "max_depth": params["max_depth"],
        "learning_rate": params["learning_rate"],
        "tweedie_variance_power": params["variance_power"],
        "base_score": _base_score(rows),
        "nthread": 1 if len(rows) < _PARALLEL_ROWS else 0,
        "seed": seed,
        "verbosity": 0,
    }


def _train_stopping(
    early: TrainingRows, late: TrainingRows, params: Params, seed: int
) -> tuple[float, dict[str, Any]]:
    """Return the MAE on the late rows at the best round, and the parameters with that round."""
    import xgboost

    fitting = xgboost.QuantileDMatrix(early.features, early.target)
    watching = xgboost.QuantileDMatrix(late.features, late.target, ref=fitting)
    booster = xgboost.train(
        _library_params(params, early, seed),
        fitting,
        num_boost_round=MAX_ROUNDS,
        evals=[(watching, "late")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    return booster.best_score, {**params, "rounds": booster.best_iteration + 1}


def _trees(booster: Any) -> list[graphs.Tree]:
    """Read the trees out of the booster's JSON, whose numbers are float32 written exactly."""
    model = json.loads(bytes(booster.save_raw("json")))
    return [
        graphs.Tree(
            left=np.array(tree["left_children"], dtype=np.int64),
            right=np.array(tree["right_children"], dtype=np.int64),
            feature=np.array(tree["split_indices"], dtype=np.int64),
            # at a leaf, XGBoost keeps the leaf's value where a split keeps its threshold
            threshold=np.array(tree["split_conditions"], dtype=np.float32),
            value=np.array(tree["split_conditions"], dtype=np.float64),
        )
        for tree in model["learner"]["gradient_booster"]["model"]["trees"]
    ]


def _predictor(booster: Any) -> Callable[[Float32], Float64]:
    def predict(features: Float32) -> Float64:
        demand = booster.inplace_predict(features)
        return np.maximum(np.asarray(demand, dtype=np.float64), 0.0)

    return predict

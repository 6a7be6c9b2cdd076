"""Ordinary least squares over the sixteen features."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scalecast_assets import keys
from scalecast_assets.forecasting.budget import Budget, within_budget
from scalecast_assets.forecasting.candidates import graphs
from scalecast_assets.forecasting.candidates.base import (
    FittedModel,
    Log,
    Params,
    require_rows,
    shares,
)
from scalecast_assets.forecasting.training_rows import Float32, Float64, TrainingRows


@dataclass(frozen=True)
class LinearRegression:
    """scikit-learn's LinearRegression on the features as they are, in float64."""

    name: str = keys.LINEAR_REGRESSION

    def fit(self, rows: TrainingRows, *, budget: Budget, seed: int, log: Log) -> FittedModel:
        """Solve for the coefficients; there is nothing to tune.

        A feature that never changes gets the coefficient 0 (the least-norm solution).
        """
        from sklearn import linear_model

        started = time.perf_counter()
        require_rows(self.name, rows)
        used, notes = within_budget(rows, budget.fit_rows, seed=seed, verb="fitted", log=log)
        features = used.features.astype(np.float64)
        model = linear_model.LinearRegression().fit(features, used.target)
        coefficients = np.asarray(model.coef_, dtype=np.float64)
        onnx = graphs.dense_graph(
            self.name,
            [graphs.Layer(coefficients[:, None], np.array([float(model.intercept_)]))],
            input_mean=np.zeros(len(coefficients)),
            input_scale=np.ones(len(coefficients)),
        )
        return FittedModel(
            name=self.name,
            onnx=onnx,
            predict_native=_predictor(model),
            params={},
            rows_used=len(used),
            rows_available=len(rows),
            fit_seconds=time.perf_counter() - started,
            importances=shares(np.abs(coefficients) * features.std(axis=0)),
            native=model,
            notes=notes,
        )

    def refit(
        self, rows: TrainingRows, params: Params, *, budget: Budget, seed: int, log: Log
    ) -> FittedModel:
        """Solve again on these rows: there is no parameter to freeze."""
        del params
        return self.fit(rows, budget=budget, seed=seed, log=log)


def _predictor(model: Any) -> Callable[[Float32], Float64]:
    def predict(features: Float32) -> Float64:
        demand: Float64 = np.maximum(model.predict(features.astype(np.float64)), 0.0)
        return demand

    return predict

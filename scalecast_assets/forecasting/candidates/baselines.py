"""The two baselines every learned candidate must beat, and the two references beside them.

``naive_baseline`` is yesterday (``lag_1``), ``mean_baseline`` the last week's mean
(``rolling_mean_7``); the references are the training median and the same weekday last week. They
have the same interface as the learned candidates, so that nothing downstream treats them apart.
"""

import time
from dataclasses import dataclass

import numpy as np

from scalecast_assets import keys
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.forecasting.budget import Budget
from scalecast_assets.forecasting.candidates import graphs
from scalecast_assets.forecasting.candidates.base import (
    FittedModel,
    Log,
    Params,
    require_params,
    require_rows,
)
from scalecast_assets.forecasting.training_rows import Float32, Float64, TrainingRows


@dataclass(frozen=True)
class FeatureBaseline:
    """Demand is one of the sixteen features: nothing to learn."""

    name: str
    feature: str

    def fit(self, rows: TrainingRows, *, budget: Budget, seed: int, log: Log) -> FittedModel:
        """Return the model; of the rows only their presence is asked."""
        del budget, seed, log
        require_rows(self.name, rows, at_least=1)
        started = time.perf_counter()
        column = FEATURES.index(self.feature)

        def predict(features: Float32) -> Float64:
            return np.maximum(features[:, column].astype(np.float64), 0.0)

        return FittedModel(
            name=self.name,
            onnx=graphs.column_graph(self.feature),
            predict_native=predict,
            params={"feature": self.feature},
            rows_used=len(rows),
            rows_available=len(rows),
            fit_seconds=time.perf_counter() - started,
            importances={name: float(name == self.feature) for name in FEATURES},
            native={"feature": self.feature},
        )

    def refit(
        self, rows: TrainingRows, params: Params, *, budget: Budget, seed: int, log: Log
    ) -> FittedModel:
        """Return the same model again."""
        require_params(self.name, params, "feature")
        return self.fit(rows, budget=budget, seed=seed, log=log)


@dataclass(frozen=True)
class MedianReference:
    """Demand is the median of the training target, always: what a real model must beat by far."""

    name: str = keys.TRAINING_MEDIAN

    def fit(self, rows: TrainingRows, *, budget: Budget, seed: int, log: Log) -> FittedModel:
        """Take the median of all rows."""
        del budget, seed, log
        require_rows(self.name, rows, at_least=1)
        started = time.perf_counter()
        median = float(np.median(rows.target))

        def predict(features: Float32) -> Float64:
            return np.full(len(features), max(median, 0.0))

        return FittedModel(
            name=self.name,
            onnx=graphs.constant_graph(median),
            predict_native=predict,
            params={},
            rows_used=len(rows),
            rows_available=len(rows),
            fit_seconds=time.perf_counter() - started,
            importances=None,
            native={"median": median},
        )

    def refit(
        self, rows: TrainingRows, params: Params, *, budget: Budget, seed: int, log: Log
    ) -> FittedModel:
        """Take the median of these rows: there is no parameter to freeze."""
        del params
        return self.fit(rows, budget=budget, seed=seed, log=log)

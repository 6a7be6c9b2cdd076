"""A random forest, tuned by GridSearchCV over folds of dates.

The number of leaves is bounded so that the ONNX graph stays under 100 MB, and thresholds are
rounded so that the graph takes the very branches scikit-learn takes.
"""

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
from scalecast_assets.forecasting.splits import date_folds, fold_rows
from scalecast_assets.forecasting.training_rows import Float32, Float64, TrainingRows

GRID: Final[dict[str, list[Any]]] = {
    "n_estimators": [100],
    "max_depth": [10, None],
    "min_samples_leaf": [5, 20],
}
MAX_FEATURES: Final = 1 / 3
MAX_GRAPH_BYTES: Final = 60_000_000
"""Well under the 100 MB a model may have, because a refit sees more rows and grows more leaves."""
_TUNED: Final = ("n_estimators", "max_depth", "min_samples_leaf", "max_leaf_nodes")


def max_leaf_nodes(n_estimators: int) -> int:
    """Return the most leaves per tree with which the graph stays under ``MAX_GRAPH_BYTES``."""
    return MAX_GRAPH_BYTES // graphs.BYTES_PER_LEAF // n_estimators


@dataclass(frozen=True)
class Forest:
    """scikit-learn's RandomForestRegressor, squared error, a third of the features per split."""

    name: str = keys.RANDOM_FOREST

    def fit(self, rows: TrainingRows, *, budget: Budget, seed: int, log: Log) -> FittedModel:
        """Choose the parameters of the lowest MAE over three time-ordered folds, then fit."""
        from sklearn.model_selection import GridSearchCV

        started = time.perf_counter()
        require_rows(self.name, rows)
        tuned, notes = within_budget(rows, budget.tune_rows, seed=seed, verb="tuned", log=log)
        search = GridSearchCV(
            _forest({"max_leaf_nodes": max_leaf_nodes(max(GRID["n_estimators"]))}, seed),
            GRID,
            scoring="neg_mean_absolute_error",
            cv=fold_rows(tuned.day, date_folds(tuned.day, n_folds=3)),
            refit=False,
            error_score="raise",
        ).fit(tuned.features, tuned.target)
        params = dict(search.best_params_)
        params["max_leaf_nodes"] = max_leaf_nodes(params["n_estimators"])
        log(f"{self.name}: mean MAE {-search.best_score_:.4g} over three folds with {params}")
        return self._fit(rows, params, budget, seed, log, started, notes)

    def refit(
        self, rows: TrainingRows, params: Params, *, budget: Budget, seed: int, log: Log
    ) -> FittedModel:
        """Fit with the parameters as they are."""
        started = time.perf_counter()
        require_rows(self.name, rows)
        frozen = require_params(self.name, params, *_TUNED)
        return self._fit(rows, frozen, budget, seed, log, started, [])

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
        used, fit_notes = within_budget(rows, budget.fit_rows, seed=seed, verb="fitted", log=log)
        model = _forest(params, seed).fit(used.features, used.target)
        return FittedModel(
            name=self.name,
            onnx=graphs.tree_graph(self.name, _trees(model), goes_left="BRANCH_LEQ"),
            predict_native=_predictor(model),
            params=params,
            rows_used=len(used),
            rows_available=len(rows),
            fit_seconds=time.perf_counter() - started,
            importances=shares(model.feature_importances_),
            native=model,
            notes=notes + fit_notes,
        )


def _forest(params: Params, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(**params, max_features=MAX_FEATURES, n_jobs=-1, random_state=seed)


def _trees(model: Any) -> list[graphs.Tree]:
    return [
        graphs.Tree(
            left=tree.children_left.astype(np.int64),
            right=tree.children_right.astype(np.int64),
            feature=tree.feature.astype(np.int64),
            threshold=rounded_down(tree.threshold),
            # a forest is the mean of its trees: each leaf adds its share to the sum
            value=tree.value[:, 0, 0] / model.n_estimators,
        )
        for tree in (estimator.tree_ for estimator in model.estimators_)
    ]


def rounded_down(threshold: Float64) -> Float32:
    """Return the greatest float32 not above each float64.

    For every float32 x, ``x <= threshold`` then holds exactly when ``x <= rounded_down`` does;
    rounding to nearest would send rows that lie on a threshold into the other branch.
    """
    nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > threshold, below, nearest)


def _predictor(model: Any) -> Callable[[Float32], Float64]:
    def predict(features: Float32) -> Float64:
        demand: Float64 = np.maximum(model.predict(features), 0.0)
        return demand

    return predict

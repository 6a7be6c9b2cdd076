"""What every candidate is: a recipe that fits training rows and hands back one ONNX graph.

The contract of a candidate and of a fitted model, and the helper that compares a graph with its
native model, live here. How graphs are built is in ``graphs.py``; each family has its own file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.forecasting.budget import Budget
from scalecast_assets.forecasting.training_rows import (
    Float32,
    Float64,
    TrainingError,
    TrainingRows,
)

MIN_ROWS: Final = 30
"""The fewest rows a learned candidate is fitted on: about two per feature."""

Log = Callable[[str], None]
Params = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A fitted candidate: its ONNX graph, its native model, and how it came to be.

    ``predict_native`` maps ``(n_rows, 16) float32`` to ``(n_rows,) float64`` units per day, clipped
    at zero, by the family's own library. ``params`` is JSON-able and enough for ``refit``.
    ``importances`` maps feature names to shares that sum to 1. ``native`` is what goes into
    ``demand_model.pkl``.
    """

    name: str
    onnx: bytes
    predict_native: Callable[[Float32], Float64]
    params: dict[str, Any]
    rows_used: int
    rows_available: int
    fit_seconds: float
    importances: dict[str, float] | None
    native: object
    notes: list[str] = field(default_factory=list)


class Candidate(Protocol):
    """A model family: tunes and fits, or fits again with everything frozen."""

    @property
    def name(self) -> str:
        """The asset key of the candidate."""
        ...

    def fit(self, rows: TrainingRows, *, budget: Budget, seed: int, log: Log) -> FittedModel:
        """Tune within the budget, then fit; raise TrainingError if the rows do not suffice."""
        ...

    def refit(
        self, rows: TrainingRows, params: Params, *, budget: Budget, seed: int, log: Log
    ) -> FittedModel:
        """Fit with the parameters, rounds and epochs of an earlier fit; nothing is tuned."""
        ...


def require_rows(name: str, rows: TrainingRows, at_least: int = MIN_ROWS) -> None:
    """Raise TrainingError when there are too few rows to fit ``name`` on."""
    if len(rows) < at_least:
        raise TrainingError(
            f"{name} needs at least {at_least} rows with 14 days of history before the cutoff, "
            f"found {len(rows)}; load a longer history or shorten the horizon"
        )


def require_params(name: str, params: Params, *wanted: str) -> dict[str, Any]:
    """Return the wanted parameters of a recipe; raise TrainingError naming what is missing."""
    missing = [key for key in wanted if key not in params]
    if missing:
        raise TrainingError(
            f"{name}: a refit needs the parameters {', '.join(wanted)}; "
            f"missing: {', '.join(missing)}; found: {', '.join(params) or 'none'}"
        )
    return {key: params[key] for key in wanted}


def shares(weights: Float64) -> dict[str, float] | None:
    """Return non-negative weights, one per feature, as named shares of 1; None if all are 0."""
    positive = np.maximum(np.nan_to_num(np.asarray(weights, dtype=np.float64)), 0.0)
    total = positive.sum()
    if total <= 0:
        return None
    return dict(zip(FEATURES, (positive / total).tolist(), strict=True))


def onnx_predictor(onnx: bytes, threads: int = 0) -> Callable[[Float32], Float64]:
    """Return a function from ``(n_rows, 16) float32`` to the graph's demand, flat, in float64."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    def predict(features: Float32) -> Float64:
        (demand,) = session.run(["demand"], {"features": features})
        return np.asarray(demand, dtype=np.float64).reshape(-1)

    return predict


def max_native_difference(fitted: FittedModel, features: Float32) -> float:
    """Return the greatest |onnx - native| / max(1, |native|) over the rows; inf if any is NaN."""
    native = fitted.predict_native(features)
    difference = np.abs(onnx_predictor(fitted.onnx)(features) - native)
    relative = difference / np.maximum(1.0, np.abs(native))
    return float(np.nan_to_num(relative, nan=np.inf).max(initial=0.0))

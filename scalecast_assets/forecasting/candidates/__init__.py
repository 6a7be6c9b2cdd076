"""The six candidates and the two references, by name.

``candidate(name)`` hands out a recipe with ``fit`` and ``refit``; each family has its own file. No
library is imported until something is fitted.
"""

from typing import Final

from scalecast_assets import keys
from scalecast_assets.forecasting.candidates.base import (
    Candidate,
    FittedModel,
    max_native_difference,
    onnx_predictor,
)
from scalecast_assets.forecasting.candidates.baselines import FeatureBaseline, MedianReference
from scalecast_assets.forecasting.candidates.boosting import Boosting
from scalecast_assets.forecasting.candidates.forest import Forest
from scalecast_assets.forecasting.candidates.linear import LinearRegression
from scalecast_assets.forecasting.candidates.network import NeuralNetwork

__all__ = [
    "ALL",
    "REFERENCES",
    "Candidate",
    "FittedModel",
    "candidate",
    "max_native_difference",
    "onnx_predictor",
]

ALL: Final = keys.CANDIDATES
REFERENCES: Final = keys.REFERENCES

_BY_NAME: Final[dict[str, Candidate]] = {
    model.name: model
    for model in (
        FeatureBaseline(keys.NAIVE_BASELINE, "lag_1"),
        FeatureBaseline(keys.MEAN_BASELINE, "rolling_mean_7"),
        LinearRegression(),
        Forest(),
        Boosting(),
        NeuralNetwork(),
        MedianReference(),
        FeatureBaseline(keys.SEASONAL_NAIVE, "lag_7"),
    )
}


def candidate(name: str) -> Candidate:
    """Return the candidate or reference of that name; raise KeyError naming those there are."""
    if name not in _BY_NAME:
        raise KeyError(f"no candidate is named {name!r}; there are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]

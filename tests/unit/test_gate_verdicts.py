"""The arithmetic of the model gates: when predictions are equal, finite, enough."""

from typing import Any

import numpy as np
import pytest

from scalecast_assets import keys
from scalecast_assets.checks import gates
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.intervals import LEVELS
from scalecast_assets.forecasting.conformal import CoverageRow
from tests.graph.altered_models import answering


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5])
def test_one_bad_prediction_is_enough(value: float) -> None:
    rows = np.zeros((50, len(FEATURES)), np.float32)
    assert not gates.predictions_are_sane(answering(value), rows).passed
    assert gates.predictions_are_sane(answering(0.5), rows).passed


def test_nan_is_no_equality() -> None:
    rows = np.ones((5, len(FEATURES)), np.float32)
    nans = np.full(5, np.nan)
    assert not gates.onnx_equals_native(answering(float("nan")), rows, nans).passed
    assert not gates.onnx_equals_native(answering(1.0), rows, nans).passed


def test_equality_is_relative_above_one_and_absolute_below() -> None:
    rows = np.ones((5, len(FEATURES)), np.float32)
    graph = answering(1000.0)
    assert gates.onnx_equals_native(graph, rows, np.full(5, 1000.05)).passed
    assert not gates.onnx_equals_native(graph, rows, np.full(5, 1000.2)).passed
    small = answering(0.001)
    assert gates.onnx_equals_native(small, rows, np.full(5, 0.00105)).passed
    assert not gates.onnx_equals_native(small, rows, np.full(5, 0.0015)).passed


def test_no_rows_prove_nothing() -> None:
    none = np.ones((0, len(FEATURES)), np.float32)
    assert not gates.onnx_equals_native(answering(1.0), none, np.ones(0)).passed
    assert not gates.predictions_are_sane(answering(1.0), none).passed


def test_warnings_compare_the_best_learned_model_with_the_baselines() -> None:
    maes = dict(zip(keys.CANDIDATES, (5.0, 4.0, 6.0, 3.0, 7.0, 8.0), strict=True))
    board = [{"name": name, "mae": mae} for name, mae in maes.items()]
    board.append({"name": keys.SEASONAL_NAIVE, "mae": 3.5})
    verdict: dict[str, Any] = {"leaderboard": board, "contender": keys.RANDOM_FOREST}
    names = ("learned_model_beats_baselines", "winner_beats_seasonal_naive")
    assert all(gates.warnings_of(verdict)[name].passed for name in names)
    board[3]["mae"] = 4.0
    assert not any(gates.warnings_of(verdict)[name].passed for name in names)


@pytest.mark.parametrize(
    ("level", "covered", "passes"),
    [(80, 0.76, True), (80, 0.74, False), (80, 0.86, False), (95, 0.99, True), (50, 0.56, False)],
)
def test_a_warning_says_when_a_level_does_not_cover_what_it_says(
    level: int, covered: float, passes: bool
) -> None:
    rows = [
        CoverageRow(
            "all", one, 9_000, covered if one == level else one / 100, 0.1, 0.1, 2.0, 1.0
        ).to_json()
        for one in LEVELS
    ]
    found = gates.coverage_is_near({"coverage": {"why_none": None, "rows": rows}})
    assert found.passed == passes
    assert f"{covered:.1%} in the {level} % interval" in found.description
    assert found.metadata[f"covered_{level}"] == covered


@pytest.mark.parametrize("verdict", [{}, {"coverage": {"why_none": "too short", "rows": []}}])
def test_without_intervals_the_warning_says_that_it_cannot_tell(verdict: dict[str, Any]) -> None:
    found = gates.coverage_is_near(verdict)
    assert found.passed
    assert found.description.startswith("Cannot tell: no intervals, ")

"""The model gates: what an artefact must be before it may be served, as blocking asset checks.

Each gate looks at the stored bytes of the artefact that ``model_comparison`` made, not at the model
in memory; ``promoted_model`` asks the same gates once more about the very bytes it publishes. That
a consumer waits for gates of earlier runs is in ``guard.py``; rules about data are in
``expectations.py`` and in dbt.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dagster as dg
import numpy as np

from scalecast_assets import keys
from scalecast_assets.assets.comparison import read_exhibit, read_verdict
from scalecast_assets.assets.training import open_training_set, snapshot_path
from scalecast_assets.forecasting.artefact import Exhibit
from scalecast_assets.forecasting.candidates.base import onnx_predictor
from scalecast_assets.forecasting.coverage_report import (
    allowed_difference,
    coverage_of,
    is_near_nominal,
    overall,
    why_no_intervals,
)
from scalecast_assets.forecasting.parity import TOLERANCE, check_parity
from scalecast_assets.forecasting.training_rows import Float32, Float64
from scalecast_assets.forecasting.training_set import TrainingSet
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource

MAX_ONNX_BYTES: Final = 100_000_000
MAX_NATIVE_DIFFERENCE: Final = 1e-4
"""Largest allowed |onnx-native| / max(1, |native|)."""

BLOCKING: Final = {
    "onnx_equals_native_model": "The ONNX graph predicts what the native model predicts.",
    "serving_features_equal_sql_features": (
        "The sidecar's numpy features equal dbt's SQL features on a stratified sample."
    ),
    "predictions_are_finite_and_not_negative": "No NaN, no infinity, nothing below zero.",
    "onnx_is_at_most_100_mb": "The graph fits into a bundle.",
}
WARNING: Final = {
    "learned_model_beats_baselines": "A learned model beats naive and 7-day mean.",
    "winner_beats_seasonal_naive": "The winner beats the same weekday of last week.",
    "interval_coverage_is_near_nominal": (
        "On the holdout each level's intervals cover what it says, within five points or chance."
    ),
}

MODEL_GATES: Final = tuple(
    dg.AssetCheckKey(dg.AssetKey(keys.MODEL_COMPARISON), name) for name in BLOCKING
)


@dataclass(frozen=True)
class GateResult:
    """Whether the artefact passes, in a sentence, with the figures."""

    passed: bool
    description: str
    metadata: dict[str, Any] = field(default_factory=dict)


def judge(
    exhibit: Exhibit, training_set: TrainingSet, snapshot: Path, *, origin: int, seed: int
) -> dict[str, GateResult]:
    """Hold the artefact against every blocking gate, on its own rows and those after ``origin``."""
    onnx = exhibit.onnx
    latest = training_set.features[training_set.has_history & (training_set.day > origin)]
    return {
        "onnx_equals_native_model": onnx_equals_native(onnx, exhibit.rows, exhibit.native),
        "serving_features_equal_sql_features": features_agree(training_set, snapshot, seed),
        "predictions_are_finite_and_not_negative": predictions_are_sane(
            onnx, np.concatenate([exhibit.rows, latest])
        ),
        "onnx_is_at_most_100_mb": GateResult(
            len(onnx) <= MAX_ONNX_BYTES,
            f"{len(onnx) / 1e6:.1f} MB of at most {MAX_ONNX_BYTES / 1e6:.0f} MB",
            {"onnx_bytes": len(onnx)},
        ),
    }


def onnx_equals_native(onnx: bytes, rows: Float32, native: Float64) -> GateResult:
    """Compare the graph with the native model's predictions for the same ``(n, 16)`` rows."""
    difference = np.abs(onnx_predictor(onnx)(rows) - native) / np.maximum(1.0, np.abs(native))
    worst = float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))
    return GateResult(
        len(rows) > 0 and worst <= MAX_NATIVE_DIFFERENCE,
        f"largest relative difference {worst:.2g} on {len(rows):,} rows, "
        f"allowed {MAX_NATIVE_DIFFERENCE:g}",
        {"largest_difference": _number(worst), "rows": len(rows)},
    )


def features_agree(training_set: TrainingSet, snapshot: Path, seed: int) -> GateResult:
    """Compare numpy's features with SQL's on a stratified sample of the snapshot."""
    parity = check_parity(training_set, snapshot, seed)
    return GateResult(
        parity.agrees,
        f"largest relative difference {parity.worst_difference:.2g} ({parity.worst_feature}) on "
        f"{parity.rows:,} rows, allowed {TOLERANCE:g} on at least {parity.required_rows:,}",
        {
            "largest_difference": _number(parity.worst_difference),
            "rows": parity.rows,
            "required_rows": parity.required_rows,
            "rows_by_stratum": parity.rows_by_stratum,
        },
    )


def predictions_are_sane(onnx: bytes, rows: Float32) -> GateResult:
    """Ask the graph about real rows: every answer a finite number, none below zero."""
    predictions = onnx_predictor(onnx)(rows)
    infinite = int(np.count_nonzero(~np.isfinite(predictions)))
    negative = int(np.count_nonzero(predictions < 0))
    return GateResult(
        len(rows) > 0 and not infinite and not negative,
        f"{infinite} not finite and {negative} negative of {len(rows):,} predictions",
        {"not_finite": infinite, "negative": negative, "rows": len(rows)},
    )


def build_model_gates() -> dg.AssetChecksDefinition:
    """Return the gates and warnings on ``model_comparison``, in one step."""
    specs = [
        dg.AssetCheckSpec(name, asset=keys.MODEL_COMPARISON, description=text, blocking=blocking)
        for names, blocking in ((BLOCKING, True), (WARNING, False))
        for name, text in names.items()
    ]

    @dg.multi_asset_check(name="model_gates", specs=specs)
    def model_gates(
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> Iterator[dg.AssetCheckResult]:
        training_set = open_training_set(store.store(), warehouse, pipeline)
        verdict = read_verdict(store.store(), training_set)
        results = judge(
            read_exhibit(store.store(), verdict),
            training_set,
            snapshot_path(pipeline, training_set.summary.sha256),
            origin=verdict["origin"],
            seed=pipeline.seed,
        )
        for name, result in {**results, **warnings_of(verdict)}.items():
            yield dg.AssetCheckResult(
                asset_key=keys.MODEL_COMPARISON,
                check_name=name,
                passed=result.passed,
                severity=(
                    dg.AssetCheckSeverity.ERROR if name in BLOCKING else dg.AssetCheckSeverity.WARN
                ),
                description=result.description,
                metadata=result.metadata,
            )

    return model_gates


def warnings_of(verdict: Mapping[str, Any]) -> dict[str, GateResult]:
    """Say whether learning was worth it, from the leaderboard of a verdict."""
    mae = {row["name"]: row["mae"] for row in verdict["leaderboard"]}
    learned = min(mae[name] for name in keys.CANDIDATES if name not in keys.BASELINES)
    baseline = min(mae[name] for name in keys.BASELINES)
    winner, seasonal = mae[verdict["contender"]], mae[keys.SEASONAL_NAIVE]
    return {
        "learned_model_beats_baselines": GateResult(
            learned < baseline,
            f"best learned model: MAE {learned:.4g}; best baseline: MAE {baseline:.4g}",
            {"learned_mae": learned, "baseline_mae": baseline},
        ),
        "winner_beats_seasonal_naive": GateResult(
            winner < seasonal,
            f"MAE {winner:.4g} of {verdict['contender']} beside {seasonal:.4g} of seasonal naive",
            {"winner_mae": winner, "seasonal_naive_mae": seasonal},
        ),
        "interval_coverage_is_near_nominal": coverage_is_near(verdict),
    }


def coverage_is_near(verdict: Mapping[str, Any]) -> GateResult:
    """Say what the contender's intervals covered on the holdout, at each level."""
    levels = overall(coverage_of(verdict))
    if not levels:
        why = why_no_intervals(verdict)
        return GateResult(True, f"Cannot tell: no intervals, {why}", {"compared": False})
    found = ", ".join(
        f"{row.covered:.1%} in the {level} % interval (allowed ±{allowed_difference(row):.1%})"
        for level, row in levels.items()
    )
    rows = next(iter(levels.values())).rows
    return GateResult(
        all(map(is_near_nominal, levels.values())),
        f"of {rows:,} answers {found}",
        {"rows": rows, **{f"covered_{level}": row.covered for level, row in levels.items()}},
    )


def _number(value: float) -> float | str:
    """Dagster's metadata holds no infinity."""
    return value if np.isfinite(value) else str(value)

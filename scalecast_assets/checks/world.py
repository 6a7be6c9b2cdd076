"""Whether the world has changed: new data beside what was learnt, errors beside the promise.

Both checks are warnings: they hold nothing up, but write a request to retrain, which the sensor in
``automation/`` takes. The index and the ratio are computed in ``forecasting``, read and written
in ``scalecast_assets/monitoring``; ``expectations.py`` and ``gates.py`` are what can stop a run.
"""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.assets.training import snapshot_folder, snapshot_path
from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.forecasting.drift import Drift, FeatureDrift, measure_drift
from scalecast_assets.forecasting.live_accuracy import Accuracy, Promise, held_against
from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.monitoring.comparable_rows import (
    new_days,
    read_new_rows,
    read_reference_rows,
)
from scalecast_assets.monitoring.retraining import Cause, record_drift, request_retraining
from scalecast_assets.monitoring.scoring import read_scored_days
from scalecast_assets.monitoring.served import NothingServed, promised_wape, served_manifest
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource

RESEMBLES: Final = "new_data_resembles_training_set"
AS_PROMISED: Final = "live_error_is_as_promised"


class CannotTell(LookupError):
    """There is nothing to compare yet; the message says what is missing."""


class Verdict(NamedTuple):
    """What one comparison came to; ``evidence`` are the figures of a request to retrain."""

    passed: bool
    reason: str
    metadata: dict[str, Any]
    evidence: dict[str, float]


class Scene(NamedTuple):
    """What a judge looks at: the world as it is, and the model that is served."""

    connection: Connection
    warehouse: WarehouseResource
    store: ObjectStore
    pipeline: PipelineResource
    manifest: Manifest


Judge = Callable[[Scene], Verdict]


def build_world_checks(
    *, drift_threshold: float, live_error_ratio: float
) -> list[dg.AssetChecksDefinition]:
    """Return the two warnings on ``live_accuracy``, with the limits that the settings name."""
    return [
        _warning(
            RESEMBLES,
            "drift",
            lambda scene: _judge_drift(scene, drift_threshold),
            "The newest days are distributed as the same weekdays and stores in the last eight "
            f"weeks of the training set: population stability index up to {drift_threshold:g}, or "
            "to what chance explains, for demand and each feature but the calendar's. Otherwise "
            "retraining is requested.",
        ),
        _warning(
            AS_PROMISED,
            "live_error",
            lambda scene: _judge_promise(scene, live_error_ratio),
            f"On the latest scored days the WAPE is at most {live_error_ratio:g} times the one on "
            "the holdout with which the served model was promoted, where price and promotion came "
            "as assumed. Otherwise retraining is requested.",
        ),
    ]


def _warning(name: str, cause: Cause, judge: Judge, description: str) -> dg.AssetChecksDefinition:
    """Return a check that warns of what the judge finds, and asks for a new model."""

    @dg.asset_check(name=name, asset=keys.LIVE_ACCURACY, description=description)
    def world_check(
        context: dg.AssetCheckExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.AssetCheckResult:
        with warehouse.connect() as connection:
            ensure_schema(connection)
            try:
                manifest = served_manifest(store.store())
                verdict = judge(Scene(connection, warehouse, store.store(), pipeline, manifest))
            except (NothingServed, CannotTell) as why:
                # Nothing speaks against the world as it is, and nothing for it either.
                return _told(True, f"Cannot tell yet: {why}.", {"compared": False})
            if not verdict.passed:
                _request(context, connection, cause, manifest.version, verdict)
        return _told(verdict.passed, verdict.reason, verdict.metadata)

    return world_check


def _judge_drift(scene: Scene, threshold: float) -> Verdict:
    manifest = scene.manifest
    cutoff = dt.date.fromisoformat(manifest.fit_cutoff)
    days = new_days(scene.connection, cutoff, scene.pipeline.horizon_days)
    if days is None:
        raise CannotTell(f"model {manifest.version} was fitted up to the latest day")
    try:
        snapshot = _snapshot(scene.store, scene.pipeline, manifest.training_set)
    except ObjectNotFound:
        raise CannotTell(f"the training set of {manifest.version} is not kept any more") from None
    drift = measure_drift(
        read_reference_rows(snapshot, cutoff), read_new_rows(scene.warehouse.url, days)
    )
    if drift is None:
        raise CannotTell(f"no row since {days.since} has a counterpart in the training set")
    record_drift(scene.connection, drift, days, manifest, threshold)
    moved = drift.beyond(threshold)
    worst = moved[0] if moved else drift.worst
    words = _in_words(worst, drift.rows)
    return Verdict(
        passed=not moved,
        reason=f"{days.since} to {days.until}: {words}; allowed {threshold:g}",
        metadata=_about_drift(drift, worst),
        evidence={feature.feature: feature.psi for feature in moved},
    )


def _snapshot(store: ObjectStore, pipeline: PipelineResource, sha256: str) -> Path:
    cached = snapshot_path(pipeline, sha256)
    if not cached.exists():
        store.download(f"{snapshot_folder(sha256)}/rows.parquet", cached)
    return cached


def _in_words(worst: FeatureDrift, rows: int) -> str:
    return (
        f"{worst.feature} has moved most: index {worst.psi:.3g} (by chance up to "
        f"{worst.chance:.3g}), mean {worst.mean:.4g} against {worst.reference_mean:.4g} in the "
        f"training set, {rows:,} rows"
    )


def _about_drift(drift: Drift, worst: FeatureDrift) -> dict[str, Any]:
    columns = [dg.TableColumn("feature")]
    figures = ("psi", "chance", "mean", "reference_mean")
    columns += [dg.TableColumn(name, "float") for name in figures]
    return {
        "worst_feature": worst.feature,
        "worst_psi": worst.psi,
        "rows": drift.rows,
        "reference_rows": drift.reference_rows,
        "unmatched_rows": drift.unmatched_rows,
        "features": dg.MetadataValue.table(
            [dg.TableRecord(feature._asdict()) for feature in drift.features],
            schema=dg.TableSchema(columns),
        ),
    }


def _judge_promise(scene: Scene, allowed_ratio: float) -> Verdict:
    version = scene.manifest.version
    scored = read_scored_days(scene.connection, version, scene.pipeline.horizon_days)
    promised = promised_wape(scene.manifest)
    if promised is None:
        raise CannotTell(f"{version} was promoted without a WAPE")
    promise = held_against(promised, scored)
    if promise is None:
        raise CannotTell(f"too few forecasts of {version} have met their day")
    compared = _compared(promise, scored.overall())
    return Verdict(
        passed=promise.ratio <= allowed_ratio,
        reason=f"{scored.day[0]} to {scored.day[-1]}: {compared}; allowed {allowed_ratio:g}",
        metadata=promise._asdict(),
        evidence=promise._asdict(),
    )


def _compared(promise: Promise, everything: Accuracy) -> str:
    beside = (
        f" (on all {everything.rows:,}: {everything.wape:.1%}, seasonal naive "
        f"{everything.naive_wape:.1%})"
        if everything.wape is not None
        else ""
    )
    return (
        f"the WAPE on {promise.rows:,} forecasts whose price and promotion came as assumed, "
        f"{promise.live_wape:.1%}, is {promise.ratio:.2f} times the {promise.promised_wape:.1%} "
        f"on the holdout{beside}"
    )


def _request(
    context: dg.AssetCheckExecutionContext,
    connection: Connection,
    cause: Cause,
    version: str,
    verdict: Verdict,
) -> None:
    asked = request_retraining(
        connection,
        cause,
        version,
        reason=verdict.reason,
        evidence=verdict.evidence,
        run_id=context.run.run_id,
    )
    again = "" if asked else " (it has been before)"
    context.log.warning(
        f"retraining is requested{again}, because of {version}'s {cause}: {verdict.reason}"
    )


def _told(passed: bool, description: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )

"""Whether the world has changed: new data beside what was learnt, errors beside the promise.

Both checks are warnings: they hold nothing up, but write a request to retrain, which the sensor in
``automation.py`` takes. The index and the ratio are computed in ``forecasting``, read and written
in ``scalecast_assets/monitoring``; ``expectations.py`` and ``gates.py`` are what can stop a run.
"""

import datetime as dt
from pathlib import Path
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.assets.training import snapshot_folder, snapshot_path
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.forecasting.drift import Drift, FeatureDrift, measure_drift
from scalecast_assets.forecasting.live_accuracy import Accuracy, Promise, held_against
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.comparable_rows import (
    new_days,
    read_new_rows,
    read_reference_rows,
)
from scalecast_assets.monitoring.retraining import Cause, record_drift, request_retraining
from scalecast_assets.monitoring.schema import ensure_monitoring
from scalecast_assets.monitoring.scoring import read_scored_days
from scalecast_assets.monitoring.served import NothingServed, promised_wape, served_manifest
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource

RESEMBLES: Final = "new_data_resembles_training_set"
AS_PROMISED: Final = "live_error_is_as_promised"


def build_world_checks(
    *, drift_threshold: float, live_error_ratio: float
) -> list[dg.AssetChecksDefinition]:
    """Return the two warnings on ``live_accuracy``, with the limits that the settings name."""
    return [_drift_check(drift_threshold), _promise_check(live_error_ratio)]


def _drift_check(threshold: float) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=RESEMBLES,
        asset=keys.LIVE_ACCURACY,
        description=(
            "The newest days are distributed as the same weekdays and stores in the last eight "
            f"weeks of the training set: population stability index up to {threshold:g}, or to "
            "what chance explains, for demand and each feature but the calendar's. Otherwise "
            "retraining is requested."
        ),
    )
    def new_data_resembles_training_set(
        context: dg.AssetCheckExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.AssetCheckResult:
        with warehouse.connect() as connection:
            ensure_monitoring(connection)
            try:
                manifest = served_manifest(store.store())
            except NothingServed as nothing:
                return _cannot_tell(str(nothing))
            cutoff = dt.date.fromisoformat(manifest.fit_cutoff)
            days = new_days(connection, cutoff, pipeline.horizon_days)
            if days is None:
                return _cannot_tell(f"model {manifest.version} was fitted up to the latest day")
            try:
                snapshot = _snapshot(store.store(), pipeline, manifest.training_set)
            except ObjectNotFound:
                return _cannot_tell(f"the training set of {manifest.version} is not kept any more")
            drift = measure_drift(
                read_reference_rows(snapshot, cutoff), read_new_rows(warehouse.url, days)
            )
            if drift is None:
                return _cannot_tell(
                    f"no row since {days.since} has a counterpart in the training set"
                )
            record_drift(connection, drift, days, manifest, threshold)
            moved = drift.beyond(threshold)
            worst = moved[0] if moved else drift.worst
            words = _in_words(worst, drift.rows)
            reason = f"{days.since} to {days.until}: {words}; allowed {threshold:g}"
            evidence = {feature.feature: feature.psi for feature in moved}
            if moved:
                _request(context, connection, "drift", manifest.version, reason, evidence)
        return _told(not moved, reason, _about_drift(drift, worst))

    return new_data_resembles_training_set


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


def _promise_check(allowed_ratio: float) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=AS_PROMISED,
        asset=keys.LIVE_ACCURACY,
        description=(
            f"On the latest scored days the WAPE is at most {allowed_ratio:g} times the one on the "
            "holdout with which the served model was promoted, where price and promotion came as "
            "assumed. Otherwise retraining is requested."
        ),
    )
    def live_error_is_as_promised(
        context: dg.AssetCheckExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.AssetCheckResult:
        with warehouse.connect() as connection:
            ensure_monitoring(connection)
            try:
                manifest = served_manifest(store.store())
            except NothingServed as nothing:
                return _cannot_tell(str(nothing))
            scored = read_scored_days(connection, manifest.version, pipeline.horizon_days)
            promised = promised_wape(manifest)
            if promised is None:
                return _cannot_tell(f"{manifest.version} was promoted without a WAPE")
            promise = held_against(promised, scored)
            if promise is None:
                return _cannot_tell(f"too few forecasts of {manifest.version} have met their day")
            kept = promise.ratio <= allowed_ratio
            compared = _compared(promise, scored.overall())
            reason = f"{scored.day[0]} to {scored.day[-1]}: {compared}; allowed {allowed_ratio:g}"
            if not kept:
                _request(
                    context, connection, "live_error", manifest.version, reason, promise._asdict()
                )
        return _told(kept, reason, promise._asdict())

    return live_error_is_as_promised


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
    reason: str,
    evidence: dict[str, float],
) -> None:
    asked = request_retraining(
        connection, cause, version, reason=reason, evidence=evidence, run_id=context.run.run_id
    )
    again = "" if asked else " (it has been before)"
    context.log.warning(f"retraining is requested{again}, because of {version}'s {cause}: {reason}")


def _told(passed: bool, description: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=metadata,
    )


def _cannot_tell(why: str) -> dg.AssetCheckResult:
    """Nothing speaks against the world as it is; say why nothing speaks for it either."""
    return _told(True, f"Cannot tell yet: {why}.", {"compared": False})

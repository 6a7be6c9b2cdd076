"""The training assets: the snapshot, and the six candidates fitted on it up to the origin.

How a snapshot is written and a candidate fitted is in ``forecasting``; comparing and promoting is
in ``promotion.py``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.checks.guard import require_gates, require_tested_features
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting import artefact
from scalecast_assets.forecasting.budget import DEFAULT_BUDGETS, Budget
from scalecast_assets.forecasting.candidates import candidate
from scalecast_assets.forecasting.training_set import SnapshotSummary, TrainingSet, write_snapshot
from scalecast_assets.ingest.schema import ensure_schema
from scalecast_assets.monitoring.retraining import take_requests
from scalecast_assets.resources.feature_rows import snapshot_batches
from scalecast_assets.resources.model_records import (
    current_training_set,
    published_files,
    record_training_set,
)
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.turns import wait_for_refresh
from scalecast_assets.resources.warehouse import WarehouseResource

OWNERS: Final = ["team:demand-forecasting"]

WHAT: Final = {
    keys.NAIVE_BASELINE: "Tomorrow is like yesterday: `lag_1`.",
    keys.MEAN_BASELINE: "Tomorrow is like last week on average: `rolling_mean_7`.",
    keys.LINEAR_REGRESSION: "Ordinary least squares on the sixteen features.",
    keys.RANDOM_FOREST: "A random forest, tuned by grid search over time-ordered folds.",
    keys.XGBOOST: "Gradient-boosted trees, stopped early on the last dates.",
    keys.PYTORCH_NN: "A small PyTorch network on standardized features, stopped early.",
}
KINDS: Final = {
    keys.LINEAR_REGRESSION: {"python", "scikitlearn"},
    keys.RANDOM_FOREST: {"python", "scikitlearn"},
    keys.XGBOOST: {"python", "xgboost"},
    keys.PYTORCH_NN: {"python", "pytorch"},
}


def build_training_assets(feature_gates: Sequence[dg.AssetCheckKey]) -> list[dg.AssetsDefinition]:
    """Return ``training_set`` and the six candidates; the former waits for ``feature_gates``."""
    return [
        _training_set_asset(feature_gates),
        *(_candidate_asset(name) for name in keys.CANDIDATES),
    ]


def snapshot_folder(sha256: str) -> str:
    """Return the store folder of a training set, without a slash at its end."""
    return f"training_sets/{sha256}"


def open_training_set(
    store: ObjectStore, warehouse: WarehouseResource, pipeline: PipelineResource
) -> TrainingSet:
    """Read the current training set, from the local cache if it is there.

    Raises ``NoTrainingSet``, or ``TrainingError`` if the file's rows are not what its name says.
    """
    with warehouse.connect() as connection:
        sha256 = current_training_set(connection, pipeline.contract_hash)
    cached = snapshot_path(pipeline, sha256)
    if not cached.exists():
        store.download(f"{snapshot_folder(sha256)}/rows.parquet", cached)
    training_set = TrainingSet.read(cached)
    if training_set.summary.sha256 != sha256:
        cached.unlink()
        raise dg.Failure(
            f"training set {sha256[:12]}: the stored rows have another sha256 "
            f"({training_set.summary.sha256[:12]}); materialize training_set again"
        )
    return training_set


def _training_set_asset(feature_gates: Sequence[dg.AssetCheckKey]) -> dg.AssetsDefinition:
    @dg.asset(
        name=keys.TRAINING_SET,
        deps=[keys.DEMAND_FEATURES],
        group_name=keys.GROUP_TRAINING,
        owners=OWNERS,
        kinds={"python", "parquet"},
        description=(
            "Immutable snapshot of every final feature row, named by the sha256 of its rows: what "
            "the models of this round are fitted and scored on, for ever. One row per store, "
            "product and open day."
        ),
    )
    def training_set(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        with warehouse.connect() as connection:
            wait_for_refresh(context.instance, context.run.run_id, connection, context.log.info)
        require_gates(context, *feature_gates)
        summary = _take_snapshot(context.run.run_id, warehouse, store.store(), pipeline)
        with warehouse.connect() as connection:
            ensure_schema(connection)
            for request in take_requests(connection, context.run.run_id):
                context.log.info(f"retraining for {request.cause}: {request.reason}")
        return dg.MaterializeResult(
            data_version=dg.DataVersion(summary.sha256),
            metadata={
                "rows": summary.rows,
                "trainable_rows": summary.trainable_rows,
                "rows_without_history": summary.short_history_rows,
                "series": summary.series,
                "stores": summary.stores,
                "first_day": summary.first_day.isoformat(),
                "last_day": summary.last_day.isoformat(),
                "sha256": summary.sha256,
                "snapshot": store.store().url_of(f"{snapshot_folder(summary.sha256)}/rows.parquet"),
            },
        )

    return training_set


def _take_snapshot(
    run_id: str, warehouse: WarehouseResource, store: ObjectStore, pipeline: PipelineResource
) -> SnapshotSummary:
    with warehouse.connect() as connection:
        # In this order: a file that is published in between leaves a range, which is refused.
        raw_files = published_files(connection)
        require_tested_features(connection, pipeline.calendar_mode)
    fresh = pipeline.folder("cache") / f"training_set-{run_id}.parquet"
    with snapshot_batches(warehouse.url) as batches:
        summary = write_snapshot(batches, fresh, pipeline.calendar_mode)
    folder = snapshot_folder(summary.sha256)
    with warehouse.connect() as connection:
        store.upload(fresh, f"{folder}/rows.parquet")
        about = asdict(summary) | {"raw_files": raw_files}
        store.put(f"{folder}/training_set.json", json.dumps(about, default=str, indent=1).encode())
        record_training_set(connection, summary, pipeline.contract_hash, run_id)
    for stale in pipeline.folder("cache").glob("training_set-*.parquet"):
        if stale != fresh:
            stale.unlink(missing_ok=True)
    fresh.replace(snapshot_path(pipeline, summary.sha256))
    return summary


def snapshot_path(pipeline: PipelineResource, sha256: str) -> Path:
    """Return where the local copy of a training set lies (or would)."""
    return pipeline.folder("cache") / f"training_set-{sha256}.parquet"


def _candidate_asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=name,
        deps=[keys.TRAINING_SET],
        group_name=keys.GROUP_TRAINING,
        owners=OWNERS,
        kinds=KINDS.get(name, {"python"}) | {"onnx"},
        description=f"{WHAT[name]} Fitted up to the origin, as an ONNX graph.",
    )
    def fitted_candidate(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        training_set = open_training_set(store.store(), warehouse, pipeline)
        origin = training_set.origin(pipeline.horizon_days)
        rows = training_set.rows().up_to(origin)
        fitted = candidate(name).fit(
            rows, budget=budget_of(name, pipeline), seed=pipeline.seed, log=context.log.info
        )
        saved = artefact.save(
            store.store(),
            fitted,
            rows,
            folder=artefact.folder_of(training_set.summary.sha256, name),
            training_set_sha256=training_set.summary.sha256,
            contract_hash=pipeline.contract_hash,
            horizon_days=pipeline.horizon_days,
            fit_cutoff=origin,
            seed=pipeline.seed,
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(saved.files["model.onnx"]),
            metadata={**artefact.as_metadata(saved), "onnx_bytes": len(fitted.onnx)},
        )

    return fitted_candidate


def budget_of(name: str, pipeline: PipelineResource) -> Budget:
    """Return the candidate's row budget: the settings', else the default."""
    default = DEFAULT_BUDGETS[name]
    return Budget(
        fit_rows=pipeline.fit_rows.get(name, default.fit_rows),
        tune_rows=pipeline.tune_rows.get(name, default.tune_rows),
    )

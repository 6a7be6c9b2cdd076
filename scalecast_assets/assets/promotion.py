"""``promoted_model`` and ``serving_state``: what the sidecar reads, each moved by one swap.

The verdict that is carried out here comes from ``comparison.py``; what a bundle is made of is in
``forecasting/bundle_contents.py``; how bundles are published and pointers swapped is in
``scalecast_assets/promotion``.
"""

import importlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.assets.comparison import (
    hold_comparison,
    iso,
    read_exhibit,
    read_verdict,
)
from scalecast_assets.assets.training import (
    OWNERS,
    open_training_set,
    snapshot_folder,
    snapshot_path,
)
from scalecast_assets.checks.gates import MODEL_GATES, judge
from scalecast_assets.checks.guard import require_gates, require_tested_features
from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.contract.layout import MODEL
from scalecast_assets.contract.pointers import (
    Damaged,
    ServingPointer,
    find_state_pointer,
    read_serving,
)
from scalecast_assets.contract.state import STATE_SCHEMA, panel_from_bytes, panel_to_bytes
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting.artefact import Exhibit
from scalecast_assets.forecasting.bundle_contents import bundle_files, manifest_fields
from scalecast_assets.forecasting.training_set import TrainingSet
from scalecast_assets.ingest.schema import ensure_schema
from scalecast_assets.monitoring.retraining import settle_requests
from scalecast_assets.promotion.publishing import claim_version, publish_bundle
from scalecast_assets.promotion.switching import ConcurrentPromotion, promote, publish_state
from scalecast_assets.resources.feature_rows import read_panel
from scalecast_assets.resources.model_records import Promotion, record_promotion
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.settings import PROJECT_ROOT

LIBRARIES: Final = ("numpy", "sklearn", "xgboost", "torch", "onnx", "onnxruntime", "dagster")
"""By the name they are imported under: xgboost comes in distributions of several names."""

TRIES: Final = 3
"""How often a decision is taken anew because somebody else moved the pointer meanwhile."""

Verdict = Mapping[str, Any]


def build_promotion_assets(feature_gates: Sequence[dg.AssetCheckKey]) -> list[dg.AssetsDefinition]:
    """Return ``promoted_model``, and ``serving_state`` behind the gates of the features."""
    return [_promoted_model_asset(), _serving_state_asset(feature_gates)]


def _promoted_model_asset() -> dg.AssetsDefinition:
    @dg.asset(
        name=keys.PROMOTED_MODEL,
        deps=[keys.MODEL_COMPARISON],
        group_name=keys.GROUP_SERVING,
        owners=OWNERS,
        kinds={"onnx", "s3"},
        description=(
            "The model in service: an immutable bundle under models/<version>/ and the pointer "
            "serving/model.json, moved by compare-and-swap. Kept when the champion is not beaten."
        ),
    )
    def promoted_model(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        require_gates(context, *MODEL_GATES)
        ended = _carry_out(context, warehouse, store.store(), pipeline)
        with warehouse.connect() as connection:
            record_promotion(connection, ended)
            ensure_schema(connection)
            settle_requests(
                connection,
                training_set=ended.training_set_sha256,
                served_version=ended.version,
                run_id=ended.run_id,
            )
        context.log.info(f"{ended.outcome}: {ended.why}")
        return dg.MaterializeResult(
            metadata={
                "outcome": ended.outcome,
                "model": ended.candidate,
                "version": ended.version or "none",
                "previous": ended.previous or "none",
                "why": ended.why,
            }
        )

    return promoted_model


def _carry_out(
    context: dg.AssetExecutionContext,
    warehouse: WarehouseResource,
    store: ObjectStore,
    pipeline: PipelineResource,
) -> Promotion:
    """Promote or keep as the verdict says; compare again if the champion changed meanwhile."""
    run_id = context.run.run_id
    training_set = open_training_set(store, warehouse, pipeline)
    for _ in range(TRIES):
        verdict = read_verdict(store, training_set)
        held = read_serving(store)
        if (held.etag if held else None) == verdict["champion_etag"]:
            if verdict["outcome"] != "promoted":
                return _ended(run_id, verdict, held.pointer if held else None)
            exhibit = read_exhibit(store, verdict)
            _require_passed(exhibit, verdict, training_set, pipeline)
            manifest = _publish(store, verdict, exhibit, training_set, run_id)
            try:
                return _ended(run_id, verdict, promote(store, manifest.version, held).pointer)
            except ConcurrentPromotion as error:
                context.log.warning(str(error))
        context.log.info("the champion changed since the comparison: comparing again")
        hold_comparison(training_set, store, pipeline, run_id=run_id, log=context.log.info)
    raise dg.Failure(
        f"The champion changed {TRIES} times while it was being compared with. Nothing was "
        "promoted; materialize model_comparison and promoted_model again.",
        allow_retries=False,
    )


def _require_passed(
    exhibit: Exhibit, verdict: Verdict, training_set: TrainingSet, pipeline: PipelineResource
) -> None:
    """Judge what is about to be published: the gates on record may be of an earlier verdict."""
    snapshot = snapshot_path(pipeline, training_set.summary.sha256)
    origin, seed = verdict["origin"], pipeline.seed
    results = judge(exhibit, training_set, snapshot, origin=origin, seed=seed)
    failed = [f"{name}: {r.description}" for name, r in results.items() if not r.passed]
    if failed:
        raise dg.Failure(
            f"The champion stays: {'; '.join(failed)}. Correct that and materialize "
            "model_comparison with its checks again.",
            allow_retries=False,
        )


def _publish(
    store: ObjectStore, verdict: Verdict, exhibit: Exhibit, training_set: TrainingSet, run_id: str
) -> Manifest:
    """Publish what was judged, byte for byte, under a version of its own."""
    about = json.loads(
        store.get(f"{snapshot_folder(training_set.summary.sha256)}/training_set.json").body
    )
    raw_files = about["raw_files"]
    fields = manifest_fields(
        verdict,
        exhibit.artefact,
        training_set,
        raw_files,
        libraries={name: importlib.import_module(name).__version__ for name in LIBRARIES},
        git_commit=_git_commit(),
        run_id=run_id,
    )
    version = claim_version(store)
    files = bundle_files(version, verdict, exhibit, training_set, raw_files)
    manifest = publish_bundle(store, files, fields, version=version)
    assert manifest.files[MODEL].sha256 == verdict["judged_files"][MODEL]
    return manifest


def _ended(run_id: str, verdict: Verdict, served: ServingPointer | None) -> Promotion:
    return Promotion(
        run_id=run_id,
        outcome=verdict["outcome"],
        candidate=verdict["winner"],
        version=served.version if served else None,
        previous=served.previous if served else None,
        training_set_sha256=verdict["training_set_sha256"],
        why=verdict["why"],
        leaderboard=verdict["leaderboard"],
    )


def _git_commit() -> str | None:
    """The commit of the checkout that fitted the model; None outside of one."""
    try:
        found = subprocess.run(
            ["git", "-C", str(PROJECT_ROOT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _serving_state_asset(feature_gates: Sequence[dg.AssetCheckKey]) -> dg.AssetsDefinition:
    @dg.asset(
        name=keys.SERVING_STATE,
        deps=[keys.DEMAND_FEATURES],
        group_name=keys.GROUP_SERVING,
        owners=OWNERS,
        kinds={"numpy", "s3"},
        description=(
            "Each series' recent history, from which the sidecar computes features: "
            "state/<sha256>/ and the pointer serving/state.json. Refreshed by every load, without "
            "retraining."
        ),
    )
    def serving_state(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        require_gates(context, *feature_gates)
        with warehouse.connect() as connection:
            require_tested_features(connection, pipeline.calendar_mode)
        held = find_state_pointer(store.store())
        if isinstance(held, Damaged):
            context.log.warning(f"{held.why}: somebody has spoilt it, and it is written anew")
        panel = read_panel(warehouse.url, pipeline.calendar_mode)
        state = panel_to_bytes(panel)
        panel_from_bytes(state)  # What the sidecar could not load must not be published.
        pointer = publish_state(
            store.store(),
            state,
            data_until=iso(panel.end_day),
            contract_hash=pipeline.contract_hash,
            schema=STATE_SCHEMA,
            expected_pointer=held,
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(pointer.sha256),
            metadata={
                "series": panel.n_series,
                "stores": len(panel.stores),
                "data_until": pointer.data_until,
                "bytes": len(state),
                "sha256": pointer.sha256,
            },
        )

    return serving_state

"""``promoted_model`` and ``serving_state``: what the sidecar reads, each moved by one swap.

The verdict that is carried out here comes from ``comparison.py``; how bundles are published and
pointers swapped is in ``scalecast_assets/promotion``.
"""

import datetime as dt
import importlib
import json
import pickle
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.assets.comparison import (
    curve_from_json,
    hold_comparison,
    iso,
    read_verdict,
)
from scalecast_assets.assets.training import (
    OWNERS,
    open_training_set,
    snapshot_folder,
    snapshot_path,
)
from scalecast_assets.checks.gates import MODEL_GATES, judge
from scalecast_assets.checks.guard import require_gates
from scalecast_assets.contract.bundle import Manifest
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.pointers import read_serving, read_state_pointer
from scalecast_assets.contract.state import STATE_SCHEMA, panel_to_bytes
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting import artefact
from scalecast_assets.forecasting.leaderboard import Decision, LeaderboardRow
from scalecast_assets.forecasting.report import ModelReport, SourceFile, render_html
from scalecast_assets.forecasting.training_set import TrainingSet
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
    training_set = open_training_set(store, warehouse, pipeline)
    for _ in range(TRIES):
        verdict = read_verdict(store, warehouse, pipeline)
        held = read_serving(store)
        if (held.etag if held else None) == verdict["champion_etag"]:
            if verdict["outcome"] != "promoted":
                served = held.pointer if held else None
                return _ended(
                    context.run.run_id,
                    verdict,
                    served.version if served else None,
                    served.previous if served else None,
                )
            manifest = _publish(store, verdict, training_set, context.run.run_id)
            try:
                done = promote(store, manifest.version, held)
                return _ended(
                    context.run.run_id, verdict, done.pointer.version, done.pointer.previous
                )
            except ConcurrentPromotion as error:
                context.log.warning(str(error))
        context.log.info("the champion changed since the comparison: comparing again")
        hold_comparison(
            training_set, store, pipeline, run_id=context.run.run_id, log=context.log.info
        )
        _require_passed(store, warehouse, pipeline, training_set)
    raise dg.Failure(
        f"The champion changed {TRIES} times while it was being compared with. Nothing was "
        "promoted; materialize model_comparison and promoted_model again.",
        allow_retries=False,
    )


def _require_passed(
    store: ObjectStore,
    warehouse: WarehouseResource,
    pipeline: PipelineResource,
    training_set: TrainingSet,
) -> None:
    verdict = read_verdict(store, warehouse, pipeline)
    snapshot = snapshot_path(pipeline, training_set.summary.sha256)
    results = judge(verdict, store, training_set, snapshot, pipeline.seed)
    failed = [f"{name}: {r.description}" for name, r in results.items() if not r.passed]
    if failed:
        raise dg.Failure(
            f"The champion stays: {'; '.join(failed)}.",
            allow_retries=False,
        )


def _publish(
    store: ObjectStore, verdict: Verdict, training_set: TrainingSet, run_id: str
) -> Manifest:
    judged = artefact.load(store, verdict["judged"])
    encoders = training_set.encoders
    about = json.loads(
        store.get(f"{snapshot_folder(training_set.summary.sha256)}/training_set.json").body
    )
    fields = {
        "candidate": judged.name,
        "features": FEATURES,
        "contract_hash": judged.contract_hash,
        "calendar": training_set.calendar,
        "training_set": training_set.summary.sha256,
        "raw_files": about["raw_files"],
        "scored_fit_cutoff": iso(verdict["origin"]),
        "fit_cutoff": iso(judged.fit_cutoff),
        "horizon_days": judged.horizon_days,
        "params": judged.params,
        "leaderboard": verdict["leaderboard"],
        "libraries": {name: importlib.import_module(name).__version__ for name in LIBRARIES},
        "git_commit": _git_commit(),
        "run_id": run_id,
    }
    version = claim_version(store)
    files = {
        "model.onnx": artefact.load_file(store, verdict["judged"], judged, "model.onnx"),
        "encoders.json": encoders.to_bytes(),
        "report.html": _report(version, verdict, judged, training_set, about["raw_files"]).encode(),
        "demand_model.pkl": store.get(f"{verdict['judged']}/demand_model.pkl").body,
        "encoders.pkl": pickle.dumps(
            {"stores": dict(encoders.stores), "products": dict(encoders.products)}
        ),
    }
    return publish_bundle(store, files, fields, version=version)


def _report(
    version: str,
    verdict: Verdict,
    judged: artefact.Artefact,
    training_set: TrainingSet,
    raw_files: Sequence[Mapping[str, Any]],
) -> str:
    summary = training_set.summary
    return render_html(
        ModelReport(
            version=version,
            name=judged.name,
            decision=Decision(
                outcome=verdict["outcome"],
                winner=verdict["winner"],
                why=verdict["why"],
                beats_baselines=verdict["beats_baselines"],
            ),
            rows=[LeaderboardRow.from_json(row) for row in verdict["leaderboard"]],
            curves=[curve_from_json(curve) for curve in verdict["curves"]],
            importances=judged.importances,
            horizon_days=judged.horizon_days,
            first_day=summary.first_day,
            last_day=summary.last_day,
            scored_fit_cutoff=dt.date.fromisoformat(iso(verdict["origin"])),
            fit_cutoff=dt.date.fromisoformat(iso(judged.fit_cutoff)),
            series=summary.series,
            stores=summary.stores,
            training_rows=judged.rows_used,
            scored_rows=verdict["scored_rows"],
            unscored=verdict["unscored_rows"],
            training_set_sha256=summary.sha256,
            files=[SourceFile(**file) for file in raw_files],
            made_at=dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
            notes=judged.notes,
        )
    )


def _ended(run_id: str, verdict: Verdict, version: str | None, previous: str | None) -> Promotion:
    return Promotion(
        run_id=run_id,
        outcome=verdict["outcome"],
        candidate=verdict["winner"],
        version=version,
        previous=previous,
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
        held = read_state_pointer(store.store())
        panel = read_panel(warehouse.url, pipeline.calendar_mode)
        state = panel_to_bytes(panel)
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

"""``model_comparison``: the six candidates and the champion on one leaderboard, and the decision.

What is compared how is in ``forecasting/comparison.py``; the gates that judge its result are in
``checks/gates.py``; carrying the decision out is in ``promotion.py``.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.assets.training import OWNERS, budget_of, open_training_set
from scalecast_assets.contract.bundle import read_manifest, read_pointed_bundle
from scalecast_assets.contract.pointers import read_serving
from scalecast_assets.contract.store import ObjectNotFound, ObjectStore
from scalecast_assets.forecasting import artefact, comparison
from scalecast_assets.forecasting.artefact import Artefact, Exhibit
from scalecast_assets.forecasting.calibration import CalibratedIntervals
from scalecast_assets.forecasting.candidates.base import Log
from scalecast_assets.forecasting.comparison import Champion, Comparison
from scalecast_assets.forecasting.coverage_report import coverage_markdown, overall
from scalecast_assets.forecasting.leaderboard import NO_CHAMPION, ChampionEntry, to_markdown
from scalecast_assets.forecasting.report import (
    Curve,
    curves,
    markdown_image,
    plot_curves,
    plot_importances,
)
from scalecast_assets.forecasting.training_set import TrainingSet
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.pipeline import PipelineResource
from scalecast_assets.resources.warehouse import WarehouseResource

EPOCH: Final = dt.date(1970, 1, 1)
CONTENDER: Final = "contender"
"""The winner refitted on all rows, beside the candidates of its training set."""


def build_comparison_asset() -> dg.AssetsDefinition:
    """Return the asset ``model_comparison``."""

    @dg.asset(
        name=keys.MODEL_COMPARISON,
        deps=list(keys.CANDIDATES),
        group_name=keys.GROUP_TRAINING,
        owners=OWNERS,
        kinds={"python", "onnx"},
        description=(
            "One leaderboard: every candidate, the references and the champion forecast the last "
            "days from one origin, features rolled forward on their own predictions. The lowest "
            "MAE is the contender; the winner is refitted on all rows."
        ),
    )
    def model_comparison(
        context: dg.AssetExecutionContext,
        warehouse: WarehouseResource,
        store: ObjectStoreResource,
        pipeline: PipelineResource,
    ) -> dg.MaterializeResult[None]:
        training_set = open_training_set(store.store(), warehouse, pipeline)
        compared = hold_comparison(
            training_set, store.store(), pipeline, run_id=context.run.run_id, log=context.log.info
        )
        verdict = read_verdict(store.store(), training_set)
        importances = artefact.load(store.store(), verdict["judged"]).importances
        return dg.MaterializeResult(metadata=_metadata(compared, training_set, importances))

    return model_comparison


def hold_comparison(
    training_set: TrainingSet,
    store: ObjectStore,
    pipeline: PipelineResource,
    *,
    run_id: str,
    log: Log,
) -> Comparison:
    """Compare, refit the winner if it is to be promoted, and keep the verdict in the store.

    Raises TrainingError naming the candidates that do not stand on this training set.
    """
    sha256 = training_set.summary.sha256
    origin = training_set.origin(pipeline.horizon_days)
    fitted = artefact.load_all(
        store, keys.CANDIDATES, training_set_sha256=sha256, fit_cutoff=origin
    )
    graphs = {
        name: artefact.load_file(store, artefact.folder_of(sha256, name), found, "model.onnx")
        for name, found in fitted.items()
    }
    incumbent = _read_incumbent(store, pipeline, log)
    compared = comparison.compare(
        training_set,
        {name: (fitted[name], graphs[name]) for name in keys.CANDIDATES},
        incumbent.champion,
        horizon_days=pipeline.horizon_days,
        budget_of=lambda name: budget_of(name, pipeline),
        seed=pipeline.seed,
        log=log,
        no_champion=incumbent.no_champion,
    )
    judged, place = fitted[compared.contender], compared.contender
    if compared.decision.outcome == "promoted":
        judged, place = _refit(training_set, judged, store, pipeline, log), CONTENDER
    verdict = comparison.to_json(
        compared,
        judged=artefact.folder_of(sha256, place),
        judged_files=judged.files,
        curves=[curve.to_json() for curve in _curves(compared, training_set)],
        training_set_sha256=sha256,
        champion_etag=incumbent.etag,
        champion_version=incumbent.version,
        run_id=run_id,
    )
    store.put(_verdict_key(sha256), json.dumps(verdict, indent=1, allow_nan=False).encode())
    return compared


def read_verdict(store: ObjectStore, training_set: TrainingSet) -> dict[str, Any]:
    """Read how the comparison on this training set ended.

    Raises dagster.Failure when there was none.
    """
    sha256 = training_set.summary.sha256
    try:
        verdict: dict[str, Any] = json.loads(store.get(_verdict_key(sha256)).body)
    except ObjectNotFound:
        raise dg.Failure(
            f"training set {sha256[:12]} has not been compared on: materialize model_comparison",
            allow_retries=False,
        ) from None
    return verdict


def read_exhibit(store: ObjectStore, verdict: Mapping[str, Any]) -> Exhibit:
    """Read the artefact that a verdict is about; raises TrainingError if it has changed."""
    return artefact.load_exhibit(store, verdict["judged"], verdict.get("judged_files"))


def iso(day: int) -> str:
    """Return a day since 1970-01-01 as ISO text."""
    return (EPOCH + dt.timedelta(days=day)).isoformat()


def _verdict_key(sha256: str) -> str:
    return f"candidates/{sha256}/comparison.json"


@dataclass(frozen=True)
class _Incumbent:
    """What is served: by which pointer, which a promotion must still find; None if nothing is.

    Without a ``champion`` to compare with, ``no_champion`` says why.
    """

    champion: Champion | None = None
    no_champion: str = NO_CHAMPION
    etag: str | None = None
    version: str | None = None


def _read_incumbent(store: ObjectStore, pipeline: PipelineResource, log: Log) -> _Incumbent:
    held = read_serving(store)
    if held is None:
        return _Incumbent()
    manifest, _ = read_manifest(store, held.pointer.version)
    if manifest.contract_hash != pipeline.contract_hash:
        reason = f"champion {manifest.version} is of another feature contract and gives way"
        log(f"{reason}: {manifest.contract_hash}, not {pipeline.contract_hash}")
        return _Incumbent(None, reason, held.etag, manifest.version)
    bundle = read_pointed_bundle(store, held.pointer)
    entry = ChampionEntry(
        name=manifest.candidate,
        version=manifest.version,
        training_set_sha256=manifest.training_set,
        params=manifest.params,
    )
    cutoff = (dt.date.fromisoformat(manifest.fit_cutoff) - EPOCH).days
    champion = Champion(entry, bundle.onnx, bundle.encoders, cutoff)
    return _Incumbent(champion, etag=held.etag, version=manifest.version)


def _refit(
    training_set: TrainingSet,
    winner: Artefact,
    store: ObjectStore,
    pipeline: PipelineResource,
    log: Log,
) -> Artefact:
    log(f"fitting {winner.name} again, on all rows, parameters frozen")
    fitted = comparison.refit_winner(
        training_set,
        winner,
        budget_of=lambda name: budget_of(name, pipeline),
        seed=pipeline.seed,
        log=log,
    )
    sha256 = training_set.summary.sha256
    return artefact.save(
        store,
        fitted,
        training_set.rows(),
        folder=artefact.folder_of(sha256, CONTENDER),
        training_set_sha256=sha256,
        contract_hash=pipeline.contract_hash,
        horizon_days=pipeline.horizon_days,
        fit_cutoff=training_set.last_day,
        seed=pipeline.seed,
        with_native=True,
    )


def _curves(compared: Comparison, training_set: TrainingSet) -> list[Curve]:
    return curves(
        training_set,
        compared.holdout,
        compared.scores[_shown(compared)],
        compared.scores[keys.SEASONAL_NAIVE],
        keys.SEASONAL_NAIVE,
        intervals=compared.intervals if _shown(compared) == compared.contender else None,
    )


def _shown(compared: Comparison) -> str:
    """The row whose forecasts are shown: what is served after this comparison."""
    kept = compared.decision.outcome == "kept"
    return keys.CHAMPION if kept else compared.contender


def _coverage_metadata(intervals: CalibratedIntervals) -> dict[str, Any]:
    """Tell what the contender's intervals covered on the holdout, or why it has none."""
    if intervals.table is None:
        return {"no_intervals": intervals.why_none or ""}
    levels = overall(intervals.coverage)
    return {
        **{f"coverage_of_{level}_percent": row.covered for level, row in levels.items()},
        "interval_coverage_for_people": dg.MetadataValue.md(coverage_markdown(intervals.coverage)),
        "interval_coverage": dg.MetadataValue.table(
            [dg.TableRecord(row.to_json()) for row in intervals.coverage]
        ),
        "intervals_fitted_until": intervals.table.fit_cutoff,
        "intervals_calibrated_until": intervals.table.calibrated_until,
    }


def _metadata(
    compared: Comparison, training_set: TrainingSet, importances: dict[str, float] | None
) -> dict[str, Any]:
    decision = compared.decision
    best = {row.name: row for row in compared.rows}
    forecast = plot_curves(_curves(compared, training_set), fmt="png")
    metadata: dict[str, Any] = {
        "outcome": decision.outcome,
        "why": decision.why,
        "contender": compared.contender,
        "holdout_mae": best[compared.contender].mae,
        "seasonal_naive_mae": best[keys.SEASONAL_NAIVE].mae,
        "training_median_mae": best[keys.TRAINING_MEDIAN].mae,
        "cutoff": iso(compared.origin),
        "scored_rows": len(compared.holdout),
        "unscored_rows": compared.holdout.unscored,
        "leaderboard_for_people": dg.MetadataValue.md(to_markdown(compared.rows)),
        "leaderboard": dg.MetadataValue.table(
            [dg.TableRecord(row.to_json()) for row in compared.rows]
        ),
        "actual_and_forecast": dg.MetadataValue.md(markdown_image(forecast, "actual and forecast")),
    }
    metadata |= _coverage_metadata(compared.intervals)
    if compared.frozen_champion is not None:
        metadata["champion_as_served"] = compared.frozen_champion.to_json()
    if importances:
        image = markdown_image(plot_importances(importances, fmt="png"), "importances")
        metadata["top_five_features"] = dg.MetadataValue.md(image)
    return metadata

"""What a bundle is made of: its files and its manifest's fields, from a verdict and its exhibit.

Nothing is computed anew: the graph in the bundle is the exhibit's, byte for byte. Where bundles are
published is ``scalecast_assets/promotion``; what a reader demands of one is ``contract/bundle.py``.
"""

import datetime as dt
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from scalecast_assets.contract import layout
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.strict_json import dump_json
from scalecast_assets.forecasting.artefact import Artefact, Exhibit
from scalecast_assets.forecasting.coverage_report import coverage_of, why_no_intervals
from scalecast_assets.forecasting.leaderboard import Decision, LeaderboardRow
from scalecast_assets.forecasting.report import Curve, ModelReport, SourceFile, render_html
from scalecast_assets.forecasting.training_set import TrainingSet

RawFiles = Sequence[Mapping[str, Any]]
"""Key, sha256 and rows of each raw file that the training set is made of."""


def manifest_fields(
    verdict: Mapping[str, Any],
    judged: Artefact,
    training_set: TrainingSet,
    raw_files: RawFiles,
    **origin: Any,
) -> dict[str, Any]:
    """Return the manifest's fields; ``origin`` are those about the process that publishes."""
    return {
        "candidate": judged.name,
        "features": FEATURES,
        "contract_hash": judged.contract_hash,
        "calendar": training_set.calendar,
        "training_set": training_set.summary.sha256,
        "raw_files": raw_files,
        "scored_fit_cutoff": _date(verdict["origin"]).isoformat(),
        "fit_cutoff": _date(judged.fit_cutoff).isoformat(),
        "horizon_days": judged.horizon_days,
        "params": judged.params,
        "leaderboard": verdict["leaderboard"],
        "coverage": verdict.get("coverage"),
        **origin,
    }


def bundle_files(
    version: str,
    verdict: Mapping[str, Any],
    exhibit: Exhibit,
    training_set: TrainingSet,
    raw_files: RawFiles,
) -> dict[str, bytes]:
    """Return the bundle's files by name; the report names the ``version`` that was claimed."""
    encoders = training_set.encoders
    ids = {"stores": dict(encoders.stores), "products": dict(encoders.products)}
    files = {
        layout.MODEL: exhibit.onnx,
        layout.ENCODERS: encoders.to_bytes(),
        layout.REPORT: _report(version, verdict, exhibit.artefact, training_set, raw_files),
        layout.NATIVE_ENCODERS: pickle.dumps(ids),
    }
    if verdict.get("intervals") is not None:
        files[layout.INTERVALS] = dump_json(verdict["intervals"], layout.INTERVALS)
    if exhibit.pickled is not None:
        files[layout.NATIVE_MODEL] = exhibit.pickled
    return files


def _report(
    version: str,
    verdict: Mapping[str, Any],
    judged: Artefact,
    training_set: TrainingSet,
    raw_files: RawFiles,
) -> bytes:
    summary = training_set.summary
    report = ModelReport(
        version=version,
        name=judged.name,
        decision=Decision(
            outcome=verdict["outcome"],
            winner=verdict["winner"],
            why=verdict["why"],
            beats_baselines=verdict["beats_baselines"],
        ),
        rows=[LeaderboardRow.from_json(row) for row in verdict["leaderboard"]],
        curves=[Curve.from_json(curve) for curve in verdict["curves"]],
        importances=judged.importances,
        horizon_days=judged.horizon_days,
        first_day=summary.first_day,
        last_day=summary.last_day,
        scored_fit_cutoff=_date(verdict["origin"]),
        fit_cutoff=_date(judged.fit_cutoff),
        series=summary.series,
        stores=summary.stores,
        training_rows=judged.rows_used,
        scored_rows=verdict["scored_rows"],
        unscored=verdict["unscored_rows"],
        training_set_sha256=summary.sha256,
        files=[SourceFile(**file) for file in raw_files],
        made_at=dt.datetime.now(dt.UTC).isoformat(timespec="minutes"),
        notes=judged.notes,
        coverage=coverage_of(verdict),
        why_no_intervals=why_no_intervals(verdict),
    )
    return render_html(report).encode()


def _date(day: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=day)

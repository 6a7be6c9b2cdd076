"""Jobs: which part of the graph a person, a file or a clock sets in motion."""

from typing import Any, Final

import dagster as dg

from scalecast_assets import keys

PIPELINE_TAG: Final = "scalecast/pipeline"
"""Runs with this tag wait for each other: see ``dagster.yaml``."""


def build_jobs() -> list[Any]:
    """Return the jobs: everything, only the data, only the models.

    Dagster does not export the type of a job that is not resolved yet.
    """
    serving_state = dg.AssetSelection.assets(keys.SERVING_STATE)
    data = serving_state.upstream().materializable()
    models = dg.AssetSelection.assets(keys.PROMOTED_MODEL).upstream().materializable()
    return [
        dg.define_asset_job(
            "everything",
            dg.AssetSelection.all().materializable(),
            description="From the waiting files to the promoted model and the serving state.",
            tags={PIPELINE_TAG: "everything"},
        ),
        dg.define_asset_job(
            "refresh_data",
            data,
            description="New files into warehouse, features and serving state; no training.",
            tags={PIPELINE_TAG: "refresh_data"},
        ),
        dg.define_asset_job(
            "retrain",
            models - data,
            description="Snapshot, candidates, comparison, promotion; on the features as they are.",
            tags={PIPELINE_TAG: "retrain"},
        ),
    ]

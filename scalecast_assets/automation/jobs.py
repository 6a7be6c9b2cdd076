"""The jobs: what a person, a file or a clock can set in motion.

How many runs may go on at once is in ``dagster.yaml`` and ``resources/turns.py``.
"""

from typing import Any, Final

import dagster as dg

from scalecast_assets import keys

EVERYTHING: Final = "everything"
REFRESH_DATA: Final = "refresh_data"
RETRAIN: Final = "retrain"


def build_jobs() -> list[Any]:
    """Return the jobs: everything, only the data, only the models.

    Dagster does not export the type of a job that is not resolved yet.
    """
    forecasts = dg.AssetSelection.assets(keys.FORECASTS)
    data = dg.AssetSelection.assets(keys.SERVING_STATE).upstream().materializable()
    models = dg.AssetSelection.assets(keys.PROMOTED_MODEL).upstream().materializable()
    return [
        dg.define_asset_job(
            EVERYTHING,
            dg.AssetSelection.all().materializable(),
            description="From the waiting files to the promoted model and the serving state.",
        ),
        dg.define_asset_job(
            REFRESH_DATA,
            data | forecasts | dg.AssetSelection.assets(keys.LIVE_ACCURACY),
            description="New files into warehouse, features, state and forecasts; no training.",
        ),
        dg.define_asset_job(
            RETRAIN,
            (models - data) | forecasts,
            description="Snapshot, candidates, promotion, forecasts; on the features as they are.",
        ),
    ]

"""Jobs of looking after what is there: what follows a withdrawal, and the daily purge.

What sets data and training in motion is in ``automation.py``; what is purged, and why not more, is
in ``retention/``.
"""

from typing import Any, Final

import dagster as dg

from scalecast_assets import keys

REBUILD: Final = "rebuild_data"


def build_maintenance_jobs() -> list[Any]:
    """Return the jobs; Dagster does not export the type of one that is not resolved yet."""
    return [
        dg.define_asset_job(
            REBUILD,
            dg.AssetSelection.assets(
                keys.DEMAND_DATA,
                keys.STG_DEMAND,
                keys.DEMAND_CALENDAR,
                keys.DEMAND_FEATURES,
                keys.SERVING_STATE,
                keys.FORECASTS,
                keys.LIVE_ACCURACY,
            ),
            description="Features, state and forecasts of the warehouse as it is; takes no file.",
        ),
    ]

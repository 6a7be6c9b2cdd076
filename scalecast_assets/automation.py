"""Jobs, and what the daemon looks after: what a person, a file or a clock sets in motion.

How many runs may go on at once is in ``dagster.yaml`` and ``resources/turns.py``.
"""

import time
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.resources.turns import lives
from scalecast_assets.resources.warehouse import WarehouseResource

BEGINNING_SECONDS: Final = 60.0
"""From its start until a run is sure to hold the lock that shows it alive."""


def build_jobs() -> list[Any]:
    """Return the jobs: everything, only the data, only the models.

    Dagster does not export the type of a job that is not resolved yet.
    """
    forecasts = dg.AssetSelection.assets(keys.FORECASTS)
    data = dg.AssetSelection.assets(keys.SERVING_STATE).upstream().materializable()
    models = dg.AssetSelection.assets(keys.PROMOTED_MODEL).upstream().materializable()
    return [
        dg.define_asset_job(
            "everything",
            dg.AssetSelection.all().materializable(),
            description="From the waiting files to the promoted model and the serving state.",
        ),
        dg.define_asset_job(
            "refresh_data",
            data | forecasts | dg.AssetSelection.assets(keys.LIVE_ACCURACY),
            description="New files into warehouse, features, state and forecasts; no training.",
        ),
        dg.define_asset_job(
            "retrain",
            (models - data) | forecasts,
            description="Snapshot, candidates, promotion, forecasts; on the features as they are.",
        ),
    ]


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def killed_runs(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SkipReason:
    """Report runs failed whose process was killed: they would keep others waiting for ever.

    Dagster's own monitoring cannot tell for runs that its daemon starts on this machine.
    """
    begun = context.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    old = [r.dagster_run for r in begun if time.time() - (r.start_time or 0) > BEGINNING_SECONDS]
    reported = 0
    with warehouse.connect() as connection:
        for run in old:
            if not lives(run.run_id, connection) and _still_started(context.instance, run.run_id):
                context.instance.report_run_failed(run, "The run's process was killed.")
                reported += 1
    return dg.SkipReason(f"{len(old) - reported} runs live; {reported} reported as killed")


def _still_started(instance: dg.DagsterInstance, run_id: str) -> bool:
    """It may have ended, and let go of its lock, since it was listed."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status is dg.DagsterRunStatus.STARTED

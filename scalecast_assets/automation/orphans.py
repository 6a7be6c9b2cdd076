"""Runs whose process was killed: reported as failed, so that nobody waits for them."""

import time
from typing import Final

import dagster as dg

from scalecast_assets.resources.turns import BEGINNING_SECONDS, lives
from scalecast_assets.resources.warehouse import WarehouseResource

GONE: Final = "The run's process was killed, or ended itself: see what it printed."


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
                context.instance.report_run_failed(run, GONE)
                reported += 1
    return dg.SkipReason(f"{len(old) - reported} runs live; {reported} reported as killed")


def _still_started(instance: dg.DagsterInstance, run_id: str) -> bool:
    """It may have ended, and let go of its lock, since it was listed."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status is dg.DagsterRunStatus.STARTED

"""When models are trained anew: a clock, monitoring or a person asks, and a sensor starts the run.

Whoever asks writes a request (``monitoring/retraining.py``). The sensor starts one run for all that
wait, as soon as the features are whole; the run takes the requests once it has its training set
(``assets/training.py``), so what is killed before that is started again, and what fails after it is
not: the failure is told, and the models are what they were. A run by hand takes them as well.
"""

from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from scalecast_assets.automation.back_off import wait_after
from scalecast_assets.automation.feed import UNFINISHED, ingests
from scalecast_assets.automation.jobs import RETRAIN
from scalecast_assets.ingest.merge import is_empty
from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.ingest.wording import counted
from scalecast_assets.monitoring.retraining import RetrainRequest, ask_on, waiting_requests
from scalecast_assets.resources.turns import TRAINING_TAG, UNDER_WAY, loads_by_hand
from scalecast_assets.resources.warehouse import WarehouseResource

SENSOR: Final = "retrain_requests"
SCHEDULE: Final = "retraining_schedule"
LOOK_BACK: Final = 10


def build_retraining(cron_schedule: str | None) -> tuple[dg.SensorDefinition, list[Any]]:
    """Return the sensor, and the schedule in a list that is empty without a ``cron_schedule``."""
    return _build_sensor(), [_build_schedule(cron_schedule)] if cron_schedule else []


def _build_schedule(cron_schedule: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=SCHEDULE,
        job_name=RETRAIN,
        cron_schedule=cron_schedule,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Asks for a retraining; the sensor {SENSOR} starts it when nothing is in its "
        "way. Its own ticks therefore start no run.",
    )
    def retraining_schedule(
        context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource
    ) -> dg.SkipReason:
        with warehouse.connect() as conn:
            if is_empty(conn):
                return dg.SkipReason("the warehouse is empty: there is nothing to train on")
            ensure_schema(conn)
            moment = context.scheduled_execution_time
            asked = ask_on(conn, "schedule", f"{moment:%Y-%m-%d %H:%M %Z}, as scheduled")
        return dg.SkipReason(
            f"a retraining is requested; {SENSOR} starts it"
            if asked
            else f"the retraining that the schedule asked for before still waits; see {SENSOR}"
        )

    return retraining_schedule


def _build_sensor() -> dg.SensorDefinition:
    @dg.sensor(
        name=SENSOR,
        job_name=RETRAIN,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one retraining for all requests of schedule, monitoring and people, "
        "once no file is being loaded and dbt's tests have passed on what is.",
    )
    def retrain_requests(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource
    ) -> dg.SensorResult | dg.SkipReason:
        with warehouse.connect() as conn:
            ensure_schema(conn)
            requests = waiting_requests(conn)
            if not requests:
                return dg.SkipReason("nobody asks for a retraining")
            reasons = "; ".join(f"{r.cause}: {r.reason}" for r in requests)
            if obstacle := _obstacle(context.instance, conn, requests):
                return dg.SkipReason(f"{obstacle}; then: {reasons}")
        tags = {TRAINING_TAG: UNDER_WAY, "scalecast/why": reasons[:250]}
        return dg.SensorResult(run_requests=[dg.RunRequest(tags=tags)])

    return retrain_requests


def _obstacle(
    instance: dg.DagsterInstance, conn: Connection, requests: list[RetrainRequest]
) -> str | None:
    """What a retraining would fail on, or be in the way of."""
    if is_empty(conn):
        return "the warehouse is empty"
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if run.tags.get(TRAINING_TAG) == UNDER_WAY or ingests(run):
            return f"run {run.run_id[:8]} of {run.job_name} is {run.status.value.lower()}"
    if loads_by_hand(conn):
        return "a scalecast command loads files"
    row = conn.execute("select count(*) from warehouse.changed_ranges").fetchone()
    if row and row[0]:
        return f"dbt's tests have not passed on {counted(row[0], 'changed range')}"
    return _back_off(instance, requests)


def _back_off(instance: dg.DagsterInstance, requests: list[RetrainRequest]) -> str | None:
    """Runs that failed before they took the requests that wait are tried again ever later."""
    asked_at = min(request.requested_at for request in requests)
    records = instance.get_run_records(
        dg.RunsFilter(job_name=RETRAIN, created_after=asked_at), limit=LOOK_BACK
    )
    failed = [record for record in records if record.dagster_run.is_failure]
    if not failed:
        return None
    moment = failed[0].end_time or failed[0].update_timestamp.timestamp()
    until = datetime.fromtimestamp(moment, UTC) + wait_after(len(failed))
    if datetime.now(UTC) >= until:
        return None
    return f"{counted(len(failed), 'run')} failed; the next begins at {until:%H:%M:%S} UTC"

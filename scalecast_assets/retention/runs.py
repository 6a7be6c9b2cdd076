"""Purging Dagster's records: runs that ended long ago, with their events and their logs.

Not those that anything rests on: the latest materialization of each asset and the latest verdict of
each check are what ``checks/guard.py`` asks for. Ticks are purged by Dagster (``dagster.yaml``).
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Final

import dagster as dg

from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.check_records import latest_evaluation
from scalecast_assets.retention.plan import Removal
from scalecast_assets.retention.policy import limit

_PAGE: Final = 200
_ENDED: Final = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def needed_runs(
    instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey], conn: Connection
) -> set[str]:
    """The runs whose events are read yet: by the guard, by open alerts, for undecided files."""
    needed = set()
    for key in instance.get_asset_keys():
        made = instance.get_latest_materialization_event(key)
        seen = instance.fetch_observations(key, limit=1).records
        needed |= {made.run_id} if made else set()
        needed |= {record.run_id for record in seen}
    for check in checks:
        if ended := latest_evaluation(instance, check):
            target = ended.evaluation.target_materialization_data
            needed |= {ended.run_id} | ({target.run_id} if target else set())
    for query in (
        "select run_id from warehouse.file_ledger where state in ('landed', 'validated')",
        "select run_id from ml.retrain_requests where taken_at is null",
        "select run_id from ml.alerts where cleared_at is null and run_id is not null",
    ):
        table = query.split()[3]
        exists = conn.execute("select to_regclass(%s) is not null", (table,)).fetchone()
        if exists and exists[0]:
            needed |= {run_id for (run_id,) in conn.execute(query.encode())}
    return needed


def plan_runs(
    instance: dg.DagsterInstance, needed: Collection[str], days: int, now: datetime
) -> Iterator[Removal]:
    """The runs that ended, and were last heard of, more than ``days`` ago; 0: none."""
    if not days:
        return
    before = limit(days, now)
    cursor: str | None = None
    while page := instance.get_run_records(
        dg.RunsFilter(statuses=_ENDED, updated_before=before), limit=_PAGE, cursor=cursor
    ):
        cursor = page[-1].dagster_run.run_id
        for record in page:
            run = record.dagster_run
            ended = record.end_time
            if run.run_id not in needed and (ended is None or ended < before.timestamp()):
                why = f"{run.job_name}, ended more than {days} days ago"
                yield Removal("runs", run.run_id, 1, 0, why)


def remove_run(instance: dg.DagsterInstance, removal: Removal) -> None:
    """Delete the run's logs, its events and its record; what the steps printed goes first."""
    logs = instance.compute_log_manager
    logs.delete_logs(prefix=[removal.name])
    instance.delete_run(removal.name)

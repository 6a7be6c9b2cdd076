"""What a tick of ``new_raw_files`` sees: one listing of the bucket, the ledger, and Dagster's runs.

Everything here lasts: nothing is remembered from tick to tick but what the cursor needs to tell
whether something changed. What follows from it is in ``decision.py``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from scalecast_assets import keys
from scalecast_assets.automation.decision import Failures, Seen
from scalecast_assets.automation.jobs import REFRESH_DATA
from scalecast_assets.contract.objects import ObjectInfo, ObjectStore
from scalecast_assets.ingest.attempts import Attempt, forget_attempts, read_attempts
from scalecast_assets.ingest.ledger import (
    RAW_PREFIX,
    files_in_state,
    in_order,
    is_raw,
    known_versions,
)
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.resources.turns import INGEST_TAG, UNDER_WAY, loads_by_hand

LOOK_BACK: Final = 10
"""Runs to look through for failures; after so many in a row the wait is the longest anyway."""

UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FOLLOWING: Final = (keys.SERVING_STATE, keys.FORECASTS, keys.LIVE_ACCURACY)
"""Assets that each refresh makes of the data; older than the data, they are owed."""


@dataclass(frozen=True)
class Bucket:
    """What lies under raw/: the raw files in the order in which they count, and other keys."""

    files: tuple[ObjectInfo, ...]
    others: tuple[str, ...]

    @classmethod
    def read(cls, store: ObjectStore) -> "Bucket":
        """List it, once."""
        found = list(store.list(RAW_PREFIX))
        return cls(
            files=tuple(in_order(info for info in found if is_raw(info.key))),
            others=tuple(info.key for info in found if not is_raw(info.key)),
        )


def look(
    conn: Connection,
    instance: dg.DagsterInstance,
    store: ObjectStore,
    bucket: Bucket,
    *,
    arriving: Mapping[str, str],
    something_new: bool,
) -> Seen:
    """See what there is to decide on; forgets attempts at versions that the bucket lost."""
    attempts = _attempts_at(conn, bucket)
    changed_ranges, published = _progress(conn)
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    data_are_made = any(INGEST_TAG in run.tags for run in unfinished)
    return Seen(
        now=datetime.now(UTC),
        files=bucket.files,
        known=known_versions(conn),
        others=bucket.others,
        whole_on_arrival=store.whole_on_arrival,
        arriving=arriving,
        attempts=attempts,
        undecided=[file.key for file in files_in_state(conn, "landed", "validated")],
        changed_ranges=changed_ranges,
        behind=() if data_are_made or not published else _behind(instance),
        busy=_busy(unfinished, conn),
        failures=_failures(instance, conn),
        something_new=something_new,
    )


def ingests(run: dg.DagsterRun) -> bool:
    """Whether another ingest would be in this unfinished run's way.

    One that trains after its features are built is not; a refresh is to its end.
    """
    return run.tags.get(INGEST_TAG) == UNDER_WAY or run.job_name == REFRESH_DATA


def _busy(unfinished: Sequence[dg.DagsterRun], conn: Connection) -> str | None:
    for run in unfinished:
        if ingests(run):
            return f"run {run.run_id[:8]} of {run.job_name} is {run.status.value.lower()}"
    return "a scalecast command loads files" if loads_by_hand(conn) else None


def _attempts_at(conn: Connection, bucket: Bucket) -> list[Attempt]:
    there = {(info.key, info.etag) for info in bucket.files}
    attempts = read_attempts(conn)
    if gone := [a for a in attempts if (a.key, a.version) not in there]:
        forget_attempts(conn, gone)
    return [a for a in attempts if (a.key, a.version) in there]


def _progress(conn: Connection) -> tuple[int, bool]:
    """Changed ranges that wait for dbt, and whether anything was ever published."""
    row = conn.execute(
        "select (select count(*) from warehouse.changed_ranges),"
        " exists (select from warehouse.file_ledger where published_at is not null)"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _behind(instance: dg.DagsterInstance) -> list[str]:
    """Assets that were made before the data last were: a run was broken off between the two."""
    names = (keys.DEMAND_DATA, *FOLLOWING)
    records = instance.get_asset_records([dg.AssetKey(name) for name in names])
    made = {
        record.asset_entry.asset_key.to_user_string(): (
            record.asset_entry.last_materialization_storage_id or 0
        )
        for record in records
    }
    return [name for name in FOLLOWING if made.get(name, 0) < made.get(keys.DEMAND_DATA, 0)]


def _failures(instance: dg.DagsterInstance, conn: Connection) -> Failures:
    """The refreshes that failed last, one after the other, and got nothing done.

    Landing a new file, or a verdict on one, is something: after a refusal the good files are next.
    """
    records = instance.get_run_records(dg.RunsFilter(job_name=REFRESH_DATA), limit=LOOK_BACK)
    ended = [record for record in records if record.dagster_run.is_finished]
    landed, decided = _done_by(conn, [record.dagster_run.run_id for record in ended])
    in_vain = []
    for record in ended:
        begun = record.start_time or record.create_timestamp.timestamp()
        if (
            record.dagster_run.is_success
            or record.dagster_run.run_id in landed
            or (decided is not None and decided.timestamp() > begun)
        ):
            break
        in_vain.append(record)
    if not in_vain:
        return Failures()
    last = in_vain[0]
    moment = last.end_time or last.update_timestamp.timestamp()
    return Failures(len(in_vain), datetime.fromtimestamp(moment, UTC))


def _done_by(conn: Connection, run_ids: Sequence[str]) -> tuple[set[str], datetime | None]:
    """Which of these runs landed a file that the ledger has, and when a verdict was last given."""
    row: Any = conn.execute(
        "select array(select distinct run_id from warehouse.file_ledger where run_id = any(%s)),"
        " (select max(greatest(decided_at, published_at)) from warehouse.file_ledger)",
        (list(run_ids),),
    ).fetchone()
    return set(row[0]), row[1]

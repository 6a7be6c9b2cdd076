"""Whose turn it is: one ingest and one training at a time, whatever starts the run.

In front is Dagster's queue, which counts runs by their tags (``dagster.yaml``). "Materialize all"
has no tags of its own, so ``QueueInTurn`` gives each run those of the steps it has. An ingest is
over when the features are built, though its run may go on to train for hours: then its tag is
changed, and the next refresh begins beside the training.

Behind it are advisory locks of Postgres, for runs that no queue holds: ``scalecast run`` and the
``dagster`` command. The ingestion locks each of its steps (``ingest/schema.py``), dbt's step takes
``FEATURES_LOCK``, and a run that trains takes the lock here before its first step. A command that
loads files holds one from before it puts them into the bucket: the sensor, which would find them
there, leaves them to it. And who needs whole features waits for the refresh that makes them.
A lock ends with its process, however that ends; a slot of a Dagster pool that a step claims does
not (measured: after ``kill -9`` in a training step, the next ``scalecast run`` waited for ever).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg
import psycopg

from scalecast_assets import keys
from scalecast_assets.ingest.schema import Connection

INGEST_TAG: Final = "scalecast/ingest"
TRAINING_TAG: Final = "scalecast/training"
UNDER_WAY: Final = "under way"
OVER: Final = "over"

DBT_STEP: Final = "dbt_features"
STEPS: Final = {
    INGEST_TAG: {keys.RAW_DEMAND, "raw_demand_suite", keys.DEMAND_DATA, DBT_STEP},
    TRAINING_TAG: {
        keys.TRAINING_SET, *keys.CANDIDATES, keys.MODEL_COMPARISON, keys.PROMOTED_MODEL,
    },
}  # fmt: skip
"""The steps that make a run an ingest or a training. A run can be both."""

FEATURES_LOCK: Final = "scalecast.features"
_TRAINING_LOCK: Final = "scalecast.training"
_BY_HAND_LOCK: Final = "scalecast.by_hand"
_ALIVE_LOCK: Final = "scalecast.run."
_POLL_SECONDS: Final = 1.0

BEGINNING_SECONDS: Final = 60.0
"""From its start until a run is sure to hold the lock that shows it alive."""


class QueueInTurn(dg.QueuedRunCoordinator):
    """Dagster's queue, which tags each run before it is queued."""

    def submit_run(self, context: dg.SubmitRunContext) -> dg.DagsterRun:
        """Tag the run and queue it."""
        tag(self._instance, context.dagster_run)
        return super().submit_run(context)


def tag(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Show that a run ingests or trains: others that do wait for it in the queue."""
    if tags := dict.fromkeys(kinds(instance, run), UNDER_WAY):
        instance.add_run_tags(run.run_id, tags)


def kinds(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Return the tags of what the run's steps do."""
    plan = run.execution_plan_snapshot_id
    steps = set(instance.get_execution_plan_snapshot(plan).step_keys_to_execute) if plan else set()
    return [name for name, of_kind in STEPS.items() if of_kind & steps]


def ingest_is_over(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Let the next ingest begin, though this run goes on."""
    instance.add_run_tags(run.run_id, {INGEST_TAG: OVER})


def take_turn(
    run: dg.DagsterRun, instance: dg.DagsterInstance, conn: Connection, say: Callable[[str], None]
) -> None:
    """Take the run's turn, for as long as ``conn`` is open; wait if it trains and another does.

    The lock of the run's own name shows that its process lives.
    """
    _is_locked_by_us(conn, _ALIVE_LOCK + run.run_id)
    if TRAINING_TAG in kinds(instance, run):
        wait_for_training(conn, say)
    # Only now: one that waits must not keep ingests in the queue.
    tag(instance, run)


def wait_for_training(conn: Connection, say: Callable[[str], None]) -> None:
    """Return once no other run trains, holding the lock until the connection ends."""
    if _is_locked_by_us(conn, _TRAINING_LOCK):
        return
    say("Another run is training; this one begins when that has ended.")
    while not _is_locked_by_us(conn, _TRAINING_LOCK):
        time.sleep(_POLL_SECONDS)


def let_training_end(database_url: str, say: Callable[[str], None]) -> None:
    """Wait until none trains, before a run begins that no queue holds back: it would stop ingests.

    The lock is let go of again: the run takes it itself.
    """
    with psycopg.connect(database_url, autocommit=True) as conn:
        wait_for_training(conn, say)


@contextmanager
def training_held_off(conn: Connection) -> Iterator[bool]:
    """Keep trainings from beginning while the block lasts; False, at once, if one is under way."""
    held = _is_locked_by_us(conn, _TRAINING_LOCK)
    try:
        yield held
    finally:
        if held and not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (_TRAINING_LOCK,))


@contextmanager
def loading_by_hand(
    database_url: str, instance: dg.DagsterInstance, say: Callable[[str], None]
) -> Iterator[None]:
    """Keep the sensor from starting an ingest; wait first for who is at it."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        if not _is_locked_by_us(conn, _BY_HAND_LOCK):
            say("Another command loads files; this one begins when that has ended.")
            while not _is_locked_by_us(conn, _BY_HAND_LOCK):
                time.sleep(_POLL_SECONDS)
        wait_for_refresh(instance, None, conn, say)
        yield


def loads_by_hand(conn: Connection) -> bool:
    """Say whether a command loads files now."""
    return not _is_free(conn, _BY_HAND_LOCK)


def wait_for_refresh(
    instance: dg.DagsterInstance, run_id: str | None, conn: Connection, say: Callable[[str], None]
) -> None:
    """Return once no other run makes features new: until then some are older than the data.

    Not those that train besides: they wait for whoever trains now, which may be who asks.
    """
    said = False
    while other := _refreshing(instance, run_id, conn):
        if not said:
            said = True
            say(f"Run {other[:8]} refreshes the data; this goes on when its features are built.")
        time.sleep(_POLL_SECONDS)


def _refreshing(instance: dg.DagsterInstance, run_id: str | None, conn: Connection) -> str | None:
    found = instance.get_run_records(
        dg.RunsFilter(
            tags={INGEST_TAG: UNDER_WAY},
            statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
        )
    )
    for record in found:
        run = record.dagster_run
        begun = record.start_time or record.create_timestamp.timestamp()
        if run.run_id == run_id or run.tags.get(TRAINING_TAG) == UNDER_WAY:
            continue
        if time.time() - begun < BEGINNING_SECONDS or lives(run.run_id, conn):
            return run.run_id
    return None


def lives(run_id: str, conn: Connection) -> bool:
    """Say whether the process of a run that has begun is still there."""
    return not _is_free(conn, _ALIVE_LOCK + run_id)


def _is_free(conn: Connection, name: str) -> bool:
    if not _is_locked_by_us(conn, name):
        return False
    conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
    return True


def _is_locked_by_us(conn: Connection, name: str) -> bool:
    row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (name,)).fetchone()
    return bool(row and row[0])

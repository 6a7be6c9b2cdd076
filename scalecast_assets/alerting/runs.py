"""Causes that run records know: a step that failed, and a run that ended without one having failed.

A step that only says what a gate said (the breaker's own step, dbt after a failed test, an asset
behind the guard) is no cause of its own: ``files.py`` and ``gates.py`` have found that one.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from scalecast_assets.alerting.cause import Cause, Look
from scalecast_assets.alerting.gates import name_of
from scalecast_assets.ingest.schema import Connection

MAX_RUNS: Final = 500
"""Ended runs, the newest, that one look reads. What failed before them stays as the book has it."""

_ENDED: Final = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)
_TELLING: Final = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
}
_RAISED_FOR_GATES: Final = ("DagsterAssetCheckFailedError", "DagsterDbtCliRuntimeError")
_GUARD_REFUSES: Final = "The breaker is open: "
"""How ``checks/guard.py`` begins when it names the gates that have not passed."""


@dataclass(frozen=True)
class Ending:
    """How a run ended. A part is a step's key, or ``job`` and its name for the run as a whole."""

    run_id: str
    root_run_id: str
    job: str
    at: datetime
    worked: frozenset[str] = frozenset()
    failed: dict[str, str] = field(default_factory=dict)
    """Why, by part."""


class RunHistory:
    """Runs that ended, each read once: they do not change any more."""

    def __init__(
        self, gates: Collection[dg.AssetCheckKey], judged_by_file: Collection[str] = ()
    ) -> None:
        """Leave out what only repeats one of these gates, or a check of these assets."""
        self._gates = {name_of(gate) for gate in gates}
        self._judged_by_file = set(judged_by_file)
        self._read: dict[str, Ending] = {}

    def endings(self, instance: dg.DagsterInstance, since: datetime) -> list[Ending]:
        """Return the runs that ended since then, the oldest first."""
        records = instance.get_run_records(
            dg.RunsFilter(statuses=_ENDED, updated_after=since),
            limit=MAX_RUNS,
            order_by="update_timestamp",
        )
        known = self._read
        self._read = {
            record.dagster_run.run_id: known.get(record.dagster_run.run_id)
            or self._ending(instance, record)
            for record in sorted(records, key=_ended_at)
        }
        return list(self._read.values())

    def _ending(self, instance: dg.DagsterInstance, record: dg.RunRecord) -> Ending:
        run = record.dagster_run
        job = f"job {run.job_name}"
        logs = instance.all_logs(run.run_id, of_type=_TELLING)
        events = [entry.dagster_event for entry in logs if entry.dagster_event]
        worked = {event.step_key or "" for event in events if event.is_step_success}
        failures = [event for event in events if event.is_step_failure]
        failed = {
            event.step_key or "": _reason(event)
            for event in failures
            if not self._repeats_a_gate(event, events)
        }
        if run.is_success:
            worked.add(job)
        elif not failures:
            failed[job] = next(
                (event.message or "" for event in events if event.is_run_failure),
                "it ended before any step did",
            )
        return Ending(
            run.run_id,
            run.root_run_id or run.run_id,
            run.job_name,
            _ended_at(record),
            frozenset(worked),
            failed,
        )

    def _repeats_a_gate(self, failure: dg.DagsterEvent, events: Sequence[dg.DagsterEvent]) -> bool:
        """Whether this step failed because of gates for which there is an alert of their own."""
        error = failure.step_failure_data.error
        reason = _reason(failure)
        if reason.startswith(_GUARD_REFUSES):
            return any(f"{gate} has not passed" in reason for gate in self._gates)
        if error is None or error.cls_name not in _RAISED_FOR_GATES:
            return False
        refused = [key for event in events if (key := _refused_by(event, failure.step_key))]
        return bool(refused) and all(
            key.asset_key.to_user_string() in self._judged_by_file or name_of(key) in self._gates
            for key in refused
        )


def failed_runs(
    instance: dg.DagsterInstance, conn: Connection, history: RunHistory
) -> Callable[[Look], Iterator[Cause]]:
    """Find each part that failed and has not worked since, in whichever run."""

    def find(look: Look) -> Iterator[Cause]:
        failing: dict[str, Ending] = {}
        worked: dict[str, datetime] = {}
        for ending in history.endings(instance, look.news_since):
            for part in ending.worked:
                failing.pop(part, None)
                worked[part] = ending.at
            for part in ending.failed:
                failing.setdefault(part, ending)
        for part, ending in failing.items():
            yield _cause(part, ending, conn)
        for cause in look.of_kind("run_failed").values():
            forgotten = cause.subject not in failing
            if forgotten and worked.get(cause.subject, cause.since) <= cause.since:
                yield cause

    return find


def innermost(error: Any) -> str:
    """The message of the error that began it; Dagster wraps the others around."""
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


def _cause(part: str, ending: Ending, conn: Connection) -> Cause:
    files = conn.execute(
        "select key from warehouse.file_ledger where run_id = %s order by file_seq limit 20",
        (ending.root_run_id,),
    ).fetchall()
    what = part if part.startswith("job ") else f"{part}, a step of job {ending.job},"
    return Cause(
        kind="run_failed",
        subject=part,
        headline=f"Run failed: {part}",
        what=f"In run {ending.run_id[:8]} {what} failed: {ending.failed[part]}",
        to_do="Read the run in the Dagster UI (Runs, by its id), correct the cause and start the "
        "job again. What failed left nothing half done: the next run takes up what it left.",
        since=ending.at,
        files=tuple(key for (key,) in files),
        run_id=ending.run_id,
    )


def _ended_at(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)


def _reason(failure: dg.DagsterEvent) -> str:
    data = failure.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return innermost(data.error) if data.error else "the step failed"


def _refused_by(event: dg.DagsterEvent, step: str | None) -> dg.AssetCheckKey | None:
    """The blocking check that did not pass in this step, if the event says so."""
    evaluated = event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    if event.step_key != step or not evaluated:
        return None
    judged = event.asset_check_evaluation_data
    refused = not judged.passed and judged.severity is dg.AssetCheckSeverity.ERROR
    return judged.asset_check_key if refused else None

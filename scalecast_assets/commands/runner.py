"""One run of a job in a process of its own, and its progress on this one's terminal.

The child (``python -m scalecast_assets.commands.runner``) executes the job against the Dagster
instance, so its run shows in the UI like any other; what it and its libraries print goes to a log
file. The parent follows the run's events in the instance. What a run did to files and models is
collected in ``outcome.py``.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster import DagsterEventType, EventLogEntry

from scalecast_assets.commands.progress import Progress

POLL_SECONDS: Final = 0.25
AFTERWARDS_SECONDS: Final = 300.0
"""From the end of the run's process until all that it said is read."""

CHATTER: Final = ("[", "A dbt subsetted execution", "Running dbt command", "Finished dbt command")
"""How messages begin that dagster-dbt logs at every build; they are for the UI and the log file."""

QUIET: Final = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}


@dataclass
class RunResult:
    """How a run ended: ``metadata`` by asset key, failures by step with the reason.

    ``started`` has when each step began (seconds since 1970), ``stages`` the seconds it took to its
    end, a good or a bad one.
    """

    run_id: str
    log_file: Path
    succeeded: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    failed_checks: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)


def execute(
    job: str,
    *,
    instance: dg.DagsterInstance,
    home: Path,
    ops: Mapping[str, Any],
    progress: Progress,
) -> RunResult:
    """Run ``job`` in a child process and follow it to its end.

    Args:
        ops: run config of the job's ops, as ``{"raw_demand": {"config": {…}}}``.
    """
    run_id = str(uuid.uuid4())
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    result = RunResult(run_id, logs / f"run-{run_id[:8]}.log")
    arguments = ["--job", job, "--run-id", run_id, "--ops", json.dumps(ops)]
    with _reported_if_broken_off(instance, run_id), _child(arguments, result.log_file) as child:
        cursor: str | None = None
        while True:
            ended = child.poll() is not None
            connection = instance.get_records_for_run(run_id, cursor=cursor)
            cursor = connection.cursor
            for record in connection.records:
                _follow(record.event_log_entry, result, progress)
                if record.event_log_entry.dagster_event_type is DagsterEventType.RUN_START:
                    progress.begins(_steps_of(instance, run_id))
            progress.tick()
            if ended and not connection.has_more:
                break
            time.sleep(POLL_SECONDS)
    _conclude(instance, result, child.returncode)
    return result


def _steps_of(instance: dg.DagsterInstance, run_id: str) -> int:
    run = instance.get_run_by_id(run_id)
    if run is None or run.execution_plan_snapshot_id is None:
        return 0
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return len(plan.step_keys_to_execute)


@contextmanager
def _reported_if_broken_off(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """A run that we end ourselves must not look as if it still ran: others would wait for it."""
    try:
        yield
    except BaseException:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run, "The command that ran it was ended.")
        raise


@contextmanager
def _child(arguments: Sequence[str], log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log_file.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "scalecast_assets.commands.runner", *arguments],
            # Great Expectations and dbt would colour the log file.
            env={**os.environ, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with _not_outliving(child, log_file):
                yield child
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)  # dbt, which it may have started, included
            raise
        finally:
            child.wait()


@contextmanager
def _not_outliving(child: subprocess.Popen[bytes], log_file: Path) -> Iterator[None]:
    """End this process, too, if the run has ended and its events cannot be read for a while.

    Then Postgres is silent, and whoever waits for its answer waits for ever.
    """
    read = threading.Event()

    def watch() -> None:
        child.wait()
        if not read.wait(AFTERWARDS_SECONDS):
            print(f"scalecast: the database does not answer. {_tail(log_file)}", file=sys.stderr)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        read.set()


def _follow(entry: EventLogEntry, result: RunResult, progress: Progress) -> None:
    event = entry.dagster_event
    if event is None:
        if int(entry.level) >= 20 and entry.step_key and not entry.user_message.startswith(CHATTER):
            progress.note(entry.step_key, entry.user_message)
        return
    step = event.step_key or ""
    kind = event.event_type
    if kind is DagsterEventType.STEP_START:
        result.started[step] = entry.timestamp
        progress.started(step)
    elif kind is DagsterEventType.STEP_SUCCESS:
        _clock(step, entry, result)
        progress.succeeded(step)
    elif kind is DagsterEventType.STEP_FAILURE:
        _clock(step, entry, result)
        reason = _reason(event)
        result.failures[step] = reason
        progress.failed(step, reason)
    elif kind is DagsterEventType.ASSET_MATERIALIZATION:
        materialization = event.step_materialization_data.materialization
        key = materialization.asset_key.to_user_string()
        result.metadata[key] = {n: v.value for n, v in materialization.metadata.items()}
        progress.materialized(key, result.metadata[key])
    elif kind is DagsterEventType.RUN_FAILURE and not result.failures:
        result.failures["run"] = event.message or "the run failed"
    elif kind is DagsterEventType.ASSET_CHECK_EVALUATION:
        _follow_check(event, result, progress)


def _clock(step: str, entry: EventLogEntry, result: RunResult) -> None:
    if step in result.started:
        result.stages[step] = entry.timestamp - result.started[step]


def _follow_check(event: dg.DagsterEvent, result: RunResult, progress: Progress) -> None:
    check = event.asset_check_evaluation_data
    name = f"{check.asset_key.to_user_string()}.{check.check_name}"
    warns = check.severity is dg.AssetCheckSeverity.WARN
    if not check.passed and not warns:
        result.failed_checks[name] = check.description or "failed"
    progress.checked(name, check.passed, warns, check.description)


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "the step failed"


def _conclude(instance: dg.DagsterInstance, result: RunResult, exit_code: int) -> None:
    run = instance.get_run_by_id(result.run_id)
    if run is None:
        result.failures["start"] = f"the run did not start:\n{_tail(result.log_file)}"
        return
    result.succeeded = run.status is dg.DagsterRunStatus.SUCCESS
    if not run.is_finished:
        instance.report_run_failed(run, f"The run's process ended with exit code {exit_code}.")
        result.failures["process"] = f"the run's process ended with exit code {exit_code}"


def _tail(log_file: Path) -> str:
    return "\n".join(log_file.read_text(errors="replace").strip().splitlines()[-12:])


def main(argv: Sequence[str] | None = None) -> int:
    """Execute a job against the instance of ``DAGSTER_HOME``; exit code 0 if it succeeded."""
    from scalecast_assets.definitions import build_definitions
    from scalecast_assets.settings import Settings

    parser = argparse.ArgumentParser(prog="python -m scalecast_assets.commands.runner")
    parser.add_argument("--job", required=True)
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--ops", type=json.loads, default={})
    given = parser.parse_args(argv)
    with dg.DagsterInstance.get() as instance:
        result = (
            build_definitions(Settings.load())
            .resolve_job_def(given.job)
            .execute_in_process(
                run_config={"ops": given.ops, **QUIET},
                instance=instance,
                run_id=given.run_id,
                raise_on_error=False,
            )
        )
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())

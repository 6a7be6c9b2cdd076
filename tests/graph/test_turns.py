"""Whose turn it is: one ingest and one training at a time, and nobody waits for the dead."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml  # type: ignore[import-untyped]
from dagster import DagsterEventType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from scalecast_assets import keys
from scalecast_assets.automation import orphans
from scalecast_assets.checks import world
from scalecast_assets.definitions import build_definitions
from scalecast_assets.resources import turns
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.settings import Settings
from tests.graph.command import ROOT, eventually

MATERIALIZE_ALL = "__ASSET_JOB"
FITTING = """
import sys, time
import dagster as dg
from scalecast_assets.resources.warehouse import WarehouseResource

folder, url, seconds, name = sys.argv[1:]

@dg.asset(pool="training")
def random_forest(warehouse: WarehouseResource) -> None:
    with open(f"{folder}/times", "a") as file:
        file.write(f"{name} began {time.time()}\\n")
        file.flush()
        time.sleep(float(seconds))
        file.write(f"{name} ended {time.time()}\\n")

with dg.DagsterInstance.from_config(folder) as instance:
    resources = {"warehouse": WarehouseResource(url=url)}
    dg.materialize([random_forest], instance=instance, resources=resources)
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dg.JobDefinition]:
    """The jobs as shipped."""
    definitions = build_definitions(Settings(home=tmp_path_factory.mktemp("home")))
    names = ("refresh_data", "retrain", MATERIALIZE_ALL)
    return {name: definitions.resolve_job_def(name) for name in names}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a Dagster instance as shipped, but for its storage."""
    shipped = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    del shipped["storage"]
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(shipped))
    # Two processes that make the tables of SQLite at once trip over each other.
    dg.DagsterInstance.from_config(str(tmp_path)).dispose()
    return tmp_path


@pytest.fixture
def instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Queue:
    """Dagster's queue, with a daemon that looks when it is told to."""

    def __init__(self, jobs: Mapping[str, dg.JobDefinition], instance: dg.DagsterInstance) -> None:
        self._jobs = jobs
        self._instance = instance
        self._daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

    def begin_unqueued(self, job: str) -> dg.DagsterRun:
        """A run as ``scalecast run`` or ``dagster asset materialize`` begin it."""
        run = self._create(job)
        turns.tag(self._instance, run)
        return self.begin(run)

    def submit(self, job: str) -> dg.DagsterRun:
        run = self._create(job)
        # The webserver's workspace, which only Dagster's own launchers look at.
        context = dg.SubmitRunContext(run, workspace=None)  # type: ignore[arg-type]
        return self._instance.run_coordinator.submit_run(context)

    def begin(self, run: dg.DagsterRun) -> dg.DagsterRun:
        event = dg.DagsterEvent(DagsterEventType.RUN_START.value, job_name=run.job_name)
        self._instance.report_dagster_event(event, run.run_id)
        return run

    def next(self) -> list[str]:
        """Run ids that the daemon would launch now."""
        config = self._instance.get_concurrency_config()
        found = self._daemon._get_runs_to_dequeue(self._instance, config, None)
        return [run.run_id for run in found]

    def _create(self, job: str) -> dg.DagsterRun:
        location = RegisteredCodeLocationOrigin("scalecast")
        origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
        return self._instance.create_run_for_job(self._jobs[job], remote_job_origin=origin)


@pytest.fixture
def queue(
    jobs: Mapping[str, dg.JobDefinition],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> Queue:
    monkeypatch.setenv("SCALECAST_DATABASE_URL", "postgresql://h/db")  # nothing connects
    return Queue(jobs, instance)


@pytest.mark.parametrize(
    ("first", "second"), [("refresh_data", MATERIALIZE_ALL), (MATERIALIZE_ALL, "refresh_data")]
)
def test_an_ingest_waits_for_the_one_before_it(queue: Queue, first: str, second: str) -> None:
    begun = queue.submit(first)
    waiting = queue.submit(second)
    assert queue.next() == [begun.run_id]
    queue.begin(begun)
    assert queue.next() == []
    assert waiting.status is dg.DagsterRunStatus.QUEUED


def test_a_long_training_holds_up_no_refresh_but_another_training(
    queue: Queue, instance: dg.DagsterInstance
) -> None:
    training = queue.begin(queue.submit(MATERIALIZE_ALL))
    queue.submit(MATERIALIZE_ALL)
    queue.submit("retrain")
    assert queue.next() == []
    turns.ingest_is_over(instance, training)
    refresh = queue.submit("refresh_data")
    assert queue.next() == [refresh.run_id]
    instance.report_run_canceled(training)
    queue.begin(refresh)
    assert len(queue.next()) == 1, "either of those that train, but not beside the refresh"


def test_a_retraining_and_a_refresh_go_on_side_by_side(queue: Queue) -> None:
    retrain = queue.begin(queue.submit("retrain"))
    refresh = queue.submit("refresh_data")
    assert turns.INGEST_TAG not in retrain.tags
    assert queue.next() == [refresh.run_id]


def test_what_is_begun_beside_the_queue_is_waited_for(
    queue: Queue, instance: dg.DagsterInstance
) -> None:
    by_hand = queue.begin_unqueued(MATERIALIZE_ALL)
    refresh = queue.submit("refresh_data")
    queue.submit("retrain")
    assert queue.next() == []
    turns.ingest_is_over(instance, by_hand)
    assert queue.next() == [refresh.run_id]


def test_every_step_of_the_graph_is_of_the_ingest_or_of_the_training_or_of_neither(
    jobs: Mapping[str, dg.JobDefinition],
) -> None:
    steps = {node.name for node in jobs[MATERIALIZE_ALL].nodes}
    ingests, trains = turns.STEPS[turns.INGEST_TAG], turns.STEPS[turns.TRAINING_TAG]
    assert steps - ingests - trains == {
        keys.SERVING_STATE, "model_gates", keys.FORECASTS, keys.LIVE_ACCURACY,
        f"{keys.LIVE_ACCURACY}_{world.RESEMBLES}", f"{keys.LIVE_ACCURACY}_{world.AS_PROMISED}",
    }  # fmt: skip
    assert steps >= ingests | trains
    assert not ingests & trains


def fitting(folder: Path, url: str, seconds: float, name: str) -> "subprocess.Popen[bytes]":
    """A run that trains, begun by hand."""
    command = [sys.executable, "-c", FITTING, str(folder), url, str(seconds), name]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stderr=log)


def times(folder: Path) -> list[str]:
    """What happened, in order."""
    path = folder / "times"
    return (
        [line.rpartition(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []
    )


def test_two_trainings_begun_by_hand_take_turns(folder: Path, database_url: str) -> None:
    with (
        fitting(folder, database_url, 1.0, "A") as first,
        fitting(folder, database_url, 1.0, "B") as second,
    ):
        ended = [first.wait(60), second.wait(60)]
    assert ended == [0, 0], [(folder / f"{name}.log").read_text()[-3000:] for name in "AB"]
    happened = times(folder)
    one, other = happened[0][0], happened[2][0]
    assert happened == [f"{one} began", f"{one} ended", f"{other} began", f"{other} ended"]


def test_nobody_waits_for_a_training_that_was_killed(
    folder: Path,
    database_url: str,
    instance: dg.DagsterInstance,
    stack: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = stack.enter_context(fitting(folder, database_url, 60, "killed"))
    stack.callback(killed.kill)
    eventually(lambda: times(folder) == ["killed began"], "it trains", 60)
    (run,) = instance.get_runs()
    look(instance, database_url, monkeypatch)
    assert instance.get_runs()[0].status is dg.DagsterRunStatus.STARTED, "it lives"

    killed.kill()
    with fitting(folder, database_url, 0, "next") as after:
        assert after.wait(60) == 0
    assert times(folder)[-2:] == ["next began", "next ended"]

    look(instance, database_url, monkeypatch)
    reported = instance.get_run_by_id(run.run_id)
    assert reported is not None
    assert reported.status is dg.DagsterRunStatus.FAILURE


def look(instance: dg.DagsterInstance, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the daemon's sensor look at once, and not only at runs that are a minute old."""
    monkeypatch.setattr(orphans, "BEGINNING_SECONDS", 0.0)
    resources = {"warehouse": WarehouseResource(url=url)}
    with dg.build_sensor_context(instance, resources=resources) as context:
        answer = orphans.killed_runs(context)
    assert isinstance(answer, dg.SkipReason)


def test_the_command_says_that_it_waits_and_goes_on_when_the_training_has_ended(
    database_url: str,
) -> None:
    said: list[str] = []
    with psycopg.connect(database_url, autocommit=True) as training:
        turns.wait_for_training(training, said.append)
        assert said == []
        waiting = threading.Thread(
            target=turns.let_training_end, args=(database_url, said.append), daemon=True
        )
        waiting.start()
        eventually(lambda: bool(said), "it says that it waits", 10)
        time.sleep(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()
    assert said == ["Another run is training; this one begins when that has ended."]

"""When a retraining is asked for, when it is started, and that each request has one effect."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.automation.retraining import SCHEDULE, SENSOR
from scalecast_assets.definitions import build_definitions
from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.monitoring.retraining import ask_on, request_retraining, waiting_requests
from scalecast_assets.resources import turns
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.settings import Settings, SettingsError
from tests.factories_files import GOOD, Pipeline
from tests.graph.command import Shell, eventually
from tests.graph.feed_world import dagster_run
from tests.graph.world import World

STATUS = dg.DagsterRunStatus


class Office:
    """Schedule and sensor over a database and Dagster's memory."""

    def __init__(self, pipeline: Pipeline, instance: dg.DagsterInstance, home: Path) -> None:
        self.pipeline = pipeline
        self.instance = instance
        self.definitions = build_definitions(Settings(home=home))
        self.resources = {"warehouse": WarehouseResource(url=pipeline.url)}
        ensure_schema(pipeline.conn)

    def clock_strikes(self) -> str:
        context = dg.build_schedule_context(
            self.instance,
            scheduled_execution_time=datetime(2026, 3, 2, 3, tzinfo=UTC),
            resources=self.resources,
        )
        with context:
            answer = self.definitions.resolve_schedule_def(SCHEDULE)(context)
        assert isinstance(answer, dg.SkipReason)
        return answer.skip_message or ""

    def look(self) -> str:
        """``starts``, or why not."""
        with dg.build_sensor_context(self.instance, resources=self.resources) as context:
            answer = self.definitions.resolve_sensor_def(SENSOR)(context)
        if isinstance(answer, dg.SkipReason):
            return answer.skip_message or ""
        assert isinstance(answer, dg.SensorResult)
        (request,) = answer.run_requests or []
        assert request.tags[turns.TRAINING_TAG] == turns.UNDER_WAY
        return "starts"

    def add_run(self, status: dg.DagsterRunStatus, job: str, **tags: str) -> dg.DagsterRun:
        run = dagster_run(status, job, **tags)
        self.instance.add_run(run)
        return run

    @property
    def causes(self) -> list[str]:
        return [request.cause for request in waiting_requests(self.pipeline.conn)]


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    """With one published file, on which dbt has caught up."""
    pipeline = Pipeline(database_url, tmp_path)
    pipeline.put("raw/a.csv", GOOD)
    pipeline.run()
    pipeline.clear_ranges()
    with dg.DagsterInstance.ephemeral() as instance:
        yield Office(pipeline, instance, tmp_path / "home")
    pipeline.conn.close()


def drift(conn: Connection, version: str = "1.0.0") -> bool:
    return request_retraining(conn, "drift", version, reason="moved", evidence={}, run_id="r")


def test_without_data_the_schedule_asks_for_nothing_and_says_why(office: Office) -> None:
    office.pipeline.conn.execute("truncate warehouse.demand_data")
    assert "the warehouse is empty" in office.clock_strikes()
    assert office.causes == []
    assert office.look() == "nobody asks for a retraining"


def test_what_the_schedule_asks_for_the_sensor_starts(office: Office) -> None:
    assert office.clock_strikes() == "a retraining is requested; retrain_requests starts it"
    assert office.causes == ["schedule"]
    assert office.look() == "starts"


def test_a_schedule_whose_request_waits_yet_does_not_ask_twice(office: Office) -> None:
    office.clock_strikes()
    assert "still waits" in office.clock_strikes()
    assert office.causes == ["schedule"]


def test_the_request_of_monitoring_starts_one_run_with_all_others(office: Office) -> None:
    drift(office.pipeline.conn)
    ask_on(office.pipeline.conn, "person", "because")
    office.clock_strikes()
    assert office.causes == ["drift", "person", "schedule"]
    assert office.look() == "starts"


@pytest.mark.parametrize("status", [STATUS.QUEUED, STATUS.STARTING, STATUS.STARTED])
@pytest.mark.parametrize(
    ("job", "tags"),
    [
        ("retrain", {"scalecast_training": turns.UNDER_WAY}),
        ("refresh_data", {"scalecast_ingest": turns.UNDER_WAY}),
        ("refresh_data", {"scalecast_ingest": turns.OVER}),
        ("everything", {"scalecast_ingest": turns.UNDER_WAY}),
    ],
)
def test_it_waits_for_a_training_and_for_a_refresh(
    office: Office, status: dg.DagsterRunStatus, job: str, tags: dict[str, str]
) -> None:
    office.clock_strikes()
    run = office.add_run(status, job, **tags)
    assert office.look().startswith(f"run {run.run_id[:8]} of {job} is {status.value.lower()}; ")
    office.instance.delete_run(run.run_id)
    assert office.look() == "starts"


def test_it_waits_for_a_command_that_loads_files(office: Office) -> None:
    office.clock_strikes()
    with turns.loading_by_hand(office.pipeline.url, office.instance, lambda _: None):
        assert "a scalecast command loads files" in office.look()
    assert office.look() == "starts"


def test_it_waits_while_changed_ranges_wait_for_dbts_tests(office: Office) -> None:
    office.clock_strikes()
    office.pipeline.put("raw/b.csv", GOOD.replace("P1", "P2"))
    office.pipeline.run()
    assert office.look().startswith("dbt's tests have not passed on 1 changed range; then:")
    office.pipeline.clear_ranges()
    assert office.look() == "starts"


def test_runs_that_fail_before_they_take_the_request_are_tried_ever_later(office: Office) -> None:
    office.add_run(STATUS.FAILURE, "retrain")  # of before: no concern of this request
    office.clock_strikes()
    office.add_run(STATUS.FAILURE, "retrain")
    assert office.look() == "starts"
    for _ in range(4):
        office.add_run(STATUS.FAILURE, "retrain")
    assert office.look().startswith("5 runs failed; the next begins at ")


def test_a_training_takes_what_waits_once_it_has_its_training_set(world: World) -> None:
    with psycopg.connect(world.database_url, autocommit=True) as conn:
        ensure_schema(conn)
        assert drift(conn)
        assert ask_on(conn, "schedule", "Monday")
        result = world.run(keys.TRAINING_SET)
        assert result.success
        assert waiting_requests(conn) == []
        taken = conn.execute("select cause, taken_by from ml.retrain_requests order by 1")
        assert taken.fetchall() == [("drift", result.run_id), ("schedule", result.run_id)]
        assert not drift(conn), "the same cause asks once about one model"
        assert ask_on(conn, "schedule", "the next Monday")


def test_a_training_that_is_refused_leaves_the_request_to_the_next(world: World) -> None:
    with psycopg.connect(world.database_url, autocommit=True) as conn:
        ensure_schema(conn)
        ask_on(conn, "schedule", "Monday")
        conn.execute(
            "insert into warehouse.changed_ranges (store_id, from_date, file_seq)"
            " values ('0001', '2023-01-02', 1)"
        )
        assert not world.run(keys.TRAINING_SET).success
        assert [request.cause for request in waiting_requests(conn)] == ["schedule"]


def test_tables_of_before_take_the_new_causes(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        ensure_schema(conn)
        conn.execute(
            "drop table ml.retrain_requests, warehouse.schema_version;"
            " create table ml.retrain_requests ("
            " request_id bigint generated always as identity primary key,"
            " cause text not null check (cause in ('drift', 'live_error')),"
            ' model_version text collate "C" not null, reason text not null,'
            " evidence jsonb not null, run_id text not null,"
            " requested_at timestamptz not null default clock_timestamp(),"
            " taken_at timestamptz, taken_by text,"
            " constraint retrain_requests_once unique (cause, model_version));"
        )
        assert drift(conn)
        ensure_schema(conn)
        assert ask_on(conn, "schedule", "Monday")
        assert not ask_on(conn, "schedule", "Monday")
        assert not drift(conn)
        assert drift(conn, "1.1.0")


def test_a_training_begun_by_hand_waits_for_the_refresh_that_goes_on(office: Office) -> None:
    said: list[str] = []
    refresh = office.add_run(STATUS.STARTED, "refresh_data", scalecast_ingest=turns.UNDER_WAY)

    def wait() -> None:
        with psycopg.connect(office.pipeline.url, autocommit=True) as conn:
            turns.wait_for_refresh(office.instance, "another run", conn, said.append)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    eventually(lambda: bool(said), "it says that it waits", 20)
    assert said[0].startswith(f"Run {refresh.run_id[:8]} refreshes the data")
    assert waiting.is_alive()
    office.instance.add_run_tags(refresh.run_id, {turns.INGEST_TAG: turns.OVER})
    waiting.join(20)
    assert not waiting.is_alive()


def test_nobody_waits_for_a_dead_refresh_nor_for_one_that_waits_for_him(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "BEGINNING_SECONDS", 0.0)
    said: list[str] = []
    tags = {"scalecast_ingest": turns.UNDER_WAY}
    own = office.add_run(STATUS.STARTED, "everything", **tags)
    office.add_run(STATUS.STARTED, "refresh_data", **tags)  # nobody holds its lock
    monkeypatch.setattr(turns, "BEGINNING_SECONDS", 0.0)
    turns.wait_for_refresh(office.instance, own.run_id, office.pipeline.conn, said.append)
    monkeypatch.setattr(turns, "BEGINNING_SECONDS", 60.0)
    office.instance.wipe()
    office.instance.add_run(own)
    office.add_run(STATUS.STARTED, "everything", **tags, scalecast_training=turns.UNDER_WAY)
    turns.wait_for_refresh(office.instance, own.run_id, office.pipeline.conn, said.append)
    assert said == []


def test_the_schedule_is_what_the_settings_say(tmp_path: Path) -> None:
    daily = build_definitions(Settings(home=tmp_path, retrain_schedule="30 2 * * *"))
    schedule = daily.resolve_schedule_def(SCHEDULE)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 2 * * *", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "retrain"
    never = build_definitions(Settings(home=tmp_path, retrain_schedule="off"))
    assert SCHEDULE not in {s.name for s in never.get_repository_def().schedule_defs}
    assert Settings(home=tmp_path).retrain_cron == "0 3 * * 1"


@pytest.mark.parametrize(
    "value", ["weekly", "0 3 * *", "61 3 * * 1", "0 3 * * 1 2 3", "OFF", "0 0 30 2 *"]
)
def test_what_is_no_cron_string_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALECAST_RETRAIN_SCHEDULE", value)
    with pytest.raises(SettingsError, match=r"^SCALECAST_RETRAIN_SCHEDULE: expected a cron string"):
        Settings.load()


def test_the_command_without_data_says_what_to_do_first(tmp_path: Path, database_url: str) -> None:
    answer = Shell(tmp_path, tmp_path, {"SCALECAST_DATABASE_URL": database_url}).scalecast(
        "retrain"
    )
    assert answer.code == 1
    assert answer.err.endswith(
        "scalecast: the warehouse is empty; load files first: scalecast run --csv FILE\n"
    )

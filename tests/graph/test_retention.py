"""The purge as job and as command, on a world that was run: what it leaves goes on working."""

import os
import time
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.layout import ARCHIVE_PREFIX, MADE_PREFIXES, RAW_PREFIX
from scalecast_assets.definitions import build_definitions
from scalecast_assets.ingest.schema import ensure_schema
from scalecast_assets.monitoring.retraining import request_retraining, waiting_requests
from tests.graph.command import Shell
from tests.graph.world import World, failures

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


def make_old(world: World) -> None:
    """Everything in the store was written 200 days ago."""
    then = time.time() - 200 * 86_400
    for path in (world.home / "store").rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def purge_by_job(world: World, *, dry_run: bool) -> dict[str, int]:
    """How many things of each area the job removed."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.environment.items():
            patch.setenv(name, value)
        job = build_definitions(world.settings).resolve_job_def("retention")
        config = {"ops": {"remove_what_is_old": {"config": {"dry_run": dry_run}}}}
        result = job.execute_in_process(
            instance=world.instance, run_config=config, raise_on_error=False
        )
    assert result.success, failures(result)
    (output,) = [e.step_output_data for e in result.all_events if e.is_successful_output]
    table = output.metadata["things"]
    assert isinstance(table, dg.TableMetadataValue)
    found: dict[str, int] = {}
    for record in table.records:
        area = str(record.data["area"])
        found[area] = found.get(area, 0) + 1
    return found


def test_whatever_a_run_writes_is_of_an_area_that_purge_and_restore_know(finished: World) -> None:
    areas = {info.key.partition("/")[0] + "/" for info in finished.store.list()}
    assert areas - {RAW_PREFIX, ARCHIVE_PREFIX} == set(MADE_PREFIXES) - {"quarantine/"}


def test_the_daily_job_leaves_what_the_next_run_and_the_served_model_need(world: World) -> None:
    world.more = {"keep_models": 1}
    weak = world.serve_weak_champion()
    world.store.put(f"training_sets/{'ab' * 32}/rows.parquet", b"of no model")
    world.store.put(f"state/{'ab' * 32}/state.npz", b"of no pointer")
    world.store.put("quarantine/bad.csv-12345678/report.csv", b"long ago")
    assert purge_by_job(world, dry_run=False) == {}, "all of it is young"
    make_old(world)
    gone = {"training_sets": 1, "state": 1, "quarantine": 1}
    assert purge_by_job(world, dry_run=True) == gone
    assert purge_by_job(world, dry_run=False) == gone
    assert purge_by_job(world, dry_run=False) == {}
    assert world.pointer
    assert {world.pointer.version, world.pointer.previous} == {weak, "1.0.0"} == set(world.versions)
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        ensure_schema(connection)
        request_retraining(connection, "drift", weak, reason="r", evidence={}, run_id="of old")
        assert len(waiting_requests(connection)) == 1
    result = world.run(keys.MODEL_COMPARISON, keys.PROMOTED_MODEL, keys.SERVING_STATE)
    assert result.success, failures(result)
    assert world.pointer.version == "1.2.0", "the candidates of the current training set are there"
    with psycopg.connect(world.database_url) as connection:
        assert waiting_requests(connection) == [], "the promotion has answered"


def test_the_schedule_runs_every_day_unless_somebody_stops_it(world: World) -> None:
    definitions = build_definitions(world.settings)
    schedule = definitions.resolve_schedule_def("daily_retention")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "retention"
    assert schedule.cron_schedule == "40 3 * * *"


def test_the_command_says_what_would_go_and_then_removes_it(world: World, tmp_path: Path) -> None:
    shell = Shell(world.home, tmp_path, {"SCALECAST_DATABASE_URL": world.database_url})
    world.store.put("quarantine/bad [red]file.csv-12345678/report.csv", b"x" * 2000)
    make_old(world)
    dry = shell.scalecast("purge", "--dry-run")
    assert dry.code == 0, dry.err
    assert "bad [red]file.csv-12345678" in dry.out
    assert "2.0 kB" in dry.out
    assert "Would remove 1 of quarantine (2.0 kB)." in dry.out
    done = shell.scalecast("purge", "--json")
    assert done.code == 0, done.err
    facts = done.json
    assert [(one["area"], one["items"], one["bytes"]) for one in facts["removed"]] == [
        ("quarantine", 1, 2000)
    ]
    assert (facts["dry_run"], facts["bytes"], facts["failed"]) == (False, 2000, {})
    assert not list(world.store.list("quarantine/"))
    wrong = shell.scalecast("purge", SCALECAST_KEEP_FORECASTS_DAYS="30")
    assert wrong.code == 2
    assert "SCALECAST_KEEP_FORECASTS_DAYS" in wrong.err

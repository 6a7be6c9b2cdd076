"""Purging records: runs of Dagster, landed rows, rows of forecasts, and files under the home."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from scalecast_assets.checks.guard import require_gates
from scalecast_assets.ingest.schema import LANDING_LOCK, ensure_schema
from scalecast_assets.resources.turns import wait_for_training
from scalecast_assets.retention.database import plan_alerts
from scalecast_assets.retention.local_files import plan_local_files, remove_local
from scalecast_assets.retention.policy import Policy
from scalecast_assets.retention.purge import Places, Report, purge
from scalecast_assets.retention.runs import needed_runs, plan_runs
from tests.factories_files import Pipeline, line
from tests.graph.command import eventually

LATER = datetime.now(UTC) + timedelta(days=200)
POLICY = Policy(
    models=3, training_sets_days=30, states_days=7, forecasts_days=150, quarantine_days=90,
    logs_days=30, alerts_days=180, runs_days=90,
)  # fmt: skip
PASSES = dg.AssetCheckKey(dg.AssetKey("upstream"), "passes")


@dg.asset
def upstream() -> None:
    print("what the step printed")


@dg.asset(deps=[upstream])
def downstream(context: dg.AssetExecutionContext) -> None:
    require_gates(context, PASSES)


@dg.asset_check(asset=upstream)
def passes() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


GRAPH = dg.Definitions(assets=[upstream, downstream], asset_checks=[passes])


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    (tmp_path / "memory").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "memory")) as instance:
        yield instance


def run(instance: dg.DagsterInstance, *assets: str) -> str:
    job = GRAPH.resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey(name) for name in assets]
    result = job.execute_in_process(instance=instance, asset_selection=selection)
    assert result.success
    return str(result.run_id)


def purged(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    now: datetime = LATER,
    *,
    dry_run: bool = False,
) -> Report:
    home = pipeline.store.root.parent
    places = Places(pipeline.conn, pipeline.store, home, instance, [PASSES])
    return purge(places, POLICY, now=now, dry_run=dry_run)


def of_area(report: Report, area: str) -> list[str]:
    return [removal.name for removal in report.removed if removal.area == area]


def test_runs_go_but_those_that_the_guard_and_the_queue_need(
    pipeline: Pipeline, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    first = run(instance, "upstream")
    last_of_upstream = run(instance, "upstream")
    last = run(instance, "downstream")
    again = run(instance, "downstream")
    begun = instance.create_run_for_job(GRAPH.resolve_implicit_global_asset_job_def())
    waiting = instance.create_run_for_job(
        GRAPH.resolve_implicit_global_asset_job_def(), status=dg.DagsterRunStatus.STARTED
    )
    assert of_area(purged(pipeline, instance, datetime.now(UTC)), "runs") == []
    printed = tmp_path / "memory" / "storage" / first
    assert printed.is_dir()
    report = purged(pipeline, instance)
    assert report.failed == {}
    assert set(of_area(report, "runs")) == {first, last}
    kept = {run.run_id for run in instance.get_runs()}
    assert kept == {last_of_upstream, again, begun.run_id, waiting.run_id}
    assert not instance.all_logs(first)
    assert not printed.exists()
    run(instance, "downstream")


def test_more_runs_than_a_page_are_all_found(
    pipeline: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalecast_assets.retention.runs._PAGE", 2)
    ended = [run(instance, "upstream") for _ in range(5)]
    needed = needed_runs(instance, [PASSES], pipeline.conn)
    assert needed == {ended[-1]}
    assert {r.name for r in plan_runs(instance, needed, 90, LATER)} == set(ended[:-1])
    assert list(plan_runs(instance, needed, 0, LATER)) == []


def test_landed_rows_of_decided_files_go_and_those_that_wait_stay(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    pipeline.put("raw/a.csv", line(1), line(2))
    published = pipeline.run().files[0].file_seq
    pipeline.put("raw/b.csv", line(3))
    (waits,) = pipeline.land()
    pipeline.conn.execute(
        f"create table landing.demand_rows_{published} partition of landing.demand_rows"
        f" for values in ({published})"
    )
    assert of_area(purged(pipeline, instance, datetime.now(UTC)), "landing") == []
    assert of_area(purged(pipeline, instance, dry_run=True), "landing") == [str(published)]
    with psycopg.connect(pipeline.url, autocommit=True) as other:
        other.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (LANDING_LOCK,))
        report = purged(pipeline, instance)
        assert of_area(report, "landing") == []
        assert "landing: left alone, an ingest is at work and does it itself" in report.notes
    assert of_area(purged(pipeline, instance), "landing") == [str(published)]
    left = pipeline.conn.execute("select distinct file_seq from landing.demand_rows").fetchall()
    assert left == [(waits.file_seq,)]
    pipeline.judge()
    assert pipeline.run().warehouse_rows == 3


def test_rows_of_old_origins_go_and_their_sums_stay(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    ensure_schema(pipeline.conn)
    for origin in ("2023-01-01", "2023-10-15", "2023-10-16", "2024-03-14"):
        pipeline.conn.execute(
            "insert into ml.forecasts values (%s::date, '1.0.0', 'S1', 'P1', %s::date + 1, 1, 5, 5,"
            " 'model', true, 1, false, %s::date)",
            (origin, origin, origin),
        )
        pipeline.conn.execute(
            "insert into ml.forecast_days (origin, model_version, store_id, date, horizon,"
            " store_open, forecast_rows, forecast_units)"
            " values (%s::date, '1.0.0', 'S1', %s::date + 1, 1, true, 1, 5)",
            (origin, origin),
        )
    report = purged(pipeline, instance)
    assert of_area(report, "ml.forecasts") == ["2023-01-01", "2023-10-15"]
    assert all(r.items == 1 and r.bytes > 0 for r in report.removed if r.area == "ml.forecasts")
    left = pipeline.conn.execute("select origin::text from ml.forecasts order by 1").fetchall()
    assert left == [("2023-10-16",), ("2024-03-14",)]
    sums = pipeline.conn.execute("select count(*) from ml.forecast_days").fetchone()
    assert sums == (4,)


def test_what_a_training_writes_is_left_alone_while_one_is_under_way(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    pipeline.store.put(f"training_sets/{'ab' * 32}/rows.parquet", b"x")
    with psycopg.connect(pipeline.url, autocommit=True) as training:
        wait_for_training(training, print)
        report = purged(pipeline, instance)
        assert of_area(report, "training_sets") == []
        assert "a training is under way" in report.notes[0]
        backend = training.info.backend_pid
    gone = "select 1 from pg_stat_activity where pid = %s"
    # A closed connection's locks go when its server process does, a moment later.
    eventually(lambda: not pipeline.conn.execute(gone, (backend,)).fetchall(), "training ended")
    assert of_area(purged(pipeline, instance), "training_sets") == ["ab" * 32]
    with psycopg.connect(pipeline.url, autocommit=True) as training:
        wait_for_training(training, lambda text: pytest.fail(text))


def test_one_thing_that_cannot_be_removed_is_named_and_keeps_no_other(
    pipeline: Pipeline, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        pipeline.store.put(f"quarantine/{name}/report.csv", b"x")
    real = pipeline.store.delete_many

    def refuses(keys: tuple[str, ...]) -> None:
        if keys[0].startswith("quarantine/a/"):
            raise PermissionError("under lock")
        real(keys)

    monkeypatch.setattr(pipeline.store, "delete_many", refuses)
    report = purged(pipeline, instance)
    assert report.failed == {"quarantine a": "under lock"}
    assert of_area(report, "quarantine") == ["b"]


def test_a_dry_run_lists_what_goes_and_removes_nothing(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    ended = [run(instance, "upstream") for _ in range(2)]
    pipeline.store.put("quarantine/a/report.csv", b"x" * 100)
    pipeline.store.put(f"state/{'ab' * 32}/state.npz", b"x")
    dry = purged(pipeline, instance, dry_run=True)
    assert len(list(pipeline.store.list())) == 2
    assert len(instance.get_runs()) == 2
    assert dry.by_area() == {"state": (1, 1), "quarantine": (1, 100), "runs": (1, 0)}
    assert of_area(dry, "runs") == [ended[0]]
    assert purged(pipeline, instance).removed == dry.removed
    assert purged(pipeline, instance).removed == []


def old(path: Path, days: float, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    for folder in path.parents[:2]:
        os.utime(folder, (then, then))
    return path


def test_old_logs_and_left_over_files_of_the_home_go_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    goes = [
        old(home / "logs/run-12345678.log", 31),
        old(home / "postgres/cluster/server.log.1", 31),
        old(home / "cache/training_set-ab.parquet", 31),
        old(home / "spool/raw-killed", 2),
        old(home / "spool/tmpabc/raw-x", 2).parent,
        old(home / "dbt/run-killed/target/x.sql", 2).parent.parent,
    ]
    stays = [
        old(home / "logs/run-87654321.log", 29),
        old(home / "logs/dagster-daemon.log", 99),
        old(home / "postgres/cluster/server.log", 99),
        old(home / "postgres/data/base/1", 99),
        old(home / "store/raw/a.csv", 99),
        old(home / "dbt/manifest/manifest.json", 99),
        old(home / "spool/now/raw-x", 0),
        old(home / "dbt/run-now/x", 0.5),
    ]
    now = datetime.now(UTC)
    planned = list(plan_local_files(home, 30, now))
    assert {removal.name for removal in planned} == set(map(str, goes))
    assert all(removal.bytes > 0 for removal in planned)
    for removal in planned:
        remove_local(removal)
        remove_local(removal)
    assert not any(path.exists() for path in goes)
    assert all(path.exists() for path in stays)
    assert list(plan_local_files(home, 30, now)) == []
    old(home / "logs/run-12345678.log", 500)
    assert list(plan_local_files(home, 0, now)) == []


def test_alerts_go_when_their_cause_is_long_gone_and_open_ones_stay(
    pipeline: Pipeline, instance: dg.DagsterInstance
) -> None:
    conn, days = pipeline.conn, timedelta(days=1)
    assert of_area(purged(pipeline, instance), "ml.alerts") == [], "nobody has looked yet"
    ensure_schema(conn)
    now = datetime.now(UTC)
    cleared = {"long ago": now - 181 * days, "lately": now - 179 * days, "open": None}
    for name, at in cleared.items():
        conn.execute(
            "with new as (insert into ml.alerts (cause, kind, subject, headline, what, to_do,"
            " files, since, raised_at, cleared_at) values (%s, 'run_failed', '', '', '', '', '{}',"
            " %s, %s, %s) returning alert_id)"
            " insert into ml.alert_deliveries (alert_id, channel, event)"
            " select alert_id, 'webhook', 'raised' from new",
            (name, now - 400 * days, now - 400 * days, at),
        )
    assert of_area(purged(pipeline, instance, now, dry_run=True), "ml.alerts") == ["run_failed"]
    assert of_area(purged(pipeline, instance, now), "ml.alerts") == ["run_failed"]
    assert conn.execute("select cause from ml.alerts order by cause").fetchall() == [
        ("lately",), ("open",),
    ]  # fmt: skip
    assert conn.execute("select count(*) from ml.alert_deliveries").fetchone() == (2,)
    assert of_area(purged(pipeline, instance, now), "ml.alerts") == []
    assert list(plan_alerts(conn, 0, LATER)) == [], "for ever"

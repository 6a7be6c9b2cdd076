"""The sensor ``alerts`` on a real Dagster instance: each cause is told once, as what it is.

The ingestion, its breaker and the guard are the project's own; what stands for features and models
are small assets that do what a test tells them to, but for two tests on a finished world.
"""

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.alerting import book
from scalecast_assets.alerting.cause import Cause
from scalecast_assets.alerting.freshness import expect_fresh
from scalecast_assets.alerting.gates import open_breakers, refused_promotion
from scalecast_assets.alerting.runs import RunHistory
from scalecast_assets.alerting.sensor import build_alert_sensor, names_of
from scalecast_assets.assets.ingestion import RawFormat, demand_data, raw_demand, raw_files
from scalecast_assets.checks.expectations import raw_demand_suite
from scalecast_assets.checks.gates import MODEL_GATES
from scalecast_assets.checks.guard import require_gates
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.definitions import build_definitions
from scalecast_assets.resources.alerts import AlertChannels
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.alert_listeners import HttpListener, SmtpListener
from tests.factories_files import GOOD, csv_of
from tests.graph.command import ROOT, eventually
from tests.graph.test_gates import predicts, refit_gives
from tests.graph.world import World

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

BAD = GOOD.replace("9.99", "0")
FEATURES = dg.AssetCheckKey(dg.AssetKey(keys.DEMAND_FEATURES), "features_match_the_calendar")
MODEL = dg.AssetCheckKey(dg.AssetKey(keys.MODEL_COMPARISON), "onnx_equals_native_model")


@dataclass
class Behaviour:
    """What the small assets do."""

    broken: dict[str, Exception] = field(default_factory=dict)
    """By asset: what it raises."""
    refused: dict[str, str] = field(default_factory=dict)
    """By asset: why its gate does not pass."""
    training_set: str = "a" * 64

    def act(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]


def build_assets(behaviour: Behaviour) -> list[Any]:
    """Features, training set, comparison and promotion, each with its gate or guard."""

    def judge(gate: dg.AssetCheckKey) -> dg.AssetChecksDefinition:
        @dg.asset_check(
            name=gate.name, asset=gate.asset_key, blocking=True, description="must hold"
        )
        def check() -> dg.AssetCheckResult:
            name = gate.asset_key.to_user_string()
            behaviour.act(gate.name)
            reason = behaviour.refused.get(name)
            return dg.AssetCheckResult(passed=reason is None, description=reason)

        return check

    @dg.asset(name=keys.DEMAND_FEATURES, deps=[keys.DEMAND_DATA])
    def features() -> None:
        behaviour.act(keys.DEMAND_FEATURES)

    @dg.asset(name=keys.TRAINING_SET, deps=[keys.DEMAND_FEATURES])
    def training_set(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        require_gates(context, FEATURES)
        behaviour.act(keys.TRAINING_SET)
        return dg.MaterializeResult(metadata={"sha256": behaviour.training_set})

    @dg.asset(name=keys.MODEL_COMPARISON, deps=[keys.TRAINING_SET])
    def comparison() -> None:
        behaviour.act(keys.MODEL_COMPARISON)

    @dg.asset(name=keys.PROMOTED_MODEL, deps=[keys.MODEL_COMPARISON])
    def promoted(context: dg.AssetExecutionContext) -> None:
        require_gates(context, MODEL)

    return [features, training_set, comparison, promoted, judge(FEATURES), judge(MODEL)]


class Shop:
    """A pipeline with its sensor, a bucket, a database and listeners."""

    def __init__(self, url: str, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.url = url
        self.behaviour = Behaviour()
        self.store_resource = ObjectStoreResource(url=(folder / "store").as_uri())
        self.store = self.store_resource.store()
        self.http, self.smtp = HttpListener(), SmtpListener()
        self.options: dict[str, Any] = {"stale_feed_hours": 36}

    @contextmanager
    def open(self) -> Iterator["Shop"]:
        with self.http.listening(), self.smtp.listening():
            self.define()
            yield self

    def define(self, **options: Any) -> None:
        """Load the code, anew: what it kept in memory is gone."""
        self.options |= options
        self.sensor = build_alert_sensor(
            breakers={"features": [FEATURES]}, model_gates=[MODEL], **self.options
        )
        mail = f"smtp://127.0.0.1:{self.smtp.port}?from=a@shop.example&to=b@shop.example"
        self.definitions = dg.Definitions(
            assets=[raw_files, raw_demand, demand_data, *build_assets(self.behaviour)[:4]],
            asset_checks=[raw_demand_suite, *build_assets(self.behaviour)[4:]],
            sensors=[self.sensor],
            executor=dg.in_process_executor,
            resources={
                "warehouse": WarehouseResource(url=self.url),
                "store": self.store_resource,
                "raw_format": RawFormat(),
                "alert_channels": AlertChannels.from_urls(
                    webhook_url=self.http.url, slack_url=self.http.url, smtp_url=mail
                ),
            },
        )

    def run(self, *assets: str, **tags: str) -> bool:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey(name) for name in assets or (keys.RAW_DEMAND, keys.DEMAND_DATA)]
        result = job.execute_in_process(
            instance=self.instance, asset_selection=selection, raise_on_error=False, tags=tags
        )
        return result.success

    def tick(self) -> str:
        """Evaluate the sensor as the daemon does; returns what the UI shows of it."""
        with dg.build_sensor_context(
            self.instance, definitions=self.definitions, resources=self.definitions.resources
        ) as context:
            reason = self.sensor.evaluate_tick(context).skip_message
        assert reason is not None
        return reason

    def alerts(self) -> list[Any]:
        """The documents that the webhook received."""
        return [message for message in self.http.received if "kind" in message]

    def heard(self) -> list[str]:
        """Headlines by webhook; asserts that Slack and mail heard the same."""
        headlines = [f"ScaleCast: {alert['headline']}" for alert in self.alerts()]
        texts = [message["text"] for message in self.http.received if "text" in message]
        assert [text.split("*")[1] for text in texts] == headlines
        assert [mail["Subject"].strip() for mail in self.smtp.received] == headlines
        return [headline.removeprefix("ScaleCast: ") for headline in headlines]

    def put(self, key: str, *lines: str) -> None:
        self.store.put(key, csv_of(*lines))

    def open_kinds(self) -> list[str]:
        with psycopg.connect(self.url) as conn:
            return [alert.cause.kind for alert in book.open_alerts(conn)]

    def execute(self, sql: str, *values: Any) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute(sql.encode(), values)


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Shop]:
    with dg.instance_for_test() as instance, Shop(database_url, tmp_path, instance).open() as shop:
        yield shop


def test_while_nothing_is_wrong_nothing_is_told(shop: Shop) -> None:
    assert shop.tick().startswith("0 open; ")
    shop.put("raw/good.csv", GOOD)
    assert shop.run()
    assert shop.tick() == "0 open; 0 raised, 0 cleared, 0 messages delivered"
    assert shop.heard() == []


def test_a_refused_file_is_one_alert_though_a_check_and_a_run_failed(shop: Shop) -> None:
    pointer = ServingPointer("1.2.0", "a" * 64, "1.1.0", {"1.2.0": 1.0})
    shop.store.put(MODEL_POINTER, pointer.to_bytes())
    shop.store.put(STATE_POINTER, StatePointer("b" * 64, 9, "2026-11-23", "c", 1).to_bytes())
    shop.put("raw/sales März.csv", GOOD, BAD.replace("S1", "S2"))
    assert not shop.run()
    for _ in range(3):
        shop.tick()
    assert shop.heard() == ["File refused: raw/sales März.csv"]
    (alert,) = shop.alerts()
    assert alert["files"] == ["raw/sales März.csv"]
    assert "price_is_positive: 1 line, first line 3, price '0': not above zero" in alert["what"]
    assert "Nothing of its 2 rows is loaded" in alert["what"]
    assert "/quarantine/" in alert["to_do"]
    assert "report.csv" in alert["to_do"]
    assert alert["still_served"]["model_version"] == "1.2.0"
    text = shop.smtp.received[0].get_content()
    for part in ("Since: 20", "model 1.2.0 (before it 1.1.0), sales history until 2026-11-23"):
        assert part in text


def test_each_refused_file_is_an_alert_of_its_own(shop: Shop) -> None:
    for name in ("a", "b", "c"):
        shop.put(f"raw/{name}.csv", BAD.replace("S1", name))
    shop.put("raw/good.csv", GOOD)
    assert not shop.run()
    shop.tick()
    assert sorted(shop.heard()) == [f"File refused: raw/{name}.csv" for name in "abc"]
    assert shop.run()
    shop.tick()
    assert len(shop.heard()) == 3


def test_a_corrected_file_clears_its_alert(shop: Shop) -> None:
    shop.put("raw/x.csv", BAD)
    shop.run()
    shop.tick()
    assert shop.open_kinds() == ["file_refused"]
    shop.put("raw/x.csv", GOOD)
    assert shop.run()
    assert shop.tick() == "0 open; 0 raised, 1 cleared, 0 messages delivered"


def test_a_replacement_of_everything_is_refused_as_one(shop: Shop) -> None:
    shop.put("raw/a.csv", GOOD)
    shop.put("raw/b.csv", BAD.replace("S1", "S2"))
    shop.put("raw/c.csv", GOOD.replace("S1", "S3"))
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    config = {"ops": {keys.RAW_DEMAND: {"config": {"replace": True}}}}
    names = [dg.AssetKey(keys.RAW_DEMAND), dg.AssetKey(keys.DEMAND_DATA)]
    assert not job.execute_in_process(
        config, instance=shop.instance, asset_selection=names, raise_on_error=False
    ).success
    shop.tick()
    assert shop.heard() == ["File refused: raw/b.csv"]
    assert "Nothing of its 1 rows is loaded" in shop.alerts()[0]["what"]


def test_a_run_that_failed_is_told_once_however_often_it_is_retried(shop: Shop) -> None:
    shop.behaviour.broken[keys.DEMAND_FEATURES] = OSError("postgresql://u:S3CR3T@db is away")
    for retry in range(3):
        shop.run(keys.DEMAND_FEATURES, **{"dagster/retry_number": str(retry)})
        shop.tick()
    shop.define()
    shop.tick()
    assert shop.heard() == ["Run failed: demand_features"]
    (alert,) = shop.alerts()
    assert "OSError: postgresql://…@db is away" in alert["what"]
    assert alert["run_id"][:8] in alert["what"]
    del shop.behaviour.broken[keys.DEMAND_FEATURES]
    assert shop.run(keys.DEMAND_FEATURES)
    assert shop.tick() == "0 open; 0 raised, 1 cleared, 0 messages delivered"


def test_a_run_that_works_without_the_step_that_failed_clears_nothing(shop: Shop) -> None:
    shop.behaviour.broken[keys.DEMAND_FEATURES] = ValueError("no")
    shop.run(keys.DEMAND_FEATURES)
    shop.put("raw/good.csv", GOOD)
    assert shop.run()
    shop.tick()
    assert shop.open_kinds() == ["run_failed"]


def test_a_run_that_was_ended_from_outside_is_told_and_cleared_by_the_next_of_its_job(
    shop: Shop,
) -> None:
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    run = shop.instance.create_run_for_job(job, tags={"scalecast/file": "raw/x.csv"})
    shop.instance.report_run_failed(run, "The run's process was killed.")
    shop.tick()
    assert shop.heard() == ["Run failed: job __ASSET_JOB"]
    assert "The run's process was killed." in shop.alerts()[0]["what"]
    shop.put("raw/good.csv", GOOD)
    assert shop.run()
    shop.tick()
    assert shop.open_kinds() == []


def test_a_run_that_names_the_files_it_had_landed(shop: Shop) -> None:
    shop.put("raw/good.csv", GOOD)
    shop.behaviour.broken[keys.DEMAND_FEATURES] = ValueError("no")
    assert not shop.run(keys.RAW_DEMAND, keys.DEMAND_DATA, keys.DEMAND_FEATURES)
    shop.tick()
    assert shop.alerts()[0]["files"] == ["raw/good.csv"]


def test_a_failure_beside_a_refused_file_is_an_alert_of_its_own(shop: Shop) -> None:
    shop.put("raw/x.csv", BAD)
    shop.behaviour.broken[keys.MODEL_COMPARISON] = ValueError("no")
    shop.run(keys.RAW_DEMAND, keys.DEMAND_DATA, keys.MODEL_COMPARISON)
    shop.tick()
    assert sorted(shop.heard()) == ["File refused: raw/x.csv", "Run failed: model_comparison"]


def test_an_open_alert_outlives_the_runs_that_a_look_reads(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.behaviour.broken[keys.DEMAND_FEATURES] = ValueError("no")
    shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    monkeypatch.setattr("scalecast_assets.alerting.runs.MAX_RUNS", 2)
    for _ in range(3):
        assert shop.run(keys.MODEL_COMPARISON)
    shop.define()
    shop.tick()
    assert shop.open_kinds() == ["run_failed"]
    shop.behaviour.broken.clear()
    assert shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    assert shop.open_kinds() == []


def test_an_open_breaker_is_one_alert_and_so_are_the_runs_that_it_keeps_from_starting(
    shop: Shop,
) -> None:
    shop.behaviour.refused[keys.DEMAND_FEATURES] = "3 rows on closed days"
    shop.put("raw/good.csv", GOOD)
    assert not shop.run(keys.RAW_DEMAND, keys.DEMAND_DATA, keys.DEMAND_FEATURES)
    for _ in range(2):
        assert not shop.run(keys.TRAINING_SET)
        shop.tick()
    gate = "demand_features.features_match_the_calendar"
    assert shop.heard() == [f"Breaker open: {gate}"]
    (alert,) = shop.alerts()
    assert alert["what"] == f"{gate} did not pass: 3 rows on closed days"
    assert alert["files"] == ["raw/good.csv"]
    shop.behaviour.refused.clear()
    assert shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    assert shop.open_kinds() == []
    assert len(shop.heard()) == 1


def test_a_refused_promotion_is_one_alert_a_model(shop: Shop) -> None:
    retrain = (keys.DEMAND_FEATURES, keys.TRAINING_SET, keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)
    shop.behaviour.refused[keys.MODEL_COMPARISON] = "largest difference 0.3"
    for _ in range(2):  # the second is a retry: the same training set, the same verdict
        assert not shop.run(*retrain)
        shop.tick()
    assert not shop.run(keys.PROMOTED_MODEL)
    shop.tick()
    gate = "model_comparison.onnx_equals_native_model"
    assert shop.heard() == [f"Promotion refused: {gate}"]
    (alert,) = shop.alerts()
    assert f"{gate} did not pass: largest difference 0.3" in alert["what"]
    assert alert["cause"] == "promotion_refused/aaaaaaaaaaaa"
    assert "stays" in alert["to_do"]

    shop.behaviour.training_set = "b" * 64
    assert not shop.run(*retrain)
    shop.tick()
    assert len(shop.heard()) == 2
    shop.behaviour.refused.clear()
    assert shop.run(*retrain)
    shop.tick()
    assert shop.open_kinds() == []


def test_a_gate_that_breaks_is_a_failed_run_and_no_verdict(shop: Shop) -> None:
    shop.behaviour.broken[MODEL.name] = RuntimeError("no such file")
    retrain = (keys.DEMAND_FEATURES, keys.TRAINING_SET, keys.MODEL_COMPARISON)
    assert not shop.run(*retrain)
    shop.tick()
    assert [alert["kind"] for alert in shop.alerts()] == ["run_failed"]
    assert "RuntimeError: no such file" in shop.alerts()[0]["what"]


def test_a_run_in_progress_neither_raises_nor_clears(shop: Shop) -> None:
    shop.behaviour.refused[keys.DEMAND_FEATURES] = "no"
    shop.run(keys.DEMAND_FEATURES)
    shop.tick()
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    shop.instance.create_run_for_job(job)
    shop.tick()
    assert shop.open_kinds() == ["breaker_open"]


def test_a_check_that_no_alert_is_about_is_not_explained_away() -> None:
    history = RunHistory([MODEL])
    with dg.DagsterInstance.ephemeral() as instance:
        behaviour = Behaviour(refused={keys.DEMAND_FEATURES: "no"})
        features, _, _, _, check, _ = build_assets(behaviour)
        dg.materialize([features, check], instance=instance, raise_on_error=False)
        (ending,) = history.endings(instance, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert list(ending.failed) == ["demand_features_features_match_the_calendar"]


def test_a_feed_from_which_nothing_comes_is_told_once_until_a_file_is_published(
    shop: Shop,
) -> None:
    shop.put("raw/good.csv", GOOD)
    shop.run()
    shop.execute("update warehouse.file_ledger set published_at = now() - interval '37 hours'")
    for _ in range(3):
        shop.tick()
    assert shop.heard() == ["No new sales file for 36 hours"]
    assert "raw/good.csv" in shop.alerts()[0]["what"]
    shop.put("raw/next.csv", GOOD.replace("S1", "S2"))
    assert shop.run()
    shop.tick()
    assert shop.open_kinds() == []


def test_an_asset_that_is_expected_fresh_says_so_in_the_graph_and_keeps_its_checks() -> None:
    fresh = expect_fresh(demand_data, 36)
    policy = fresh.get_asset_spec(dg.AssetKey(keys.DEMAND_DATA)).freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=36))
    assert set(fresh.check_keys) == set(demand_data.check_keys)
    assert expect_fresh(demand_data, 0) is demand_data


def causes(world: World, *run_ids: str) -> list[Cause]:
    """What is wrong in a world of the real graph; of failed runs only these."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.environment.items():
            patch.setenv(name, value)
        graph = build_definitions(world.settings).resolve_asset_graph()
    tables = {keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES}
    tested = [k for k in graph.asset_check_keys if k.asset_key.to_user_string() in tables]
    history = RunHistory([*MODEL_GATES, *tested], [keys.RAW_DEMAND])
    with psycopg.connect(world.database_url, autocommit=True) as conn:
        book.ensure_tables(conn)
        look = book.read_look(conn, [])
        found = [
            *open_breakers(world.instance, conn, {"features": tested})(look),
            *refused_promotion(world.instance, MODEL_GATES)(look),
        ]
    # Other tests have failed runs of their own in the same instance.
    endings = {e.run_id: e for e in history.endings(world.instance, look.news_since)}
    assert [endings[run_id].failed for run_id in run_ids] == [{} for _ in run_ids]
    return found


def test_a_dbt_test_that_fails_is_an_open_breaker_and_no_failed_run(world: World) -> None:
    world.execute("delete from warehouse.id_codes where kind = 'product' and id = 'A'")
    built = world.run(keys.STG_DEMAND, keys.DEMAND_CALENDAR, keys.DEMAND_FEATURES)
    stopped = world.run(keys.SERVING_STATE)
    assert not built.success
    assert not stopped.success
    (cause,) = causes(world, built.run_id, stopped.run_id)
    gate = "demand_features.codes_are_those_given_at_publish"
    assert cause.headline == f"Breaker open: {gate}"
    assert cause.what == f"{gate} did not pass: 2 rows"


def test_a_model_gate_that_fails_is_a_refused_promotion_and_no_failed_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve_weak_champion()
    with monkeypatch.context() as broken:
        refit_gives(broken, predicts(-1.0))
        compared = world.run(keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)
    stopped = world.run(keys.PROMOTED_MODEL)
    (cause,) = (
        found
        for found in causes(world, compared.run_id, stopped.run_id)
        if found.kind == "promotion_refused"
    )
    assert cause.subject == world.training_set[:12]
    gate = "model_comparison.predictions_are_finite_and_not_negative"
    assert cause.what.startswith(f"{gate} did not pass: 0 not finite and ")
    assert world.run(keys.MODEL_COMPARISON, keys.PROMOTED_MODEL).success
    assert [found.kind for found in causes(world)].count("promotion_refused") == 0


MODULE = """
import os
from pathlib import Path
import dagster as dg
from scalecast_assets.alerting import sensor as alerting
from scalecast_assets.definitions import build_definitions
from scalecast_assets.resources.alerts import AlertChannels
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource

alerting.INTERVAL_SECONDS = 1
folder = Path(os.environ["FOLDER"])

@dg.sensor(minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def new_raw_files():
    if (folder / "broken").exists():
        raise OSError("the bucket is away, password=S3CR3T")
    return dg.SkipReason("nothing new")

defs = dg.Definitions(
    sensors=[
        new_raw_files,
        alerting.build_alert_sensor(breakers={}, model_gates=[], stale_feed_hours=36),
    ],
    resources={
        "warehouse": WarehouseResource(url=os.environ["URL"]),
        "store": ObjectStoreResource(url=(folder / "store").as_uri()),
        "alert_channels": AlertChannels.from_urls(
            webhook_url=os.environ["WEBHOOK"], slack_url="http://127.0.0.1:1/S3CR3T"
        ),
    },
)
"""


@contextmanager
def daemon(folder: Path, **environment: str) -> Iterator[Path]:
    """A Dagster daemon with a sensor that can be broken; gives the file of what it printed."""
    home, module, log = folder / "home", folder / "watched.py", folder / "daemon.log"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    module.write_text(MODULE)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-f", module],
            env={**os.environ, **environment, "DAGSTER_HOME": str(home), "FOLDER": str(folder)},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield log
        finally:
            process.terminate()
            process.wait(60)


def test_a_failing_sensor_is_told_once_by_a_real_daemon_and_no_secret_is_written_anywhere(
    database_url: str, tmp_path: Path
) -> None:
    def open_alerts() -> int:
        with psycopg.connect(database_url) as conn:
            found = conn.execute("select to_regclass('ml.alerts') is not null").fetchone()
            return len(book.open_alerts(conn)) if found and found[0] else -1

    (tmp_path / "broken").touch()
    with (
        HttpListener().listening() as http,
        daemon(tmp_path, URL=database_url, WEBHOOK=http.url) as log,
    ):
        eventually(lambda: bool(http.received), "the alert", 90)
        (alert,) = http.received
        assert alert["headline"] == "Sensor fails: new_raw_files"
        assert "OSError: the bucket is away, password=…" in alert["what"]
        time.sleep(5)
        assert len(http.received) == 1
        (tmp_path / "broken").unlink()
        eventually(lambda: open_alerts() == 0, "the end", 60)
        assert len(http.received) == 1
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert written
    told = [p for p in (log, *written) if b"/S3CR3T" in p.read_bytes()]
    assert told == [], "the address of a channel was written down"
    assert b"Connection refused" in b"".join(path.read_bytes() for path in written)


def test_a_look_that_fails_fails_its_tick_and_names_no_secret(shop: Shop) -> None:
    """The next tick tells it, like the failure of any other sensor."""
    shop.put("raw/x.csv", BAD)
    shop.run()
    shop.execute("drop table warehouse.file_objects")
    shop.execute("alter table warehouse.file_ledger rename column published_at to p")
    with pytest.raises(Exception, match="feed_stale: UndefinedColumn"):
        shop.tick()
    assert shop.heard() == ["File refused: raw/x.csv"]


def test_sensors_that_the_code_no_longer_has_are_not_asked_for(shop: Shop) -> None:
    assert names_of(shop.definitions.get_repository_def()) == ["alerts"]
    assert names_of(None) is None

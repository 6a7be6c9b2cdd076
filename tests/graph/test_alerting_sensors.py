"""The sensor ``alerts``: a feed that is silent, and sensors that fail."""

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from scalecast_assets import keys
from scalecast_assets.alerting import book
from scalecast_assets.alerting.freshness import expect_fresh
from scalecast_assets.alerting.sensor import names_of
from scalecast_assets.assets.ingestion import demand_data
from tests.alert_listeners import HttpListener
from tests.factories_files import GOOD
from tests.graph.alert_shop import BAD, Shop
from tests.graph.command import ROOT, eventually

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")


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
    shop.execute("alter table warehouse.file_ledger rename column published_at to p")
    with pytest.raises(Exception, match="feed_stale: UndefinedColumn"):
        shop.tick()
    assert shop.heard() == ["File refused: raw/x.csv"]


def test_sensors_that_the_code_no_longer_has_are_not_asked_for(shop: Shop) -> None:
    assert names_of(shop.definitions.get_repository_def()) == ["alerts"]
    assert names_of(None) is None

"""Nobody touches anything: files are dropped beside `scalecast up`, and what should happen happens.

The bucket is an S3 endpoint that speaks HTTP; the files come from a client of somebody else's.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psycopg
import pytest

from scalecast_assets.monitoring.retraining import ask_on
from scalecast_assets.resources.embedded_postgres import read_running
from tests.graph.command import Shell, eventually, fetch
from tests.graph.small_retailer import LEARNABLE_DAYS, STORES, day_of, write_sales

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET, PREFIX = "strangers-write-here", "a shop"
PATIENCE = 900.0
"""Seconds for a file to come through on a machine that is busy with other things."""


@dataclass
class Up:
    """What is up, and the bucket that it looks at."""

    shell: Shell
    client: "S3Client"
    api: str

    def drop(self, key: str, path: Path) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{key}", Body=path.read_bytes())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(read_running(self.shell.home).warehouse_url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def states(self) -> dict[str, str]:
        return dict(self.query("select key, state from warehouse.file_ledger order by file_seq"))

    @property
    def state_until(self) -> str | None:
        key = f"{PREFIX}/serving/state.json"
        try:
            body = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return str(json.loads(body)["data_until"])

    def predicted(self, day: str) -> dict[str, Any]:
        status, reply = fetch(
            f"{self.api}/predict",
            {
                "date": day, "store_id": STORES[0], "product_id": "A",
                "price": 2.0, "promotion": False,
            },
        )  # fmt: skip
        return {"status": status, **(reply or {})}


@pytest.fixture(scope="module")
def up(shell: Shell, moto_endpoint: str) -> Iterator[Up]:
    """Up, over an empty bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=moto_endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    shell.more.update(
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_ENDPOINT_URL=moto_endpoint,
        AWS_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        SCALECAST_STORE_URL=f"s3://{BUCKET}/{PREFIX}",
    )
    quick = {"SCALECAST_SENSOR_SECONDS": "5", "SCALECAST_POLL_SECONDS": "0.5"}
    with shell.started("up", "--json", **quick) as running:
        facts = json.loads(running.line())
        yield Up(shell, client, facts["api"])
    client.close()


@pytest.fixture(scope="module")
def first(up: Up) -> str:
    """The last day of the first file, which was dropped and has come through."""
    days = range(LEARNABLE_DAYS)
    up.drop("raw/Süd été/first days.csv", write_sales(up.shell.folder / "first.csv", days))
    last = day_of(LEARNABLE_DAYS - 1)
    eventually(lambda: up.state_until == last, "the serving state has the file", PATIENCE)
    return last


@pytest.fixture(scope="module")
def trained(up: Up, first: str) -> str:
    """The version that is served, after somebody asked for a retraining."""
    warehouse = read_running(up.shell.home).warehouse_url
    with psycopg.connect(warehouse, autocommit=True) as connection:
        assert ask_on(connection, "person", "there is no model yet")

    def ended() -> bool:
        status = up.query("select status from dagster.runs where pipeline_name = 'retrain'")
        assert status in ([], [("NOT_STARTED",)], [("QUEUED",)], [("STARTING",)], [("STARTED",)],
                          [("SUCCESS",)])  # fmt: skip
        return status == [("SUCCESS",)]

    eventually(ended, "one retraining has ended well", 2 * PATIENCE)
    eventually(lambda: up.predicted(day_of(LEARNABLE_DAYS))["status"] == 200, "a model", 60)
    return str(up.predicted(day_of(LEARNABLE_DAYS))["model_version"])


def test_a_dropped_file_is_published_and_its_features_and_the_state_are_made(
    up: Up, first: str
) -> None:
    assert up.states() == {"raw/Süd été/first days.csv": "published"}
    assert up.query("select max(date)::text from features.demand_features") == [(first,)]


def test_a_request_to_retrain_is_taken_by_the_one_run_that_it_started(up: Up, trained: str) -> None:
    assert trained == "1.0.0"
    runs = up.query("select run_id from dagster.runs where pipeline_name = 'retrain'")
    assert up.query("select taken_by from ml.retrain_requests where cause = 'person'") == runs


def test_predict_sees_what_was_dropped_later(up: Up, trained: str) -> None:
    coming = day_of(LEARNABLE_DAYS + 3)
    before = up.predicted(coming)
    new_days = range(LEARNABLE_DAYS, LEARNABLE_DAYS + 3)
    up.drop("raw/next days.csv", write_sales(up.shell.folder / "next.csv", new_days))

    def sees_them() -> bool:
        after = up.predicted(coming)
        return bool(after["status"] == 200 and after != before)

    eventually(sees_them, "/predict rests on the new days", PATIENCE)
    assert up.states()["raw/next days.csv"] == "published"


def test_a_bad_file_is_quarantined_the_good_one_goes_on_and_the_corrected_one_clears(
    up: Up, trained: str
) -> None:
    good_day, bad_day = LEARNABLE_DAYS + 4, LEARNABLE_DAYS + 5
    bad = write_sales(up.shell.folder / "bad.csv", range(bad_day, bad_day + 1))
    right = bad.read_text()
    bad.write_text(right.replace(",40,", ",-40,").replace(",30,", ",-30,"))
    assert bad.read_text() != right
    good = write_sales(up.shell.folder / "good.csv", range(good_day, good_day + 1))
    up.drop("raw/bad.csv", bad)
    up.drop("raw/good.csv", good)
    eventually(
        lambda: (
            (up.states().get("raw/bad.csv"), up.states().get("raw/good.csv"))
            == ("refused", "published")
        ),
        "the bad one is refused and the good one published",
        PATIENCE,
    )
    listed = up.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/quarantine/")
    assert any("bad.csv" in entry["Key"] for entry in listed["Contents"])
    assert up.query(f"select * from warehouse.demand_data where date = '{day_of(bad_day)}'") == []

    bad.write_text(right)
    up.drop("raw/bad.csv", bad)
    last = day_of(bad_day)
    eventually(lambda: up.state_until == last, "the corrected one is served", PATIENCE)
    assert up.states()["raw/bad.csv"] == "published"


def test_status_says_who_looked_when(up: Up, trained: str) -> None:
    status = up.shell.scalecast("status", "--json").json
    looks = {tick["name"]: tick for tick in status["sensors"]}
    assert looks["new_raw_files"]["on"]
    assert "retrain_requests" in looks
    assert status["waiting"]["begun_in_vain"] == []
    assert "Sensor     new_raw_files, " in up.shell.scalecast("status").out

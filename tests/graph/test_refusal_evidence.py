"""What a refusal leaves for people: the check's metadata, the page in the store, what to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import psycopg
import pytest

from scalecast_assets.assets.ingestion import RawFormat, demand_data, raw_demand, raw_files
from scalecast_assets.checks.expectations import judge, raw_demand_suite
from scalecast_assets.contract.store import S3Store
from scalecast_assets.ingest.intake import Intake, take_in
from scalecast_assets.resources.object_store import ObjectStoreResource
from scalecast_assets.resources.warehouse import WarehouseResource
from tests.bad_files import BadFile, bad_files
from tests.factories_files import GOOD, Pipeline, csv_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Great Expectations and what it imports warn about things of their own.
pytestmark = pytest.mark.filterwarnings("default")

WHOLE_GRAPH = (
    "quantity-with-decimal-comma.csv",
    "column-twice.csv",
    "a-key-far-apart.csv",
    "cut-before-its-end.csv.gz",
    "bomb-of-one-line.csv.gz",
    "hostile-cells.csv",
)


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def run(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [raw_files, raw_demand, raw_demand_suite, demand_data],
        resources={
            "warehouse": WarehouseResource(url=pipeline.url),
            "store": ObjectStoreResource(url=pipeline.store.root.as_uri()),
            "raw_format": RawFormat(),
        },
        raise_on_error=False,
    )


def failed(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {e.check_name: e for e in result.get_asset_check_evaluations() if not e.passed}


def records(check: dg.AssetCheckEvaluation, name: str) -> list[dict[str, object]]:
    table = check.metadata[name]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_the_check_shows_counts_a_sample_and_the_way_to_the_page(pipeline: Pipeline) -> None:
    pipeline.put("raw/bad ü.csv", GOOD, *[f"2024-01-02,S{n},P,1,0,1" for n in range(30)])
    check = failed(run(pipeline))["price_is_positive"]
    assert check.metadata["unexpected"].value == 30
    assert len(records(check, "first_bad_lines")) == 20
    (refused,) = records(check, "refused_files")
    assert (refused["file"], refused["bad_lines"]) == ("raw/bad ü.csv", 30)
    page = check.metadata["explained_on"]
    assert isinstance(page, dg.PathMetadataValue)
    assert page.path == refused["page"]
    (key,) = [i.key for i in pipeline.store.list("quarantine/") if i.key.endswith(".html")]
    assert page.path == pipeline.store.url_of(key)
    assert "Prices of zero" in pipeline.store.get(key).body.decode()


@pytest.mark.parametrize(
    "file", [f for f in bad_files() if f.name in WHOLE_GRAPH], ids=lambda file: file.name
)
def test_a_bad_file_stops_the_whole_graph_and_its_correction_clears_it(
    pipeline: Pipeline, file: BadFile
) -> None:
    pipeline.put("raw/first.csv", "2023-12-01,S1,P1,5,9.99,true")
    assert run(pipeline).success
    before = pipeline.checksum()
    pipeline.store.put(f"raw/{file.name}", file.data)
    result = run(pipeline)
    assert not result.success
    assert set(failed(result)) == {rule for rule, _ in file.faults}
    assert pipeline.checksum() == before
    pipeline.store.put("raw/corrected.csv", csv_of(GOOD))
    result = run(pipeline)
    assert (result.success, failed(result)) == (True, {})
    assert len(pipeline.rows()) == 2


def test_on_s3_the_page_opens_in_a_browser(
    database_url: str, s3_client: "S3Client", s3_bucket: str
) -> None:
    store = S3Store(s3_client, s3_bucket, "home")
    store.put("raw/bad.csv", csv_of("x"))
    with psycopg.connect(database_url, autocommit=True) as conn:
        take_in(conn, store, Intake("run"), lambda message: None)
        verdict = judge(conn, store, WarehouseResource(url=database_url).sqlalchemy_url)
    (page,) = verdict.pages.values()
    folder = "home/quarantine/bad.csv-"
    assert page.startswith(f"s3://{s3_bucket}/{folder}")
    key = page.removeprefix(f"s3://{s3_bucket}/")
    held = s3_client.get_object(Bucket=s3_bucket, Key=key)
    assert held["ContentType"] == "text/html; charset=utf-8"
    assert b"This file was not loaded" in held["Body"].read()

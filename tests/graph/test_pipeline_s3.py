"""The pipeline on an S3 endpoint: raw files come from a bucket, everything made goes into it.

The first run's ONNX limit is set to nothing in the run's own process, so that a gate fails there as
it would in production; the second run is as shipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from scalecast_assets import keys
from scalecast_assets.contract.bundle import read_bundle, verify_files
from scalecast_assets.contract.store import S3Store
from tests import independent_leaderboard as independent
from tests.graph.command import Completed, Shell, eventually, fetch, free_port
from tests.graph.small_retailer import LEARNABLE_DAYS, STORES, day_of, write_sales

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


BUCKET, PREFIX = "shop-on-s3", "a prefix"
NO_ONNX_IS_SMALL_ENOUGH = """
import sys
if "scalecast_assets.commands.runner" in sys.orig_argv:
    from scalecast_assets.checks import gates
    gates.MAX_ONNX_BYTES = 0
"""


@dataclass(frozen=True)
class Cloud:
    """The bucket, and a shell whose store is there."""

    client: "S3Client"
    shell: Shell

    @property
    def keys(self) -> set[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {entry["Key"].removeprefix(f"{PREFIX}/") for entry in found}

    @property
    def store(self) -> S3Store:
        return S3Store(self.client, BUCKET, PREFIX)


@pytest.fixture(scope="module")
def cloud(shell: Shell, moto_endpoint: str) -> Iterator[Cloud]:
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
    yield Cloud(client, shell)
    client.close()


@pytest.fixture(scope="module")
def gate_failed(cloud: Cloud) -> Completed:
    """A run, told no file, after somebody put one into the bucket; its model is too large."""
    raw = write_sales(cloud.shell.folder / "dropped.csv", range(LEARNABLE_DAYS))
    cloud.client.put_object(
        Bucket=BUCKET, Key=f"{PREFIX}/raw/shop/dropped.csv", Body=raw.read_bytes()
    )
    site = cloud.shell.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(NO_ONNX_IS_SMALL_ENOUGH)
    answer = cloud.shell.scalecast("run", "--json", PYTHONPATH=str(site))
    assert "serving/model.json" not in cloud.keys
    assert not any(key.startswith("models/") for key in cloud.keys)
    return answer


@pytest.fixture(scope="module")
def promoted(cloud: Cloud, gate_failed: Completed) -> Completed:
    """The run after that, as shipped."""
    return cloud.shell.scalecast("run", "--json")


def test_a_file_that_was_dropped_into_the_bucket_is_found_and_published(
    gate_failed: Completed,
) -> None:
    (file,) = gate_failed.json["files"]
    assert (file["key"], file["state"]) == ("raw/shop/dropped.csv", "published")
    assert gate_failed.json["rows_published"] == file["rows"]


def test_a_failed_gate_fails_the_run_with_exit_code_1_and_its_name(
    gate_failed: Completed,
) -> None:
    assert gate_failed.code == 1, gate_failed.err
    (run,) = gate_failed.json["runs"]
    assert list(run["failed_checks"]) == ["model_comparison.onnx_is_at_most_100_mb"]
    assert "onnx_is_at_most_100_mb" in gate_failed.json["why"]
    assert gate_failed.json["promoted"] is False
    assert gate_failed.json["champion"] is None
    assert "onnx_is_at_most_100_mb" in gate_failed.err


def test_the_next_run_promotes(promoted: Completed, cloud: Cloud) -> None:
    assert promoted.code == 0, promoted.err
    assert promoted.json["promoted"] is True
    raw = cloud.shell.folder / "dropped.csv"
    board: list[Any] = promoted.json["leaderboard"]
    assert independent.differences(independent.leaderboard(raw, 14), board) == []


def test_everything_that_was_made_is_in_the_bucket(promoted: Completed, cloud: Cloud) -> None:
    manifest = read_bundle(cloud.store, "1.0.0").manifest
    verify_files(cloud.store, manifest)
    found = cloud.keys
    assert {"serving/model.json", "serving/state.json"} <= found
    assert f"training_sets/{manifest.training_set}/rows.parquet" in found
    for name in keys.CANDIDATES:
        assert f"candidates/{manifest.training_set}/{name}/model.onnx" in found
    sha256 = manifest.raw_files[0].sha256
    assert any(key.startswith("archive/") and sha256 in key for key in found)
    assert any(key.startswith("state/") for key in found)
    assert not (cloud.shell.home / "store").exists()


def test_the_sidecar_serves_from_the_bucket(promoted: Completed, cloud: Cloud) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    body = {
        "date": day_of(LEARNABLE_DAYS + 2), "store_id": STORES[1], "product_id": "D",
        "price": 5.0, "promotion": False,
    }  # fmt: skip
    with cloud.shell.started("serve", SCALECAST_API_PORT=str(port)):
        eventually(
            lambda: fetch(f"{url}/health")[1] == {"status": "healthy", "model_loaded": True},
            "the model is loaded",
        )
        status, reply = fetch(f"{url}/predict", body)
    assert status == 200, reply
    assert reply["prediction"] > 0
    assert reply["source"] == "model"

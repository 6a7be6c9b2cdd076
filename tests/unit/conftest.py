"""What unit tests share: both kinds of object store, empty, and the makings of a bundle."""

from pathlib import Path
from typing import Any

import pytest

from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.store import DirectoryStore, ObjectStore, S3Store


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty object store: each test that asks for it runs on a directory and on S3."""
    if request.param == "directory":
        return DirectoryStore(tmp_path / "an object store")
    client, bucket = (request.getfixturevalue(name) for name in ("s3_client", "s3_bucket"))
    return S3Store(client, bucket, "a prefix/ünd mehr")


@pytest.fixture
def bundle_files() -> dict[str, bytes]:
    """The files of a bundle; the graph is no real one, and nothing here opens it."""
    return {
        "model.onnx": b"an ONNX graph",
        "encoders.json": Encoders({"STORE_001": 1, "0012": 2}, {"PROD_A": 1}).to_bytes(),
        "report.html": b"<p>report</p>",
        "demand_model.pkl": b"\x80\x04K\x01.",
    }


@pytest.fixture
def manifest_fields() -> dict[str, Any]:
    """What a publisher has to tell about a model."""
    return {
        "candidate": "xgboost",
        "features": FEATURES,
        "contract_hash": feature_contract_hash("store"),
        "calendar": "store",
        "training_set": "ab" * 32,
        "raw_files": [{"key": "raw/sales März.csv", "sha256": "cd" * 32, "rows": 1200}],
        "scored_fit_cutoff": "2024-02-29",
        "fit_cutoff": "2024-03-14",
        "horizon_days": 14,
        "params": {"family": "xgboost", "max_depth": 6, "rounds": 120, "eta": 0.1},
        "leaderboard": [
            {"name": "xgboost", "mae": 1.25, "mape": None},
            {"name": "naive_baseline", "mae": 2, "mape": 0.5},
        ],
        "libraries": {"xgboost": "3.2.0"},
        "git_commit": None,
        "run_id": "5f0c",
    }

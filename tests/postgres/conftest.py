"""Homes for an embedded Postgres."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.resources.postgres_cluster import Cluster


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every account can enter; pytest's own are closed to Postgres' account."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast-pg-"))
    folder.chmod(0o755)
    yield folder
    for data in folder.rglob("data"):
        Cluster(data.parent).stop()
    shutil.rmtree(folder)


@pytest.fixture
def home(place: Path) -> Path:
    return place / "home"

"""The stage on which faults are played, shared by all tests of a process."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.resources.embedded_postgres import PostgresServer
from tests.faults.place import Place
from tests.faults.stage import Stage


@pytest.fixture(scope="session")
def stage(postgres_server: PostgresServer) -> Iterator[Stage]:
    """One place, with a space in its path, and the states that it can be put in."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast faults "))
    folder.chmod(0o755)
    place = Place(postgres_server, folder)
    place.create()
    yield Stage(place)
    shutil.rmtree(folder, ignore_errors=True)

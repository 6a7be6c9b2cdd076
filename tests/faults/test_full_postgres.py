"""Postgres' own disk is full within a run: it says so, and with room again all is made good.

The data folder is on a disk of its own. Postgres stops a statement that finds no room for rows, and
itself when it finds none for its log; it is started again as every command does.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.disk import fill, may_mount, small_disk
from tests.faults.own_postgres import Server
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import NEW_FEATURES, TWO_FILES, Scene

# Dagster warns about things of its own.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow_faults, may_mount]

BEFORE_THE_COPY = At("scalecast_assets.ingest.intake:_land", call=2)
BEFORE_THE_MERGE = At("scalecast_assets.ingest.publish:merge_file", call=2)
BEFORE_DBT = At("scalecast_assets.assets.dbt:read_backlog", "after")
LITTLE_LOG = {"min_wal_size": "32MB", "max_wal_size": "64MB"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="scalecast faults ") as folder:
        Path(folder).chmod(0o755)
        with small_disk(Path(folder) / "postgres", megabytes=500):
            server = Server(Path(folder), **LITTLE_LOG)
            yield server
            server.stop()


@pytest.mark.parametrize(
    ("scene", "moment"),
    [
        pytest.param(TWO_FILES, BEFORE_THE_COPY, id="landing"),
        pytest.param(TWO_FILES, BEFORE_THE_MERGE, id="publishing"),
        pytest.param(NEW_FEATURES, BEFORE_DBT, id="in dbt"),
    ],
)
def test_a_run_whose_database_has_no_room_says_so_and_the_next_makes_it_good(
    server: Server, scene: Scene, moment: At
) -> None:
    stage = server.stage
    undisturbed = stage.undisturbed(scene)
    place = server.set_up(scene)
    run = place.begin(scene.work, Disturbance(held=moment))
    run.wait_until_held()
    filler = fill(server.folder)
    run.go_on()
    assert run.wait() != 0
    filler.unlink()
    server.start()
    told = run.said + str(place.query("select event from dagster.event_logs"))
    assert "No space left on device" in told
    assert stage.after_the_fault(scene) == undisturbed

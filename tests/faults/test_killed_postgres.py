"""``kill -9`` of Postgres under a run: what was committed is there, and the rest is done again.

The server is one of its own, as the home's embedded one is, and syncs its disk. After a crash the
unlogged partitions of landing are empty; files are landed again from the archive.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.own_postgres import Server
from tests.faults.place import Place
from tests.faults.run_process import At, Disturbance
from tests.faults.stage import NEW_FEATURES, TWO_FILES, Scene

# Dagster warns about things of its own.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow_faults]

IN_THE_COPY = At("psycopg:Copy.write", "after")
VALIDATED = At("scalecast_assets.checks.expectations:judge", "after")
MERGED = At("scalecast_assets.ingest.publish:Publication", "after")
IN_DBT = At("scalecast_assets.assets.dbt:_with_evidence", about="'demand_calendar'")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="scalecast faults ") as folder:
        Path(folder).chmod(0o755)
        server = Server(Path(folder))
        yield server
        server.stop()


@pytest.mark.parametrize(
    ("scene", "moment"),
    [
        pytest.param(TWO_FILES, IN_THE_COPY, id="inside the copy"),
        pytest.param(TWO_FILES, VALIDATED, id="validated and not published"),
        pytest.param(TWO_FILES, MERGED, id="merged and not committed"),
        pytest.param(NEW_FEATURES, IN_DBT, id="in dbt"),
    ],
)
def test_a_server_that_is_killed_under_a_run_loses_nothing(
    server: Server, scene: Scene, moment: At
) -> None:
    stage = server.stage
    undisturbed = stage.undisturbed(scene)
    place = server.set_up(scene)
    run = place.begin(scene.work, Disturbance(held=moment))
    run.wait_until_held()
    server.kill()
    run.go_on()
    assert run.wait() != 0
    server.start()
    assert stage.after_the_fault(scene) == undisturbed


def backend_in_copy(place: Place) -> int:
    found = place.query("select pid from pg_stat_activity where query ilike 'copy%%demand_rows%%'")
    return int(found[0][0])


def test_a_backend_that_is_killed_restarts_the_server_and_loses_nothing(server: Server) -> None:
    stage = server.stage
    undisturbed = stage.undisturbed(TWO_FILES)
    place = server.set_up(TWO_FILES)
    run = place.begin(TWO_FILES.work, Disturbance(held=IN_THE_COPY))
    run.wait_until_held()
    psutil.Process(backend_in_copy(place)).kill()
    run.go_on()
    assert run.wait() != 0
    server.start()
    assert stage.after_the_fault(TWO_FILES) == undisturbed


def test_a_connection_that_is_ended_fails_its_run_and_loses_nothing(server: Server) -> None:
    stage = server.stage
    undisturbed = stage.undisturbed(TWO_FILES)
    place = server.set_up(TWO_FILES)
    run = place.begin(TWO_FILES.work, Disturbance(held=IN_THE_COPY))
    run.wait_until_held()
    place.query(f"select pg_terminate_backend({backend_in_copy(place)})")
    run.go_on()
    assert run.wait() == 1
    assert stage.after_the_fault(TWO_FILES) == undisturbed

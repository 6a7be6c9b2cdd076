"""What whole-graph tests share: homes to run the command in, and a world that was run once."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.graph.alert_shop import Shop
from tests.graph.command import Shell
from tests.graph.small_retailer import LEARNABLE_DAYS, SMALL_BUDGETS, SMALL_TUNING, write_sales
from tests.graph.world import World, copy_of, drop_database, remembering


@pytest.fixture(scope="module")
def shell() -> Iterator[Shell]:
    """A folder to work in and an empty home, with a space in its path."""
    folder = Path(tempfile.mkdtemp(prefix="scalecast graph "))
    folder.chmod(0o755)
    budgets = {"SCALECAST_FIT_ROWS": SMALL_BUDGETS, "SCALECAST_TUNE_ROWS": SMALL_TUNING}
    yield Shell(folder / "home", folder, budgets)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def materialized_all(
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[World, dg.ExecuteInProcessResult]]:
    """A world in which "Materialize all" was run on a waiting file, and that run's result."""
    name = "world_finished"
    create_database(postgres_server, name, template=template_database)
    home = tmp_path_factory.mktemp("finished world")
    raw = write_sales(tmp_path_factory.mktemp("raw") / "first.csv", range(LEARNABLE_DAYS))
    DirectoryStore(home / "store").upload(raw, "raw/first.csv")
    with remembering(home) as instance:
        world = World(home, name, postgres_server.url(name), instance)
        with warnings.catch_warnings():
            # Dagster's packages warn of their own, and any test may be the first to come here.
            warnings.simplefilter("default")
            result = world.run()
        yield world, result
    drop_database(postgres_server, name)


@pytest.fixture(scope="session")
def finished(materialized_all: tuple[World, dg.ExecuteInProcessResult]) -> World:
    """The finished world; never to be altered."""
    world, result = materialized_all
    assert result.success
    return world


@pytest.fixture
def world(finished: World, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[World]:
    """A copy of the finished world, to be altered at will."""
    with copy_of(finished, postgres_server, tmp_path) as copy:
        yield copy


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Shop]:
    """A shop of its own Dagster instance, database and store, with listeners for its alerts."""
    with dg.instance_for_test() as instance, Shop(database_url, tmp_path, instance).open() as shop:
        yield shop

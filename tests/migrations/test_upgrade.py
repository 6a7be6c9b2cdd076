"""A database of any released schema becomes this code's, with its rows; a newer one is refused."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import sql

from scalecast_assets.ingest.schema import Connection, ensure_schema
from scalecast_assets.migrations.upgrade import HEAD, SchemaTooNew, alembic_config, read_version
from scalecast_assets.resources.embedded_postgres import PostgresServer
from scalecast_assets.resources.postgres_cluster import create_database
from tests.graph.command import Shell
from tests.migrations.record import FOLDER, ROWS, dump

RELEASED = sorted(FOLDER.glob("released_*.sql"))
NAMES = [path.stem for path in RELEASED]


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    create_database(postgres_server, name)
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def empty(empty_url: str) -> Iterator[Connection]:
    with psycopg.connect(empty_url, autocommit=True) as connection:
        yield connection


def restored(connection: Connection, path: Path) -> None:
    connection.execute(path.read_text(encoding="utf-8").encode())
    connection.execute("set search_path to default")


def ddl(text: str) -> list[str]:
    """What makes tables; not their rows, nor how far their counters are."""
    data = ("INSERT", "SELECT pg_catalog.setval")
    return [line for line in text.splitlines() if not line.startswith(data)]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("INSERT")]


def is_kept(row: str, after: list[str]) -> bool:
    """Tell whether the row is there, perhaps with more columns at its end."""
    values = row.removesuffix(");")
    return any(one == row or one.startswith(f"{values}, ") for one in after)


def test_there_is_a_record_of_every_released_schema() -> None:
    released = [revision.revision for revision in _script().walk_revisions()]
    assert {f"released_{number}" for number in released} | {"released_without_number"} == set(NAMES)


def test_the_code_names_the_newest_version_and_they_are_one_line() -> None:
    numbers = [revision.revision for revision in reversed(list(_script().walk_revisions()))]
    assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)]
    assert _script().get_heads() == [HEAD]


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())


@pytest.mark.parametrize("path", RELEASED, ids=NAMES)
def test_every_released_schema_becomes_that_of_a_new_database_and_keeps_its_rows(
    path: Path, empty: Connection, empty_url: str, database_url: str
) -> None:
    restored(empty, path)
    before = rows(dump(empty_url))
    assert len(before) >= ROWS.count("insert into")
    ensure_schema(empty)
    assert read_version(empty) == HEAD
    after = dump(empty_url)
    number = path.stem.removeprefix("released_")
    lost = [row for row in before if not is_kept(row, rows(after))]
    assert lost in ([], [f"INSERT INTO warehouse.schema_version VALUES ('{number}');"])
    assert ddl(after) == ddl(dump(database_url))


def test_a_database_of_before_that_has_only_some_tables_gets_the_others(
    empty: Connection, empty_url: str, database_url: str
) -> None:
    restored(empty, FOLDER / "released_without_number.sql")
    empty.execute(
        "drop table ml.alerts, ml.alert_deliveries, ml.forecasts, ml.retrain_requests;"
        " drop table ml.drift, ml.forecast_days cascade"
    )
    ensure_schema(empty)
    assert ddl(dump(empty_url)) == ddl(dump(database_url))
    assert empty.execute("select quantity_sold from warehouse.demand_data").fetchall() == [(3.5,)]


def test_of_many_at_once_one_upgrades_and_the_others_wait(empty_url: str) -> None:
    def upgrade(_: int) -> str | None:
        with psycopg.connect(empty_url) as connection:
            ensure_schema(connection)
            return read_version(connection)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(upgrade, range(8))) == {HEAD}


def test_an_upgrade_that_fails_leaves_everything_as_it_was(
    empty: Connection, empty_url: str
) -> None:
    restored(empty, FOLDER / "released_without_number.sql")
    empty.execute("alter table ml.retrain_requests rename column cause to because")
    before = dump(empty_url)
    with pytest.raises(Exception, match='column "cause" does not exist'):
        ensure_schema(empty)
    assert dump(empty_url) == before


def test_a_newer_database_is_refused_with_what_to_do_and_left_alone(
    database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("update warehouse.schema_version set version_num = '9999'")
        with pytest.raises(SchemaTooNew, match="has schema 9999, made by a newer ScaleCast"):
            ensure_schema(connection)
    shell = Shell(tmp_path / "home", tmp_path, {"SCALECAST_DATABASE_URL": database_url})
    answer = shell.scalecast("status")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("scalecast: The database has schema 9999")
    assert "make install" in answer.err
    assert "scalecast restore" in answer.err

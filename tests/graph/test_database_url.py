"""Database URLs as users write them: what works for all, and what is refused in one line."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi
import psycopg
import pytest
import sqlalchemy

from scalecast_assets.assets.dbt_manifest import DBT_PROJECT
from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres, PostgresServer
from scalecast_assets.resources.postgres_address import PATIENCE
from scalecast_assets.resources.warehouse import WarehouseResource
from scalecast_assets.runtime import running
from scalecast_assets.settings import Settings, SettingsError, variable
from tests.graph.command import SCALECAST, Completed, Shell


@pytest.fixture(scope="module")
def on_a_socket() -> Iterator[tuple[PostgresServer, Path]]:
    """A server that listens on a Unix socket besides, and the socket's folder."""
    home = Path(tempfile.mkdtemp(prefix="scalecast-socket-"))
    home.chmod(0o755)
    folder = home / "s"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    quick = {"fsync": "off", "shared_buffers": "128MB", "unix_socket_directories": str(folder)}
    with EmbeddedPostgres(home, settings=quick) as server:
        yield server, folder
    shutil.rmtree(home, ignore_errors=True)


def dbt_debug(folder: Path, environment: dict[str, str]) -> Completed:
    places = ["--project-dir", DBT_PROJECT, "--profiles-dir", DBT_PROJECT, "--log-path", folder]
    command = [SCALECAST.with_name("dbt"), "debug", "--connection", *places]
    return Shell(folder, folder, environment).command(*map(str, command))


def test_a_unix_socket_is_reached_by_everything_that_connects(
    on_a_socket: tuple[PostgresServer, Path], tmp_path: Path
) -> None:
    server, folder = on_a_socket
    url = f"postgres://{server.user}:{server.password}@/scalecast?host={folder}&port={server.port}"
    with running(Settings(home=tmp_path, database_url=url)) as runtime:
        warehouse = WarehouseResource(url=runtime.database_url)
        address = "select inet_server_addr()::text"
        with warehouse.connect() as connection:
            assert connection.execute(address).fetchone() == (None,)
        for engine_url in (warehouse.sqlalchemy_url, runtime.dagster_database_url):
            engine = sqlalchemy.create_engine(engine_url)
            with engine.connect() as alchemy:
                assert alchemy.execute(sqlalchemy.text(address)).scalar_one() is None
            engine.dispose()
        with (
            adbc_driver_postgresql.dbapi.connect(warehouse.url) as adbc,
            adbc.cursor() as cursor,
        ):
            cursor.execute(address)
            assert cursor.fetchone() == (None,)
        asked = dbt_debug(tmp_path, runtime.environment)
    assert asked.code == 0, asked.out
    assert "OK connection ok" in asked.out


def test_dbt_is_told_of_the_encryption_that_is_asked_for(postgres_url: str, tmp_path: Path) -> None:
    with running(Settings(home=tmp_path, database_url=f"{postgres_url}?sslmode=prefer")) as runtime:
        prefers = runtime.environment
    requires = prefers | {"SCALECAST_PG_SSLMODE": "require"}
    assert prefers["SCALECAST_PG_SSLMODE"] == "prefer"
    refused = dbt_debug(tmp_path, requires)
    assert refused.code != 0
    assert "server does not support SSL" in refused.out


def test_schemes_of_other_libraries_are_taken_for_both_databases(
    database_url: str, tmp_path: Path
) -> None:
    place = database_url.removeprefix("postgresql")
    for scheme in ("postgres", "postgresql+psycopg2"):
        url = f"{scheme}{place}"
        settings = Settings(home=tmp_path, database_url=url, dagster_database_url=url)
        with running(settings) as runtime, psycopg.connect(runtime.database_url):
            engine = sqlalchemy.create_engine(runtime.dagster_database_url)
            with engine.connect() as connection:
                assert connection.scalar(sqlalchemy.text("select 1")) == 1
            engine.dispose()


def test_every_connection_gives_up_a_network_that_is_gone_unless_the_url_says_otherwise(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c geqo=off")
    place = f"{database_url}?keepalives_idle=7"
    patience = PATIENCE | {"keepalives_idle": "7"}
    with running(Settings(home=tmp_path, database_url=place)) as runtime:
        warehouse = WarehouseResource(url=runtime.database_url)
        with warehouse.connect() as connection:
            assert patience.items() <= connection.info.get_parameters().items()
            assert connection.execute("show tcp_keepalives_idle").fetchone() == ("30",)
            assert connection.execute("show geqo").fetchone() == ("off",), "what a user has set"
        for url in (warehouse.sqlalchemy_url, runtime.dagster_database_url):
            engine = sqlalchemy.create_engine(url)
            with engine.connect() as alchemy:
                driver: Any = alchemy.connection.dbapi_connection
                assert patience.items() <= driver.get_dsn_parameters().items()
            engine.dispose()
        assert runtime.environment["SCALECAST_PG_KEEPALIVES_IDLE"] == "7"
    profile = (DBT_PROJECT / "profiles.yml").read_text(encoding="utf-8")
    assert "keepalives_idle: \"{{ (env_var('SCALECAST_PG_KEEPALIVES_IDLE', '')" in profile


@pytest.mark.parametrize("field", ["database_url", "dagster_database_url"])
@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda url: url.replace("@", "x@"), "password authentication failed"),
        (lambda url: f"{url}_missing", "does not exist"),
        (lambda url: f"{url}?sslmode=bogus", "sslmode"),
        (lambda url: f"{url}?connect_timeout=soon", "connect_timeout"),
        (lambda url: "postgresql://u:sesame@127.0.0.1:1/db", "127.0.0.1:1/db"),
    ],
    ids=["wrong password", "missing database", "bad option", "bad number", "no server"],
)
def test_a_database_that_cannot_be_used_is_one_line_that_names_the_setting(
    postgres_server: PostgresServer,
    tmp_path: Path,
    field: str,
    alter: Callable[[str], str],
    words: str,
) -> None:
    good = postgres_server.warehouse_url
    urls = {"database_url": good, field: alter(good)}
    settings = Settings(home=tmp_path).model_copy(update=urls)
    with pytest.raises(SettingsError) as error, running(settings):
        raise AssertionError("nothing can run")
    said = str(error.value)
    assert said.startswith(f"{variable(field)}: the Postgres at ")
    assert "\n" not in said
    assert words in said
    assert postgres_server.password not in said
    assert "sesame" not in said


def test_the_command_says_so_in_one_line_with_the_exit_code_of_wrong_usage(
    postgres_url: str, tmp_path: Path
) -> None:
    url = f"{postgres_url}_missing".replace("postgresql://", "postgresql+psycopg2://")
    answer = Shell(tmp_path / "home", tmp_path).scalecast("status", SCALECAST_DATABASE_URL=url)
    assert answer.code == 2, answer.err
    assert answer.err.startswith("scalecast: SCALECAST_DATABASE_URL: the Postgres at ")
    assert answer.err.count("\n") == 1

"""What must be up before Dagster may load: Postgres, schemas, DAGSTER_HOME, the environment.

``running(settings)`` is entered by every command; child processes (webserver, daemon, dbt, the
sidecar) inherit the environment it sets and never start a Postgres of their own. Which processes
``scalecast up`` starts is in ``services.py``.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import psycopg

from scalecast_assets.settings import PROJECT_ROOT, Settings, SettingsError, variable

TELEMETRY_OFF: Final = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Runtime:
    """Where everything is, now that it is up."""

    settings: Settings
    database_url: str
    dagster_database_url: str
    dagster_home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which child processes and hand-run tools find the same parts."""
        parts = urlsplit(self.database_url)
        return {
            **TELEMETRY_OFF,
            "DAGSTER_HOME": str(self.dagster_home),
            variable("home"): str(self.settings.home),
            variable("store_url"): self.settings.resolved_store_url,
            variable("calendar"): self.settings.calendar,
            variable("day_final_hour"): str(self.settings.day_final_hour),
            variable("database_url"): self.database_url,
            variable("dagster_database_url"): self.dagster_database_url,
            "SCALECAST_PG_HOST": parts.hostname or "127.0.0.1",
            "SCALECAST_PG_PORT": str(parts.port or 5432),
            "SCALECAST_PG_USER": unquote(parts.username or ""),
            "SCALECAST_PG_PASSWORD": unquote(parts.password or ""),
            "SCALECAST_PG_DATABASE": unquote(parts.path.lstrip("/")),
            # Great Expectations and dbt colour their logs; our terminal does not show them.
            "NO_COLOR": "1",
        }


@contextmanager
def running(settings: Settings) -> Iterator[Runtime]:
    """Have Postgres and the schemas up and the environment set, for as long as the block lasts.

    An embedded Postgres is started, or joined if a process of the same home runs it already; the
    last one to leave stops it.

    Raises:
        SettingsError: the database named by the settings cannot be reached.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _database(settings) as database_url:
        _prepare_database(database_url, settings)
        runtime = Runtime(
            settings=settings,
            database_url=database_url,
            dagster_database_url=settings.dagster_database_url or in_schema(database_url),
            dagster_home=_dagster_home(settings),
        )
        before = dict(os.environ)
        os.environ.update(runtime.environment)
        try:
            yield runtime
        finally:
            _restore(before)


def attached(settings: Settings) -> Runtime:
    """Describe a runtime that another process keeps up, without starting anything.

    Raises:
        SettingsError: nothing runs in this home.
    """
    database_url = settings.database_url
    if database_url is None:
        from scalecast_assets.resources.embedded_postgres import read_running

        database_url = read_running(settings.home).warehouse_url
    return Runtime(
        settings=settings,
        database_url=database_url,
        dagster_database_url=settings.dagster_database_url or in_schema(database_url),
        dagster_home=_dagster_home(settings),
    )


def in_schema(url: str, schema: str = "dagster") -> str:
    """Point a Postgres URL at a schema of its own, for SQLAlchemy's psycopg2 driver."""
    parts = urlsplit(url)
    query = urlencode(
        [*parse_qsl(parts.query), ("options", f"-csearch_path={schema}")], quote_via=quote
    )
    return urlunsplit(("postgresql+psycopg2", parts.netloc, parts.path, query, ""))


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres

    with EmbeddedPostgres(settings.home) as postgres:
        yield postgres.warehouse_url


def _prepare_database(url: str, settings: Settings) -> None:
    from scalecast_assets.ingest.schema import ensure_schema

    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            ensure_schema(connection)
            if settings.dagster_database_url is None:
                connection.execute("create schema if not exists dagster")
    except psycopg.OperationalError as error:
        where = urlsplit(url)
        raise SettingsError(
            f"{variable('database_url')}: no Postgres answers at {where.hostname}:"
            f"{where.port or 5432}{where.path} ({str(error).strip()}). Start it, or unset the "
            "variable to use the embedded one"
        ) from None


def _dagster_home(settings: Settings) -> Path:
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    wanted = PROJECT_ROOT / "dagster.yaml"
    present = home / "dagster.yaml"
    if not present.exists() or present.read_bytes() != wanted.read_bytes():
        shutil.copyfile(wanted, present)
    return home


def _restore(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)

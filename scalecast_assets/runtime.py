"""What must be up before Dagster may load: Postgres, schemas, DAGSTER_HOME, the environment.

``running(settings)`` is entered by every command; child processes (webserver, daemon, dbt, the
sidecar) inherit the environment it sets and never start a Postgres of their own. Which processes
``scalecast up`` starts is in ``services.py``.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import yaml  # type: ignore[import-untyped]

from scalecast_assets.resources.postgres_address import (
    HANDED_ON,
    PATIENCE,
    PSYCOPG2,
    SERVERS_PATIENCE,
    PostgresAddress,
)
from scalecast_assets.settings import PROJECT_ROOT, Settings, SettingsError, variable

if TYPE_CHECKING:
    from scalecast_assets.ingest.schema import Connection

TELEMETRY_OFF: Final = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}

LOGS_PREFIX: Final = "logs/dagster"
"""Where in the bucket the output of steps is kept."""

DAGSTER_SCHEMA: Final = "dagster"
"""Of the warehouse's database, for Dagster's own storage if no other database is named."""


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
        warehouse = PostgresAddress.parse(self.database_url)
        options = {f"SCALECAST_PG_{o.upper()}": warehouse.options.get(o, "") for o in HANDED_ON}
        return {
            **TELEMETRY_OFF,
            "DAGSTER_HOME": str(self.dagster_home),
            variable("home"): str(self.settings.home),
            variable("store_url"): self.settings.resolved_store_url,
            variable("calendar"): self.settings.calendar,
            variable("day_final_hour"): str(self.settings.day_final_hour),
            variable("database_url"): self.database_url,
            variable("dagster_database_url"): self.dagster_database_url,
            "SCALECAST_PG_HOST": warehouse.host,
            "SCALECAST_PG_PORT": str(warehouse.port),
            "SCALECAST_PG_USER": warehouse.user,
            "SCALECAST_PG_PASSWORD": warehouse.password,
            "SCALECAST_PG_DATABASE": warehouse.database,
            **options,
            "PGOPTIONS": _with_patience(os.environ.get("PGOPTIONS", "")),
            # Great Expectations and dbt colour their logs; our terminal does not show them.
            "NO_COLOR": "1",
        }


def _with_patience(options: str) -> str:
    """What somebody else has set there stays, and goes before ours."""
    return options if SERVERS_PATIENCE in options else f"{SERVERS_PATIENCE} {options}".strip()


@contextmanager
def running(settings: Settings, *, prepare: bool = True) -> Iterator[Runtime]:
    """Have Postgres and the schemas up and the environment set, for as long as the block lasts.

    Without ``prepare`` the schemas are left as they are: a restore makes them.

    An embedded Postgres is started, or joined if a process of the same home runs it already; the
    last one to leave stops it.

    Raises:
        SettingsError: a database named by the settings cannot be used.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with _database(settings) as address:
        runtime = _runtime(settings, address)
        if prepare:
            prepare_databases(settings, address)
        before = dict(os.environ)
        # Our own console is coloured where it is a terminal.
        os.environ.update({n: v for n, v in runtime.environment.items() if n != "NO_COLOR"})
        try:
            yield runtime
        finally:
            _restore(before)


def attached(settings: Settings) -> Runtime:
    """Describe a runtime that another process keeps up, without starting anything.

    Raises:
        SettingsError: a database named by the settings cannot be used.
        EmbeddedPostgresError: none is named, and none runs in this home.
    """
    address = _named(settings, "database_url")
    if address is None:
        from scalecast_assets.resources.embedded_postgres import read_running

        address = PostgresAddress.parse(read_running(settings.home).warehouse_url)
    return _runtime(settings, address)


def _runtime(settings: Settings, warehouse: PostgresAddress) -> Runtime:
    warehouse = warehouse.patient()
    storage = _named(settings, "dagster_database_url")
    in_schema = {"options": f"-csearch_path={DAGSTER_SCHEMA}"}
    return Runtime(
        settings=settings,
        database_url=warehouse.url(),
        dagster_database_url=(
            storage.patient().url(PSYCOPG2) if storage else warehouse.url(PSYCOPG2, **in_schema)
        ),
        dagster_home=_dagster_home(settings),
    )


def _named(settings: Settings, field: str) -> PostgresAddress | None:
    """The database that a setting names, if it names one."""
    url = getattr(settings, field)
    if url is None:
        return None
    # Only SQLAlchemy reads Dagster's own, and it can be told a search path.
    options = (*HANDED_ON, *PATIENCE, *(["options"] if field != "database_url" else []))
    try:
        return PostgresAddress.parse(url, options)
    except ValueError as error:
        raise SettingsError(f"{variable(field)}: {error}") from None


@contextmanager
def _database(settings: Settings) -> Iterator[PostgresAddress]:
    address = _named(settings, "database_url")
    if address is not None:
        yield address
        return
    from scalecast_assets.resources.embedded_postgres import EmbeddedPostgres

    with EmbeddedPostgres(settings.home) as postgres:
        yield PostgresAddress.parse(postgres.warehouse_url)


def prepare_databases(settings: Settings, warehouse: PostgresAddress) -> None:
    """Bring the schemas up to date, and see that Dagster's own database answers if one is named."""
    from scalecast_assets.ingest.schema import ensure_schema

    storage = _named(settings, "dagster_database_url")
    with _connected(warehouse, "database_url") as connection:
        ensure_schema(connection)
        if storage is None:
            connection.execute(f"create schema if not exists {DAGSTER_SCHEMA}".encode())
    if storage is not None:
        with _connected(storage, "dagster_database_url") as connection:
            connection.execute("select 1")


@contextmanager
def _connected(address: PostgresAddress, field: str) -> Iterator["Connection"]:
    """A connection; whatever is wrong with it is put into one line that names the setting."""
    try:
        with psycopg.connect(address.patient().url()) as connection:
            yield connection
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        if address.password:
            said = said.replace(address.password, "…")
        raise SettingsError(
            f"{variable(field)}: the Postgres at {address} cannot be used ({said}). Start it, or "
            "correct the variable or unset it"
        ) from None


def _dagster_home(settings: Settings) -> Path:
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    wanted = instance_config(settings)
    present = home / "dagster.yaml"
    if not present.exists() or present.read_text(encoding="utf-8") != wanted:
        # Never half of it: a process that starts meanwhile reads it, too.
        being_written = home / f"dagster.yaml.{os.getpid()}"
        being_written.write_text(wanted, encoding="utf-8")
        being_written.replace(present)
    return home


def instance_config(settings: Settings) -> str:
    """Return ``dagster.yaml`` for these settings.

    With a bucket, what steps print goes there too: the webserver of another machine could not show
    it otherwise. Then comes what the user adds, and takes the place of sections of the same name.

    Raises:
        SettingsError: the user's file cannot be read as sections.
    """
    text = (PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8")
    sections = _bucket_logs(settings) | _added_sections(settings.dagster_config)
    if not sections:
        return text
    return str(yaml.safe_dump(yaml.safe_load(text) | sections, sort_keys=False))


def _added_sections(file: Path | None) -> dict[str, Any]:
    """What ``SCALECAST_DAGSTER_CONFIG`` names."""
    if file is None:
        return {}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{variable('dagster_config')}: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(
            f"{variable('dagster_config')}: {file} must hold sections of Dagster's instance "
            f"configuration, like `run_launcher:`, and holds {type(found).__name__}"
        )
    return found


def _bucket_logs(settings: Settings) -> dict[str, Any]:
    """The section of a bucket that keeps what steps print; nothing without a bucket."""
    scheme, _, place = settings.resolved_store_url.partition("://")
    if scheme != "s3":
        return {}
    bucket, _, prefix = place.partition("/")
    config = {
        "bucket": bucket,
        "prefix": "/".join(filter(None, (prefix.strip("/"), LOGS_PREFIX))),
        "local_dir": str(settings.home / "dagster" / "compute_logs"),
        "skip_empty_files": True,
        "upload_interval": 30,
    }
    for name, *variables in (
        ("endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        ("region", "AWS_REGION", "AWS_DEFAULT_REGION"),
    ):
        if given := next(filter(None, map(os.environ.get, variables)), None):
            config[name] = given
    return {
        "compute_logs": {
            "module": "dagster_aws.s3.compute_log_manager",
            "class": "S3ComputeLogManager",
            "config": config,
        }
    }


def _restore(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)

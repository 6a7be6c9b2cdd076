"""Bringing a database to the schema of this code; whoever comes first does it, the others wait."""

import re
from pathlib import Path
from typing import Any, Final

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

HEAD: Final = "0001"
"""The newest schema this code knows, and the one it needs."""

VERSION_TABLE: Final = "schema_version"
VERSION_SCHEMA: Final = "warehouse"
SCHEMA_LOCK: Final = "scalecast.schema"

_FOLDER: Final = Path(__file__).parent
_NUMBER: Final = re.compile(r"\d{4}")


class SchemaTooNew(RuntimeError):
    """The database was used by a newer ScaleCast; this one would not understand it."""


def read_version(conn: Connection) -> str | None:
    """Return the schema's number; ``None`` before the first one, or before schemas had numbers."""
    with conn.transaction():
        found = conn.execute("select to_regclass('warehouse.schema_version')").fetchone()
        if found is None or found[0] is None:
            return None
        row = conn.execute("select version_num from warehouse.schema_version").fetchone()
    return str(row[0]) if row else None


def ensure_current(conn: Connection) -> None:
    """Upgrade the database if it is of an older schema; safe to call from several processes.

    Raises:
        SchemaTooNew: it is of a newer one.
    """
    if _is_current(conn):
        return
    # A connection of its own: the caller's may have settings and adapters that must stay.
    with psycopg.connect(conn.info.dsn, password=conn.info.password, autocommit=True) as lock:
        lock.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (SCHEMA_LOCK,))
        if not _is_current(lock):
            _upgrade(conn)


def _is_current(conn: Connection) -> bool:
    found = read_version(conn)
    if found is not None:
        check_known(found, "The database")
    return found == HEAD


def check_known(version: str, whose: str) -> None:
    """Raise ``SchemaTooNew`` unless this code knows the version; ``whose`` begins the message."""
    if not _NUMBER.fullmatch(version) or version > HEAD:
        raise SchemaTooNew(
            f"{whose} has schema {version}, made by a newer ScaleCast; this one knows schemas up "
            f"to {HEAD}. Update it (git pull, then make install), or go back to the backup made "
            "before the upgrade: scalecast restore DIR --force"
        )


def _upgrade(conn: Connection) -> None:
    """Run what is missing, all of it in one transaction."""
    from alembic import command  # 0.3 s, needed once per release
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    def connect() -> psycopg.Connection[Any]:
        return psycopg.connect(conn.info.dsn, password=conn.info.password)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    # A file of SQL goes to the server as it is, as one text of many statements.
    with engine.execution_options(no_parameters=True).begin() as connection:
        connection.exec_driver_sql("set local client_min_messages = warning")
        connection.exec_driver_sql(f"create schema if not exists {VERSION_SCHEMA}")
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def alembic_config() -> Any:
    """Return Alembic's configuration; there is no ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config

"""Making the tables of ``monitoring.sql``, and the lock under which they are written."""

import hashlib
from importlib.resources import files
from typing import Final

from psycopg import sql

from scalecast_assets.ingest.schema import SCHEMA_LOCK, Connection, lock_in_transaction

MONITORING_LOCK: Final = "scalecast.monitoring"


def ensure_monitoring(connection: Connection) -> None:
    """Create what is missing; safe to call from several processes at once.

    The file's sha256 is kept as a comment on a constraint. Where it is the same, nothing is
    touched: to replace a view would wait for every dashboard that reads it.
    """
    ddl = files(__package__).joinpath("monitoring.sql").read_text(encoding="utf-8")
    digest = hashlib.sha256(ddl.encode()).hexdigest()
    if _applied(connection) == digest:
        return
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        lock_in_transaction(connection, SCHEMA_LOCK)
        connection.execute(ddl.encode())
        connection.execute(
            sql.SQL("comment on constraint forecasts_pkey on ml.forecasts is {}").format(digest)
        )


def _applied(connection: Connection) -> str | None:
    row = connection.execute(
        "select obj_description(oid, 'pg_constraint') from pg_constraint"
        " where conrelid = to_regclass('ml.forecasts') and conname = 'forecasts_pkey'"
    ).fetchone()
    return str(row[0]) if row and row[0] else None

"""The schemas are there before anybody writes, and one writer at a time in each step.

The tables themselves are in ``migrations/``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from scalecast_assets.migrations.upgrade import ensure_current

Connection = psycopg.Connection[tuple[Any, ...]]

LANDING_LOCK: Final = "scalecast.landing"
VERDICT_LOCK: Final = "scalecast.verdict"
PUBLISH_LOCK: Final = "scalecast.publish"
MONITORING_LOCK: Final = "scalecast.monitoring"


def ensure_schema(conn: Connection) -> None:
    """Create or upgrade what is missing; safe to call from several processes at once."""
    ensure_current(conn)


def lock_in_transaction(conn: Connection, name: str) -> None:
    """Wait for the named lock and hold it until the transaction ends."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


@contextmanager
def locked(conn: Connection, name: str) -> Iterator[None]:
    """Hold the named lock across transactions; a connection that dies lets it go.

    The connection must be in autocommit mode, as every connection of the ingestion is.
    """
    if not conn.autocommit:
        raise ValueError("expected a connection in autocommit mode; connect with autocommit=True")
    conn.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (name,))
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (name,))

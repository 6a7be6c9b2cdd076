"""Attempts to read a file of the bucket: begun before its first byte, ended when it is known.

Whatever becomes of the process in between (killed, out of memory, out of disk), the row tells which
file it was at. Whoever starts the next run leaves such a file out for a while, so that it does not
hold up the others: ``scalecast_assets/automation``.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from scalecast_assets.contract.objects import ObjectInfo
from scalecast_assets.ingest.schema import Connection


@dataclass(frozen=True)
class Attempt:
    """One version of one object that was begun ``attempts`` times and never known."""

    key: str
    version: str
    attempts: int
    first_at: datetime
    age_seconds: float
    """Since it was begun last, by the database's clock."""
    run_id: str
    error: str | None
    """Why it could not be read, if whoever tried lived to say so."""


def begin_attempt(conn: Connection, info: ObjectInfo, run_id: str) -> None:
    """Note, before it is read, that this run reads this version of the object."""
    conn.execute(
        "insert into warehouse.file_attempts as a (key, version, run_id) values (%s, %s, %s)"
        " on conflict (key, version) do update set attempts = a.attempts + 1,"
        " tried_at = excluded.tried_at, run_id = excluded.run_id",
        (info.key, info.etag, run_id),
    )


def note_error(conn: Connection, info: ObjectInfo, error: str) -> None:
    """Note why the object could not be read."""
    conn.execute(
        "update warehouse.file_attempts set error = %s where key = %s and version = %s",
        (error, info.key, info.etag),
    )


def end_attempt(conn: Connection, key: str) -> None:
    """The content of the key is known: what was tried before, in any version, is over."""
    conn.execute("delete from warehouse.file_attempts where key = %s", (key,))


def read_attempts(conn: Connection) -> list[Attempt]:
    """Return the objects whose reading has not come to an end, the longest tried first."""
    with conn.cursor(row_factory=class_row(Attempt)) as cursor:
        return cursor.execute(
            "select key, version, attempts, first_at, run_id, error,"
            " extract(epoch from clock_timestamp() - tried_at)::float8 as age_seconds"
            " from warehouse.file_attempts order by first_at, key"
        ).fetchall()


def forget_attempts(conn: Connection, gone: Iterable[Attempt]) -> None:
    """Forget versions that the bucket does not have any more."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "delete from warehouse.file_attempts where key = %s and version = %s",
            [(attempt.key, attempt.version) for attempt in gone],
        )

"""The ledger of files: which content is known, in which order it counts, what became of it.

One row of ``warehouse.file_ledger`` per distinct content (two while it is loaded anew, see
``migrations/``); ``warehouse.file_objects`` remembers which object of the bucket held it. Rows and
the data they vouch for are written in one transaction, by ``landing.py`` and ``publish.py``; this
module reads the ledger and gives out places in its order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, LiteralString

from psycopg.rows import class_row

from scalecast_assets.contract.objects import ObjectInfo, ObjectStore
from scalecast_assets.ingest.schema import Connection

State = Literal["landed", "validated", "published", "refused", "withdrawn"]

RAW_PREFIX: Final = "raw/"
RAW_SUFFIXES: Final = (".csv", ".csv.gz")


@dataclass(frozen=True)
class LedgerFile:
    """One row of the ledger."""

    sha256: str
    file_seq: int
    key: str
    bytes: int
    rows: int
    rejected: int
    state: State
    reason: str | None
    run_id: str
    replace_run: str | None
    replace_size: int | None


COLUMNS: Final[LiteralString] = (
    "sha256, file_seq, key, bytes, rows, rejected, state, reason, run_id, replace_run, replace_size"
)


def find_content(conn: Connection, sha256: str) -> LedgerFile | None:
    """What the ledger knows of these bytes: what became of them last."""
    with conn.cursor(row_factory=class_row(LedgerFile)) as cursor:
        query: LiteralString = (
            f"select {COLUMNS} from warehouse.file_ledger where sha256 = %s"
            " order by file_seq desc limit 1"
        )
        return cursor.execute(query, (sha256,)).fetchone()


def files_in_state(conn: Connection, *states: State) -> list[LedgerFile]:
    """The files in any of the states, in the order in which they count."""
    with conn.cursor(row_factory=class_row(LedgerFile)) as cursor:
        query: LiteralString = (
            f"select {COLUMNS} from warehouse.file_ledger where state = any(%s) order by file_seq"
        )
        return cursor.execute(query, (list(states),)).fetchall()


def known_versions(conn: Connection) -> set[tuple[str, str]]:
    """The (key, etag) that each key of the bucket had when it was seen last.

    An earlier version that is put back is not among them: somebody wants it to count.
    """
    rows = conn.execute(
        "select distinct on (key) key, version from warehouse.file_objects"
        " order by key, seen_at desc"
    ).fetchall()
    return {(key, version) for key, version in rows}


def raw_objects(store: ObjectStore) -> list[ObjectInfo]:
    """The raw files of the bucket, in the order in which they count: (last modified, key)."""
    return in_order(info for info in store.list(RAW_PREFIX) if is_raw(info.key))


def is_raw(key: str) -> bool:
    """Whether an object of this name is a raw file."""
    return key.lower().endswith(RAW_SUFFIXES)


def in_order(objects: Iterable[ObjectInfo]) -> list[ObjectInfo]:
    """Sort objects as they count: (last modified, key)."""
    return sorted(objects, key=lambda info: (info.last_modified, info.key))


def waiting_objects(conn: Connection, store: ObjectStore) -> list[ObjectInfo]:
    """The raw files that changed since they were seen; what a sensor starts a run for."""
    known = known_versions(conn)
    return [info for info in raw_objects(store) if (info.key, info.etag) not in known]


def next_seq_now(conn: Connection) -> int:
    """A place after everything that the ledger has."""
    row = conn.execute("select coalesce(max(file_seq), 0) from warehouse.file_ledger").fetchone()
    last: int = row[0] if row else 0
    return max(_microseconds(datetime.now(UTC)), last + 1)


def next_seq_at(conn: Connection, modified: datetime) -> int:
    """The first free place from this time on; if the time is yet to come, the next there is.

    Clocks that are ahead must not make a file the newest until theirs is reached, and where it is
    ours that was set back, a file must not count as older than those that were published before. Of
    files with the same time, one run takes the one with the lower key first; across runs the later
    run's counts later: places that are given do not move.
    """
    if modified > datetime.now(UTC):
        return next_seq_now(conn)
    seq = max(1, _microseconds(modified))
    while conn.execute(
        "select 1 from warehouse.file_ledger where file_seq = %s", (seq,)
    ).fetchone():
        seq += 1
    return seq


def _microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly (floating point would lose the last digit)."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def remember_object(conn: Connection, info: ObjectInfo, sha256: str) -> None:
    """Note that this version of the key holds this content now."""
    conn.execute(
        "insert into warehouse.file_objects (key, version, last_modified, size, sha256, seen_at)"
        " values (%s, %s, %s, %s, %s, clock_timestamp())"
        " on conflict (key, version) do update set last_modified = excluded.last_modified,"
        " size = excluded.size, sha256 = excluded.sha256, seen_at = excluded.seen_at",
        (info.key, info.etag, info.last_modified, info.size, sha256),
    )

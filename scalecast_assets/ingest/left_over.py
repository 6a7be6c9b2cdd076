"""What earlier runs left in landing: rows of decided files go, those of undecided ones are at hand.

For ``intake.py``, under its lock. Files that a run landed and never brought to an end keep their
place in the order; where their rows are gone they are landed again from the archive.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from scalecast_assets.contract.layout import archive_key
from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest.landing import Landing, drop_landed, landed_rows, spool
from scalecast_assets.ingest.ledger import LedgerFile, files_in_state
from scalecast_assets.ingest.schema import Connection


def forget_decided(conn: Connection, before: datetime | None = None) -> None:
    """Drop the landed rows of files that are decided: the archive has the bytes."""
    for file_seq in decided_partitions(conn, before):
        drop_landed(conn, file_seq)


def decided_partitions(conn: Connection, before: datetime | None = None) -> list[int]:
    """The places of landed files that are decided (before then), or that the ledger has not."""
    places = conn.execute(
        "select place from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " cross join lateral (select"
        " substring(c.relname from '^demand_rows_(-?[0-9]+)$')::bigint as place) p"
        " left join warehouse.file_ledger f on f.file_seq = p.place"
        " where n.nspname = 'landing' and c.relname ~ '^demand_rows_-?[0-9]+$' and c.relkind = 'r'"
        " and (f.state is null or f.state not in ('landed', 'validated'))"
        " and (%(before)s::timestamptz is null"
        " or coalesce(f.withdrawn_at, f.published_at, f.decided_at) < %(before)s) order by place",
        {"before": before},
    ).fetchall()
    return [place for (place,) in places]


def rows_at_hand(
    conn: Connection, store: ObjectStore, renames: Mapping[str, str], spool_dir: Path
) -> Iterator[tuple[LedgerFile, bool]]:
    """Have the rows of every undecided file; yields each file and whether they were there still."""
    for file in files_in_state(conn, "landed", "validated"):
        whole = landed_rows(conn, file.file_seq) == file.rows
        if not whole:
            _land_again(conn, store, renames, spool_dir, file)
        yield file, whole


def _land_again(
    conn: Connection,
    store: ObjectStore,
    renames: Mapping[str, str],
    spool_dir: Path,
    file: LedgerFile,
) -> None:
    spooled = spool(store, archive_key(file.sha256), spool_dir)
    try:
        named = replace(spooled, name=Path(file.key).name)
        landing = Landing(conn, file.run_id, file.replace_run is not None, renames)
        with conn.transaction():
            landing.land(named, file.key, file.file_seq, file)
            conn.execute(
                "update warehouse.file_ledger set replace_run = %s, replace_size = %s"
                " where file_seq = %s",
                (file.replace_run, file.replace_size, file.file_seq),
            )
    finally:
        with contextlib.suppress(FileNotFoundError):
            spooled.path.unlink()

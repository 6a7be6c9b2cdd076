"""Publish validated files: warehouse, id codes, changed ranges and ledger, in one transaction.

Each file is merged in the order of ``file_seq`` (``merge.py``). A replacement (see ``intake.py``)
makes the union of its files the whole warehouse instead, and files from before it add nothing
(``replacements.py``). The counts of the merge must add up to
what the ledger promised, or nothing is published. Publishing reads only what the ledger calls
validated: it trusts no caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from scalecast_assets.ingest.ledger import LedgerFile, files_in_state
from scalecast_assets.ingest.merge import Merged, give_codes, merge_file, replace_everything
from scalecast_assets.ingest.replacements import supersede
from scalecast_assets.ingest.schema import (
    PUBLISH_LOCK,
    Connection,
    ensure_schema,
    lock_in_transaction,
)

_MEMORY: Final = "256MB"


class ReconciliationError(RuntimeError):
    """The rows that went in are not the rows that came out; the transaction was rolled back."""


@dataclass(frozen=True)
class PublishedFile:
    """What one file did to the warehouse, in rows; ``older`` ones lost against later files."""

    key: str
    sha256: str
    file_seq: int
    in_ledger: int
    in_landing: int
    inserted: int
    updated: int
    older: int


@dataclass(frozen=True)
class Publication:
    """What one transaction did; ``deleted`` rows are those that a replacement's files lack.

    ``superseded`` are the keys of validated files that came before a replacement and add nothing.
    """

    files: tuple[PublishedFile, ...]
    deleted: int
    warehouse_rows: int
    changed_stores: int
    replaced: bool
    superseded: tuple[str, ...]


def publish(conn: Connection) -> Publication:
    """Publish every validated file; without one, only count the warehouse."""
    ensure_schema(conn)
    with conn.transaction():
        lock_in_transaction(conn, PUBLISH_LOCK)
        for setting in ("work_mem", "maintenance_work_mem"):
            conn.execute("select set_config(%s, %s, true)", (setting, _MEMORY))
        # Waits for an intake that drops landed rows; then none does until the commit.
        conn.execute("lock table landing.demand_rows in access share mode")
        replacement, superseded = supersede(conn)
        files = [f for f in files_in_state(conn, "validated") if f.replace_run is None]
        seqs = [file.file_seq for file in (*replacement, *files)]
        landed = _summarize(conn, seqs)
        give_codes(conn, "incoming_series")
        merged, deleted = replace_everything(conn, replacement) if replacement else ({}, 0)
        for file in files:
            merged[file.file_seq] = merge_file(conn, file.file_seq)
        published = tuple(
            _reconciled(file, landed.get(file.file_seq, 0), merged[file.file_seq])
            for file in (*replacement, *files)
        )
        _mark_published(conn, seqs)
        result = Publication(
            published,
            deleted,
            _count(conn, "select count(*) from warehouse.demand_data"),
            _count(
                conn,
                "select count(distinct store_id) from warehouse.changed_ranges"
                " where file_seq = any(%s)",
                (seqs,),
            ),
            bool(replacement),
            superseded,
        )
    if published:
        conn.execute("analyze warehouse.demand_data")
    return result


def _count(conn: Connection, query: LiteralString, values: Sequence[object] = ()) -> int:
    row = conn.execute(query, values).fetchone()
    return int(row[0]) if row else 0


def _summarize(conn: Connection, seqs: Sequence[int]) -> dict[int, int]:
    """Make the temporary table ``incoming_series``; returns the landed rows of each file."""
    conn.execute("drop table if exists pg_temp.incoming_series")
    conn.execute(
        "create temporary table incoming_series on commit drop as"
        " select file_seq, store_id, product_id, min(date) as from_date, count(*) as rows"
        " from landing.demand_rows where file_seq = any(%s::bigint[])"
        " group by file_seq, store_id, product_id",
        (list(seqs),),
    )
    rows = conn.execute("select file_seq, sum(rows)::bigint from incoming_series group by file_seq")
    return dict(rows.fetchall())


def _reconciled(file: LedgerFile, in_landing: int, merged: Merged) -> PublishedFile:
    """The file's counts, if they add up."""
    outcome = merged.inserted + merged.updated + merged.older
    if not file.rows == in_landing == outcome:
        raise ReconciliationError(
            f"{file.key}: the ledger has {file.rows:,} rows, landing {in_landing:,}, and"
            f" {merged.inserted:,} were inserted, {merged.updated:,} updated, {merged.older:,}"
            " older than what is there; expected equal sums. Nothing was published: run again,"
            " and what is missing is landed again from the archive"
        )
    return PublishedFile(
        file.key,
        file.sha256,
        file.file_seq,
        file.rows,
        in_landing,
        merged.inserted,
        merged.updated,
        merged.older,
    )


def _mark_published(conn: Connection, seqs: Sequence[int]) -> None:
    marked = conn.execute(
        "update warehouse.file_ledger set state = 'published', reason = null,"
        " published_at = now() where file_seq = any(%s) and state = 'validated'",
        (list(seqs),),
    ).rowcount
    if marked != len(seqs):
        raise ReconciliationError(
            f"{len(seqs)} files were validated, {marked} still are: another run refused or landed"
            " the others meanwhile. Nothing was published: run again"
        )
    _forget_attempts_before(conn, seqs)


def _forget_attempts_before(conn: Connection, seqs: Sequence[int]) -> None:
    """Drop what the ledger has of the same bytes from before, unless it vouches for rows still.

    It does where headers were renamed otherwise then, so that the same bytes gave other rows.
    """
    before = [
        file_seq
        for (file_seq,) in conn.execute(
            "select o.file_seq from warehouse.file_ledger o"
            " inner join warehouse.file_ledger n using (sha256)"
            " where n.file_seq = any(%s) and o.file_seq < n.file_seq"
            " and o.state in ('published', 'refused', 'withdrawn')",
            (list(seqs),),
        )
    ]
    if before:
        conn.execute(
            "delete from warehouse.file_ledger f where file_seq = any(%s)"
            " and not exists (select 1 from warehouse.demand_data w where w.file_seq = f.file_seq)",
            (before,),
        )

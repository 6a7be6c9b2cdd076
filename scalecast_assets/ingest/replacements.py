"""Which replacement of the whole warehouse counts, which files it closes, and how one is given up.

``supersede`` is called by ``publish.py`` only, inside its transaction and under its lock. A file is
closed as published, with a reason: it took its place in the order, and the replacement came after
it. It counts again once every file of the replacement is withdrawn (``withdrawal.py``). ``give_up``
is for replacements that cannot be published as a whole. The SQL that replaces the rows is in
``merge.py``; how files become a replacement is in ``intake.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from scalecast_assets.ingest.ledger import LedgerFile, files_in_state, next_seq_at
from scalecast_assets.ingest.schema import Connection


@dataclass(frozen=True)
class Base:
    """The replacement that the warehouse rests on: its last place in the order, and its run."""

    file_seq: int
    run_id: str


def newest_base(conn: Connection, without: str = "") -> Base | None:
    """The newest replacement that counts: one of whose files at least one is not withdrawn.

    ``without`` is the sha256 of a content that is about to be.
    """
    row = conn.execute(
        "select file_seq, run_id from warehouse.replacements"
        " where cardinality(array_remove(contents, %s)) > 0 order by file_seq desc limit 1",
        (without,),
    ).fetchone()
    return Base(*row) if row else None


def supersede(conn: Connection) -> tuple[list[LedgerFile], tuple[str, ...]]:
    """Close what the newest replacement superseded, be it published before or about to be now.

    Returns the files of the replacement that is about to be published (none: there is none), and
    the keys of the validated files that were closed. What is still validated has to be merged.
    """
    before = newest_base(conn)
    replacement: list[LedgerFile] = []
    for files in _whole(files_in_state(conn, "validated")):
        conn.execute(
            "insert into warehouse.replacements (file_seq, run_id, contents) values (%s, %s, %s)"
            " on conflict (file_seq) do nothing",
            (files[-1].file_seq, files[-1].replace_run, [file.sha256 for file in files]),
        )
        if files[-1].file_seq > (before.file_seq if before else 0):
            replacement = files
    if replacement:
        close_published(conn)
    return replacement, _close_validated(conn, replacement)


def _whole(validated: Sequence[LedgerFile]) -> list[list[LedgerFile]]:
    """The files of each replacement of which every file is validated, the newest last."""
    runs = dict.fromkeys(f.replace_run for f in reversed(validated) if f.replace_run)
    found = [[f for f in validated if f.replace_run == run] for run in reversed(runs)]
    return [files for files in found if len(files) == files[-1].replace_size]


_NEWEST: Final[LiteralString] = (
    "(select file_seq, run_id from warehouse.replacements where cardinality(contents) > 0"
    " order by file_seq desc limit 1)"
)
SUPERSEDED_BY: Final[LiteralString] = "superseded by the replacement of run "
_SUPERSEDED: Final[LiteralString] = f"'{SUPERSEDED_BY}' || newest.run_id"


def close_published(conn: Connection) -> None:
    """Say of every published file whose rows the newest replacement took away that they are gone.

    And of one that had been superseded, and counts again because replacements were withdrawn, that
    it does.
    """
    conn.execute(
        "update warehouse.file_ledger f set reason = gone.reason from"
        " (select o.file_seq, case when newest.file_seq > o.file_seq"
        f" and o.replace_run is distinct from newest.run_id then {_SUPERSEDED} end as reason"
        f" from warehouse.file_ledger o left join {_NEWEST} newest on true"
        " where o.state = 'published') gone"
        " where gone.file_seq = f.file_seq and (f.reason is null) <> (gone.reason is null)"
    )


def _close_validated(conn: Connection, replacement: Sequence[LedgerFile]) -> tuple[str, ...]:
    """Close the files that wait, but came before the newest replacement; returns their keys.

    One that is left of a replacement that was broken up is from now on a file as any other.
    """
    closed = conn.execute(
        "update warehouse.file_ledger f set state = 'published', published_at = now(),"
        f" reason = {_SUPERSEDED}, replace_run = (select max(r.run_id)"
        " from warehouse.replacements r where r.run_id = f.replace_run)"
        f" from {_NEWEST} newest where f.file_seq < newest.file_seq"
        " and f.state = 'validated' and f.file_seq <> all(%s) returning f.key",
        ([file.file_seq for file in replacement],),
    )
    return tuple(key for (key,) in closed)


def give_up(conn: Connection, replace_run: str, reason: str) -> None:
    """Undo what this replacement did to the ledger; its files are as if nobody had tried.

    Known bytes are again what they were: published under their old place, refused or withdrawn.
    Others wait, to be loaded on their own, at the place that the bucket gives them; what is landed
    of them under the place that they lose is landed again by the next intake.
    """
    conn.execute(
        "delete from warehouse.file_ledger f"
        " where replace_run = %s and state in ('landed', 'validated') and exists"
        " (select 1 from warehouse.file_ledger o"
        " where o.sha256 = f.sha256 and o.state in ('published', 'refused', 'withdrawn'))",
        (replace_run,),
    )
    waiting = conn.execute(
        "select file_seq, (select o.last_modified from warehouse.file_objects o"
        " where o.sha256 = f.sha256 order by o.key = f.key desc, o.seen_at desc limit 1)"
        " from warehouse.file_ledger f"
        " where replace_run = %s and state in ('landed', 'validated') order by file_seq",
        (replace_run,),
    ).fetchall()
    for file_seq, modified in waiting:
        conn.execute(
            "update warehouse.file_ledger set state = 'landed', reason = %s, decided_at = null,"
            " replace_run = null, replace_size = null, file_seq = %s"
            " where file_seq = %s and state in ('landed', 'validated')",
            (reason, next_seq_at(conn, modified) if modified else file_seq, file_seq),
        )


def give_up_unfinished(conn: Connection, run_id: str) -> None:
    """A replacement of which a file was not landed, or taken away, must not be published in part.

    A file is taken away by a run that loads it again on its own.
    """
    unfinished = conn.execute(
        "select replace_run from warehouse.file_ledger"
        " where state in ('landed', 'validated') and replace_run <> %s group by replace_run"
        " having bool_or(replace_size is null) or max(replace_size) > count(*)",
        (run_id,),
    ).fetchall()
    reason = "waits: the replacement of everything by run {} was not finished; run that again"
    for (run,) in unfinished:
        give_up(conn, run, reason.format(run))


def seal(conn: Connection, run_id: str) -> None:
    """Mark the replacement as whole: its files are now published together or not at all."""
    with conn.transaction():
        conn.execute(
            "update warehouse.file_ledger f set replace_size = whole.size from"
            " (select count(*) as size from warehouse.file_ledger"
            " where replace_run = %(run)s and state in ('landed', 'validated')) whole"
            " where f.replace_run = %(run)s and state in ('landed', 'validated')",
            {"run": run_id},
        )

"""Which replacement of the whole warehouse counts, which files it closes, and how one is given up.

``supersede`` is called by ``publish.py`` only, inside its transaction and under its lock. A file is
closed as published, with a reason: it took its place in the order, and the replacement came after
it. ``give_up`` is for replacements that cannot be published as a whole. The SQL that replaces the
rows is in ``merge.py``; how files become a replacement is in ``intake.py``.
"""

from collections.abc import Sequence
from typing import Final, LiteralString

from scalecast_assets.ingest.ledger import LedgerFile, files_in_state, next_seq_at
from scalecast_assets.ingest.schema import Connection


def supersede(conn: Connection) -> tuple[list[LedgerFile], tuple[str, ...]]:
    """Close what the newest replacement superseded, be it published before or about to be now.

    Returns the files of the replacement that is about to be published (none: there is none), and
    the keys of the validated files that were closed. What is still validated has to be merged.
    """
    replacement = _newest_whole(files_in_state(conn, "validated"))
    if replacement and replacement[-1].file_seq > _last_place(conn):
        conn.execute(
            "insert into warehouse.replacements (file_seq, run_id) values (%s, %s)",
            (replacement[-1].file_seq, replacement[-1].replace_run),
        )
        _close_published(conn)
    else:
        replacement = []
    return replacement, _close_validated(conn, replacement)


def _newest_whole(validated: Sequence[LedgerFile]) -> list[LedgerFile]:
    """The files of the newest replacement of which every file is validated."""
    for last in reversed(validated):
        files = [f for f in validated if f.replace_run and f.replace_run == last.replace_run]
        if files and len(files) == last.replace_size:
            return files
    return []


def _last_place(conn: Connection) -> int:
    """The place in the order of the newest replacement that was published; 0: there was none."""
    row = conn.execute("select coalesce(max(file_seq), 0) from warehouse.replacements").fetchone()
    return int(row[0]) if row else 0


_CLOSE: Final[LiteralString] = (
    "update warehouse.file_ledger f set state = 'published',"
    " published_at = coalesce(f.published_at, now()),"
    " reason = 'superseded by the replacement of run ' || newest.run_id"
    " from (select file_seq, run_id from warehouse.replacements order by file_seq desc limit 1)"
    " newest where f.file_seq < newest.file_seq and "
)


def _close_published(conn: Connection) -> None:
    """Say of every file whose rows the replacement takes away that they are gone."""
    conn.execute(_CLOSE + "f.state = 'published' and f.reason is null")


def _close_validated(conn: Connection, replacement: Sequence[LedgerFile]) -> tuple[str, ...]:
    """Close the files that wait, but came before the newest replacement; returns their keys."""
    closed = conn.execute(
        _CLOSE + "f.state = 'validated' and f.file_seq <> all(%s) returning f.key",
        ([file.file_seq for file in replacement],),
    )
    return tuple(key for (key,) in closed)


def give_up(conn: Connection, replace_run: str, reason: str) -> None:
    """Undo what this replacement did to the ledger; its files are as if nobody had tried.

    Known bytes are again what they were: published under their old place, or refused. Others wait,
    to be loaded on their own, at the place that the bucket gives them; what is landed of them under
    the place that they lose is landed again by the next intake.
    """
    conn.execute(
        "delete from warehouse.file_ledger f"
        " where replace_run = %s and state in ('landed', 'validated') and exists"
        " (select 1 from warehouse.file_ledger o"
        " where o.sha256 = f.sha256 and o.state in ('published', 'refused'))",
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

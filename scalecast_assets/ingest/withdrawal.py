"""Withdraw a published content: the warehouse becomes what it would be if nobody had published it.

Rows that it had overwritten come back, rows that only it had vanish, and where it was the last of a
replacement of everything, what that had replaced comes back. Which rows those are is found by
``replay.py``; here they are put in, in one transaction with the ledger and the changed ranges. Ids
keep their codes. Publishing waits meanwhile; a process that is killed has changed nothing.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from scalecast_assets.contract.objects import ObjectStore
from scalecast_assets.ingest.merge import give_codes
from scalecast_assets.ingest.replacements import SUPERSEDED_BY, close_published
from scalecast_assets.ingest.replay import Plan, plan_without, replay
from scalecast_assets.ingest.schema import PUBLISH_LOCK, Connection, ensure_schema, locked

BY_HAND: Final = "withdrawn by hand"


class WithdrawalError(RuntimeError):
    """The warehouse is not what it was when the replay began; nothing was changed."""


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal did, in rows of the warehouse.

    ``removed`` were the content's; of their keys ``restored`` have a row of another file again, and
    ``vanished`` have none. ``returned`` are rows that a replacement had taken away.
    """

    sha256: str
    done: bool
    removed: int
    restored: int
    vanished: int
    returned: int
    files_read: int
    changed_stores: int
    replacement_ended: bool
    warehouse_rows: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def withdraw(
    conn: Connection,
    store: ObjectStore,
    sha256: str,
    *,
    reason: str = BY_HAND,
    renames: Mapping[str, str] | None = None,
    spool_dir: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Withdrawal:
    """Withdraw every published row of the ledger with these bytes; again changes nothing.

    Raises ``LandingError`` if a file below cannot be read again, before anything is changed.
    """
    ensure_schema(conn)
    with (
        locked(conn, PUBLISH_LOCK),
        tempfile.TemporaryDirectory(dir=spool_dir) as folder,
    ):
        plan = plan_without(conn, sha256)
        if not plan.places:
            return Withdrawal(sha256, False, 0, 0, 0, 0, 0, 0, False, _rows(conn))
        try:
            files_read = replay(conn, store, plan, renames or {}, Path(folder), say)
            with conn.transaction():
                return _apply(conn, plan, reason, files_read)
        finally:
            if not conn.closed:
                conn.execute("drop table if exists pg_temp.holes, pg_temp.fills")


def _apply(conn: Connection, plan: Plan, reason: str, files_read: int) -> Withdrawal:
    """Put the warehouse right, and with it ledger and changed ranges."""
    give_codes(conn, "fills")
    changed = conn.execute(
        "insert into warehouse.changed_ranges (store_id, from_date, file_seq)"
        " select store_id, min(date), %s from holes h"
        " full outer join fills f using (store_id, product_id, date)"
        " where (h.quantity_sold, h.price, h.promotion)"
        " is distinct from (f.quantity_sold, f.price, f.promotion) group by store_id",
        (plan.places[-1],),
    ).rowcount
    removed = conn.execute(
        "delete from warehouse.demand_data where file_seq = any(%s)", (list(plan.places),)
    ).rowcount
    filled = conn.execute("insert into warehouse.demand_data select * from fills").rowcount
    held, restored = conn.execute(
        "select count(*), count(f.date) from holes h"
        " left join fills f using (store_id, product_id, date)"
    ).fetchone() or (0, 0)
    if removed != held:
        raise WithdrawalError(
            f"the file had {held:,} rows in the warehouse when the replay began, and has"
            f" {removed:,} now: somebody else wrote to it. Nothing was changed; try again"
        )
    _note(conn, plan, reason)
    conn.execute("analyze warehouse.demand_data")
    return Withdrawal(
        sha256=plan.sha256,
        done=True,
        removed=removed,
        restored=restored,
        vanished=removed - restored,
        returned=filled - restored,
        files_read=files_read,
        changed_stores=changed,
        replacement_ended=plan.base_before is not None,
        warehouse_rows=_rows(conn),
    )


def _note(conn: Connection, plan: Plan, reason: str) -> None:
    """The ledger: the content counts no more, nor does an attempt to load it that waits."""
    conn.execute(
        "delete from warehouse.file_ledger where sha256 = %s and state in ('landed', 'validated')",
        (plan.sha256,),
    )
    conn.execute(
        "update warehouse.file_ledger set state = 'withdrawn', reason = %s, withdrawn_at = now()"
        " where file_seq = any(%s) and state = 'published'",
        (reason, list(plan.places)),
    )
    left = conn.execute(
        "update warehouse.replacements set contents = array_remove(contents, %(content)s)"
        " where %(content)s = any(contents) returning run_id, contents",
        {"content": plan.sha256},
    ).fetchall()
    conn.execute(
        "update warehouse.file_ledger set reason = null where state = 'published'"
        " and reason = any(%s)",
        ([SUPERSEDED_BY + run_id for run_id, contents in left if not contents],),
    )
    close_published(conn)


def _rows(conn: Connection) -> int:
    row = conn.execute("select count(*) from warehouse.demand_data").fetchone()
    return int(row[0]) if row else 0

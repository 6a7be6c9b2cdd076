"""Replaying the ledger without one content: which rows count where its rows were.

Files are read again from the archive, the newest first, each into a temporary table, and each gives
the rows that no newer one has given. One file is on disk at a time, and one of its blocks in
memory; what was found waits in the temporary table ``fills``, which ``withdrawal.py`` applies. A
process that is killed leaves nothing behind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, LiteralString

from psycopg import sql
from psycopg.rows import class_row

from scalecast_assets.contract.layout import archive_key
from scalecast_assets.contract.objects import ObjectNotFound, ObjectStore
from scalecast_assets.ingest.landing import LandingError, SpooledFile, copy_rows, spool
from scalecast_assets.ingest.ledger import COLUMNS, LedgerFile
from scalecast_assets.ingest.lines import RejectedLine
from scalecast_assets.ingest.reader import RawFile
from scalecast_assets.ingest.replacements import Base, newest_base
from scalecast_assets.ingest.schema import Connection

_CELLS: Final[LiteralString] = "date, store_id, product_id, quantity_sold, price, promotion"
_REPLAYED: Final = sql.Identifier("pg_temp", "replayed")


@dataclass(frozen=True)
class Plan:
    """What a withdrawal means: ``places`` of the content in the order, and what may lie below.

    ``below`` are the files that count without it, the newest first. ``base_before`` is None unless
    the content is the last of the replacement that the warehouse rests on; that one then counts no
    more, and every row of ``below`` may come back, not only those that the content had overwritten.
    """

    sha256: str
    places: tuple[int, ...]
    below: tuple[LedgerFile, ...]
    base_before: Base | None

    @property
    def last_place(self) -> int:
        """The content's last place, or the replacement's if that ends with it."""
        return max(*self.places, self.base_before.file_seq if self.base_before else 0, 0)


def plan_without(conn: Connection, sha256: str) -> Plan:
    """Read from the ledger what the warehouse is without the content."""
    before, after = newest_base(conn), newest_base(conn, without=sha256)
    ends = before if before != after else None
    places = conn.execute(
        "select file_seq from warehouse.file_ledger where sha256 = %s and state = 'published'"
        " order by file_seq",
        (sha256,),
    ).fetchall()
    plan = Plan(sha256, tuple(place for (place,) in places), (), ends)
    if not places:
        return plan
    with conn.cursor(row_factory=class_row(LedgerFile)) as cursor:
        below = cursor.execute(
            f"select {COLUMNS} from warehouse.file_ledger"
            " where state = 'published' and sha256 <> %(sha256)s and file_seq < %(last)s"
            " and (file_seq > %(base)s or replace_run = %(run)s) order by file_seq desc",
            {
                "sha256": sha256,
                "last": plan.last_place,
                "base": after.file_seq if after else 0,
                "run": after.run_id if after else None,
            },
        ).fetchall()
    return replace(plan, below=tuple(below))


def replay(
    conn: Connection,
    store: ObjectStore,
    plan: Plan,
    renames: Mapping[str, str],
    spool_dir: Path,
    say: Callable[[str], None],
) -> int:
    """Make the temporary tables ``holes`` and ``fills``; returns how many files were read.

    ``holes`` are the content's rows as they are in the warehouse, ``fills`` the rows that count
    there without it. Raises ``LandingError`` if an archived file is not what the ledger says.
    """
    n_holes = _make_tables(conn, plan)
    read = filled = 0
    for file in plan.below:
        if not plan.base_before and filled == n_holes:
            break
        spooled = _fetch(store, file, spool_dir)
        try:
            back = _fill_from(conn, plan, file, RawFile(spooled.path, spooled.name, renames))
        finally:
            spooled.path.unlink()
        read += 1
        filled += back
        say(f"{file.key}: read again, {back:,} of its {file.rows:,} rows come back")
    return read


def _make_tables(conn: Connection, plan: Plan) -> int:
    conn.execute("drop table if exists pg_temp.holes, pg_temp.fills")
    conn.execute(
        f"create temporary table holes as select {_CELLS}, file_seq from warehouse.demand_data"
        " where file_seq = any(%s::bigint[])",
        (list(plan.places),),
    )
    conn.execute("create temporary table fills (like warehouse.demand_data)")
    for table in ("holes", "fills"):
        conn.execute(
            sql.SQL("alter table {} add primary key (store_id, product_id, date)").format(
                sql.Identifier("pg_temp", table)
            )
        )
    conn.execute("analyze holes")
    row = conn.execute("select count(*) from holes").fetchone()
    return int(row[0]) if row else 0


def _fetch(store: ObjectStore, file: LedgerFile, spool_dir: Path) -> SpooledFile:
    key = archive_key(file.sha256)
    try:
        spooled = spool(store, key, spool_dir)
    except ObjectNotFound as error:
        raise LandingError(
            f"{file.key}: its bytes are needed and not in the archive ({key}); put the file there"
            " and try again. Nothing was changed"
        ) from error
    if spooled.sha256 != file.sha256:
        spooled.path.unlink()
        raise LandingError(
            f"{file.key}: expected the bytes {file.sha256[:12]} in the archive ({key}), found"
            f" {spooled.sha256[:12]}; put the file back there and try again. Nothing was changed"
        )
    return replace(spooled, name=Path(file.key).name)


def _fill_from(conn: Connection, plan: Plan, file: LedgerFile, raw: RawFile) -> int:
    """Take what no newer file has: for the holes only, or wherever the warehouse has nothing."""
    faults = 0

    def count(found: list[RejectedLine]) -> None:
        nonlocal faults
        faults += len(found)

    here: LiteralString = (
        "where w.store_id = r.store_id and w.product_id = r.product_id and w.date = r.date"
    )
    where: LiteralString = f"exists (select from holes w {here})"
    if plan.base_before:
        where = (
            f"not exists (select from warehouse.demand_data w {here}"
            " and w.file_seq <> all(%(places)s::bigint[]))"
        )
    with conn.transaction():
        conn.execute("drop table if exists pg_temp.replayed")
        conn.execute(
            sql.SQL(
                "create temporary table replayed (like landing.demand_rows) on commit drop;"
                " alter table {} alter column file_seq set default {}"
            ).format(_REPLAYED, sql.Literal(file.file_seq))
        )
        rows = copy_rows(conn, raw, _REPLAYED, count)
        if (rows, faults) != (file.rows, file.rejected):
            raise LandingError(
                f"{file.key}: the ledger has {file.rows:,} rows and {file.rejected:,} faults of it,"
                f" the archived bytes read today give {rows:,} and {faults:,}; if the names of"
                " columns were set otherwise then, set SCALECAST_COLUMNS so again. Nothing was"
                " changed"
            )
        conn.execute("analyze replayed")
        return conn.execute(
            f"insert into fills ({_CELLS}, file_seq) select {_CELLS}, file_seq from replayed r"
            f" where {where} on conflict do nothing",
            {"places": list(plan.places)},
        ).rowcount

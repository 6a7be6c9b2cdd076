"""The backlog of the feature tables: ``warehouse.changed_ranges``, and what became of it.

Publishing writes the ranges (``ingest/publish.py``), dbt reads them. Here they are listed before
dbt runs and cleared after its tests passed, and here is counted what dbt made of them, and read
under which contract. What must be true of both before features are used is in ``checks/guard.py``.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import sql

from scalecast_assets.contract.columns import FEATURE_SEMANTICS, Calendar
from scalecast_assets.ingest.schema import Connection


@dataclass(frozen=True)
class Backlog:
    """The changed ranges that wait at one moment: all days of a store from the earliest on."""

    range_ids: tuple[int, ...]
    from_dates: dict[str, date]

    @property
    def from_date(self) -> date | None:
        """The earliest changed day, if any has changed."""
        return min(self.from_dates.values(), default=None)


def read_backlog(connection: Connection) -> Backlog:
    """Return the changed ranges that features have not caught up with."""
    found = connection.execute(
        "select range_id, store_id, from_date from warehouse.changed_ranges order by range_id"
    ).fetchall()
    from_dates: dict[str, date] = {}
    for _, store, day in found:
        from_dates[store] = min(day, from_dates.get(store, day))
    return Backlog(tuple(range_id for range_id, _, _ in found), from_dates)


def clear_backlog(connection: Connection, backlog: Backlog) -> None:
    """Delete these changed ranges and no other: some may have been published meanwhile."""
    connection.execute(
        "delete from warehouse.changed_ranges where range_id = any(%s)", (list(backlog.range_ids),)
    )


def table_identity(connection: Connection, table: str) -> int | None:
    """Return what changes when ``features.<table>`` is made anew; None where it does not exist."""
    found = connection.execute(
        "select oid::bigint from pg_class where oid = to_regclass(%s)", (f"features.{table}",)
    ).fetchone()
    return int(found[0]) if found else None


def feature_contract(calendar: Calendar) -> str:
    """Return the contract of today as dbt's macro ``feature_contract`` words it."""
    return f"feature semantics {FEATURE_SEMANTICS}, calendar {calendar}"


def built_contract(connection: Connection, table: str) -> str | None:
    """Return the contract that ``features.<table>`` was built under; None if there is no table."""
    found = connection.execute(
        "select obj_description(to_regclass(%s), 'pg_class')", (f"features.{table}",)
    ).fetchone()
    return str(found[0]) if found and found[0] else None


def describe_build(
    connection: Connection, table: str, backlog: Backlog, *, from_the_start: bool
) -> dict[str, Any]:
    """Say in numbers what a build of ``features.<table>`` did, as metadata of the asset."""
    name = sql.Identifier("features", table)
    rows = connection.execute(sql.SQL("select count(*) from {}").format(name)).fetchone() or (0,)
    changed = connection.execute(
        sql.SQL(
            "select count(*) from unnest(%s::text[], %s::date[]) as changed (store_id, from_date)"
            " cross join lateral (select 1 from {} as built"
            " where built.store_id = changed.store_id and built.date >= changed.from_date) as rows"
        ).format(name),
        (list(backlog.from_dates), list(backlog.from_dates.values())),
    ).fetchone() or (0,)
    return {
        "dagster/row_count": rows[0],
        "rows_rebuilt": rows[0] if from_the_start else changed[0],
        "rebuilt": "everything" if from_the_start else "the changed days",
        "stores_changed": len(backlog.from_dates),
        "changed_from": str(backlog.from_date or "nothing changed"),
        "contract": built_contract(connection, table) or "unknown",
    }

"""Purging the database: landed rows of decided files, old rows of ``ml.forecasts``, old alerts.

The sums of ``ml.forecast_days`` stay: they are small, and what dashboards draw.
"""

from collections.abc import Iterator
from datetime import datetime

from scalecast_assets.ingest.left_over import decided_partitions, forget_decided
from scalecast_assets.ingest.schema import LANDING_LOCK, Connection
from scalecast_assets.retention.plan import Removal, removable_origins
from scalecast_assets.retention.policy import SAFETY, limit


def current_training_set(conn: Connection) -> str | None:
    """The training set that was made last."""
    row = conn.execute(
        "select sha256 from ml.training_sets order by made_at desc limit 1"
    ).fetchone()
    return str(row[0]) if row else None


def plan_landing(conn: Connection, now: datetime) -> Iterator[Removal]:
    """The landed rows of files decided before the safety age; the next intake would do as much."""
    for place in decided_partitions(conn, before=now - SAFETY):
        size, rows = conn.execute(
            "select pg_total_relation_size(c.oid), greatest(c.reltuples, 0)::bigint"
            " from pg_class c where c.oid = to_regclass(%s)",
            (f"landing.demand_rows_{place}",),
        ).fetchone() or (0, 0)
        yield Removal("landing", str(place), int(rows), int(size), "its file is decided")


def remove_landing(conn: Connection, now: datetime) -> bool:
    """Drop them; False, and nothing is done, while an intake is at work, which does it itself."""
    with conn.transaction():
        row = conn.execute(
            "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (LANDING_LOCK,)
        ).fetchone()
        if not row or not row[0]:
            return False
        forget_decided(conn, before=now - SAFETY)
    return True


def plan_forecast_rows(conn: Connection, days: int) -> Iterator[Removal]:
    """The rows of origins that no correction of sales is followed back to any more."""
    if not _exists(conn, "ml.forecasts"):
        return
    origins = {origin for (origin,) in conn.execute("select distinct origin from ml.forecasts")}
    for origin in sorted(removable_origins(origins, days)):
        rows, size = conn.execute(
            "select count(*), coalesce(sum(pg_column_size(f)), 0)::bigint from ml.forecasts f"
            " where origin = %s",
            (origin,),
        ).fetchone() or (0, 0)
        why = f"older than {days} days before the newest"
        yield Removal("ml.forecasts", str(origin), int(rows), int(size), why)


def remove_forecast_rows(conn: Connection, removal: Removal) -> None:
    """Delete the rows of one origin."""
    conn.execute("delete from ml.forecasts where origin = %s::date", (removal.name,))


def plan_alerts(conn: Connection, days: int, now: datetime) -> Iterator[Removal]:
    """The alerts whose cause was gone before, by kind; one that is open stays, however old."""
    if not days or not _exists(conn, "ml.alerts"):
        return
    counted = conn.execute(
        "select kind, count(*), sum(pg_column_size(a))::bigint from ml.alerts a"
        " where cleared_at < %s group by kind order by kind",
        (limit(days, now),),
    ).fetchall()
    for kind, rows, size in counted:
        yield Removal("ml.alerts", kind, rows, size, f"cleared more than {days} days ago")


def remove_alerts(conn: Connection, removal: Removal, days: int, now: datetime) -> None:
    """Delete those of one kind, and with them who was told."""
    conn.execute(
        "delete from ml.alerts where kind = %s and cleared_at < %s",
        (removal.name, limit(days, now)),
    )


def _exists(conn: Connection, table: str) -> bool:
    row = conn.execute("select to_regclass(%s) is not null", (table,)).fetchone()
    return bool(row and row[0])

"""Purging the database: landed rows of decided files, and old rows of ``ml.forecasts``.

The sums of ``ml.forecast_days`` stay: they are small, and what dashboards draw.
"""

from collections.abc import Iterator
from datetime import datetime

from scalecast_assets.ingest.left_over import decided_partitions, forget_decided
from scalecast_assets.ingest.schema import LANDING_LOCK, Connection
from scalecast_assets.retention.plan import Removal, removable_origins
from scalecast_assets.retention.policy import SAFETY


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
    if not _has_forecasts(conn):
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


def _has_forecasts(conn: Connection) -> bool:
    row = conn.execute("select to_regclass('ml.forecasts') is not null").fetchone()
    return bool(row and row[0])

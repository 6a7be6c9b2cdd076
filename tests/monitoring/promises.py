"""A world whose coming days are promised, and the sales that come: what tests of monitoring share.

The worlds themselves, their model and their state are those of ``tests/serving/makers.py``.
"""

import datetime as dt
from pathlib import Path
from typing import NamedTuple

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.coming import ComingForecasts
from scalecast_assets.monitoring.handover import HandedOver, hand_over
from scalecast_assets.monitoring.served import Served
from tests.interval_tables import plain_table
from tests.serving.makers import (
    LAST_DAY,
    World,
    linear_graph,
    make_world,
    point_at,
    write_bundle,
    write_state,
)

DAY = dt.timedelta(1)
HORIZON = 14
CLOSED_ON_SUNDAYS, LATE = "STORE_001", "STORE_002"
YOUNG = ("STORE_001", "PROD_C")


class Promised(NamedTuple):
    """A row of ``ml.forecasts``, as dashboards read it."""

    origin: dt.date
    model_version: str
    store_id: str
    product_id: str
    date: dt.date
    horizon: int
    forecast: float
    seasonal_naive: float
    source: str
    store_open: bool
    price: float
    promotion: bool
    data_until: dt.date
    lower: float | None
    upper: float | None


def late_world(days_late: int) -> World:
    """Store 2 has not reported its last days; store 1 closes on Sundays and has a young series."""
    world = make_world()
    for sold in (sold for (store, _), sold in world.sales.items() if store == LATE):
        for at in range(days_late):
            sold.pop(LAST_DAY - at * DAY, None)
    return world


def serve(
    home: DirectoryStore,
    world: World,
    calendar: Calendar = "store",
    *,
    with_intervals: bool = True,
) -> Served:
    sha256 = write_bundle(
        home,
        "1.0.0",
        linear_graph(),
        world.encoders,
        calendar=calendar,
        intervals=plain_table().to_bytes() if with_intervals else None,
    )
    point_at(home, "1.0.0", sha256)
    write_state(home, world.panel(calendar))
    return Served.read(home)


def hand_over_forecasts(
    world: World, connection: Connection, home: DirectoryStore, folder: Path
) -> HandedOver:
    """Serve the world, and promise its coming days."""
    return hand_over(ComingForecasts.of(serve(home, world), HORIZON), connection, home, folder)


def promised(connection: Connection) -> list[Promised]:
    names = ", ".join(Promised._fields)
    rows = connection.execute(
        f"select {names} from ml.forecasts order by model_version, origin, 3, 4, 5".encode()
    )
    return [Promised(*row) for row in rows]


def publish(connection: Connection, rows: dict[tuple[str, str, dt.date], float]) -> None:
    """What dbt would build of these sales: final days, at the price that was assumed."""
    connection.execute("truncate features.demand_features, features.demand_calendar")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into features.demand_features values (%s, %s, %s, %s, 20, 0, true)",
            [(*key, quantity) for key, quantity in rows.items()],
        )
        cursor.execute(
            "insert into features.demand_calendar"
            " select distinct store_id, date, true from features.demand_features"
        )


def later_sales(days: range, level: float = 20.0) -> dict[tuple[str, str, dt.date], float]:
    """Days after the last of the world, of which store 1 is open on all but Sundays."""
    return {
        (store, product, day): float(number * level + at)
        for at in days
        for number, (store, product) in enumerate(sorted(make_world().sales))
        for day in [LAST_DAY + at * DAY]
        if store != CLOSED_ON_SUNDAYS or day.weekday() != 6
    }

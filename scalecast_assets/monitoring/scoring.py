"""Joining forecasts with the sales that came: the sums of ``ml.forecast_days``, written and read.

A store's day is scored for every origin that promised it, once it was open and is final. What the
sums mean is in ``migrations/``, what becomes of them in ``forecasting/live_accuracy.py``.
"""

from typing import Final

import numpy as np

from scalecast_assets.forecasting.live_accuracy import ErrorSums, ScoredDays
from scalecast_assets.ingest.schema import Connection

FOLLOWED_DAYS: Final = 91
"""Corrections of sales are followed so far back from the latest day; older scores stand."""

SAME_PRICE: Final = 0.05
"""How far, as a share, a price may be from the assumed one and still be as planned."""

_SCORE: Final = """
with since as (
    select max(date) - %(followed)s as date from features.demand_calendar where is_final
),
actual_days as (
    -- the calendar leads: its few days are then looked up in the features' index
    select
        features.store_id,
        features.date,
        bit_xor(hash_record_extended(
            row(
                features.product_id, features.quantity_sold, features.price, features.promotion,
                features.has_history
            ),
            0
        )) as actuals
    from features.demand_calendar as days
    inner join features.demand_features as features using (store_id, date)
    where days.is_final and days.date >= (select date from since)
    group by features.store_id, features.date
),
due as (
    select day.origin, day.model_version, day.store_id, day.date, actual_days.actuals
    from ml.forecast_days as day
    left join actual_days using (store_id, date)
    where day.date >= (select date from since) and day.actuals is distinct from actual_days.actuals
),
scored as materialized (
    -- day by day: looked up in the indexes, whatever Postgres believes how many are due
    select due.*, sums.*
    from due
    cross join lateral (
        select
            case when due.actuals is not null then count(*) end as scored_rows,
            sum(quantity_sold) as actual_units,
            sum(abs(error)) as absolute_error,
            sum(error) as error,
            sum(abs(naive_error)) as naive_absolute_error,
            sum(naive_error) as naive_error,
            case when due.actuals is not null then count(*) filter (where as_planned) end
                as planned_rows,
            sum(quantity_sold) filter (where as_planned) as planned_units,
            sum(abs(error)) filter (where as_planned) as planned_absolute_error,
            sum(error) filter (where as_planned) as planned_error
        from ml.forecasts as promised
        inner join features.demand_features as actual using (store_id, date, product_id)
        cross join lateral (
            select
                promised.forecast - actual.quantity_sold as error,
                promised.seasonal_naive - actual.quantity_sold as naive_error,
                (actual.promotion > 0) = promised.promotion
                and abs(actual.price - promised.price) <= %(same_price)s * promised.price
                    as as_planned
        ) as compared
        where
            promised.origin = due.origin
            and promised.model_version = due.model_version
            and promised.store_id = due.store_id
            and promised.date = due.date
            and due.actuals is not null
            and actual.has_history
    ) as sums
)
update ml.forecast_days as day
set
    actuals = scored.actuals,
    scored_rows = scored.scored_rows,
    actual_units = scored.actual_units,
    absolute_error = scored.absolute_error,
    error = scored.error,
    naive_absolute_error = scored.naive_absolute_error,
    naive_error = scored.naive_error,
    planned_rows = scored.planned_rows,
    planned_units = scored.planned_units,
    planned_absolute_error = scored.planned_absolute_error,
    planned_error = scored.planned_error
from scored
where
    day.origin = scored.origin
    and day.model_version = scored.model_version
    and day.store_id = scored.store_id
    and day.date = scored.date
"""

_LATEST: Final = """
with latest as (
    select max(date) as date from ml.forecast_days
    where model_version = %(version)s and scored_rows > 0
)
select
    store_id, date, horizon,
    scored_rows, actual_units, absolute_error, error,
    scored_rows, actual_units, naive_absolute_error, naive_error,
    planned_rows, coalesce(planned_units, 0), coalesce(planned_absolute_error, 0),
    coalesce(planned_error, 0)
from ml.forecast_days
where
    model_version = %(version)s and scored_rows > 0
    and date > (select date from latest) - %(days)s::int
order by date, store_id, horizon
"""


def score_due_days(connection: Connection) -> int:
    """Score what has got its actuals, or other ones, since the last time.

    Returns how many store-days of how many origins that were; nothing else is written.
    """
    followed = {"followed": FOLLOWED_DAYS, "same_price": SAME_PRICE}
    return connection.execute(_SCORE, followed).rowcount


def read_scored_days(connection: Connection, model_version: str, days: int) -> ScoredDays:
    """Read the sums of one model over its latest ``days`` calendar days that have been scored."""
    rows = connection.execute(_LATEST, {"version": model_version, "days": days}).fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * 15
    sums = [np.array(column, dtype=np.float64) for column in columns[3:]]
    return ScoredDays(
        store_id=tuple(columns[0]),
        day=tuple(columns[1]),
        horizon=np.array(columns[2], dtype=np.int64),
        model=ErrorSums(*sums[:4]),
        naive=ErrorSums(*sums[4:8]),
        as_planned=ErrorSums(*sums[8:]),
    )

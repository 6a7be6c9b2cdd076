"""Reading ``features.demand_features`` in bulk, as Arrow: for a snapshot, and for the panel.

What dbt computes is in ``dbt_project/models/features``; what becomes of the rows is in
``forecasting`` and in ``contract/panel_rows.py``.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import adbc_driver_postgresql.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scalecast_assets.contract.columns import FEATURES, Calendar
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel

_SNAPSHOT: Final = f"""
select
    store_id, product_id, date, quantity_sold, is_imputed, history_days, has_history, is_final,
    {", ".join(FEATURES)}
from features.demand_features
where is_final
order by store_id, product_id, date
"""

_SERIES: Final = """
select distinct on (store_id, product_id)
    store_id, product_id, date - history_days as first_day, price as last_price
from features.demand_features
where is_final
order by store_id, product_id, date desc
"""

_COLUMNS: Final = "store_id, product_id, date, quantity_sold, price, promotion"

_RECENT_DAYS: Final = f"""
with ends as (
    select store_id, max(date) - {KEPT_DAYS} as before_window
    from features.demand_calendar where is_final group by store_id
),
starts as (
    select ends.store_id, coalesce(max(days.date), '-infinity') as start
    from ends
    left join features.demand_calendar as days
        on days.store_id = ends.store_id and days.date <= ends.before_window
    group by ends.store_id
)
select {_COLUMNS}
from features.demand_features inner join starts using (store_id)
where is_final and date >= starts.start
order by store_id, product_id, date
"""
"""Per store, all since its latest open day before the days that a panel keeps."""

_RECENT_ROWS: Final = f"""
select {_COLUMNS}
from (
    select
        {_COLUMNS},
        row_number() over (partition by store_id, product_id order by date desc) as from_latest
    from features.demand_features
    where is_final
) as numbered
where from_latest <= {KEPT_DAYS}
order by store_id, product_id, date
"""
"""Per series, as many rows as a panel keeps; those of the kept days are among them."""


class NoFeatureRows(LookupError):
    """``demand_features`` has no final row."""


@contextmanager
def snapshot_batches(database_url: str) -> Iterator[pa.RecordBatchReader]:
    """Stream every final row in the order (store_id, product_id, date), a batch at a time."""
    with _connected(database_url) as cursor:
        cursor.execute(_SNAPSHOT)
        yield cursor.fetch_record_batch()


def read_panel(database_url: str, calendar: Calendar) -> Panel:
    """Read the recent history of every series, as it stands.

    Raises NoFeatureRows when nothing has been built yet.
    """
    with _connected(database_url) as cursor:
        # dbt may commit meanwhile; both must see the same rows.
        cursor.execute("set transaction isolation level repeatable read")
        series = _table(cursor, _SERIES)
        if not series.num_rows:
            raise NoFeatureRows("demand_features has no final row yet: load a file and build it")
        rows = _table(cursor, _RECENT_ROWS if calendar == "observed" else _RECENT_DAYS)
    stores, series_store = _ids(series, "store_id")
    products, series_product = _ids(series, "product_id")
    return build_panel(
        PanelRows(
            series=_series_of(rows, series),
            day=_days(rows, "date"),
            quantity=rows["quantity_sold"].to_numpy(),
            price=rows["price"].to_numpy(),
            promotion=rows["promotion"].to_numpy() > 0,
        ),
        stores=stores,
        products=products,
        series_store=series_store,
        series_product=series_product,
        calendar=calendar,
        first_day=_days(series, "first_day"),
        last_price=series["last_price"].to_numpy(),
    )


@contextmanager
def _connected(database_url: str) -> Iterator[Any]:
    """A cursor in a transaction of its own."""
    with (
        closing(adbc_driver_postgresql.dbapi.connect(database_url)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        yield cursor


def _table(cursor: Any, query: str) -> pa.Table:
    cursor.execute(query)
    return cursor.fetch_arrow_table()


def _ids(table: pa.Table, name: str) -> tuple[list[str], NDArray[np.int32]]:
    coded = table[name].combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int32)


def _series_of(rows: pa.Table, series: pa.Table) -> NDArray[np.int32]:
    """Number each row's series; both tables are sorted by (store_id, product_id)."""
    store, product = (rows[name].combine_chunks() for name in ("store_id", "product_id"))
    changes = np.ones(len(store), dtype=bool)
    changes[1:] = _differs(store) | _differs(product)
    starts = np.flatnonzero(changes)
    known = {
        pair: number
        for number, pair in enumerate(
            zip(series["store_id"].to_pylist(), series["product_id"].to_pylist(), strict=True)
        )
    }
    pairs = zip(store.take(starts).to_pylist(), product.take(starts).to_pylist(), strict=True)
    numbers = np.array([known[pair] for pair in pairs], dtype=np.int32)
    series_of: NDArray[np.int32] = numbers[np.cumsum(changes) - 1]
    return series_of


def _differs(ids: Any) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return different


def _days(table: pa.Table, name: str) -> NDArray[np.int32]:
    return np.asarray(table[name].combine_chunks().view(pa.int32()), dtype=np.int32)

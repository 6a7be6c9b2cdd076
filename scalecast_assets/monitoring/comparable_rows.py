"""The rows that drift is measured on: the newest days, and the last ones the served model learnt.

New are the days after the model's fit, at most the latest few. They are compared with the last
eight weeks of its training set, not with all of it: a model that is fitted again on a changed world
then finds itself at home there, instead of asking for the next one for as long as the old world
outweighs the new. The index itself is in ``forecasting/drift.py``.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import adbc_driver_postgresql.dbapi
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scalecast_assets.forecasting.drift import MEASURED, Sample, stratum_of
from scalecast_assets.ingest.schema import Connection

REFERENCE_DAYS: Final = 56
"""Eight of each weekday, about as far as any feature and the kept history reach."""

_STRATUM: Final = ("store_id_encoded", "day_of_week")
_COLUMNS: Final = (*MEASURED, *_STRATUM)

# the calendar leads: its few days are then looked up in the features' index
_NEW_ROWS: Final = f"""
select {", ".join(f"features.{name}::float8" for name in _COLUMNS)}
from features.demand_calendar as days
inner join features.demand_features as features using (store_id, date)
where days.is_final and features.has_history and days.date between $1 and $2
"""


@dataclass(frozen=True)
class NewDays:
    """Days that a model has not seen, the first and the last of them."""

    since: date
    until: date


def new_days(connection: Connection, fit_cutoff: date, at_most: int) -> NewDays | None:
    """Return the latest ``at_most`` days after the cutoff; None if there is no final one."""
    row = connection.execute(
        "select max(date) from features.demand_calendar where is_final"
    ).fetchone()
    until = row[0] if row else None
    if until is None or until <= fit_cutoff:
        return None
    return NewDays(max(fit_cutoff, until - timedelta(days=at_most)) + timedelta(days=1), until)


def read_new_rows(database_url: str, days: NewDays) -> Sample:
    """Read the final rows with history of these days."""
    with (
        closing(adbc_driver_postgresql.dbapi.connect(database_url)) as connection,
        closing(connection.cursor()) as cursor,
    ):
        cursor.execute(_NEW_ROWS, (days.since, days.until))
        return _sample(cursor.fetch_arrow_table(), (days.until - days.since).days + 1)


def read_reference_rows(snapshot: Path, fit_cutoff: date) -> Sample:
    """Read the rows with history of the training set's last days before its cutoff.

    ``snapshot`` is its Parquet file; a batch of it at a time is held.
    """
    after = pa.scalar(fit_cutoff - timedelta(days=REFERENCE_DAYS), pa.date32())
    with pq.ParquetFile(snapshot) as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in _COLUMNS])
        kept = []
        for batch in file.iter_batches(columns=[*_COLUMNS, "date", "has_history"]):
            recent = pc.and_(pc.greater(batch.column("date"), after), batch.column("has_history"))
            kept.append(batch.select(_COLUMNS).filter(recent))
    return _sample(pa.Table.from_batches(kept, schema), REFERENCE_DAYS)


def _sample(rows: pa.Table, days: int) -> Sample:
    columns = {name: rows[name].to_numpy().astype(np.float64) for name in _COLUMNS}
    store, day_of_week = (columns[name].astype(np.int64) for name in _STRATUM)
    values = np.stack([columns[name] for name in MEASURED], axis=1)
    return Sample(values, stratum_of(store, day_of_week), days)

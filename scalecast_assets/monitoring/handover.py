"""Handing the coming forecasts over: to ``ml.forecasts``, and to the bucket as Parquet and CSV.

To the database go all rows, to the bucket those that are served: who orders by the file must never
find a series twice because somebody tries another model. The rows of one origin and model replace
those that were there, in one transaction. What the rows hold is made in ``coming.py``.
"""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from psycopg import sql

from scalecast_assets.contract.layout import (
    FORECASTS_CSV,
    FORECASTS_PARQUET,
    FORECASTS_PREFIX,
    forecast_key,
)
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.ingest.schema import Connection
from scalecast_assets.monitoring.coming import (
    COLUMNS,
    WITH_SERVED,
    ComingForecasts,
    only_served,
)

_PLAIN: Final = pyarrow.csv.WriteOptions(include_header=False)
_COPY: Final = sql.SQL("copy ml.forecasts ({}) from stdin (format csv)").format(
    sql.SQL(", ").join(map(sql.Identifier, WITH_SERVED.names))
)
_DAYS: Final = """
insert into ml.forecast_days (
    origin, model_version, store_id, date, horizon, store_open, forecast_rows, forecast_units, role
)
select origin, model_version, store_id, date, horizon, store_open, count(*), sum(forecast), %s
from ml.forecasts
where origin = %s and model_version = %s
group by origin, model_version, store_id, date, horizon, store_open
"""


@dataclass(frozen=True)
class HandedOver:
    """How many rows are served, and where they are in the bucket."""

    rows: int
    parquet_key: str
    csv_key: str


def hand_over(
    forecasts: ComingForecasts,
    connection: Connection,
    store: ObjectStore,
    folder: Path,
    challenger: ComingForecasts | None = None,
) -> HandedOver:
    """Write the rows to the database, then to the bucket; ``folder`` is scratch space for both.

    The same forecasts again leave the same rows and the same bytes. Scores of this origin and
    model are forgotten with the forecasts they were of. So are forecasts and scores of later
    origins: the sales that those rested on were withdrawn or replaced. Rows of this origin by a
    model that is not served any more stay, and say so.
    """
    origin = str(np.datetime64(forecasts.origin_day, "D"))
    both = [forecasts] if challenger is None else [forecasts, challenger]
    versions = [one.model_version for one in both]
    parquet, table = folder / FORECASTS_PARQUET, folder / FORECASTS_CSV
    with connection.transaction(), connection.cursor() as cursor:
        for name in ("forecasts", "forecast_days"):
            cursor.execute(
                sql.SQL(
                    "delete from {} where origin > %s or (origin = %s and model_version = any(%s))"
                ).format(sql.Identifier("ml", name)),
                (origin, origin, versions),
            )
        cursor.execute(
            "update ml.forecasts set served = false where origin = %s and served", (origin,)
        )
        with (
            cursor.copy(_COPY) as copy,
            pq.ParquetWriter(parquet, COLUMNS, compression="zstd") as rows,
            _csv_writer(table) as lines,
        ):
            for batch, beside in _side_by_side(forecasts, challenger):
                copy.write(_csv(batch))
                served = only_served(batch, beside)
                lines.write(_csv(served))
                rows.write_batch(served)
        if challenger is not None:
            with cursor.copy(_COPY) as copy:
                for batch in challenger.batches():
                    copy.write(_csv(batch))
        for role, version in zip(("champion", "challenger"), versions, strict=False):
            cursor.execute(_DAYS, (role, origin, version))
    connection.execute("analyze ml.forecasts, ml.forecast_days")
    handed = HandedOver(
        rows=len(forecasts),
        parquet_key=forecast_key(origin, FORECASTS_PARQUET),
        csv_key=forecast_key(origin, FORECASTS_CSV),
    )
    for file, key in ((parquet, handed.parquet_key), (table, handed.csv_key)):
        store.upload(file, key)
        file.unlink()
    for info in store.list(FORECASTS_PREFIX):
        if info.key.removeprefix(FORECASTS_PREFIX).partition("/")[0] > origin:
            store.delete(info.key)
    return handed


def _side_by_side(
    champion: ComingForecasts, challenger: ComingForecasts | None
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]]:
    if challenger is None:
        return ((batch, None) for batch in champion.batches())
    return zip(champion.batches(), challenger.batches(), strict=True)


@contextmanager
def _csv_writer(path: Path) -> Iterator[gzip.GzipFile]:
    """A compressed file that begins with the header, and whose bytes depend on the rows alone."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as lines:
        lines.write(",".join(COLUMNS.names).encode() + b"\n")
        yield lines


def _csv(batch: pa.RecordBatch) -> bytes:
    text = BytesIO()
    pyarrow.csv.write_csv(batch, text, _PLAIN)
    return text.getvalue()

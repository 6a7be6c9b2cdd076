"""Writing the snapshot: the final feature rows as a Parquet file, named by their content.

One row per (store_id, product_id, date), sorted in that order by code point (in Postgres: collate
"C"). ``canonical_sha256`` names the rows; it knows nothing of a writer's bytes or of batch
boundaries. The SQL that makes the rows is in ``dbt_project/models/features``; reading a snapshot
for training is in ``training_set.py``.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scalecast_assets.contract.columns import FEATURES, Calendar, feature_contract_hash
from scalecast_assets.forecasting.training_rows import Int32, TrainingError

_REAL_FEATURES = frozenset(
    name for name in FEATURES if name.startswith(("lag_", "rolling_")) or name == "price"
)
_ID = pa.dictionary(pa.int32(), pa.string())
SNAPSHOT_SCHEMA = pa.schema(
    [
        pa.field("store_id", _ID, nullable=False),
        pa.field("product_id", _ID, nullable=False),
        pa.field("date", pa.date32(), nullable=False),
        pa.field("quantity_sold", pa.float64(), nullable=False),
        pa.field("is_imputed", pa.bool_(), nullable=False),
        pa.field("history_days", pa.int32(), nullable=False),
        pa.field("has_history", pa.bool_(), nullable=False),
        *(
            pa.field(name, pa.float64() if name in _REAL_FEATURES else pa.int32())
            for name in FEATURES
        ),
    ]
)
"""The columns of a snapshot, in order; a lag or window that reaches before the history is null."""


@dataclass(frozen=True)
class SnapshotSummary:
    """What a snapshot holds; ``short_history_rows`` are the rows neither trained on nor scored."""

    sha256: str
    rows: int
    trainable_rows: int
    series: int
    stores: int
    first_day: dt.date
    last_day: dt.date
    short_history_rows: int


def canonical_sha256(batches: Iterable[pa.RecordBatch], calendar: Calendar = "store") -> str:
    """Return the sha256 that names these rows under this feature contract.

    Raises TrainingError where rows are out of order, doubled, or a column is missing.
    """
    scan = SnapshotScan(calendar)
    for batch in batches:
        scan.add(conform(batch))
    return scan.sha256()


def write_snapshot(
    batches: Iterable[pa.RecordBatch], path: Path, calendar: Calendar = "store"
) -> SnapshotSummary:
    """Write the final rows of ``batches`` to ``path``, a batch at a time, and say what they are.

    Rows whose ``is_final`` is false are left out. Nothing is left at ``path`` when this raises
    TrainingError: no final row, rows out of order, or a column missing.
    """
    scan = SnapshotScan(calendar)
    metadata = {"feature_contract": feature_contract_hash(calendar), "calendar": calendar}
    schema = SNAPSHOT_SCHEMA.with_metadata(metadata)
    try:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches:
                rows = conform(batch)
                if rows.num_rows:
                    scan.add(rows)
                    writer.write_batch(rows.replace_schema_metadata(metadata))
        return scan.summary()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def conform(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the final rows of a batch with exactly the columns and types of the snapshot."""
    present = set(batch.schema.names)
    missing = [name for name in SNAPSHOT_SCHEMA.names if name not in present]
    if missing:
        raise TrainingError(
            f"feature rows: expected the columns of demand_features, {', '.join(missing)} missing; "
            "rebuild it with dbt"
        )
    if "is_final" in present:
        batch = batch.filter(batch.column("is_final"))
    columns = []
    for wanted in SNAPSHOT_SCHEMA:
        column = batch.column(wanted.name)
        if not wanted.nullable and column.null_count:
            raise TrainingError(f"{wanted.name}: expected no null, found {column.null_count}")
        if pa.types.is_dictionary(wanted.type) and not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        columns.append(column.cast(wanted.type))
    return pa.RecordBatch.from_arrays(columns, schema=SNAPSHOT_SCHEMA)


@dataclass
class SnapshotScan:
    """One pass over conformed rows: their hash, their order, their series, their counts."""

    calendar: Calendar
    rows: int = 0
    trainable: int = 0
    last_key: tuple[str, str] | None = None
    last_day: int = 0
    stores: list[str] = field(default_factory=list)
    products: dict[str, int] = field(default_factory=dict)
    series: list[tuple[int, int]] = field(default_factory=list)
    day_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._hashers = {name: hashlib.sha256() for name in SNAPSHOT_SCHEMA.names}

    def add(self, batch: pa.RecordBatch) -> Int32:
        """Take in a batch; return each row's series number, counted from the first batch on."""
        if batch.num_rows == 0:
            return np.empty(0, dtype=np.int32)
        series = self._number_series(batch)
        for name, column in zip(SNAPSHOT_SCHEMA.names, batch.columns, strict=True):
            for part in _canonical_bytes(column):
                self._hashers[name].update(part)
        days = batch.column("date").view(pa.int32()).to_numpy()
        low, high = self.day_range or (int(days.min()), int(days.max()))
        self.day_range = (min(low, int(days.min())), max(high, int(days.max())))
        self.rows += batch.num_rows
        self.trainable += pc.sum(batch.column("has_history")).as_py() or 0
        return series

    def _number_series(self, batch: pa.RecordBatch) -> Int32:
        store, product = batch.column("store_id"), batch.column("product_id")
        store_index, product_index = store.indices.to_numpy(), product.indices.to_numpy()
        days = batch.column("date").view(pa.int32()).to_numpy()
        moved = (np.diff(store_index) != 0) | (np.diff(product_index) != 0)
        starts = np.concatenate([[0], np.flatnonzero(moved) + 1])
        backwards = np.flatnonzero(~moved & (np.diff(days) <= 0))
        if len(backwards):
            self._refuse_order(batch, int(backwards[0]) + 1)
        number = np.zeros(batch.num_rows, dtype=np.int32)
        for start in starts.tolist():
            key = (store[start].as_py(), product[start].as_py())
            if self.last_key is not None and (key < self.last_key):
                self._refuse_order(batch, start)
            if key != self.last_key:
                self._open_series(*key)
                number[start] = 1
            elif start == 0 and int(days[0]) <= self.last_day:
                self._refuse_order(batch, start)
            self.last_key = key
        self.last_day = int(days[-1])
        known = len(self.series) - int(number.sum())
        return (known - 1 + np.cumsum(number)).astype(np.int32)

    def _open_series(self, store: str, product: str) -> None:
        if not self.stores or self.stores[-1] != store:
            self.stores.append(store)
        code = self.products.setdefault(product, len(self.products))
        self.series.append((len(self.stores) - 1, code))

    def _refuse_order(self, batch: pa.RecordBatch, row: int) -> None:
        names = ("store_id", "product_id", "date")
        found = ", ".join(str(batch.column(name)[row].as_py()) for name in names)
        raise TrainingError(
            'feature rows: expected each (store_id, product_id, date) once, by collate "C", '
            f"found ({found}) after row {self.rows + row} out of order or twice"
        )

    def sha256(self) -> str:
        """Return the digest over contract, column names, types and every column's rows."""
        whole = hashlib.sha256(feature_contract_hash(self.calendar).encode())
        for entry in SNAPSHOT_SCHEMA:
            digest = self._hashers[entry.name].hexdigest()
            whole.update(f"|{entry.name}:{entry.type}:{digest}".encode())
        return whole.hexdigest()

    def summary(self) -> SnapshotSummary:
        """Return what was seen; raises TrainingError if that was nothing."""
        if self.day_range is None:
            raise TrainingError(
                "the training set is empty: expected final rows in demand_features, found none; "
                "load a file whose days are over"
            )
        first, last = (dt.date(1970, 1, 1) + dt.timedelta(days=day) for day in self.day_range)
        return SnapshotSummary(
            sha256=self.sha256(),
            rows=self.rows,
            trainable_rows=self.trainable,
            series=len(self.series),
            stores=len(self.stores),
            first_day=first,
            last_day=last,
            short_history_rows=self.rows - self.trainable,
        )


def _canonical_bytes(column: pa.Array) -> Iterator[bytes]:
    """Yield bytes that depend on the values alone: no offsets, dictionaries or null payloads."""
    if pa.types.is_dictionary(column.type):
        sizes = [len(text.encode()) for text in column.dictionary.to_pylist()]
        texts = [text.encode() for text in column.dictionary.to_pylist()]
        index = column.indices.to_numpy()
        width = np.dtype("<u4").itemsize
        table = [
            size.to_bytes(width, "little") + text for size, text in zip(sizes, texts, strict=True)
        ]
        yield b"".join(map(table.__getitem__, index.tolist()))
        return
    valid = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.uint8)
    if pa.types.is_date32(column.type):
        column = column.view(pa.int32())
    filled = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values = filled.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(column.type):
        values = values + 0.0  # −0.0 becomes 0.0
        values[np.isnan(values)] = np.nan
    kind = {"f": "<f8", "i": "<i4", "b": "u1"}[values.dtype.kind]
    rows = np.empty(len(values), dtype=[("valid", "u1"), ("value", kind)])
    rows["valid"], rows["value"] = valid, values
    yield rows.tobytes()

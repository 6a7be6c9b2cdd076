"""The training set in memory: a snapshot's rows as lean arrays, and what training asks of them.

3.3 million rows take about 300 MB: features as float32, everything else as narrow numbers, ids once
per series. Writing a snapshot and naming it is in ``snapshot.py``; cutting rows by date is in
``splits.py``; forecasting the holdout is in ``evaluation.py``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scalecast_assets.contract.columns import FEATURES, Calendar, feature_contract_hash
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.forecasting.snapshot import (
    SnapshotScan,
    SnapshotSummary,
    canonical_sha256,
    conform,
    write_snapshot,
)
from scalecast_assets.forecasting.splits import origin_of
from scalecast_assets.forecasting.training_rows import (
    Float32,
    Float64,
    Int32,
    TrainingError,
    TrainingRows,
)

__all__ = ["SnapshotSummary", "TrainingSet", "canonical_sha256", "write_snapshot"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """All final rows, one per (store_id, product_id, date), in canonical order.

    Row arrays are ``(n_rows,)``, ``features`` is ``(n_rows, 16) float32`` in the order of
    ``FEATURES`` with NaN where a lag or window does not exist; ``day`` counts from 1970-01-01.
    ``series`` indexes the series arrays ``(n_series,)``, whose entries index the ids.
    """

    summary: SnapshotSummary
    calendar: Calendar
    store_ids: tuple[str, ...]
    product_ids: tuple[str, ...]
    series_store: Int32
    series_product: Int32
    series: Int32
    day: Int32
    quantity: Float64
    is_imputed: Bools
    history_days: Int32
    has_history: Bools
    features: Float32

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a snapshot; raises TrainingError if it is of another feature contract."""
        with pq.ParquetFile(path) as file:
            calendar = _calendar_of(file.schema_arrow, path)
            scan = SnapshotScan(calendar)
            n = file.metadata.num_rows
            columns = {
                "day": np.empty(n, np.int32),
                "quantity": np.empty(n, np.float64),
                "is_imputed": np.empty(n, np.bool_),
                "history_days": np.empty(n, np.int32),
                "has_history": np.empty(n, np.bool_),
                "series": np.empty(n, np.int32),
            }
            features = np.empty((n, len(FEATURES)), np.float32)
            start = 0
            for batch in file.iter_batches(batch_size=131_072):
                rows = conform(batch)
                part = slice(start, start + rows.num_rows)
                columns["series"][part] = scan.add(rows)
                for name, source in _SOURCES.items():
                    columns[name][part] = _numbers(rows.column(source))
                for place, name in enumerate(FEATURES):
                    features[part, place] = _numbers(rows.column(name))
                start = part.stop
        return cls(
            summary=scan.summary(),
            calendar=calendar,
            store_ids=tuple(scan.stores),
            product_ids=tuple(scan.products),
            series_store=np.array([store for store, _ in scan.series], np.int32),
            series_product=np.array([product for _, product in scan.series], np.int32),
            features=features,
            **columns,
        )

    def __len__(self) -> int:
        return len(self.day)

    @property
    def n_series(self) -> int:
        """How many (store, product) pairs there are."""
        return len(self.series_store)

    @property
    def last_day(self) -> int:
        """The last day of any row, in days since 1970-01-01."""
        return int(self.day.max())

    @property
    def series_first_day(self) -> Int32:
        """The day of each series' first row, ``(n_series,)``."""
        return self.day[np.searchsorted(self.series, np.arange(self.n_series))]

    @property
    def encoders(self) -> Encoders:
        """The codes of these stores and products, as ``warehouse.id_codes`` gave them."""
        return Encoders(
            stores=self._codes(self.store_ids, self.series_store, "store_id_encoded"),
            products=self._codes(self.product_ids, self.series_product, "product_id_encoded"),
        )

    def origin(self, horizon_days: int) -> int:
        """Return the last day that a forecast of the holdout may know.

        Raises TrainingError unless there are trainable rows both up to it and after it.
        """
        origin = origin_of(self.last_day, horizon_days)
        before = int(np.count_nonzero(self.has_history & (self.day <= origin)))
        after = int(np.count_nonzero(self.has_history & (self.day > origin)))
        if not before or not after:
            raise TrainingError(
                f"a holdout of {horizon_days} days needs rows with history on both sides of its "
                f"origin, found {before} up to it and {after} after it; load a longer history or "
                "set a shorter horizon"
            )
        return origin

    def rows(self) -> TrainingRows:
        """Return the rows that may be trained on: those with history."""
        chosen = self.has_history
        if chosen.all():
            return TrainingRows(self.features, self.quantity, self.day, self.series)
        return TrainingRows(
            self.features[chosen], self.quantity[chosen], self.day[chosen], self.series[chosen]
        )

    def holdout(self, origin: int) -> npt.NDArray[np.intp]:
        """Return the positions of the rows after ``origin`` that are scored.

        Scored are rows with history, of series that were known at the origin.
        """
        known = self.series_first_day <= origin
        return np.flatnonzero((self.day > origin) & self.has_history & known[self.series])

    def panel(self, origin_day: int | None = None) -> Panel:
        """Return the recent history as it was known at the end of ``origin_day`` (None: now)."""
        rows = PanelRows(
            series=self.series,
            day=self.day,
            quantity=self.quantity,
            price=self.features[:, FEATURES.index("price")],
            promotion=self.features[:, FEATURES.index("promotion")] > 0,
        )
        return build_panel(
            rows,
            stores=self.store_ids,
            products=self.product_ids,
            series_store=self.series_store,
            series_product=self.series_product,
            calendar=self.calendar,
            origin_day=origin_day,
        )

    def _codes(self, ids: tuple[str, ...], owner: Int32, feature: str) -> dict[str, int]:
        first_row = np.searchsorted(self.series, np.arange(self.n_series))
        codes = self.features[first_row, FEATURES.index(feature)].astype(int)
        return {ids[at]: code for at, code in zip(owner.tolist(), codes.tolist(), strict=True)}


_SOURCES = {
    "day": "date",
    "quantity": "quantity_sold",
    "is_imputed": "is_imputed",
    "history_days": "history_days",
    "has_history": "has_history",
}


def _calendar_of(schema: pa.Schema, path: Path) -> Calendar:
    found = {k.decode(): v.decode() for k, v in (schema.metadata or {}).items()}
    for calendar in ("store", "observed"):
        if found.get("feature_contract") == feature_contract_hash(calendar):
            return calendar
    raise TrainingError(
        f"{path.name}: expected a snapshot of this feature contract, found "
        f"{found.get('feature_contract', 'none')}; make the training set again"
    )


def _numbers(column: pa.Array) -> npt.NDArray[np.generic]:
    if pa.types.is_date32(column.type):
        column = column.view(pa.int32())
    numbers: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return numbers

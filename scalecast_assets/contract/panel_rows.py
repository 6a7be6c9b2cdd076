"""From the rows of ``demand_features`` to a panel.

The rows come as columns sorted by (series, day), from Postgres or from a training set's Parquet;
reading them is the caller's. What a panel is, and how it is asked, is in ``panel.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.panel import (
    KEPT_DAYS,
    NEVER,
    NO_ROW,
    Bools,
    Float64s,
    Floats,
    Ints,
    ObservedPanel,
    Panel,
    StorePanel,
)

Cells = TypeVar("Cells", bound=NDArray[Any])


@dataclass(frozen=True, eq=False)
class PanelRows:
    """Final rows of ``demand_features``, one per (series, day), sorted so: columns of length N."""

    series: Ints
    day: Ints
    quantity: Floats
    price: Floats
    promotion: Bools

    def __len__(self) -> int:
        return len(self.series)

    def up_to(self, day: int) -> "PanelRows":
        """Return the rows of days up to and including ``day``."""
        keep = self.day <= day
        if keep.all():
            return self
        return PanelRows(
            self.series[keep],
            self.day[keep],
            self.quantity[keep],
            self.price[keep],
            self.promotion[keep],
        )

    def check(self, n_series: int) -> None:
        """Raise ValueError unless the rows are sorted, unique and of known series."""
        lengths = {name: len(column) for name, column in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"panel rows: expected columns of one length, found {lengths}")
        if not len(self):
            raise ValueError("panel rows: found no row up to the origin; at least one is needed")
        if int(self.series.min()) < 0 or int(self.series.max()) >= n_series:
            raise ValueError(f"panel rows: expected series within 0..{n_series - 1}")
        series, day = self.series, self.day
        same = series[1:] == series[:-1]
        if not np.all((series[1:] > series[:-1]) | (same & (day[1:] > day[:-1]))):
            raise ValueError("panel rows: expected them sorted by (series, day), each pair once")


def build_panel(
    rows: PanelRows,
    *,
    stores: Sequence[str],
    products: Sequence[str],
    series_store: Ints,
    series_product: Ints,
    calendar: Calendar = "store",
    origin_day: int | None = None,
    first_day: Ints | None = None,
    last_price: Floats | None = None,
    kept_days: int = KEPT_DAYS,
) -> Panel:
    """Build the panel of ``S`` series, knowing nothing after ``origin_day`` (None: everything).

    ``rows`` are the whole history, or its end: for each store everything since its latest open
    day before its last ``kept_days`` days (calendar ``observed``: and the last ``kept_days`` rows
    of each series). With the end alone, ``first_day`` and ``last_price`` (S,) must be given.

    A series without a row by the origin stays in the panel, without history. A store ends on its
    own last row: whether it was closed since, or has not reported yet, cannot be told apart, so
    its days after that are future days, rolled like any other store's. A store without any row
    ends on the origin. Raises ValueError if the rows are empty or not sorted by (series, day).
    """
    if kept_days < KEPT_DAYS:
        raise ValueError(f"kept_days: expected at least {KEPT_DAYS}, found {kept_days}")
    rows = rows if origin_day is None else rows.up_to(origin_day)
    store_of, product_of = series_store.astype(np.int32), series_product.astype(np.int32)
    rows.check(len(store_of))
    spans = _Spans.of(rows, len(store_of))
    begun = spans.end > spans.begin
    if first_day is None:
        first_day = spans.pick(rows.day, spans.begin, NEVER)
    elif origin_day is not None:
        first_day = np.where(first_day > origin_day, NEVER, first_day)
    if last_price is None:
        last_price = spans.pick(rows.price, spans.end - 1, np.nan)
    elif origin_day is not None:
        given = np.where(first_day == NEVER, np.nan, last_price)
        last_price = np.where(begun, spans.pick(rows.price, spans.end - 1, np.nan), given)

    until = _until(rows, spans, store_of, len(stores), origin_day)
    series = rows.series.astype(np.int64)
    column = (rows.day - until[store_of][series]).astype(np.int64) + (kept_days - 1)
    recent = np.flatnonzero(column >= 0)
    is_open = np.zeros((len(stores), kept_days), dtype=np.bool_)
    is_open[store_of[series[recent]], column[recent]] = True
    carry = _carry(rows, spans, recent, store_of, len(stores), first_day)
    if calendar == "observed":
        column = np.arange(len(rows)) - spans.end[series] + kept_days
        recent = np.flatnonzero(column >= 0)

    at = (series[recent], column[recent])
    shape = (len(store_of), kept_days)
    common: dict[str, Any] = {
        "stores": tuple(stores),
        "products": tuple(products),
        "series_store": store_of,
        "series_product": product_of,
        "first_day": first_day.astype(np.int32),
        "last_price": last_price.astype(np.float64),
        "until": until.astype(np.int32),
        "open": is_open,
        "quantity": _put(np.zeros(shape), at, rows.quantity[recent]),
        "price": _put(np.full(shape, np.nan, np.float32), at, rows.price[recent]),
        "promotion": _put(np.zeros(shape, np.bool_), at, rows.promotion[recent]),
    }
    if calendar == "observed":
        row_day = _put(np.full(shape, NO_ROW, np.int32), at, rows.day[recent])
        return ObservedPanel(**common, row_day=row_day)
    return StorePanel(**common, carry=carry)


class _Spans(NamedTuple):
    """Where each series' rows begin and end (exclusive) among the sorted rows."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @staticmethod
    def of(rows: PanelRows, n_series: int) -> "_Spans":
        bounds = np.searchsorted(rows.series, np.arange(n_series + 1, dtype=rows.series.dtype))
        return _Spans(bounds[:-1].astype(np.int64), bounds[1:].astype(np.int64))

    def pick(self, column: NDArray[Any], at: Ints, otherwise: float) -> NDArray[Any]:
        """Take ``column[at]`` (S,) for the series that have rows."""
        inside = (self.begin <= at) & (at < self.end)
        wide = np.float64 if column.dtype.kind == "f" else np.int64
        return np.where(inside, column[np.where(inside, at, 0)].astype(wide), otherwise)


def _until(
    rows: PanelRows, spans: _Spans, store_of: Ints, n_stores: int, origin_day: int | None
) -> NDArray[np.int64]:
    """Find the latest day with a row, per store; the origin where there is none."""
    latest = spans.pick(rows.day, spans.end - 1, NO_ROW).astype(np.int64)
    until = np.full(n_stores, NO_ROW, dtype=np.int64)
    np.maximum.at(until, store_of, latest)
    end = int(latest.max()) if origin_day is None else origin_day
    return np.where(until == NO_ROW, end, until)


def _carry(
    rows: PanelRows, spans: _Spans, recent: Ints, store_of: Ints, n_stores: int, first_day: Ints
) -> Float64s:
    """Find each series' quantity on its store's latest open day before the window."""
    n_recent = np.bincount(rows.series[recent], minlength=len(store_of))
    before = spans.end - n_recent - 1
    day = spans.pick(rows.day, before, NO_ROW).astype(np.int64)
    quantity = spans.pick(rows.quantity, before, np.nan)
    carry_day = np.full(n_stores, NO_ROW, dtype=np.int64)
    np.maximum.at(carry_day, store_of, day)
    wanted = carry_day[store_of]
    unsold = np.where(first_day <= wanted, 0.0, np.nan)
    return np.where((day == wanted) & (day != NO_ROW), quantity, unsold)


def _put(cells: Cells, at: tuple[Ints, Ints], values: NDArray[Any]) -> Cells:
    cells[at] = values
    return cells

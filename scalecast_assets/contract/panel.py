"""The recent history of every series, as numpy arrays: what features and forecasts are made from.

A :class:`Panel` knows, for each store, which of its last days were open, and for each series what
it sold on them. Every store's window ends on the store's own last final open day (``until``), so
the last column means "the latest thing known" for all stores, also where their data end on
different days. Later days are the future, whatever later days another store may know.

Two kinds, one interface: :class:`StorePanel` has a column per calendar day, :class:`ObservedPanel`
a column per row of the series. The building of panels from rows is in ``panel_rows.py``, the
features are in ``features.py``, the bytes of a panel in ``state.py``.

Days are integers: days since 1970-01-01.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.columns import (
    KEPT_HISTORY_DAYS,
    MIN_HISTORY_DAYS,
    Calendar,
)

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

WINDOW: Final = 14
"""How far, in days (or rows), the longest window and the longest lag look back."""

LAGS: Final = (1, 7, 14)

KEPT_DAYS: Final = KEPT_HISTORY_DAYS + MIN_HISTORY_DAYS
"""Columns of a panel: the first of the kept days still needs its 14 days of history."""

NEVER: Final = int(np.iinfo(np.int32).max)
"""``first_day`` of a series that has no row yet."""

NO_ROW: Final = int(np.iinfo(np.int32).min)
"""``row_day`` of an unused cell of an observed panel."""

_BACK: Final = np.arange(-WINDOW, 0)
_LAGS: Final = np.array(LAGS)


class Windows(NamedTuple):
    """What ``n`` series know of the time before one day each, oldest first."""

    values: Float64s
    """``(n, 14)`` quantities, 0 in the cells that do not count."""
    counted: Bools
    """``(n, 14)``: which of the 14 days (rows) count."""
    lags: Float64s
    """``(n, 3)``: lag_1, lag_7, lag_14; NaN before the first row."""
    has_history: Bools
    """``(n,)``: enough is known for the features to be used."""


class WindowOne(NamedTuple):
    """:class:`Windows` of one series, as plain Python numbers."""

    values: list[float]
    counted: list[bool]
    lags: tuple[float, float, float]
    has_history: bool


@dataclass(frozen=True, eq=False)
class Panel(ABC):
    """The history of ``S`` series in ``n_stores`` stores; ``T`` days are kept per store."""

    calendar: ClassVar[Calendar]

    stores: tuple[str, ...]
    products: tuple[str, ...]
    series_store: NDArray[np.int32]
    """``(S,)``: the index of each series' store in ``stores``."""
    series_product: NDArray[np.int32]
    """``(S,)``: the index of each series' product in ``products``."""
    first_day: NDArray[np.int32]
    """``(S,)``: the day of the series' first row ever; ``NEVER`` if it has none yet."""
    last_price: Float64s
    """``(S,)``: the series' latest price; NaN if it has no row yet."""
    until: NDArray[np.int32]
    """``(n_stores,)``: the store's latest final open day, the last column of its window."""
    open: Bools
    """``(n_stores, T)``: on which of the ``T`` days up to ``until`` the store was open."""
    quantity: Floats
    """Units per day: ``(S, T)``, or ``(S, R)`` of rows; 0 where there is no row."""
    price: NDArray[np.float32]
    """The price beside each quantity, for showing; NaN where there is no row."""
    promotion: Bools
    """The promotion beside each quantity, for showing."""

    @property
    def n_series(self) -> int:
        """How many series the panel holds."""
        return len(self.series_store)

    @cached_property
    def end_day(self) -> int:
        """The latest day that any store knows."""
        return int(self.until.max())

    @cached_property
    def store_index(self) -> dict[str, int]:
        """Store id → its index."""
        return {store: index for index, store in enumerate(self.stores)}

    @cached_property
    def product_index(self) -> dict[str, int]:
        """Product id → its index."""
        return {product: index for index, product in enumerate(self.products)}

    @cached_property
    def _series_of(self) -> dict[int, int]:
        keys = self.series_store.astype(np.int64) * len(self.products) + self.series_product
        return {key: index for index, key in enumerate(keys.tolist())}

    def find(self, store_id: str, product_id: str) -> int | None:
        """Return the index of the series, or None if the pair has never been seen."""
        store = self.store_index.get(store_id)
        product = self.product_index.get(product_id)
        if store is None or product is None:
            return None
        return self._series_of.get(store * len(self.products) + product)

    def earliest_day(self, store: int) -> int:
        """Return the first day whose features the store's window still holds completely."""
        return int(self.until[store]) + 1 - (int(self.open.shape[1]) - WINDOW)

    @cached_property
    def open_weekdays(self) -> Bools:
        """``(n_stores, 7)``: whether the store's day ``until + 1 + j`` counts as open.

        It does if the store was open on that weekday in the 28 days up to ``until``; the days
        after the seventh repeat the pattern.
        """
        weeks = self.open[:, -28:].reshape(len(self.stores), 4, 7)
        return np.asarray(weeks.any(axis=1))

    @property
    @abstractmethod
    def cell_days(self) -> NDArray[np.int64]:
        """``(S, columns)``: the day of each cell of ``quantity``; ``NO_ROW`` if unused."""

    @abstractmethod
    def windows(self, series: Ints, day: Ints) -> Windows:
        """Look back from ``day`` (n,) for each of ``series`` (n,), at days before it only.

        Days after ``until`` count as closed here; to look back from beyond ``until + 1`` as a
        forecast does, roll forward. Raises ValueError for a day before ``earliest_day``.
        """

    @abstractmethod
    def window_one(self, series: int, day: int) -> WindowOne:
        """Do the same as :meth:`windows` for one series and day, in microseconds."""

    def refuse_early(self, store: int, day: int) -> ValueError:
        """Make the error for a day that the window does not reach back to."""
        return ValueError(
            f"store {self.stores[store]!r}: no features for {np.datetime64(day, 'D')}: the "
            f"history kept reaches back to {np.datetime64(self.earliest_day(store), 'D')}; "
            "ask for a later day, or build the panel with more kept_days"
        )

    def _check_days(self, store: Ints, day: Ints) -> None:
        early = np.flatnonzero(day < self.until[store] - (self.open.shape[1] - WINDOW) + 1)
        if early.size:
            raise self.refuse_early(int(store[early[0]]), int(day[early[0]]))


@dataclass(frozen=True, eq=False)
class StorePanel(Panel):
    """Calendar ``store``: a column per calendar day, zero on open days without a row."""

    calendar = "store"

    carry: Float64s
    """``(S,)``: the quantity on the store's latest open day before its window; NaN if the series
    had not begun, or there was no such day."""

    @cached_property
    def last_open(self) -> NDArray[np.int16]:
        """``(n_stores, T)``: the latest open column up to each column; -1 before the first."""
        columns = np.arange(self.open.shape[1], dtype=np.int16)
        marked = np.where(self.open, columns, np.int16(-1))
        return np.maximum.accumulate(marked, axis=1)

    @cached_property
    def first_column(self) -> NDArray[np.int64]:
        """``(S,)``: the column of the series' first row (negative: before the window)."""
        until = self.until[self.series_store].astype(np.int64)
        return np.asarray(self.first_day - until + (self.open.shape[1] - 1))

    @property
    def cell_days(self) -> NDArray[np.int64]:
        """``(S, T)``: the day of each cell."""
        until = self.until[self.series_store].astype(np.int64)
        return until[:, None] + np.arange(1 - self.open.shape[1], 1)

    def as_of(self, series: Ints, day: Ints) -> Float64s:
        """Quantity on ``day`` (n, k), or on the store's latest open day before it.

        Days after ``until`` see ``until``, days before the window see the ``carry``. NaN where the
        series (n,) had not begun by then.
        """
        store = self.series_store[series]
        last = self.open.shape[1] - 1
        column = np.clip(day - self.until[store].astype(np.int64)[:, None] + last, -1, last)
        column = np.where(column < 0, -1, self.last_open[store[:, None], column])
        found = self.quantity[series[:, None], column].astype(np.float64)
        found = np.where(column < 0, self.carry[series][:, None], found)
        begun = (column < 0) | (column >= self.first_column[series][:, None])
        return np.where(begun, found, np.nan)

    def windows(self, series: Ints, day: Ints) -> Windows:
        """Look back over the 14 calendar days before ``day``; see :meth:`Panel.windows`."""
        store = self.series_store[series]
        day = day.astype(np.int64)
        self._check_days(store, day)
        last = self.open.shape[1] - 1
        column = (day - self.until[store] + last)[:, None] + _BACK
        known = np.minimum(column, last)
        counted = (
            (column <= last)
            & self.open[store[:, None], known]
            & (column >= self.first_column[series][:, None])
        )
        values = np.where(counted, self.quantity[series[:, None], known], 0.0)
        lags = self.as_of(series, day[:, None] - _LAGS)
        old_enough = day - self.first_day[series] >= MIN_HISTORY_DAYS
        return Windows(values, counted, lags, old_enough & counted.any(axis=1))

    def window_one(self, series: int, day: int) -> WindowOne:
        """Look back over 14 calendar days; see :meth:`Panel.window_one`."""
        store = int(self.series_store[series])
        last = self.open.shape[1] - 1
        column = day - int(self.until[store]) + last
        if column < WINDOW:
            raise self.refuse_early(store, day)
        first = int(self.first_column[series])
        begin, end = column - WINDOW, min(column, last + 1)
        quantity = self.quantity[series]
        values = quantity[begin:end].tolist()
        counted = self.open[store, begin:end].tolist()
        if first > begin:
            counted = [is_open and begin + i >= first for i, is_open in enumerate(counted)]
        missing = WINDOW - len(values)
        if missing > 0:
            values += [0.0] * missing
            counted += [False] * missing
        last_open = self.last_open[store]
        lags = []
        for lag in LAGS:
            at = int(last_open[min(column - lag, last)])
            if at < 0:
                lags.append(float(self.carry[series]))
            else:
                lags.append(float(quantity[at]) if at >= first else np.nan)
        old_enough = day - int(self.first_day[series]) >= MIN_HISTORY_DAYS
        return WindowOne(values, counted, (lags[0], lags[1], lags[2]), old_enough and any(counted))


@dataclass(frozen=True, eq=False)
class ObservedPanel(Panel):
    """Calendar ``observed``: the latest rows of each series, right-aligned; lags count rows."""

    calendar = "observed"

    row_day: NDArray[np.int32]
    """``(S, R)``: the day of each row, ascending; ``NO_ROW`` in the unused cells at the left."""

    @property
    def cell_days(self) -> NDArray[np.int64]:
        """``(S, R)``: the day of each cell."""
        return self.row_day.astype(np.int64)

    def windows(self, series: Ints, day: Ints) -> Windows:
        """Look back over the 14 rows before ``day``; see :meth:`Panel.windows`."""
        self._check_days(self.series_store[series], day.astype(np.int64))
        rows = self.row_day[series]
        column = (rows < day[:, None]).sum(axis=1)[:, None] + _BACK
        safe = np.maximum(column, 0)
        counted = (column >= 0) & (np.take_along_axis(rows, safe, axis=1) != NO_ROW)
        found = self.quantity[series[:, None], safe].astype(np.float64)
        lags = np.where(counted, found, np.nan)[:, WINDOW - _LAGS]
        return Windows(np.where(counted, found, 0.0), counted, lags, counted.all(axis=1))

    def window_one(self, series: int, day: int) -> WindowOne:
        """Look back over 14 rows; see :meth:`Panel.window_one`."""
        store = int(self.series_store[series])
        if day < self.earliest_day(store):
            raise self.refuse_early(store, day)
        rows = self.row_day[series]
        end = int(rows.searchsorted(day))
        begin = max(end - WINDOW, 0)
        missing = WINDOW - (end - begin)
        counted = [False] * missing + [at != NO_ROW for at in rows[begin:end].tolist()]
        values = [0.0] * missing + self.quantity[series, begin:end].tolist()
        lags = [values[-lag] if counted[-lag] else np.nan for lag in LAGS]
        return WindowOne(values, counted, (lags[0], lags[1], lags[2]), counted[0])

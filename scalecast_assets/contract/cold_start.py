"""What is answered where the features are not defined: a recent mean, and whose it is.

The first of these that exists: the series' own mean, its product's, its store's, everything's;
each over 28 calendar days. A series' own, and its store's, end with the last day its store knows;
its product's and everything's end with the last day any store knows. A series' own mean is over
its open days, zeros included; the others are over the rows of all active series.

A pair that never met, asked about for a day, gets more than a mean: its product's mean is brought
to the level of the store, which is how much the store sells of its products beside what the other
stores sell of them, and both it and a store's mean follow the weekdays of the store. Measured on
``m5_subset`` over eleven origins, each series in turn taken for unseen: MAE 1.302 instead of 1.332
where other stores have the product, 1.577 instead of 1.584 where none has.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from scalecast_assets.contract.panel import (
    NO_ROW,
    Bools,
    Float64s,
    Ints,
    Panel,
    StorePanel,
)

Source = Literal[
    "model", "series_mean", "product_mean", "store_mean", "global_mean", "product_at_store"
]

SOURCES: Final[tuple[Source, ...]] = (
    "model",
    "series_mean",
    "product_mean",
    "store_mean",
    "global_mean",
    "product_at_store",
)
"""What a prediction may come from; arrays hold indices into this."""

MODEL: Final = 0
_THURSDAY: Final = 3
"""The weekday of 1970-01-01."""

MEAN_DAYS: Final = 28

LEVEL_SERIES: Final = 10
"""A store's level is drawn towards 1 as if so many of its series sold what is usual elsewhere."""

WEEKDAY_ROWS: Final = 20
"""The share of a weekday is drawn towards 1 as if so many rows of it were an average day's."""


@dataclass(frozen=True, eq=False)
class ColdStart:
    """The means of a panel, computed once; NaN where there is no day to average."""

    of_series: Float64s
    """``(S,)`` units per day."""
    of_product: Float64s
    """``(n_products,)`` units per series and day."""
    of_store: Float64s
    """``(n_stores,)`` units per series and day."""
    of_all: float
    """Units per series and day; if no store has any of the 28 days, each store's own last ones."""
    store_level: Float64s
    """``(n_stores,)``: what it sells of its products, as a share of what other stores sell."""
    weekday_share: Float64s
    """``(n_stores, 7)``: a weekday's mean, Monday first, as a share of the store's mean."""
    series_store: NDArray[np.int32]
    series_product: NDArray[np.int32]

    @classmethod
    def of(cls, panel: Panel) -> "ColdStart":
        """Average the last 28 days of the panel."""
        quantity, counted, day, has_row = _last_days(panel)
        until = panel.until[panel.series_store].astype(np.int64)
        own = counted & (day > until[:, None] - MEAN_DAYS)
        late = has_row & (day > panel.end_day - MEAN_DAYS)
        in_store = own & has_row
        late_sum, late_n = (quantity * late).sum(axis=1), late.sum(axis=1)
        store_sum, store_n = (quantity * in_store).sum(axis=1), in_store.sum(axis=1)
        return cls(
            of_series=_mean((quantity * own).sum(axis=1), own.sum(axis=1)),
            of_product=_group(late_sum, late_n, panel.series_product, len(panel.products)),
            of_store=_group(store_sum, store_n, panel.series_store, len(panel.stores)),
            of_all=_overall(late_sum, late_n, store_sum, store_n),
            store_level=_levels(late_sum, late_n, panel),
            weekday_share=_weekdays(quantity * in_store, in_store, day, panel),
            series_store=panel.series_store,
            series_product=panel.series_product,
        )

    def one(
        self,
        series: int | None = None,
        product: int | None = None,
        store: int | None = None,
        day: int | None = None,
    ) -> tuple[float, Source]:
        """Answer for a series, or for a product and a store that never met (indices or None).

        ``day``, since 1970-01-01, is looked at for a pair that never met.
        """
        if series is None and store is not None and day is not None:
            return self._on_day(product, store, day)
        if series is not None:
            product, store = int(self.series_product[series]), int(self.series_store[series])
            if (own := float(self.of_series[series])) >= 0:
                return own, "series_mean"
        if product is not None and (mean := float(self.of_product[product])) >= 0:
            return mean, "product_mean"
        if store is not None and (mean := float(self.of_store[store])) >= 0:
            return mean, "store_mean"
        return self.of_all, "global_mean"

    def _on_day(self, product: int | None, store: int, day: int) -> tuple[float, Source]:
        share = float(self.weekday_share[store, (day + _THURSDAY) % 7])
        if product is not None and (mean := float(self.of_product[product])) >= 0:
            return mean * float(self.store_level[store]) * share, "product_at_store"
        mean, source = self.one(store=store)
        return mean * (share if source == "store_mean" else 1.0), source

    def many(self, series: Ints) -> tuple[Float64s, NDArray[np.int8]]:
        """Answer for ``series`` (n,): the values, and whose they are as indices of SOURCES."""
        own = self.of_series[series]
        product = self.of_product[self.series_product[series]]
        store = self.of_store[self.series_store[series]]
        known = [~np.isnan(own), ~np.isnan(product), ~np.isnan(store)]
        value = np.select(known, [own, product, store], default=self.of_all)
        source = np.select(known, [1, 2, 3], default=4).astype(np.int8)
        return value, source


def _last_days(panel: Panel) -> tuple[Float64s, Bools, NDArray[np.int64], Bools]:
    """Return quantity, counted, day and has_row of the last 28 cells, each ``(S, 28)``."""
    day = panel.cell_days[:, -MEAN_DAYS:]
    quantity = panel.quantity[:, -MEAN_DAYS:].astype(np.float64)
    if isinstance(panel, StorePanel):
        is_open = panel.open[panel.series_store][:, -MEAN_DAYS:]
        has_row = ~np.isnan(panel.price[:, -MEAN_DAYS:])
        return quantity, is_open & (day >= panel.first_day[:, None]), day, has_row
    has_row = day != NO_ROW
    return quantity, has_row, day, has_row


def _levels(total: Float64s, n: NDArray[Any], panel: Panel) -> Float64s:
    """Compare what each store sold of its products with what the other stores sold of them."""
    product, n_products = panel.series_product, len(panel.products)
    elsewhere = np.bincount(product, total, n_products)[product] - total
    n_elsewhere = np.bincount(product, n, n_products)[product] - n
    shared = (n > 0) & (n_elsewhere > 0)
    usual = np.where(shared, elsewhere / np.maximum(n_elsewhere, 1) * n, 0.0)
    stores, n_stores = panel.series_store, len(panel.stores)
    sold = np.bincount(stores, total * shared, n_stores)
    expected = np.bincount(stores, usual, n_stores)
    n_shared = np.bincount(stores, shared, n_stores)
    level = np.where(expected > 0, sold / np.where(expected > 0, expected, 1.0), 1.0)
    return (n_shared * level + LEVEL_SERIES) / (n_shared + LEVEL_SERIES)


def _weekdays(quantity: Float64s, has_row: Bools, day: NDArray[np.int64], panel: Panel) -> Float64s:
    """Return each weekday's share of its store's mean; 1 where nothing is known or sold."""
    n_cells = len(panel.stores) * 7
    total, n = np.zeros(n_cells), np.zeros(n_cells)
    for column in range(day.shape[1]):
        cell = panel.series_store * 7 + (day[:, column] + _THURSDAY) % 7
        total += np.bincount(cell, quantity[:, column], n_cells)
        n += np.bincount(cell, has_row[:, column], n_cells)
    sold, rows = total.reshape(-1, 7), n.reshape(-1, 7)
    mean = _mean(sold.sum(axis=1), rows.sum(axis=1))[:, None]
    usual = np.where(mean > 0, mean, 1.0)
    share = np.where((rows > 0) & (mean > 0), sold / np.maximum(rows, 1) / usual, 1.0)
    return (rows * share + WEEKDAY_ROWS) / (rows + WEEKDAY_ROWS)


def _overall(late: Float64s, n_late: Ints, own: Float64s, n_own: Ints) -> float:
    total, n = (late, n_late) if n_late.any() else (own, n_own)
    return float(_mean(total.sum(keepdims=True), n.sum(keepdims=True))[0])


def _mean(total: NDArray[Any], n: NDArray[Any]) -> Float64s:
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _group(total: NDArray[Any], n: NDArray[Any], group: Ints, n_groups: int) -> Float64s:
    return _mean(
        np.bincount(group, weights=total, minlength=n_groups),
        np.bincount(group, weights=n, minlength=n_groups),
    )

"""What is answered where the features are not defined: a recent mean, and whose it is.

The first of these that exists: the series' own mean, its product's, its store's, everything's;
each over 28 calendar days. A series' own, and its store's, end with the last day its store knows;
its product's and everything's end with the last day any store knows. A series' own mean is over
its open days, zeros included; the others are over the rows of all active series.
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

Source = Literal["model", "series_mean", "product_mean", "store_mean", "global_mean"]

SOURCES: Final[tuple[Source, ...]] = (
    "model",
    "series_mean",
    "product_mean",
    "store_mean",
    "global_mean",
)
"""What a prediction may come from; arrays hold indices into this."""

MODEL: Final = 0
MEAN_DAYS: Final = 28


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
            series_store=panel.series_store,
            series_product=panel.series_product,
        )

    def one(
        self, series: int | None = None, product: int | None = None, store: int | None = None
    ) -> tuple[float, Source]:
        """Answer for a series, or for a product and a store that never met (indices or None)."""
        if series is not None:
            product, store = int(self.series_product[series]), int(self.series_store[series])
            if (own := float(self.of_series[series])) >= 0:
                return own, "series_mean"
        if product is not None and (mean := float(self.of_product[product])) >= 0:
            return mean, "product_mean"
        if store is not None and (mean := float(self.of_store[store])) >= 0:
            return mean, "store_mean"
        return self.of_all, "global_mean"

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

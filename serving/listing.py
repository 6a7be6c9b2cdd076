"""What may be asked about: the stores, and the series of one or of all of them, page by page.

Listed by id, so that pages do not overlap; what a search looks for is part of an id, in any case.
"""

from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from scalecast_assets.contract.activity import active_series
from scalecast_assets.contract.columns import MAX_ID_BYTES
from scalecast_assets.contract.panel import NEVER
from serving.answers import Reply, iso_day
from serving.forecaster import Forecaster
from serving.schemas import Identifier
from serving.schemas import Reply as ReplyModel

MAX_LISTED: Final = 1_000


class StoresQuery(BaseModel):
    """Which stores, and which page of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: str = Field(
        default="",
        examples=["store_0"],
        max_length=MAX_ID_BYTES,
        description="Part of the id, in upper or lower case. Default: all.",
    )
    limit: int = Field(default=50, examples=[20], ge=1, le=MAX_LISTED)
    offset: int = Field(
        default=0, examples=[0], ge=0, le=1 << 31, description="How many to leave out at the start."
    )


class SeriesQuery(StoresQuery):
    """Which series; ``q`` is part of the product's id."""

    q: str = Field(
        default="",
        examples=["prod"],
        max_length=MAX_ID_BYTES,
        description="Part of the product's id, in upper or lower case. Default: all.",
    )
    store_id: Identifier | None = Field(
        default=None, examples=["STORE_001"], description="Only of this store."
    )


class ListedStore(ReplyModel):
    """One store."""

    store_id: str
    data_until: str = Field(description="Its latest day.")
    active_series: int = Field(description="Products with a row in the last 56 days.")


class StoresReply(ReplyModel):
    """One page of the stores, by id."""

    stores: list[ListedStore]
    total: int = Field(description="How many there are, on all pages.")


class ListedSeries(ReplyModel):
    """One product in one store."""

    store_id: str
    product_id: str
    is_active: bool = Field(description="Whether it had a row in the last 56 days.")
    mean_28_days: float | None = Field(description="Units per open day, over the last 28.")


class SeriesReply(ReplyModel):
    """One page of the series, by store and product."""

    series: list[ListedSeries]
    total: int = Field(description="How many there are, on all pages.")


def list_stores(forecaster: Forecaster, query: StoresQuery) -> Reply:
    """Return one page of the stores, as ``StoresReply``."""
    panel = forecaster.state.panel
    sold = np.bincount(panel.series_store[active_series(panel)], minlength=len(panel.stores))
    found = _matching(panel.stores, query.q)
    return {
        "stores": [
            {
                "store_id": panel.stores[one],
                "data_until": iso_day(int(panel.until[one])),
                "active_series": int(sold[one]),
            }
            for one in found[query.offset : query.offset + query.limit]
        ],
        "total": len(found),
    }


def list_series(forecaster: Forecaster, query: SeriesQuery) -> Reply:
    """Return one page of the series that were ever sold, as ``SeriesReply``; none if the store is
    unknown."""
    panel = forecaster.state.panel
    fits = panel.first_day != NEVER
    if query.store_id is not None:
        fits &= panel.series_store == panel.store_index.get(query.store_id, -1)
    store_place = _places(len(panel.stores), _matching(panel.stores, ""))
    product_place = _places(len(panel.products), _matching(panel.products, query.q))
    product = product_place[panel.series_product]
    at = np.flatnonzero(fits & (product >= 0))
    at = at[np.lexsort((product[at], store_place[panel.series_store[at]]))]
    is_active, mean = active_series(panel), forecaster.state.cold_start.of_series
    return {
        "series": [
            {
                "store_id": panel.stores[int(panel.series_store[one])],
                "product_id": panel.products[int(panel.series_product[one])],
                "is_active": bool(is_active[one]),
                "mean_28_days": float(mean[one]) if mean[one] == mean[one] else None,
            }
            for one in at[query.offset : query.offset + query.limit].tolist()
        ],
        "total": len(at),
    }


def _matching(ids: tuple[str, ...], part: str) -> list[int]:
    """Return the indices of the ids that contain ``part``, by id."""
    wanted = part.casefold()
    found = (index for index, one in enumerate(ids) if wanted in one.casefold())
    return sorted(found, key=ids.__getitem__)


def _places(n: int, order: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return, ``(n,)``, where in ``order`` each index stands; -1 if it does not."""
    places = np.full(n, -1, np.int64)
    places[order] = np.arange(len(order))
    return places

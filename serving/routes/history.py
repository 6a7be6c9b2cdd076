"""``GET /history``: what is known of one series, from which its forecasts start."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from scalecast_assets.contract.activity import active_series
from scalecast_assets.contract.columns import UNKNOWN_CODE
from scalecast_assets.contract.panel import NEVER, NO_ROW, ObservedPanel, Panel
from serving.answers import Reply, iso_day
from serving.errors import ApiError, problem
from serving.routes.dependencies import errors, json_response, parts_of
from serving.schemas_many import HistoryQuery, HistoryReply

router = APIRouter(tags=["forecasts"])


@router.get(
    "/history",
    summary="What is known of a series",
    response_model=HistoryReply,
    responses=errors(401, 404, 422, 503),
)
async def history(request: Request, asked: Annotated[HistoryQuery, Query()]) -> Response:
    """Return what was sold lately, and what else a forecast of the series depends on.

    Days on which the store was open and nothing was sold are there with 0; days on which it was
    closed are not.
    """
    forecaster = parts_of(request).traffic().of(asked.store_id, asked.product_id)
    panel = forecaster.state.panel
    series = panel.find(asked.store_id, asked.product_id)
    if series is None or int(panel.first_day[series]) == NEVER:
        missing = [name for name in ("store_id", "product_id") if not _is_known(panel, asked, name)]
        field = missing[0] if missing else "product_id"
        rule = "must be one that has been sold" + ("" if missing else " in this store")
        raise ApiError(404, problem(field, getattr(asked, field), rule))
    store = int(panel.series_store[series])
    until = int(panel.until[store])
    mean = float(forecaster.state.cold_start.of_series[series])
    weekday = (until + 1 + np.arange(7) + 3) % 7
    is_open = np.empty(7, np.bool_)
    is_open[weekday] = panel.open_weekdays[store]
    encoders = forecaster.model.encoders
    return json_response(
        {
            "store_id": asked.store_id,
            "product_id": asked.product_id,
            "first_date": iso_day(int(panel.first_day[series])),
            "data_until": iso_day(until),
            "last_price": float(panel.last_price[series]),
            "is_active": bool(active_series(panel)[series]),
            "mean_28_days": mean if mean == mean else None,
            "store_known_to_model": encoders.store_code(asked.store_id) != UNKNOWN_CODE,
            "product_known_to_model": encoders.product_code(asked.product_id) != UNKNOWN_CODE,
            "open_weekdays": is_open.tolist(),
            "days": _days(panel, series, until - asked.days),
        }
    )


def _is_known(panel: Panel, asked: HistoryQuery, name: str) -> bool:
    index = panel.store_index if name == "store_id" else panel.product_index
    return getattr(asked, name) in index


def _days(panel: Panel, series: int, after: int) -> list[Reply]:
    """Return the days after ``after`` on which the series could have been sold."""
    day = panel.cell_days[series]
    shown = (day > after) & (day >= panel.first_day[series]) & (day != NO_ROW)
    if not isinstance(panel, ObservedPanel):
        shown &= panel.open[panel.series_store[series]]
    at = np.flatnonzero(shown)
    columns = (
        day[at].tolist(),
        panel.quantity[series, at].astype(np.float64).tolist(),
        panel.price[series, at].tolist(),
        panel.promotion[series, at].tolist(),
    )
    return [
        {
            "date": iso_day(one),
            "quantity_sold": quantity,
            "price": round(price, 6) if price == price else None,
            "promotion": promotion,
        }
        for one, quantity, price, promotion in zip(*columns, strict=True)
    ]

"""``POST /forecast``: the coming days of one series, of a whole store or of a whole product."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from serving.answers import Reply
from serving.bodies import NDJSON, NDJSON_NAMES, described, read_many
from serving.coming import Asked, PlanMiss, asked_for, forecast
from serving.comparisons import compare_days
from serving.errors import ApiError, problem
from serving.forecaster import Forecaster
from serving.heavy import HeavyStream
from serving.routes.dependencies import Parts, PlainRoute, errors, json_response, parts_of
from serving.schemas_many import FORECAST_EXAMPLES, ForecastReply, ForecastRequest
from serving.traffic import Traffic

router = APIRouter(tags=["forecasts"], route_class=PlainRoute)

MAX_DAYS: Final = 50_000
"""Days, of all series together, that one JSON document may hold."""


@router.post(
    "/forecast",
    summary="Forecast the coming days of a series, a store or a product",
    response_model=ForecastReply,
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
        **errors(401, 404, 408, 413, 415, 422, 503),
    },
    openapi_extra=described(ForecastRequest, FORECAST_EXAMPLES),
)
async def forecast_coming(request: Request) -> Response:
    """Forecast the `horizon` days after the store's latest one, with what is planned for them.

    Leave out `product_id` for all that a store sells, or `store_id` for one product in all stores;
    series without a row in the last 56 days are then left out. A pair that was never seen is
    answered by a mean, and `source` says which. With `Accept: application/x-ndjson` each series is
    a line of its own and is sent as soon as it is forecast: the way to ask for very many.
    """
    parts = parts_of(request)
    async with parts.heavy.slot():
        body = await read_many(request, ForecastRequest, parts.settings.limits, parts.heavy)
        traffic = parts.traffic()
        asked = await parts.heavy.run(_asked, traffic.champion, body)
        if not _wants_lines(request):
            return await parts.heavy.run(_whole, parts, traffic, asked)
    return HeavyStream(parts.heavy, _lines(parts, traffic, asked), NDJSON)


def _asked(forecaster: Forecaster, body: ForecastRequest) -> Asked:
    try:
        asked = asked_for(forecaster.state.panel, body)
    except PlanMiss as error:
        raise ApiError(422, problem(error.field, error.value, error.rule)) from None
    if not len(asked.series):
        field = "store_id" if body.store_id is not None else "product_id"
        rule = "must be one with a row in the last 56 days to be forecast as a whole"
        raise ApiError(404, problem(field, getattr(body, field), rule))
    return asked


def _whole(parts: Parts, traffic: Traffic, asked: Asked) -> Response:
    n_series, horizon = asked.price.shape
    if n_series * horizon > MAX_DAYS:
        most = max(1, MAX_DAYS // n_series)
        rule = (
            f"must be at most {most} for {n_series} series in one JSON document, or any with the "
            f"header Accept: {NDJSON}"
        )
        raise ApiError(422, problem("horizon", horizon, rule))
    series = list(chain.from_iterable(_counted(parts, traffic, asked)))
    return json_response({"model_version": traffic.champion.model.version, "series": series})


def _lines(parts: Parts, traffic: Traffic, asked: Asked) -> Iterator[bytes]:
    for part in _counted(parts, traffic, asked):
        yield b"".join(to_json(series) + b"\n" for series in part)


def _counted(parts: Parts, traffic: Traffic, asked: Asked) -> Iterator[list[Reply]]:
    for mine, replies in forecast(traffic, asked):
        for series in replies:
            for day in series["days"]:
                parts.metrics.predicted(series["model_version"], day["source"])
        if traffic.rival is not None:
            compare_days(parts.shadow, traffic, mine, replies)
        yield replies


def _wants_lines(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return any(name in accepted for name in NDJSON_NAMES)

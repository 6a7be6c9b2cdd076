"""``POST /v1/timeseries/forecast``: KServe's protocol, errors in its shape included."""

import secrets
import time
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from scalecast_assets.contract.cold_start import SOURCES
from serving.bodies import described, read_many
from serving.comparisons import Continuing, compare_continued
from serving.continuing import Continued, continued
from serving.errors import ApiError, problem
from serving.forecaster import Forecaster
from serving.routes.dependencies import Parts, PlainRoute, errors, json_response, parts_of
from serving.timeseries import (
    EXAMPLES,
    ForecastOutput,
    ProtocolError,
    ProtocolErrorReply,
    TimeSeriesForecast,
    TimeSeriesInput,
    TimeSeriesReply,
    TimeSeriesRequest,
)
from serving.traffic import Traffic

router = APIRouter(tags=["forecasts"], route_class=PlainRoute)

NAME: Final = "scalecast"

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProtocolErrorReply, "description": says}
    for status, says in (
        (400, "A field breaks a rule: `param` names it"),
        (404, "Another model is served"),
        (408, "The body took too long to arrive"),
        (413, "The body is too large"),
        (415, "The body is of another type, or compressed"),
        (503, "No model is loaded yet, or too much is asked at once (`Retry-After`)"),
    )
}


@router.post(
    "/v1/timeseries/forecast",
    summary="KServe's time-series forecast protocol",
    response_model=TimeSeriesReply,
    responses={**errors(401), **ERRORS},
    openapi_extra=described(TimeSeriesRequest, EXAMPLES),
)
async def forecast(request: Request) -> Response:
    """Continue the series that are sent, or that the server keeps, by `horizon` days.

    `series` holds quantities of consecutive days from `start_timestamp` on. Name `store_id` and
    `product_id` to let the model use what it learned of them; leave `series` empty to start from
    the server's own history. A request is answered or refused as a whole. While a challenger is
    served, `model` may name one of both versions; `scalecast` leaves it to the ids, and a series
    without them is answered by the champion.
    """
    parts = parts_of(request)
    try:
        async with parts.heavy.slot():
            body = await read_many(request, TimeSeriesRequest, parts.settings.limits, parts.heavy)
            return json_response(await parts.heavy.run(_answer, parts, parts.traffic(), body))
    except ApiError as error:
        first = error.problems[0]
        status = 400 if error.status == 422 else error.status
        said = ProtocolError(
            code=str(status),
            message="; ".join(one.message for one in error.problems),
            param=first.field,
            type="invalid_request_error" if status < 500 else "server_error",
        )
        reply = json_response(ProtocolErrorReply(error=said), status)
        reply.headers.update(error.headers or {})
        return reply


def _answer(parts: Parts, traffic: Traffic, body: TimeSeriesRequest) -> TimeSeriesReply:
    version = traffic.champion.model.version
    served = {one.model.version: one for one in traffic.answering()}
    if body.model != NAME and body.model not in served:
        rule = f"must be {NAME} or {' or '.join(served)}"
        raise ApiError(404, problem("model", body.model, rule))
    if body.options.quantiles is not None:
        rule = "must be absent: the mean is forecast (POST /forecast has intervals around it)"
        raise ApiError(422, problem("options.quantiles", body.options.quantiles, rule))
    outputs = []
    for number, given in enumerate(body.inputs):
        asked = Continuing(given, body.options.horizon, f"inputs.{number}")
        forecaster = served.get(body.model) or _teller(traffic, given)
        found = continued(forecaster, *asked)
        for source, n in found.answers.by_source().items():
            parts.metrics.predicted(forecaster.model.version, source, n)
        if traffic.rival is not None:
            compare_continued(parts.shadow, traffic, asked, found.answers)
        outputs.append(_output(given, found, forecaster.model.version))
    return TimeSeriesReply(
        id=f"resp_{secrets.token_hex(12)}",
        created_at=int(time.time()),
        model=body.model,
        model_version=served[body.model].model.version if body.model in served else version,
        outputs=outputs,
    )


def _teller(traffic: Traffic, given: TimeSeriesInput) -> Forecaster:
    """Return who answers; the champion about a series that does not say whose it is."""
    if given.store_id is None or given.product_id is None:
        return traffic.champion
    return traffic.of(given.store_id, given.product_id)


def _output(given: TimeSeriesInput, found: Continued, version: str) -> ForecastOutput:
    content = TimeSeriesForecast(
        name=given.name,
        mean_forecast=found.answers.prediction.tolist(),
        frequency=given.frequency,
        start_timestamp=found.start,
        source=[SOURCES[one] for one in found.answers.source.tolist()],
        price=found.price,
        model_version=version,
    )
    return ForecastOutput(id=f"ts_{secrets.token_hex(12)}", content=[content])

"""``POST /v1/timeseries/forecast``: KServe's protocol, errors in its shape included."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from scalecast_assets.contract.cold_start import SOURCES
from serving.bodies import described, read_json
from serving.continuing import QUANTILES, Continued, continued
from serving.errors import ApiError, problem
from serving.forecaster import Forecaster
from serving.routes.dependencies import Parts, PlainRoute, json_response, parts_of
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
    responses=ERRORS,
    openapi_extra=described(TimeSeriesRequest, EXAMPLES),
)
async def forecast(request: Request) -> Response:
    """Continue the series that are sent, or that the server keeps, by `horizon` days.

    `series` holds quantities of consecutive days from `start_timestamp` on. Name `store_id` and
    `product_id` to let the model use what it learned of them; leave `series` empty to start from
    the server's own history. A request is answered or refused as a whole.
    """
    parts = parts_of(request)
    limits = parts.settings.limits
    try:
        async with parts.heavy.slot():
            body = await read_json(request, TimeSeriesRequest, limits, limits.batch_bytes)
            return json_response(await parts.heavy.run(_answer, parts, parts.forecaster(), body))
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


def _answer(parts: Parts, forecaster: Forecaster, body: TimeSeriesRequest) -> TimeSeriesReply:
    version = forecaster.model.version
    if body.model not in (NAME, version):
        raise ApiError(404, problem("model", body.model, f"must be {NAME} or {version}"))
    quantiles = body.options.quantiles or []
    if quantiles and forecaster.intervals.table is None:
        rule = "must be absent: the model that is served has no intervals"
        raise ApiError(422, problem("options.quantiles", quantiles, rule))
    if unknown := [one for one in quantiles if one not in QUANTILES]:
        rule = f"must be among {', '.join(map(str, sorted(QUANTILES)))}: those are calibrated"
        raise ApiError(422, problem("options.quantiles", unknown, rule))
    outputs = []
    for number, given in enumerate(body.inputs):
        found = continued(forecaster, given, body.options.horizon, f"inputs.{number}")
        for source, n in found.answers.by_source().items():
            parts.metrics.predicted(version, source, n)
        outputs.append(_output(given, found, quantiles))
    return TimeSeriesReply(
        id=f"resp_{secrets.token_hex(12)}",
        created_at=int(time.time()),
        model=body.model,
        model_version=version,
        outputs=outputs,
    )


def _output(given: TimeSeriesInput, found: Continued, quantiles: Sequence[float]) -> ForecastOutput:
    content = TimeSeriesForecast(
        name=given.name,
        mean_forecast=found.answers.prediction.tolist(),
        frequency=given.frequency,
        start_timestamp=found.start,
        quantiles={str(one): found.quantile(one) for one in quantiles} or None,
        source=[SOURCES[one] for one in found.answers.source.tolist()],
        price=found.price,
    )
    return ForecastOutput(id=f"ts_{secrets.token_hex(12)}", content=[content])

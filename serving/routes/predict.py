"""``POST /predict``: the demand for one product in one store on one day."""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from serving.bodies import described, read_json
from serving.errors import ApiError, problem
from serving.forecaster import DateOutOfRange, Question
from serving.routes.dependencies import CurrentReloader, CurrentSettings
from serving.schemas import PREDICT_EXAMPLES, ErrorReply, PredictReply, PredictRequest

router = APIRouter(tags=["forecasts"])

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    413: {"model": ErrorReply, "description": "The body is too large"},
    422: {"model": ErrorReply, "description": "A field breaks a rule"},
    503: {"model": ErrorReply, "description": "No model, or no history, is loaded yet"},
}


@router.post(
    "/predict",
    summary="Forecast one day",
    responses=ERRORS,
    openapi_extra=described(PredictRequest, PREDICT_EXAMPLES),
)
async def predict(
    request: Request, reloader: CurrentReloader, settings: CurrentSettings
) -> PredictReply:
    """Forecast the demand for one product in one store on one day.

    A day inside the kept history (the 56 days up to the latest one) is forecast one step ahead,
    from the true history before it. A later day, up to 56 ahead, is reached by rolling forward on
    the model's own forecasts, with the last price and no promotion on the days between and your
    `price` and `promotion` on the day itself. A product or store with too little history gets a
    mean instead of the model's forecast, and `source` says which.

    `level` per cent of the days are expected between `lower` and `upper`: 80 unless you ask for 50,
    90 or 95. The widths come from how far this recipe was off on days that it had not seen, by how
    far ahead they were and by the kind of demand; where a mean answers, they are wider. What the
    intervals covered on later days is in `/model`, under `manifest.coverage`. A model from before
    there were intervals, or with too short a history for them, answers with null bounds.
    """
    asked = await read_json(request, PredictRequest, settings.max_body_bytes)
    forecaster = reloader.current
    if forecaster is None:
        raise _not_loaded(model_is_in=reloader.model.value is not None)
    question = Question(
        asked.date, asked.store_id, asked.product_id, asked.price, asked.promotion, asked.level
    )
    try:
        if forecaster.is_quick(question):
            answer = forecaster.answer(question)
        else:
            answer = await run_in_threadpool(forecaster.answer, question)
    except DateOutOfRange as error:
        raise ApiError(422, problem("date", error.date.isoformat(), error.rule)) from None
    return PredictReply(
        prediction=answer.prediction,
        model_version=forecaster.model.version,
        source=answer.source,
        horizon=answer.horizon,
        data_until=answer.data_until,
        store_open=answer.store_open,
        lower=answer.interval.lower,
        upper=answer.interval.upper,
        level=answer.interval.level,
    )


def _not_loaded(*, model_is_in: bool) -> ApiError:
    if model_is_in:
        rule = "must be loaded before a forecast: run `scalecast run` to make serving/state.json"
        return ApiError(503, problem("state", None, rule, found="a model but no fitting history"))
    rule = "must be loaded before a forecast: run `scalecast run` to promote one"
    return ApiError(503, problem("model", None, rule, found="none"))

"""``POST /predict``: the demand for one product in one store on one day."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from serving.answers import reply_to
from serving.bodies import described, read_json
from serving.comparisons import compare_one
from serving.errors import ApiError, problem
from serving.forecaster import DateOutOfRange, Question
from serving.routes.dependencies import PlainRoute, errors, json_response, parts_of
from serving.schemas import PREDICT_EXAMPLES, PredictReply, PredictRequest

router = APIRouter(tags=["forecasts"], route_class=PlainRoute)


@router.post(
    "/predict",
    summary="Forecast one day",
    response_model=PredictReply,
    responses=errors(401, 408, 413, 415, 422, 503),
    openapi_extra=described(PredictRequest, PREDICT_EXAMPLES),
)
async def predict(request: Request) -> Response:
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

    While a challenger is served beside the champion (`/model` says so), each series is answered by
    one of the two, always by the same, and `model_version` says by which.
    """
    parts = parts_of(request)
    asked = await read_json(request, PredictRequest, parts.settings.limits)
    traffic = parts.traffic()
    forecaster = traffic.of(asked.store_id, asked.product_id)
    question = Question(
        asked.date, asked.store_id, asked.product_id, asked.price, asked.promotion, asked.level
    )
    try:
        if forecaster.is_quick(question):
            answer = forecaster.answer(question)
        else:
            answer = await run_sync(forecaster.answer, question, abandon_on_cancel=True)
    except DateOutOfRange as error:
        raise ApiError(422, problem("date", error.date.isoformat(), error.rule)) from None
    version = forecaster.model.version
    parts.metrics.predicted(version, answer.source)
    if traffic.rival is not None:
        compare_one(parts.shadow, traffic, question, answer)
    return json_response(reply_to(answer, version))

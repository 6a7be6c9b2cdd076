"""``GET /model``: which model answers, where it comes from and how it did."""

import json

from fastapi import APIRouter

from serving.errors import ApiError, problem
from serving.routes.dependencies import CurrentReloader
from serving.schemas import ErrorReply, ModelReply, StateReply
from serving.state import LoadedState

router = APIRouter(tags=["operation"])


@router.get(
    "/model",
    summary="The model that answers now",
    responses={503: {"model": ErrorReply, "description": "No model is loaded yet"}},
)
async def model(reloader: CurrentReloader) -> ModelReply:
    """Return version, metrics beside the baselines, training data and lineage of the model."""
    forecaster = reloader.current
    loaded = forecaster.model if forecaster else reloader.model.value
    if loaded is None:
        rule = "must be loaded before it can be shown: run `scalecast run` to promote one"
        raise ApiError(503, problem("model", None, rule, found="none"))
    state = forecaster.state if forecaster else None
    return ModelReply(
        model_version=loaded.version,
        manifest_sha256=loaded.manifest_sha256,
        loaded_at=loaded.loaded_at,
        manifest=json.loads(loaded.manifest.to_bytes()),
        previous=loaded.previous,
        state=_described(state) if state else None,
    )


def _described(state: LoadedState) -> StateReply:
    return StateReply(
        sha256=state.sha256,
        data_until=state.data_until,
        stores=len(state.panel.stores),
        products=len(state.panel.products),
        series=state.panel.n_series,
    )

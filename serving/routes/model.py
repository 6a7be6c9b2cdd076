"""``GET /model``: which model answers, where it comes from and how it did."""

import json

from fastapi import APIRouter, Request

from serving.errors import ApiError, problem
from serving.kept_versions import mae_of
from serving.routes.dependencies import errors, parts_of
from serving.schemas import ChallengerReply, ModelReply, StateReply
from serving.state import LoadedState
from serving.traffic import Rival

router = APIRouter(tags=["operation"])


@router.get(
    "/model",
    summary="The model that answers now",
    responses=errors(401, 503),
)
async def model(request: Request) -> ModelReply:
    """Return version, metrics beside the baselines, training data and lineage of the model."""
    reloader = parts_of(request).reloader
    traffic = reloader.traffic
    forecaster = traffic.champion if traffic else None
    loaded = forecaster.model if forecaster else reloader.model.value
    if loaded is None:
        rule = "must be loaded before it can be shown: run `scalecast run` to promote one"
        raise ApiError(503, problem("model", None, rule, found="none"))
    state = forecaster.state if forecaster else None
    stale = reloader.standby.stale
    return ModelReply(
        model_version=loaded.version,
        manifest_sha256=loaded.manifest_sha256,
        loaded_at=loaded.loaded_at,
        features=list(loaded.manifest.features),
        metrics=list(loaded.manifest.leaderboard),
        manifest=json.loads(loaded.manifest.to_bytes()),
        previous=loaded.previous,
        state=_described(state) if state else None,
        stale_since=stale.since if stale else None,
        challenger=_beside(traffic.rival) if traffic and traffic.rival else None,
        challenger_problem=reloader.challenger.problem,
    )


def _beside(rival: Rival) -> ChallengerReply:
    model = rival.forecaster.model
    return ChallengerReply(
        model_version=model.version,
        manifest_sha256=model.manifest_sha256,
        mode=rival.entry.mode,
        share=rival.entry.share,
        candidate=model.manifest.candidate,
        mae=mae_of(model.manifest),
        loaded_at=model.loaded_at,
    )


def _described(state: LoadedState) -> StateReply:
    return StateReply(
        sha256=state.sha256,
        data_until=state.data_until,
        stores=len(state.panel.stores),
        products=len(state.panel.products),
        series=state.panel.n_series,
    )

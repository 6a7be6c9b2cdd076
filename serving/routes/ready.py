"""``GET /ready``: may requests be sent here?"""

from fastapi import APIRouter, Request

from serving.errors import ApiError, problem
from serving.routes.dependencies import errors, parts_of
from serving.schemas import ReadyReply

router = APIRouter(tags=["operation"])


@router.get(
    "/ready",
    summary="May requests be sent here?",
    responses=errors(503),
    response_model_exclude_none=True,
)
async def ready(request: Request) -> ReadyReply:
    """Answer 200 once a verified model and a history that fits it are in, else 503 with reasons.

    While the store is away, the last good pair goes on answering, and `stale` is there and true.
    """
    parts = parts_of(request)
    traffic = parts.reloader.traffic
    if traffic is None:
        reasons = parts.reloader.reasons().items()
        raise ApiError(
            503, *(problem(what, None, "must be in", found=why) for what, why in reasons)
        )
    champion, rival = traffic.champion, traffic.rival
    stale = parts.reloader.standby.stale
    return ReadyReply(
        model_version=champion.model.version,
        challenger=rival.entry.version if rival else None,
        data_until=champion.state.data_until,
        stale=True if stale else None,
        stale_since=stale.since if stale else None,
        stale_because=stale.because if stale else None,
    )

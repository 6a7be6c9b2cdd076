"""``GET /health``: the process is alive."""

from fastapi import APIRouter, Request

from serving.routes.dependencies import parts_of
from serving.schemas import HealthReply

router = APIRouter(tags=["operation"])


@router.get(
    "/health",
    summary="Is the process alive, and has it a model?",
    response_model_exclude_none=True,
)
async def health(request: Request) -> HealthReply:
    """Answer 200 as long as the process lives; `model_loaded` says whether a model is in."""
    reloader = parts_of(request).reloader
    stale = True if reloader.standby.stale else None
    return HealthReply(model_loaded=reloader.model.value is not None, stale=stale)

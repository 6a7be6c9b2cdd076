"""``GET /health``: the process is alive."""

from fastapi import APIRouter, Request

from serving.routes.dependencies import parts_of
from serving.schemas import HealthReply

router = APIRouter(tags=["operation"])


@router.get("/health", summary="Is the process alive, and has it a model?")
async def health(request: Request) -> HealthReply:
    """Answer 200 as long as the process lives; `model_loaded` says whether a model is in."""
    return HealthReply(model_loaded=parts_of(request).reloader.model.value is not None)

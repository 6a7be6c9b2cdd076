"""``GET /metrics``: what the process counts, for Prometheus."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from serving.routes.dependencies import errors, parts_of

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    summary="Counters and ages, as Prometheus reads them",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **errors(401),
    },
)
async def metrics(request: Request) -> Response:
    """Return requests by route and status, latencies, forecasts by version and source, and ages."""
    return Response(parts_of(request).metrics.to_text(), media_type=CONTENT_TYPE_LATEST)

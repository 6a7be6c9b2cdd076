"""``GET /``: nothing lives here yet but the way to the documentation."""

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

router = APIRouter()


@router.get("/", include_in_schema=False)
def to_the_documentation() -> RedirectResponse:
    """Send a browser on to ``/docs``."""
    return RedirectResponse("docs")

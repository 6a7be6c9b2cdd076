"""``GET /docs``: the documentation as a page, with everything it needs from this process alone.

Swagger UI itself comes with the package ``fastapi_offline``; nothing is loaded from elsewhere.
"""

from pathlib import Path
from typing import Final

import fastapi_offline
from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

WEB: Final = Path(__file__).resolve().parent.parent / "web"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)
assets = StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static")


@router.get("/docs")
async def page() -> Response:
    """Return the page."""
    headers = {"Content-Security-Policy": POLICY}
    return FileResponse(WEB / "docs.html", media_type="text/html", headers=headers)


@router.get("/docs/page.js")
async def script() -> Response:
    """Return what starts Swagger UI on it."""
    return FileResponse(WEB / "docs.js", media_type="text/javascript")

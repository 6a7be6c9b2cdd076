"""``GET /``: the page where people see a forecast and try other prices; its files: ``web/``."""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from serving.routes.docs import WEB

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Ids of stores and products come from other people's files: no text can become markup."""

router = APIRouter(include_in_schema=False)
assets = StaticFiles(directory=WEB / "page")


@router.get("/")
async def page() -> Response:
    """Return the page."""
    headers = {"Content-Security-Policy": POLICY}
    return FileResponse(WEB / "index.html", media_type="text/html", headers=headers)

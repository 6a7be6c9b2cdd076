"""``GET /model/report``: the report of the served model, the page that came with its bundle."""

from typing import Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from scalecast_assets.contract.bundle import read_file
from scalecast_assets.contract.layout import REPORT
from scalecast_assets.contract.store import StoreError
from scalecast_assets.contract.strict_json import BundleError
from serving.errors import ApiError, problem
from serving.routes.dependencies import errors, parts_of

MAX_REPORT_BYTES: Final = 16 << 20

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)
"""A page of text and pictures. Whoever can write to the store still cannot make it do anything."""

router = APIRouter(tags=["operation"])


@router.get(
    "/model/report",
    summary="The report of the model that answers now",
    response_class=Response,
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}},
        **errors(401, 404, 503),
    },
)
async def report(request: Request) -> Response:
    """Return the page that was made when the model was promoted: how it did, for people."""
    parts = parts_of(request)
    forecaster = parts.reloader.current
    loaded = forecaster.model if forecaster else parts.reloader.model.value
    if loaded is None:
        rule = "must be loaded before its report: run `scalecast run` to promote one"
        raise ApiError(503, problem("model", None, rule, found="none"))
    entry = loaded.manifest.files.get(REPORT)
    if entry is None or entry.size > MAX_REPORT_BYTES:
        rule = f"must have a report of at most {MAX_REPORT_BYTES} bytes in its bundle"
        raise ApiError(404, problem("model", loaded.version, rule))
    try:
        page = await run_sync(
            read_file,
            parts.store,
            loaded.manifest,
            REPORT,
            abandon_on_cancel=True,
            limiter=parts.store_turns,
        )
    except StoreError as error:
        rule = "must be readable for a report, which is kept nowhere else"
        raise ApiError(503, problem("store", None, rule, found=str(error))) from None
    except BundleError as error:
        rule = "must have the report that its manifest names"
        raise ApiError(404, problem("model", loaded.version, rule, found=str(error))) from None
    headers = {"Content-Security-Policy": POLICY}
    return Response(page, media_type="text/html", headers=headers)

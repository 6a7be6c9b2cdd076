"""``GET /stores`` and ``GET /series``: what there is to ask about."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from serving.listing import (
    SeriesQuery,
    SeriesReply,
    StoresQuery,
    StoresReply,
    list_series,
    list_stores,
)
from serving.routes.dependencies import errors, json_response, parts_of

router = APIRouter(tags=["forecasts"])


@router.get(
    "/stores",
    summary="The stores",
    response_model=StoresReply,
    responses=errors(401, 422, 503),
)
def stores(request: Request, asked: Annotated[StoresQuery, Query()]) -> Response:
    """List the stores by id, page by page."""
    return json_response(list_stores(parts_of(request).forecaster(), asked))


@router.get(
    "/series",
    summary="The series of a store, or all of them",
    response_model=SeriesReply,
    responses=errors(401, 422, 503),
)
def series(request: Request, asked: Annotated[SeriesQuery, Query()]) -> Response:
    """List the products that were ever sold, by store and id, page by page.

    A store that is not known has none.
    """
    return json_response(list_series(parts_of(request).forecaster(), asked))

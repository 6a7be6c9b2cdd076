"""Request bodies: read up to a limit, parsed strictly, described in the OpenAPI document.

FastAPI's own body parsing has no size limit and is not strict about JSON's types; the routes call
``read_json`` instead and declare the same model with ``described``.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from serving.errors import ApiError, problem, problems_of

Body = TypeVar("Body", bound=BaseModel)

DRAINED: Final = 8 << 20
"""Bytes of an oversized body that are read and dropped, so that its sender hears the 413."""


async def read_json(request: Request, model: type[Body], limit: int) -> Body:
    """Read the request's body as ``model``.

    Raises:
        ApiError: 413 above ``limit`` bytes; 422 naming field, value and rule.
    """
    body = await _read(request, limit)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise ApiError(422, *problems_of(error, list(model.model_fields))) from None


def described(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route whose body is ``model``."""
    content = {"schema": model.model_json_schema(), "examples": dict(examples)}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


async def _read(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + DRAINED:
            break
    if size > limit:
        found = f"{size} bytes" if size <= limit + DRAINED else f"more than {size} bytes"
        raise ApiError(413, problem("body", None, f"must have at most {limit} bytes", found=found))
    return b"".join(chunks)

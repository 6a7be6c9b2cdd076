"""Request bodies: read up to a limit and a deadline, parsed strictly, described.

FastAPI's own body parsing has no size limit and is not strict about JSON's types; the routes call
``read_json`` or ``read_many`` instead and declare the same model with ``described``.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.requests import ClientDisconnect

from serving.deadlines import Deadlines
from serving.errors import ApiError, problem, problems_of
from serving.heavy import Heavy
from serving.settings import Limits

Body = TypeVar("Body", bound=BaseModel)

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

_REFERENCE: Final = "#/components/schemas/{model}"
NDJSON_NAMES: Final = frozenset({NDJSON, "application/ndjson", "application/jsonl"})

DRAINED: Final = 8 << 20
"""Bytes of an oversized body that are read and dropped, so that its sender hears the 413."""

MAX_VALUES: Final = 200_000
"""Values of one body, with room to spare for 10,000 rows. A parser takes up to 170 bytes for each
before it can refuse anything, and three bytes of body are enough to say one."""

_MARKS: Final = b",[{"


async def read_json(request: Request, model: type[Body], limits: Limits) -> Body:
    """Read the request's body as ``model``, which describes one row.

    Raises:
        ApiError: 408 too slow, 413 too large, 415 no JSON; 422 naming field, value and rule.
    """
    _require_json(request)
    return _parsed(await read_body(request, limits, limits.body_bytes), model)


async def read_many(request: Request, model: type[Body], limits: Limits, heavy: Heavy) -> Body:
    """Read a body of many values as ``model``, parsed off the event loop.

    Raises:
        ApiError: as ``read_json``.
    """
    _require_json(request)
    body = await read_body(request, limits, limits.batch_bytes)
    return await heavy.run(_parsed_crowd, body, model)


def _require_json(request: Request) -> None:
    media_type = media_type_of(request)
    if media_type != JSON and not media_type.endswith("+json"):
        raise unsupported(media_type, JSON)


def _parsed_crowd(body: bytes, model: type[Body]) -> Body:
    refuse_crowds(body)
    return _parsed(body, model)


def _parsed(body: bytes, model: type[Body]) -> Body:
    try:
        parsed = model.model_validate_json(body)
    except ValidationError as error:
        raise ApiError(422, *problems_of(error, list(model.model_fields))) from None
    if body.count(b'"') != getattr(model, "plain_quotes", 0):
        refuse_duplicates(body)
    return parsed


def refuse_crowds(body: bytes, documents: Sequence[bytes] | None = None) -> None:
    """Refuse JSON of more values than ``MAX_VALUES``, before a parser makes objects of them.

    Where a body holds several ``documents``, each is counted by itself: a text that ends in none of
    them would hide what comes after it.

    Raises:
        ApiError: 413.
    """
    if _marks(np.frombuffer(body, np.uint8)) <= MAX_VALUES:
        return
    if (found := sum(map(values_of, documents or [body]))) > MAX_VALUES:
        rule = f"must have at most {MAX_VALUES} values"
        raise ApiError(413, problem("body", None, rule, found=f"{found} values"))


def values_of(document: bytes) -> int:
    """Count, without parsing, the commas and openings outside of texts: one before each value."""
    plain = document.replace(rb"\\", b"").replace(rb"\"", b"")
    octets = np.frombuffer(plain, np.uint8)
    return _marks(octets[~np.logical_xor.accumulate(octets == ord('"'))])


def _marks(octets: NDArray[np.uint8]) -> int:
    return sum(int(np.count_nonzero(octets == mark)) for mark in _MARKS)


def media_type_of(request: Request) -> str:
    """Return the media type of the body, in small letters; JSON if the caller names none.

    Raises:
        ApiError: 415 if the body is compressed: what it grows to could not be limited beforehand.
    """
    named = JSON
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            named = value.decode("latin-1").partition(";")[0].strip().lower()
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            rule = "must be absent or identity: send the body as it is"
            raise ApiError(415, problem("Content-Encoding", value.decode("latin-1"), rule))
    return named or JSON


def unsupported(media_type: str, *known: str) -> ApiError:
    """Make the error for a body of another type than those known."""
    return ApiError(415, problem("Content-Type", media_type, f"must be {' or '.join(known)}"))


def described(
    model: type[BaseModel], examples: Mapping[str, Any], lines: str | None = None
) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route whose body is ``model``, or ``lines`` of NDJSON.

    The model itself is defined in the document by ``definitions``.
    """
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    content: dict[str, Any] = {JSON: {"schema": schema, "examples": dict(examples)}}
    if lines is not None:
        content[NDJSON] = {"schema": {"type": "string"}, "example": lines}
    return {"requestBody": {"required": True, "content": content}}


def definitions(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of bodies, and of what they are made of, for the OpenAPI document."""
    asked = [(model, "validation") for model in models]
    _, schemas = models_json_schema(asked, ref_template=_REFERENCE)  # type: ignore[arg-type]
    return dict(schemas["$defs"])


async def read_body(request: Request, limits: Limits, max_bytes: int) -> bytes:
    """Read the whole body.

    Raises:
        ApiError: 408 or 413.
        ClientDisconnect: the caller hung up.
    """
    deadlines: Deadlines = request.app.state.deadlines
    try:
        with deadlines.within(limits.body_seconds):
            return await _collect(request, max_bytes)
    except TimeoutError:
        rule = f"must arrive within {limits.body_seconds:g} seconds"
        raise ApiError(408, problem("body", None, rule, found="")) from None


async def _collect(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= max_bytes:
            chunks.append(chunk)
        elif size > max_bytes + DRAINED:
            break
        if not message.get("more_body"):
            break
    return b"".join(chunks) if size <= max_bytes else _too_large(size, max_bytes)


def _too_large(size: int, max_bytes: int) -> bytes:
    found = f"{size} bytes" if size <= max_bytes + DRAINED else f"more than {size} bytes"
    raise ApiError(413, problem("body", None, f"must have at most {max_bytes} bytes", found=found))


def refuse_duplicates(body: bytes) -> None:
    """Refuse JSON in which a key occurs twice: which of the two was meant is anybody's guess.

    Raises:
        ApiError: 422 naming the key.
    """
    json.loads(body, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ApiError(422, problem(twice[:200], None, "must be given once", found="it twice"))
    return document

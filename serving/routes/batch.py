"""``POST /predict/batch``: many questions at once, as one JSON document or as lines of JSON."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from serving.answers import Reply, iso_day
from serving.batch import UNKNOWN, Places, Questions
from serving.bodies import (
    JSON,
    NDJSON,
    NDJSON_NAMES,
    described,
    media_type_of,
    read_body,
    unsupported,
)
from serving.comparisons import compare_many
from serving.errors import ApiError, problem
from serving.forecaster import Forecaster, date_rule
from serving.routes.dependencies import Parts, PlainRoute, errors, json_response, parts_of
from serving.rows import Asked, from_json, from_lines
from serving.schemas import Problem
from serving.schemas_many import BATCH_EXAMPLES, BATCH_LINES, BatchReply, BatchRequest
from serving.traffic import Told, Traffic, chosen

router = APIRouter(tags=["forecasts"], route_class=PlainRoute)

PART_ROWS: Final = 1_000
"""Lines that are sent at once."""


@router.post(
    "/predict/batch",
    summary="Forecast up to 10,000 days of any series",
    response_model=BatchReply,
    responses={
        200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
        **errors(401, 408, 413, 415, 422, 503),
    },
    openapi_extra=described(BatchRequest, BATCH_EXAMPLES, BATCH_LINES),
)
async def batch(request: Request) -> Response:
    """Answer many questions of `POST /predict`, each as it would be answered alone.

    The answers are in the order of the rows; each names the version that made it, and
    `model_version` beside them is the champion's. Sent as JSON, a batch is
    answered or refused as a whole: the first row that breaks a rule is named by its index from 0,
    as `rows.17.price`. Sent as lines of JSON (`Content-Type: application/x-ndjson`), it is answered
    as lines: each has its `row`, and either the fields of a forecast or the `detail` of what is
    wrong with it, so one bad row does not hold up the others.
    """
    parts = parts_of(request)
    limits = parts.settings.limits
    media_type = media_type_of(request)
    in_lines = media_type in NDJSON_NAMES
    if not in_lines and media_type != JSON:
        raise unsupported(media_type, JSON, NDJSON)
    async with parts.heavy.slot():
        body = await read_body(request, limits, limits.batch_bytes)
        answer = _answer_lines if in_lines else _answer_json
        return await parts.heavy.run(answer, parts, parts.traffic(), body)


def _answer_json(parts: Parts, traffic: Traffic, body: bytes) -> Response:
    questions = from_json(body)
    forecaster = traffic.champion
    places = forecaster.batch.locate(questions)
    late = _out_of_range(forecaster, questions, places)
    if late:
        row = min(late)
        found = late[row]
        raise ApiError(422, problem(f"rows.{row}.date", found.value, found.rule))
    told = _told(parts, traffic, questions, places)
    version = forecaster.model.version
    return json_response({"model_version": version, "predictions": told.replies()})


def _answer_lines(parts: Parts, traffic: Traffic, body: bytes) -> Response:
    forecaster = traffic.champion
    asked = from_lines(body)
    questions, rows, refused = asked
    places = forecaster.batch.locate(questions)
    late = _out_of_range(forecaster, questions, places)
    if late:
        kept = np.array([row for row in range(len(rows)) if row not in late], np.int64)
        refused = {**refused, **{rows[row]: [found] for row, found in late.items()}}
        questions, places = chosen(questions, places, kept)
        rows = [rows[row] for row in kept.tolist()]
    told = _told(parts, traffic, questions, places)
    lines = _lines(Asked(questions, rows, refused), told)
    return StreamingResponse(lines, media_type=NDJSON)


def _lines(asked: Asked, told: Told) -> Iterator[bytes]:
    """Yield a thousand lines at a time, in the order of the rows."""
    where = dict.fromkeys(asked.refused, -1)
    where.update({row: at for at, row in enumerate(asked.rows)})
    order = sorted(where)
    for begin in range(0, len(order), PART_ROWS):
        part = order[begin : begin + PART_ROWS]
        replies = iter(told.replies([where[row] for row in part if where[row] >= 0]))
        lines: list[Reply] = [
            {"row": row, **next(replies)}
            if where[row] >= 0
            else {"row": row, "detail": asked.refused[row]}
            for row in part
        ]
        yield b"".join(to_json(line) + b"\n" for line in lines)


def _out_of_range(
    forecaster: Forecaster, questions: Questions, places: Places
) -> dict[int, Problem]:
    """Name the rows whose day may not be asked about."""
    late = np.flatnonzero((questions.day < places.first) | (questions.day > places.last))
    found = {}
    for row in late.tolist():
        known = places.store[row] != UNKNOWN
        whose = f"store {questions.store_id[row]!r}" if known else "the history"
        first, last, until = (
            int(column[row]) for column in (places.first, places.last, places.until)
        )
        rule = date_rule(first, last, whose, until)
        found[row] = problem("date", iso_day(int(questions.day[row])), rule)
    return found


def _told(parts: Parts, traffic: Traffic, questions: Questions, places: Places) -> Told:
    told = traffic.answer(questions, places)
    for version, source, n in told.by_version_and_source():
        parts.metrics.predicted(version, source, n)
    if traffic.rival is not None:
        compare_many(parts.shadow, traffic, questions, places, told)
    return told

"""How the API says no: one readable shape for every error, and the handlers that produce it.

``{"detail": [{"field": …, "value": …, "rule": …, "message": …}]}`` for 422, 413, 503, 404 alike.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving.schemas import ErrorReply, Problem

MAX_SHOWN: Final = 200
"""Characters of a refused value that are repeated to the caller."""

RULES: Final = {
    "missing": "is required",
    "string_type": "must be text (a JSON string)",
    "bool_type": "must be true or false, without quotes",
    "float_type": "must be a number, without quotes",
    "int_type": "must be a whole number, without quotes",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "list_type": "must be a JSON list",
    "dict_type": "must be a JSON object",
    "finite_number": "must be a finite number",
    "json_invalid": "must be valid JSON",
    "model_type": "must be a JSON object",
    "iso_day": "must be an existing day written YYYY-MM-DD",
}


class ApiError(Exception):
    """A request that is answered with an error status and a list of problems."""

    def __init__(
        self, status: int, *problems: Problem, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.status = status
        self.problems = problems
        self.headers = headers


def problem(field: str, value: object, rule: str, found: str | None = None) -> Problem:
    """Name a field, its value and the rule it breaks; ``found`` replaces the value in the text."""
    shown = _shown(value)
    message = f"{field} {rule}" + (f", found {found or _quoted(shown)}" if found != "" else "")
    return Problem(field=field, value=shown, rule=rule, message=message)


def problems_of(error: ValidationError, fields: Sequence[str]) -> list[Problem]:
    """Translate what pydantic found into our words; ``fields`` are the request's known names."""
    return [_translate(item, fields) for item in error.errors(include_url=False)]


def install_handlers(app: FastAPI) -> None:
    """Make every error leave ``app`` in the one shape."""

    async def on_api_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error_reply(error.status, list(error.problems), error.headers)

    async def on_http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = Headers(error.headers).get("allow", "another one")
            found = problem("method", request.method, f"must be {allowed} for {request.url.path}")
        elif error.status_code == 404:
            found = problem("path", request.url.path, "must be one of those listed at /docs")
        else:
            found = problem("request", None, f"is refused: {error.detail}", found="")
        return error_reply(error.status_code, [found], error.headers)

    async def on_hang_up(_: Request, error: Exception) -> Response:
        return Response(status_code=400)  # nobody is there to read it

    async def on_bad_parameters(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return error_reply(422, [_translate(item, ()) for item in error.errors()])

    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(RequestValidationError, on_bad_parameters)
    app.add_exception_handler(ClientDisconnect, on_hang_up)
    app.add_exception_handler(HTTPException, on_http_error)


def error_reply(
    status: int, problems: Sequence[Problem], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Make an answer in the one shape."""
    return JSONResponse(ErrorReply(detail=list(problems)).model_dump(), status, headers=headers)


def _translate(item: ErrorDetails, fields: Sequence[str]) -> Problem:
    path = item["loc"][1:] if item["loc"][:1] == ("query",) else item["loc"]
    field = ".".join(map(str, path)) or "body"
    kind = item["type"]
    if kind == "missing":
        return problem(field, None, RULES[kind], found="")
    if kind == "json_invalid":
        reason = str(item.get("ctx", {}).get("error", item["msg"]))
        return problem("body", None, RULES[kind], found=reason)
    if kind == "extra_forbidden":
        rule = f"is not a known field; known are {', '.join(fields)}"
        return problem(field[:MAX_SHOWN], item["input"], rule, found="")
    return problem(field, item["input"], RULES.get(kind) or _limit(item))


def _limit(item: ErrorDetails) -> str:
    limits = item.get("ctx", {})
    texts = {
        "greater_than": "must be greater than {gt:g}",
        "greater_than_equal": "must be at least {ge:g}",
        "less_than_equal": "must be at most {le:g}",
        "too_short": "must have at least {min_length} entry",
        "too_long": "must have at most {max_length} entries",
        "string_too_short": "must have at least {min_length} character",
        "string_too_long": "must have at most {max_length} characters",
    }
    template = texts.get(item["type"])
    if template is None:
        message = item["msg"]
        return message[0].lower() + message[1:]
    return template.format(**limits)


def _shown(value: object) -> Any:
    """Return ``value`` as something JSON can carry, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 1 << 53:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int):
        return f"a whole number of {value.bit_length()} bits"
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _quoted(shown: Any) -> str:
    return f"“{shown}”" if isinstance(shown, str) else str(shown)

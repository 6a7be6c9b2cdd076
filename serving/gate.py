"""The one door that every request comes through: who, how many at once, how long, counted, logged.

Plain ASGI, because it is on the way of every request. It gives each request an id, asks for a key
where keys are set, turns away what is too much with 503 and ``Retry-After``, ends what takes too
long, adds the security headers (and since when the answer is stale), counts, and logs what failed
or was slow. A bug behind it becomes a 500 in the one shape of errors. Bodies are limited in
``bodies.py``, batches in ``routes/heavy.py``.
"""

import logging
import re
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import logs
from serving.deadlines import Deadlines
from serving.errors import ApiError, error_reply, problem
from serving.keys import KeyRing
from serving.metrics import Metrics
from serving.schemas import Problem
from serving.settings import Settings
from serving.standby import Stale, Standby

logger = logging.getLogger("serving.requests")

OPEN_PATHS: Final = frozenset(
    {"/", "/health", "/ready", "/docs", "/docs/page.js", "/openapi.json", "/favicon.ico"}
)
OPEN_PREFIXES: Final = ("/docs/assets/", "/page/")
"""Answered without a key: what says nothing of anybody's sales, and what balancers ask."""

METRICS_PATH: Final = "/metrics"
"""Let in besides is who has a key for it alone."""

SLOW_SECONDS: Final = 1.0
RETRY_SECONDS: Final = b"1"

REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

CONTENT_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"
"""For answers that are data; a page brings its own."""

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class _Passage:
    """One request on its way through: what is known of it when it is counted and logged."""

    __slots__ = ("client", "request_id", "send", "stale", "started_at", "status")

    def __init__(
        self, send: Send, request_id: bytes, client: str | None, stale: Stale | None
    ) -> None:
        self.send = send
        self.request_id = request_id
        self.stale = stale
        self.client = client
        self.status = 0
        """Of the answer; 0: none has begun."""
        self.started_at = time.perf_counter()

    async def __call__(self, message: Message) -> None:
        """Send on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message.get("headers", ())
            headers = [*given, *SECURITY_HEADERS, (b"x-request-id", self.request_id)]
            if self.stale is not None:
                headers.append((b"x-stale-since", self.stale.since.isoformat().encode()))
            if not any(name == b"content-security-policy" for name, _ in given):
                headers.append((b"content-security-policy", CONTENT_POLICY))
            message = {**message, "headers": headers}
        await self.send(message)


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        keys: KeyRing,
        metrics: Metrics,
        deadlines: Deadlines,
        standby: Standby,
        direct: Sequence[APIRoute],
    ) -> None:
        """``direct`` routes are answered without the router, which costs as much as a forecast."""
        self._app = app
        self._limits = settings.limits
        self._log_all = settings.log_requests
        self._deadlines = deadlines
        self._standby = standby
        self._direct = {(route.path, "POST"): route for route in direct}
        self._keys = keys
        self._metrics = metrics
        self._under_way = 0
        metrics.under_way.set_function(lambda: self._under_way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, presented = _read_headers(scope)
        token = logs.request_id.set(request_id.decode())
        passage = _Passage(send, request_id, None, self._standby.stale)
        self._under_way += 1
        try:
            refusal = self._refusal(scope, presented, passage)
            if refusal is not None:
                await refusal(scope, receive, passage)
            else:
                await self._answer(scope, receive, passage)
        finally:
            self._under_way -= 1
            self._note(scope, passage)
            logs.request_id.reset(token)

    def _refusal(
        self, scope: Scope, presented: bytes | None, passage: _Passage
    ) -> JSONResponse | None:
        if self._under_way > self._limits.requests and scope["path"] not in OPEN_PATHS:
            return too_busy("requests", self._limits.requests)
        if not self._keys.is_required or _is_open(scope["path"]):
            return None
        if presented is not None:
            for_metrics = scope["path"] == METRICS_PATH
            passage.client = self._keys.owner_of(presented, for_metrics=for_metrics)
        if passage.client is not None:
            return None
        found = "none" if presented is None else "another"
        rule = "must be one that is let in, as Authorization: Bearer KEY or as X-API-Key: KEY"
        headers = {"WWW-Authenticate": 'Bearer realm="scalecast"'}
        return error_reply(401, [problem("key", None, rule, found=found)], headers)

    async def _answer(self, scope: Scope, receive: Receive, passage: _Passage) -> None:
        try:
            with self._deadlines.within(self._limits.request_seconds):
                direct = self._direct.get((scope["path"], scope["method"]))
                if direct is None:
                    await self._app(scope, receive, passage)
                else:
                    scope["route"] = direct
                    response = await direct.endpoint(Request(scope, receive, passage))
                    await response(scope, receive, passage)
        except ApiError as error:  # of a direct route; behind the router they are handled there
            refusal = error_reply(error.status, error.problems, error.headers)
            await refusal(scope, receive, passage)
        except ClientDisconnect:
            passage.status = passage.status or 400  # nobody is there to read it
        except TimeoutError:
            logger.warning("a request took longer than %g s", self._limits.request_seconds)
            rule = f"must be answered within {self._limits.request_seconds:g} s; ask for less"
            await self._give_up(scope, receive, passage, 503, problem("request", None, rule, ""))
        except Exception:  # a bug; the caller learns that it is ours, the log learns what it is
            logger.exception("a request failed")
            name = passage.request_id.decode()
            rule = f"failed for a reason that is in the server's log as request {name}"
            await self._give_up(scope, receive, passage, 500, problem("request", None, rule, ""))

    async def _give_up(
        self, scope: Scope, receive: Receive, passage: _Passage, status: int, found: Problem
    ) -> None:
        """Answer with an error; if an answer has begun, leave it incomplete: uvicorn hangs up."""
        if not passage.status:
            headers = {"Retry-After": RETRY_SECONDS.decode()} if status == 503 else None
            await error_reply(status, [found], headers)(scope, receive, passage)

    def _note(self, scope: Scope, passage: _Passage) -> None:
        seconds = time.perf_counter() - passage.started_at
        route = getattr(scope.get("route"), "path", None) or "none"
        status = passage.status or 499
        self._metrics.answered(route, status, seconds)
        if self._log_all or status >= 500 or status == 401 or seconds > SLOW_SECONDS:
            fields: dict[str, Any] = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "seconds": round(seconds, 4),
                "caller": passage.client,
            }
            logger.info("%s %s %s", scope["method"], route, status, extra={"fields": fields})


def too_busy(what: str, limit: int) -> JSONResponse:
    """Make the answer for more than ``limit`` at once."""
    found = problem(what, None, f"must be at most {limit} at once; try again in a second", found="")
    return error_reply(503, [found], {"Retry-After": RETRY_SECONDS.decode()})


def _read_headers(scope: Scope) -> tuple[bytes, bytes | None]:
    """Return the request's id, its own if it brings a fit one, and the key that it presents."""
    request_id = presented = None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            request_id = value
        elif name == b"x-api-key":
            presented = value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            presented = value[7:].strip()
    return request_id or secrets.token_hex(8).encode(), presented


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)

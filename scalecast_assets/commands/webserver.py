"""``python -m scalecast_assets.commands.webserver``: Dagster's webserver, for its own pages only.

Dagster takes mutations from any page that a browser has open, by POST and by an address. Here what
another page asks for is refused, and so is, on loopback, a name that is not ours: somebody may have
pointed a domain at this machine. The options are those of ``dagster-webserver``.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import dagster_webserver.app
from dagster_webserver.cli import main
from dagster_webserver.webserver import DagsterWebserver
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from scalecast_assets.settings import Settings, variable

LINK: Final = ("GET", "navigate", "document")
"""What is allowed to come from elsewhere: somebody follows a link."""


class OwnPagesOnly:
    """ASGI middleware that answers 403 to what a page of another origin asks for."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        """``names`` are those by which a proxy before this one is reached, with their ports."""
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or open one websocket."""
        if scope["type"] in ("http", "websocket") and (problem := self._problem(scope)):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": problem})
            else:
                await PlainTextResponse(problem, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # From elsewhere one comes through a proxy, where a password keeps strange names out.
        is_local = scope["server"] is not None and ip_address(scope["server"][0]).is_loopback
        if is_local and not (host in self._names or _is_address(host)):
            return f"{host} is no name of this UI: {variable('ui_hosts')} has those"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc not in (host, *self._names):
            return (
                f"asked for by a page of {origin}: {variable('ui_hosts')} has the names of this UI"
            )
        if scope["type"] == "http":
            asked = (scope["method"], headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
            if headers.get("sec-fetch-site") in ("cross-site", "same-site") and asked != LINK:
                return "asked for by another page"
            if scope["path"] == "/graphql" and scope["method"] != "POST":
                return "queries are sent by POST"
        return None


def _is_address(host: str) -> bool:
    """Whether it is localhost or an IP address, which nobody can point elsewhere."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


class Webserver(DagsterWebserver):  # type: ignore[type-arg]
    """Dagster's, with the middleware before its own."""

    def build_middleware(self) -> list[Middleware]:
        """Return the middleware, the outermost first."""
        names = Settings.load().ui_hosts
        return [Middleware(OwnPagesOnly, names=names), *super().build_middleware()]


if __name__ == "__main__":
    # The command makes the application of what it finds under this name.
    place: Any = dagster_webserver.app
    place.DagsterWebserver = Webserver
    main()  # type: ignore[no-untyped-call]

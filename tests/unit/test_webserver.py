"""The Dagster UI on this machine: what pages of others ask for is refused."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from scalecast_assets.commands.webserver import OwnPagesOnly, Webserver

LOCAL, INSIDE = ("127.0.0.1", 3000), ("172.18.0.5", 3000)
FETCHED = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
FOLLOWED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "it was let through"})


def answer(
    method: str,
    path: str,
    headers: dict[str, str],
    *,
    server: tuple[str, int] = LOCAL,
    kind: str = "http",
    names: tuple[str, ...] = (),
) -> object:
    """The status of the refusal, or None if the request went through."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read before it is decided")

    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": server,
    }
    scope |= {"method": method} if kind == "http" else {}
    asyncio.run(OwnPagesOnly(behind, names)(scope, receive, send))
    first = sent[0]
    return None if first["type"] == "it was let through" else first.get("status", first.get("code"))


HERE = {"host": "127.0.0.1:3000"}
OWN = HERE | {"origin": "http://127.0.0.1:3000"}


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", HERE),
        ("POST", "/graphql", OWN | FETCHED | {"sec-fetch-site": "same-origin"}),
        ("POST", "/graphql", {"host": "localhost:3000", "origin": "http://localhost:3000"}),
        ("POST", "/graphql", {"host": "[::1]:3000", "origin": "http://[::1]:3000"}),
        ("GET", "/runs", HERE | FOLLOWED | {"sec-fetch-site": "cross-site"}),
        ("GET", "/runs", HERE | FOLLOWED | {"sec-fetch-site": "none"}),
    ],
)
def test_the_uis_own_pages_scripts_and_links_go_through(
    method: str, path: str, headers: dict[str, str]
) -> None:
    assert answer(method, path, headers) is None


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", HERE | {"origin": "https://elsewhere.example"}),
        ("POST", "/graphql", HERE | {"origin": "http://127.0.0.1:8000"}),
        ("POST", "/graphql", HERE | {"origin": "null"}),
        ("POST", "/graphql", HERE | FETCHED | {"sec-fetch-site": "same-site"}),
        ("POST", "/graphql", HERE | FOLLOWED | {"sec-fetch-site": "cross-site"}),
        ("GET", "/runs", HERE | FETCHED | {"sec-fetch-site": "cross-site"}),
        ("GET", "/graphql", HERE),
        ("HEAD", "/graphql", HERE),
        # A domain of somebody else that was pointed at this machine: to the browser it is one page.
        ("POST", "/graphql", {"host": "evil.example:3000", "origin": "http://evil.example:3000"}),
        ("GET", "/runs", {"host": "evil.example"}),
        ("GET", "/runs", {}),
    ],
)
def test_what_another_page_asks_for_is_refused(
    method: str, path: str, headers: dict[str, str]
) -> None:
    assert answer(method, path, headers) == 403


def test_websockets_are_opened_for_the_uis_own_pages_only() -> None:
    assert answer("", "/graphql", OWN, kind="websocket") is None
    foreign = HERE | {"origin": "https://elsewhere.example"}
    assert answer("", "/graphql", foreign, kind="websocket") == 1008
    assert answer("", "", {}, kind="lifespan") is None


def test_behind_a_proxy_the_name_counts_that_it_passes_on() -> None:
    through = {"host": "dagster.example", "origin": "https://dagster.example"}
    assert answer("POST", "/graphql", through, server=INSIDE) is None
    assert answer("POST", "/graphql", through) == 403
    assert answer("POST", "/graphql", through, names=("dagster.example",)) is None
    rewritten = HERE | {"origin": "https://dagster.example"}
    assert answer("POST", "/graphql", rewritten, names=("dagster.example",)) is None
    assert answer("POST", "/graphql", rewritten, names=("other.example",)) == 403


def test_dagsters_own_middleware_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALECAST_UI_HOSTS", "dagster.example, other.example:8443")
    first, *others = Webserver.build_middleware(object.__new__(Webserver))
    assert first.cls is OwnPagesOnly  # type: ignore[comparison-overlap]
    assert first.kwargs["names"] == ("dagster.example", "other.example:8443")
    assert others

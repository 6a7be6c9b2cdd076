"""deploy/nginx on a real nginx: stand-ins behind it, and a name server that they come and go in.

What the real processes answer through it is in ``test_compose_processes.py``.
"""

import base64
import http.client
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scalecast_assets.commands.init_env import htpasswd_sha
from serving.bodies import DRAINED
from serving.settings import Limits
from tests.deploy.names import Names, serving
from tests.deploy.proxy import PROXY_PORTS, proxy_command
from tests.graph.command import ROOT, eventually, free_port

PASSWORD = "of this test alone"
OPERATOR = {"Authorization": f"Basic {base64.b64encode(f'operator:{PASSWORD}'.encode()).decode()}"}
ONE, OTHER, NOBODY = "127.0.0.2", "127.0.0.3", "127.0.0.9"
TOO_BUSY = 503
DIES = 0


class StandIn(ThreadingHTTPServer):
    """An upstream that says its name, unless told to answer a path otherwise."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str, port: int, name: str) -> None:
        super().__init__((address, port), _Handler)
        self.name = name
        self.answers: dict[str, int] = {}
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        status = self.server.answers.get(self.path, 200)
        if status == DIES:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        said = self.server.name.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_GET = do_POST = do_HEAD = answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Reply:
    status: int
    said: str
    headers: dict[str, str] = field(repr=False)


@dataclass
class Behind:
    """nginx, the names it asks for, and the ports of its upstreams."""

    names: Names
    listening: dict[str, int]
    ports: dict[int, int]

    @contextmanager
    def stand_in(self, address: str, port: int, name: str) -> Iterator[StandIn]:
        with serving(StandIn(address, self.ports[port], name)) as server:
            yield server

    def ask(
        self,
        server: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Reply:
        """One request; the path and the headers arrive as they are given."""
        given = headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.listening[server], timeout=20)
        try:
            connection.request(method, path, body, given)
            reply = connection.getresponse()
            return Reply(reply.status, reply.read().decode(), dict(reply.getheaders()))
        finally:
            connection.close()

    def forecast(self, path: str = "/predict", body: bytes = b"{}") -> Reply:
        return self.ask("forecasts", path, method="POST", body=body)


@pytest.fixture
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """Each test has an nginx of its own, which remembers no name."""
    folder = Path(tmp_path_factory.mktemp("nginx"))
    listening = {server: free_port() for server in PROXY_PORTS}
    ports = {port: free_port() for port in (8000, 3000, 3002)}
    with ExitStack() as stack:
        names = stack.enter_context(serving(Names({})))
        variables = {
            "UI_PASSWORD_SHA": htpasswd_sha(PASSWORD),
            "LISTEN_WITH": "",
            "RESOLVER": names.address,
        }
        command = proxy_command(folder, variables, listening, ports)
        log = stack.enter_context((folder / "log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", listening["healthy"])) == 0

        eventually(answers, (folder / "log").read_text(), 30)
        yield Behind(names, listening, ports)


@pytest.fixture
def both(behind: Behind) -> Iterator[tuple[StandIn, StandIn]]:
    """Two sidecars that share the name ``api``."""
    behind.names.addresses["api"] = [ONE, OTHER]
    with (
        behind.stand_in(ONE, 8000, "one") as one,
        behind.stand_in(OTHER, 8000, "other") as other,
    ):
        yield one, other


def test_both_sidecars_are_asked_and_the_address_arrives_as_it_was_sent(
    behind: Behind, both: tuple[StandIn, StandIn]
) -> None:
    path = "/history?store_id=a%2Fb&product_id=%20c%252F//d"
    assert {behind.ask("forecasts", path).said for _ in range(40)} == {"one", "other"}
    assert set(both[0].asked) == set(both[1].asked) == {path}
    assert behind.ask("forecasts", "/metrics").status == 404


def test_forecasts_are_answered_while_no_ui_has_a_name(
    behind: Behind, both: tuple[StandIn, StandIn]
) -> None:
    """As after a start of the machine, when only the sidecars came back."""
    assert behind.ask("operators", "/", OPERATOR).status == 502
    assert behind.ask("onlookers", "/").status == 502
    assert [behind.forecast().status for _ in range(10)] == [200] * 10


def test_a_sidecar_that_is_made_anew_at_another_address_is_followed(behind: Behind) -> None:
    behind.names.addresses["api"] = [ONE]
    with behind.stand_in(ONE, 8000, "before"):
        assert behind.forecast().said == "before"
    behind.names.addresses["api"] = [OTHER]
    with behind.stand_in(OTHER, 8000, "after"):
        eventually(lambda: behind.forecast().said == "after", "the new address", 8)
        assert [behind.forecast().said for _ in range(10)] == ["after"] * 10


def test_no_forecast_fails_while_a_sidecar_is_dead(behind: Behind) -> None:
    behind.names.addresses["api"] = [ONE, OTHER]
    with behind.stand_in(OTHER, 8000, "alive"):
        for path in ("/predict", "/predict/batch", "/forecast"):
            assert [behind.forecast(path).status for _ in range(20)] == [200] * 20


def test_an_address_where_nothing_answers_costs_a_second(behind: Behind) -> None:
    behind.names.addresses["api"] = [NOBODY, OTHER]
    with socket.socket() as full, ExitStack() as waiting:
        full.bind((NOBODY, behind.ports[8000]))
        full.listen(0)
        for _ in range(4):  # more than its queue takes: whoever comes now hears nothing
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex((NOBODY, behind.ports[8000]))
        with behind.stand_in(OTHER, 8000, "alive"):
            took = 0.0
            for _ in range(40):  # the order is drawn for each request
                began = time.monotonic()
                assert behind.forecast().said == "alive"
                took = time.monotonic() - began
                if took > 0.9:
                    break
    assert 0.9 < took < 5  # it was asked, and passed over


def test_the_proxy_waits_longer_and_takes_more_than_the_sidecars_by_their_defaults() -> None:
    """Theirs is the answer then, 503 or 413; only one that hangs is given up by the proxy."""
    text = (ROOT / "deploy" / "nginx" / "scalecast.conf.template").read_text()
    before, forecasts, *uis, _ = text.split("\nserver {\n")
    waits = re.compile(r"proxy_read_timeout (\w+);")
    assert waits.findall(before) == []
    assert [waits.findall(ui) for ui in uis] == [["1h"], ["1h"]]  # websockets
    (seconds,) = waits.findall(forecasts)
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", forecasts)
    limits = Limits()
    assert limits.request_seconds < float(seconds.removesuffix("s")) < 2 * limits.request_seconds
    assert int(mebibytes) * 2**20 >= limits.batch_bytes + DRAINED


def test_refused_batches_do_not_disturb_the_other_forecasts(
    behind: Behind, both: tuple[StandIn, StandIn]
) -> None:
    for sidecar in both:
        sidecar.answers["/predict/batch"] = TOO_BUSY
    assert [behind.forecast("/predict/batch").status for _ in range(10)] == [TOO_BUSY] * 10
    assert [behind.forecast().status for _ in range(20)] == [200] * 20


def test_a_sidecar_that_is_not_ready_is_passed_over(
    behind: Behind, both: tuple[StandIn, StandIn]
) -> None:
    both[0].answers["/predict"] = both[0].answers["/stores"] = TOO_BUSY
    assert [behind.forecast().said for _ in range(20)] == ["other"] * 20
    assert both[0].asked
    assert behind.ask("forecasts", "/stores").said == "other"


@pytest.mark.parametrize("path", ["/predict/batch", "/forecast", "/v1/timeseries/forecast"])
def test_what_kills_one_sidecar_is_not_sent_to_the_other_if_it_may_be_large(
    behind: Behind, both: tuple[StandIn, StandIn], path: str
) -> None:
    for sidecar in both:
        sidecar.answers[path] = DIES
    assert behind.forecast(path, b"x" * 200_000).status == 502
    assert len(both[0].asked + both[1].asked) == 1


def test_a_single_forecast_that_meets_a_dying_sidecar_is_answered_by_the_other(
    behind: Behind, both: tuple[StandIn, StandIn]
) -> None:
    both[0].answers["/predict"] = DIES
    assert [behind.forecast().said for _ in range(20)] == ["other"] * 20
    assert both[0].asked


def test_the_ui_that_can_change_things_never_answers_without_the_password(behind: Behind) -> None:
    """Whatever addresses the two containers come to have."""
    with (
        behind.stand_in(ONE, 3000, "changes things"),
        behind.stand_in(OTHER, 3002, "only shows"),
    ):
        places = {"webserver": [ONE], "webserver-read-only": [OTHER]}
        behind.names.addresses.update(places)
        assert behind.ask("operators", "/").status == 401
        assert behind.ask("operators", "/", OPERATOR).said == "changes things"
        assert behind.ask("onlookers", "/").said == "only shows"
        behind.names.addresses.update({"webserver": [OTHER], "webserver-read-only": [ONE]})
        seen: list[Reply] = []

        def nobody_answers() -> bool:
            seen.append(behind.ask("onlookers", "/"))
            return seen[-1].status == 502

        eventually(nobody_answers, "the swapped addresses", 8)
        assert {reply.said for reply in seen[:-1]} == {"only shows"}


ELSEWHERE = {"Origin": "https://elsewhere.example"}
FETCHED = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FOLLOWED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade"}
QUERY = "/graphql?query=mutation%20%7B%20stop%20%7D"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        # What the UI itself, a script, and somebody who follows a link send.
        ("POST", "/graphql", {}, 200),
        ("POST", "/graphql", {"Origin": "own"}, 200),
        ("POST", "/graphql", {"Origin": "own", "Sec-Fetch-Site": "same-origin"} | FETCHED, 200),
        ("GET", "/graphql", {"Origin": "own"} | UPGRADE, 200),
        ("GET", "/runs", {"Sec-Fetch-Site": "none"} | FOLLOWED, 200),
        ("GET", "/runs", {"Sec-Fetch-Site": "cross-site"} | FOLLOWED, 200),
        # What the page of somebody else can have a browser send.
        ("POST", "/graphql", ELSEWHERE, 403),
        ("POST", "/graphql", {"Origin": "null"}, 403),
        ("POST", "/graphql", {"Origin": "own.example"}, 403),
        ("POST", "/report_asset_materialization/raw", ELSEWHERE, 403),
        ("POST", QUERY, {"Sec-Fetch-Site": "cross-site"} | FOLLOWED, 403),
        ("POST", "/graphql", {"Sec-Fetch-Site": "same-site"} | FETCHED, 403),
        ("GET", "/graphql", ELSEWHERE | UPGRADE, 403),
        ("GET", "/runs", {"Sec-Fetch-Site": "cross-site"} | FETCHED, 403),
        ("GET", "/runs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
                          "Sec-Fetch-Dest": "iframe"}, 403),
        # A query in an address: over plain HTTP a browser says nothing of where it is from.
        ("GET", QUERY, {}, 403),
        ("GET", QUERY, {"Accept": "text/html"}, 403),
        ("GET", QUERY.replace("g", "%67", 1), {}, 403),
        ("GET", "/." + QUERY, {}, 403),
        ("HEAD", QUERY, {}, 403),
        ("GET", QUERY, {"Sec-Fetch-Site": "cross-site"} | FOLLOWED, 403),
    ],
)  # fmt: skip
def test_the_operators_password_is_of_no_use_to_other_pages(
    ui: Behind, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    own = f"127.0.0.1:{ui.listening['operators']}"
    headers = {name: value.replace("own", f"http://{own}") for name, value in headers.items()}
    reply = ui.ask("operators", path, headers | OPERATOR, method=method)
    assert reply.status == status
    assert reply.headers["X-Frame-Options"] == "SAMEORIGIN"


@pytest.fixture
def ui(behind: Behind) -> Iterator[Behind]:
    behind.names.addresses["webserver"] = [ONE]
    with behind.stand_in(ONE, 3000, "ui"):
        yield behind


def test_an_origin_counts_behind_another_proxy_with_a_certificate(ui: Behind) -> None:
    headers = {"Host": "dagster.example", "Origin": "https://dagster.example"}
    assert ui.ask("operators", "/graphql", headers | OPERATOR, method="POST").status == 200
    headers["Origin"] = "https://dagster.example:444"
    assert ui.ask("operators", "/graphql", headers | OPERATOR, method="POST").status == 403


def test_what_a_sidecar_says_of_frames_is_left_alone(
    behind: Behind, both: tuple[StandIn, StandIn]
) -> None:
    for sidecar in both:
        sidecar.headers["X-Frame-Options"] = "DENY"
    assert behind.ask("forecasts", "/").headers["X-Frame-Options"] == "DENY"

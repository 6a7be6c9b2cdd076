"""How much may be asked: bodies, deadlines, requests at once; what is over is refused, not kept."""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from serving.forecaster import Forecaster
from serving.settings import Limits
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import OLD_REQUEST, World, asking, set_up
from tests.serving.test_refusals import refused

POSTS = ["/predict", "/predict/batch", "/forecast", "/v1/timeseries/forecast"]


def problem_of(reply: httpx.Response) -> dict[str, Any]:
    """The one problem, in our shape or in the protocol's."""
    body = reply.json()
    found: dict[str, Any] = body["error"] if "error" in body else refused(reply, reply.status_code)
    return found


@contextmanager
def limited(home: Home, world: World, **limits: Any) -> Iterator[httpx.Client]:
    set_up(home.store, world)
    with running(replace(home.settings, limits=Limits(**limits))) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in")
        yield api


@contextmanager
def half_a_request(api: httpx.Client, path: str) -> Iterator[socket.socket]:
    """A caller who announces a body and does not send it."""
    with socket.create_connection((api.base_url.host, api.base_url.port or 80)) as caller:
        caller.settimeout(20)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
        caller.sendall(head.encode())
        yield caller


class Slow:
    """A forecaster's answer that waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.waiting = 0
        self._real = Forecaster.answer
        monkeypatch.setattr(Forecaster, "answer", lambda *given: self._answer(*given))
        monkeypatch.setattr(Forecaster, "is_quick", lambda *_: False)

    def _answer(self, *given: Any) -> Any:
        self.waiting += 1
        assert self.go.wait(30)
        return self._real(*given)


@pytest.mark.parametrize("path", POSTS)
def test_a_body_above_its_limit_is_refused(home: Home, world: World, path: str) -> None:
    with limited(home, world, body_bytes=2_000, batch_bytes=5_000) as api:
        limit = 2_000 if path == "/predict" else 5_000
        reply = api.post(path, content=b" " * (limit + 1))
        problem = problem_of(reply)
        at_the_limit = api.post(path, content=b" " * limit)

    assert reply.status_code == 413
    assert f"must have at most {limit} bytes" in problem["message"]
    assert at_the_limit.status_code in (400, 422)


@pytest.mark.parametrize("path", POSTS)
def test_a_body_that_does_not_arrive_is_refused(home: Home, world: World, path: str) -> None:
    with limited(home, world, body_seconds=0.2) as api, half_a_request(api, path) as caller:
        answer = caller.recv(65_536).decode()

    assert answer.startswith("HTTP/1.1 408")
    assert "must arrive within 0.2 seconds" in answer


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_refused_unopened(api: httpx.Client, path: str, encoding: str) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    reply = api.post(path, content=bomb, headers={"Content-Encoding": encoding})

    assert reply.status_code == 415
    assert problem_of(reply)["message"].startswith("Content-Encoding must be absent or identity")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"]
)
def test_a_body_of_another_type_is_refused(api: httpx.Client, path: str, media_type: str) -> None:
    reply = api.post(path, content=json.dumps(OLD_REQUEST), headers={"Content-Type": media_type})

    assert reply.status_code == 415
    assert problem_of(reply)["message"].startswith("Content-Type must be application/json")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "APPLICATION/JSON", ""])
def test_json_is_json_however_it_is_written(api: httpx.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type, "Content-Encoding": "identity"}

    assert api.post("/predict", json=OLD_REQUEST, headers=headers).status_code == 200


def test_too_many_requests_at_once_are_turned_away_and_health_still_answers(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(home, world, requests=3) as api:
        slow = Slow(monkeypatch)
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(
                    api.post("/predict", json=asking(), timeout=60).status_code
                )
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        eventually(lambda: slow.waiting == 3, "three requests are being answered")
        turned_away = api.post("/predict", json=OLD_REQUEST)
        health = api.get("/health")
        counted = api.get("/metrics")
        slow.go.set()
        for thread in threads:
            thread.join(60)
        after = api.post("/predict", json=OLD_REQUEST)

    assert refused(turned_away, 503)["field"] == "requests"
    assert turned_away.headers["retry-after"] == "1"
    assert health.status_code == 200
    assert counted.status_code == 503
    assert statuses == [200, 200, 200]
    assert after.status_code == 200


def test_too_many_batches_at_once_are_turned_away_before_they_are_read(
    home: Home, world: World
) -> None:
    with limited(home, world, batches=1) as api:
        with half_a_request(api, "/predict/batch"):
            eventually(
                lambda: "scalecast_requests_under_way 2.0" in api.get("/metrics").text,
                "the one place is taken",
            )
            turned_away = [api.post(path, json={"rows": [asking()]}) for path in POSTS[1:]]
            one_row = api.post("/predict", json=OLD_REQUEST)
        eventually(
            lambda: api.post("/predict/batch", json={"rows": [asking()]}).status_code == 200,
            "the place is free again once its caller has hung up",
        )

    assert [reply.status_code for reply in turned_away] == [503] * 3
    assert {reply.headers["retry-after"] for reply in turned_away} == {"1"}
    assert one_row.status_code == 200


def test_a_request_that_takes_too_long_is_given_up(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with limited(home, world, request_seconds=0.3) as api:
        slow = Slow(monkeypatch)
        threading.Timer(1.0, slow.go.set).start()
        began = time.monotonic()
        reply = api.post("/predict", json=OLD_REQUEST)

    assert refused(reply, 503)["message"] == "request must be answered within 0.3 s; ask for less"
    assert reply.headers["retry-after"] == "1"
    assert time.monotonic() - began < 20


def test_callers_who_hang_up_leave_no_place_taken(home: Home, world: World) -> None:
    with limited(home, world, batches=2, requests=10) as api:
        for path in POSTS * 6:
            with half_a_request(api, path):
                pass
        eventually(
            lambda: "scalecast_requests_under_way 1.0" in api.get("/metrics").text,
            "only the request that asks is under way",
        )
        reply = api.post("/predict/batch", json={"rows": [asking()]})

    assert reply.status_code == 200

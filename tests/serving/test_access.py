"""Who may ask: API keys, their rotation, browsers of other origins, headers, request ids, logs."""

import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from scalecast_assets.cli import cli
from serving import gate, keys
from serving.app import create_app
from serving.keys import KeyRing, new_key
from serving.logs import JsonFormatter
from serving.settings import SettingsError
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import OLD_REQUEST, World, set_up
from tests.serving.test_refusals import refused

OPEN = ["/health", "/ready", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css"]
CLOSED = ["/model", "/models", "/metrics", "/history?store_id=a&product_id=b", "/nothing"]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(api: httpx.Client, headers: dict[str, str]) -> int:
    return api.post("/predict", json=OLD_REQUEST, headers=headers).status_code


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What the sidecar logs meanwhile, as the process writes it."""
    written = io.StringIO()
    found: list[dict[str, Any]] = []
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(lambda r: not found.append(json.loads(handler.format(r))))  # type: ignore[func-returns-value]
    logger = logging.getLogger("serving")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_without_keys_everybody_may_ask(api: httpx.Client) -> None:
    assert status(api, {}) == status(api, bearer("whatever")) == 200


def test_with_keys_each_of_them_lets_in_and_nothing_else_does(home: Home, world: World) -> None:
    set_up(home.store, world)
    (shop, one), (web, two) = new_key("shop"), new_key("web")
    settings = replace(home.settings, api_keys=f" {one},{two} ")
    with running(settings) as api:
        assert status(api, bearer(shop)) == status(api, {"X-API-Key": web}) == 200
        for wrong in (
            {},
            bearer(shop[:-1]),
            {"Authorization": shop},
            {"X-API-Key": one},
            {"X-API-Key": "é"},
        ):
            reply = api.post(
                "/predict",
                json=OLD_REQUEST,
                headers={k.encode(): v.encode() for k, v in wrong.items()},
            )
            assert refused(reply, 401)["field"] == "key"
            assert reply.headers["www-authenticate"].startswith("Bearer")
        assert shop not in refused(api.get("/model", headers=bearer(shop + "x")), 401)["message"]
        assert [api.get(path).status_code for path in OPEN] == [200] * len(OPEN)
        assert [api.get(path).status_code for path in CLOSED] == [401] * len(CLOSED)


def test_a_key_of_metrics_reads_them_and_nothing_else(home: Home, world: World) -> None:
    set_up(home.store, world)
    (shop, of_shop), (prometheus, of_prometheus) = new_key("shop"), new_key("prometheus")
    settings = replace(home.settings, api_keys=of_shop, metrics_keys=of_prometheus)
    with running(settings) as api:
        assert api.get("/metrics").status_code == 401
        for key in (shop, prometheus):
            assert api.get("/metrics", headers=bearer(key)).status_code == 200
        assert status(api, bearer(shop)) == 200
        assert status(api, bearer(prometheus)) == 401
        assert api.get("/metrics/", headers=bearer(prometheus)).status_code == 401
    with running(replace(settings, api_keys="")) as api:  # nobody is asked for a key because of it
        assert status(api, {}) == api.get("/metrics").status_code == 200
    with pytest.raises(SettingsError, match="SCALECAST_METRICS_KEYS: entry 1"):
        create_app(replace(home.settings, metrics_keys="prometheus"))


def test_keys_rotate_without_a_restart(
    home: Home, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.0)
    set_up(home.store, world)
    (old, old_line), (new, new_line) = new_key("a"), new_key("a")
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n{old_line}\n")
    with running(replace(home.settings, api_keys_file=file)) as api:
        assert (status(api, bearer(old)), status(api, bearer(new))) == (200, 401)
        file.write_text(f"{old_line}\n{new_line}\n")
        assert (status(api, bearer(old)), status(api, bearer(new))) == (200, 200)
        aside = tmp_path / "next"
        aside.write_text(f"{new_line}\n")
        os.replace(aside, file)
        assert (status(api, bearer(old)), status(api, bearer(new))) == (401, 200)
        file.write_text("")
        assert (status(api, bearer(old)), status(api, bearer(new))) == (401, 401)


def test_a_file_of_keys_that_breaks_leaves_the_last_good_keys_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "LOOK_SECONDS", 0.0)
    key, line = new_key("a")
    file = tmp_path / "keys"
    file.write_text(line)
    ring = KeyRing("", file)
    for spoil in (file.unlink, lambda: file.write_text(key)):
        spoil()
        for _ in range(3):
            assert ring.owner_of(key.encode()) == "a"
        assert caplog.text.count("still hold") == 1
        assert key not in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "text", ["scalecast_abc", "shop:" + "A" * 64, "shop:abc", ":" + "a" * 64, "a b:" + "a" * 64]
)
def test_what_is_no_hash_is_refused_at_the_start_and_never_repeated(home: Home, text: str) -> None:
    with pytest.raises(SettingsError, match=r"^SCALECAST_API_KEYS: entry 1: expected") as error:
        create_app(replace(home.settings, api_keys=text))

    assert text not in str(error.value)
    assert text not in repr(replace(home.settings, api_keys=text))


def test_a_file_of_keys_that_is_not_there_stops_the_start(home: Home, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"SCALECAST_API_KEYS_FILE: .*nowhere cannot be read"):
        create_app(replace(home.settings, api_keys_file=tmp_path / "nowhere"))


def test_the_command_makes_a_key_that_lets_in() -> None:
    facts = json.loads(CliRunner().invoke(cli, ["api-key", "--name", "shop", "--json"]).stdout)
    shown = CliRunner().invoke(cli, ["api-key"]).stdout

    assert KeyRing(facts["line"], None).owner_of(facts["key"].encode()) == "shop"
    assert hashlib.sha256(facts["key"].encode()).hexdigest() in facts["line"]
    assert "default:" in shown
    assert CliRunner().invoke(cli, ["api-key", "--name", "a:b"]).exit_code == 2


def test_other_origins_are_let_in_only_where_a_setting_says_so(home: Home, world: World) -> None:
    set_up(home.store, world)
    asks = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type",
    }
    _, line = new_key("a")
    with running(home.settings) as api:
        assert "access-control-allow-origin" not in api.get("/health", headers=asks).headers
        assert api.options("/predict", headers=asks).status_code == 405
    settings = replace(home.settings, cors_origins=("https://shop.example",), api_keys=line)
    with running(settings) as api:
        preflight = api.options("/predict", headers=asks)
        answer = api.get("/health", headers=asks)
        other = api.get("/health", headers={"Origin": "https://else.example"})

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/predict", "/docs", "/nothing", "/health"])
def test_every_answer_carries_the_security_headers(api: httpx.Client, path: str) -> None:
    headers = api.get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["content-security-policy"].count("default-src") == 1


@pytest.mark.parametrize("given", ["7c9e6679-7425", "a", "x" * 128])
def test_a_request_id_is_given_back(api: httpx.Client, given: str) -> None:
    assert api.get("/health", headers={"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", 'x"y', "x" * 129, "-x", "é"])
def test_a_request_id_that_could_forge_a_log_is_replaced(api: httpx.Client, given: str) -> None:
    found = api.get("/health", headers={b"X-Request-ID": given.encode()}).headers["x-request-id"]

    assert found != given
    assert len(found) == 16


def test_a_bug_is_a_500_in_the_one_shape_and_a_log_line_with_its_id(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    set_up(home.store, world)
    key, line = new_key("shop")
    secret = {**bearer(key), "X-Request-ID": "my-request"}
    with running(replace(home.settings, api_keys=line)) as api:
        eventually(lambda: api.get("/ready").status_code == 200, "the model is in")
        monkeypatch.setattr("serving.routes.predict.reply_to", broken)
        problem = refused(api.post("/predict", json=OLD_REQUEST, headers=secret), 500)

    assert "my-request" in problem["rule"]
    (bug,) = [one for one in lines if one["level"] == "error"]
    (request,) = [one for one in lines if one["logger"] == "serving.requests" and "status" in one]
    assert bug["request_id"] == request["request_id"] == "my-request"
    assert "RuntimeError: a bug" in bug["traceback"]
    assert (request["status"], request["route"], request["caller"]) == (500, "/predict", "shop")
    assert key not in json.dumps(lines)


def test_requests_that_are_well_are_logged_only_on_demand(
    home: Home, world: World, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SLOW_SECONDS", 1e9)
    set_up(home.store, world)
    for log_requests in (False, True):
        with running(replace(home.settings, log_requests=log_requests)) as api:
            assert status(api, {}) == 200
        routes = [one.get("route") for one in lines]
        assert routes.count("/predict") == int(log_requests)


def test_a_log_line_is_one_line_whatever_is_logged() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, 'a "%s"\n\x1b[2J', ("ü\r\n",), None)

    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line)["message"] == 'a "ü\r\n"\n\x1b[2J'

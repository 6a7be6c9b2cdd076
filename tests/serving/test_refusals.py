"""Bad input: every refusal names field, value and rule, in one shape, and never is a 500."""

import json
import socket
from typing import Any

import httpx
import pytest

from tests.serving.conftest import Home, running
from tests.serving.makers import OLD_REQUEST, World, asking, linear_graph, promote, write_state


def refused(reply: httpx.Response, status: int = 422) -> dict[str, Any]:
    """Return the one problem that the reply names."""
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body) == {"detail"}
    (problem,) = body["detail"]
    assert set(problem) == {"field", "value", "rule", "message"}
    assert problem["message"].startswith(problem["field"])
    assert problem["rule"] in problem["message"]
    found: dict[str, Any] = problem
    return found


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("price", 0, "must be greater than 0"),
        ("price", -3.5, "must be greater than 0"),
        ("price", 1e10, "must be at most 1e+09"),
        ("price", "29.99", "must be a number, without quotes"),
        ("price", True, "must be a number, without quotes"),
        ("price", None, "must be a number, without quotes"),
        ("promotion", "true", "must be true or false, without quotes"),
        ("promotion", 1, "must be true or false, without quotes"),
        ("promotion", None, "must be true or false, without quotes"),
        ("store_id", 12, "must be text (a JSON string)"),
        ("store_id", "", "must have at least 1 character"),
        ("product_id", None, "must be text (a JSON string)"),
        ("date", "2023-02-30", "must be an existing day written YYYY-MM-DD"),
        ("date", "15.03.2024", "must be an existing day written YYYY-MM-DD"),
        ("date", "20240315", "must be an existing day written YYYY-MM-DD"),
        ("date", "2024-W11-5", "must be an existing day written YYYY-MM-DD"),
        ("date", "2024-03-15T00:00:00", "must be an existing day written YYYY-MM-DD"),
        ("date", "２０２４-03-15", "must be an existing day written YYYY-MM-DD"),
        ("date", "0000-00-00", "must be an existing day written YYYY-MM-DD"),
        ("date", 1710460800, "must be an existing day written YYYY-MM-DD"),
        ("date", None, "must be an existing day written YYYY-MM-DD"),
    ],
)
def test_a_bad_value_is_refused_by_field_value_and_rule(
    api: httpx.Client, field: str, value: object, rule: str
) -> None:
    problem = refused(api.post("/predict", json=asking(**{field: value})))

    assert (problem["field"], problem["value"], problem["rule"]) == (field, value, rule)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_price_that_is_not_finite_is_refused(api: httpx.Client, number: str) -> None:
    body = json.dumps(OLD_REQUEST).replace("29.99", number)

    problem = refused(api.post("/predict", content=body))

    assert (problem["field"], problem["rule"]) == ("price", "must be a finite number")


@pytest.mark.parametrize("field", ["date", "store_id", "product_id", "price", "promotion"])
def test_a_missing_field_is_named(api: httpx.Client, field: str) -> None:
    body = {name: value for name, value in OLD_REQUEST.items() if name != field}

    problem = refused(api.post("/predict", json=body))

    assert problem == {
        "field": field,
        "value": None,
        "rule": "is required",
        "message": f"{field} is required",
    }


def test_an_unknown_field_is_refused_and_the_known_ones_are_listed(api: httpx.Client) -> None:
    problem = refused(api.post("/predict", json=asking(lag_1=12)))

    assert (problem["field"], problem["value"]) == ("lag_1", 12)
    assert "known are date, store_id, product_id, price, promotion" in problem["rule"]


def test_every_bad_field_of_a_request_is_named(api: httpx.Client) -> None:
    reply = api.post("/predict", json={"date": "soon", "price": -1})

    assert reply.status_code == 422
    fields = [problem["field"] for problem in reply.json()["detail"]]
    assert fields == ["date", "store_id", "product_id", "price", "promotion"]


@pytest.mark.parametrize("name", ["store_id", "product_id"])
def test_a_huge_id_is_refused_and_repeated_only_in_part(api: httpx.Client, name: str) -> None:
    problem = refused(api.post("/predict", json=asking(**{name: "X" * 10_000})))

    assert problem["rule"] == "must have at most 500 characters"
    assert len(problem["value"]) <= 200


@pytest.mark.parametrize("name", ["store_id", "product_id"])
def test_the_length_of_an_id_is_counted_in_bytes_as_in_raw_files(
    api: httpx.Client, name: str
) -> None:
    problem = refused(api.post("/predict", json=asking(**{name: "ß" * 251})))

    assert problem["rule"] == "must have at most 500 bytes in UTF-8"
    assert api.post("/predict", json=asking(**{name: "ß" * 250})).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"\x00\xff\xfe",
        b'{"store_id": "\\ud800"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"price": 1' + b"0" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(api: httpx.Client, body: bytes) -> None:
    problem = refused(api.post("/predict", content=body))

    assert (problem["field"], problem["rule"]) == ("body", "must be valid JSON")


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"text"', b"[{}]"])
def test_what_is_no_object_is_refused(api: httpx.Client, body: bytes) -> None:
    problem = refused(api.post("/predict", content=body))

    assert (problem["field"], problem["rule"]) == ("body", "must be a JSON object")


@pytest.mark.parametrize("size", [65_537, 1 << 20, 8 << 20])
def test_a_body_above_the_limit_is_refused(api: httpx.Client, size: int) -> None:
    problem = refused(api.post("/predict", content=b" " * size), status=413)

    assert problem["rule"] == "must have at most 65536 bytes"


def test_a_body_without_a_length_is_limited_too(api: httpx.Client) -> None:
    problem = refused(api.post("/predict", content=(b" " * 10_000 for _ in range(50))), status=413)

    assert problem["field"] == "body"


def test_a_caller_who_hangs_up_in_the_middle_disturbs_nobody(
    api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 80)) as caller:
        caller.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")

    assert api.post("/predict", json=OLD_REQUEST).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("store", "date"),
    [
        ("STORE_001", "2024-01-18"),
        ("STORE_001", "2024-05-10"),
        ("STORE_001", "0001-01-01"),
        ("STORE_001", "9999-12-31"),
        ("NEVER SEEN", "2024-01-18"),
        ("NEVER SEEN", "2024-05-10"),
    ],
)
def test_a_date_out_of_range_is_refused_and_the_range_is_named(
    api: httpx.Client, store: str, date: str
) -> None:
    problem = refused(api.post("/predict", json=asking(date=date, store_id=store)))

    assert (problem["field"], problem["value"]) == ("date", date)
    assert problem["rule"].startswith("must be from 2024-01-19 to 2024-05-09")
    assert "end on 2024-03-14" in problem["rule"]


@pytest.mark.parametrize("date", ["2024-01-19", "2024-05-09"])
@pytest.mark.parametrize("store", ["STORE_001", "NEVER SEEN"])
def test_the_ends_of_the_range_are_answered(api: httpx.Client, store: str, date: str) -> None:
    reply = api.post("/predict", json=asking(date=date, store_id=store))

    assert reply.status_code == 200


def test_without_a_model_the_answer_says_what_to_do(home: Home) -> None:
    with running(home.settings) as api:
        assert api.get("/health").json() == {"status": "healthy", "model_loaded": False}
        problem = refused(api.post("/predict", json=OLD_REQUEST), status=503)
        assert (problem["field"], problem["value"]) == ("model", None)
        assert "run `scalecast run`" in problem["rule"]
        assert refused(api.get("/model"), status=503)["field"] == "model"


def test_with_a_model_but_no_state_the_answer_says_what_to_do(home: Home, world: World) -> None:
    promote(home.store, "1.0.0", linear_graph(), world.encoders)
    with running(home.settings) as api:
        assert api.get("/health").json() == {"status": "healthy", "model_loaded": True}
        problem = refused(api.post("/predict", json=OLD_REQUEST), status=503)

    assert problem["field"] == "state"
    assert "run `scalecast run`" in problem["rule"]


def test_with_a_state_but_no_model_the_answer_says_what_to_do(home: Home, world: World) -> None:
    write_state(home.store, world.panel())
    with running(home.settings) as api:
        assert refused(api.post("/predict", json=OLD_REQUEST), status=503)["field"] == "model"


def test_a_wrong_path_or_method_is_refused_in_the_same_shape(api: httpx.Client) -> None:
    path = refused(api.get("/predicts"), status=404)
    method = refused(api.get("/predict"), status=405)

    assert (path["field"], path["value"]) == ("path", "/predicts")
    assert (method["field"], method["value"]) == ("method", "GET")
    assert "POST" in method["rule"]

"""/predict/batch: each row is answered as it would be alone, in JSON and in lines of JSON."""

import datetime
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.rolling import roll_forward
from serving import paths
from serving.model import PredictionFailed
from tests.serving.conftest import Home, folder_home, running
from tests.serving.makers import (
    LAST_DAY,
    World,
    asking,
    linear_graph,
    make_world,
    point_at,
    set_up,
    write_bundle,
    write_state,
)
from tests.serving.test_refusals import refused

NDJSON = {"Content-Type": "application/x-ndjson"}
DAY = datetime.timedelta(1)

IDS = ["STORE_001", "STORE_002", "PROD_A", "PROD_B", "PROD_C", "PROD_D", "NEVER SEEN", 'a"b}ü\n']

rows = st.lists(
    st.fixed_dictionaries(
        {
            "date": st.integers(-58, 58).map(lambda n: (LAST_DAY + n * DAY).isoformat()),
            "store_id": st.sampled_from([IDS[0], IDS[1], IDS[6], IDS[7]]),
            "product_id": st.sampled_from(IDS[2:]),
            "price": st.one_of(st.integers(1, 50), st.floats(0.01, 1e6)),
            "promotion": st.booleans(),
        }
    ),
    min_size=1,
    max_size=25,
)


def lines_of(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.text.splitlines()]


def in_lines(asked: list[Any]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in asked)


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    close = found.pop("prediction") == pytest.approx(expected.pop("prediction"), rel=1e-6)
    return bool(close and found == expected)


@pytest.fixture(scope="module", params=["store", "observed"])
def uneven(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A sidecar whose second store ends nine days before the first, in each calendar."""
    calendar: Calendar = request.param
    world = make_world(3)
    for (store, _), sold in world.sales.items():
        for day in list(sold)[-9:] if store == "STORE_002" else ():
            del sold[day]
    home = folder_home(tmp_path_factory.mktemp("uneven"))
    sha256 = write_bundle(home.store, "1.0.0", linear_graph(), world.encoders, calendar=calendar)
    point_at(home.store, "1.0.0", sha256)
    write_state(home.store, world.panel(calendar))
    with running(home.settings) as client:
        yield client


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asked=rows)
def test_a_batch_answers_what_each_row_alone_is_answered(
    uneven: httpx.Client, asked: list[dict[str, Any]]
) -> None:
    alone = [uneven.post("/predict", json=row) for row in asked]
    whole = uneven.post("/predict/batch", json={"rows": asked})
    lines = lines_of(uneven.post("/predict/batch", content=in_lines(asked), headers=NDJSON))

    bad = [number for number, reply in enumerate(alone) if reply.status_code != 200]
    if bad:
        problem = refused(whole)
        expected = alone[bad[0]].json()["detail"][0]
        assert problem["field"] == f"rows.{bad[0]}.date"
        assert (problem["rule"], problem["value"]) == (expected["rule"], expected["value"])
    else:
        answers = whole.json()["predictions"]
        assert len(answers) == len(asked)
        assert all(same(a, one.json()) for a, one in zip(answers, alone, strict=True))
    assert [line.pop("row") for line in lines] == list(range(len(asked)))
    for line, one in zip(lines, alone, strict=True):
        expected = one.json()
        assert line == expected if one.status_code == 422 else same(line, expected)


def test_ten_thousand_rows_are_answered_in_order(api: httpx.Client) -> None:
    asked = [asking(price=1.0 + number / 8) for number in range(10_000)]

    whole = api.post("/predict/batch", json={"rows": asked}).json()["predictions"]
    lines = lines_of(api.post("/predict/batch", content=in_lines(asked), headers=NDJSON))

    # The model takes a hundredth of a unit off for each unit of price.
    steps = [a["prediction"] - b["prediction"] for a, b in pairwise(whole)]
    assert steps[:100] == pytest.approx([0.00125] * 100, abs=1e-5)
    assert [line["row"] for line in lines] == list(range(10_000))
    assert [line["prediction"] for line in lines] == [one["prediction"] for one in whole]


def test_more_than_ten_thousand_rows_are_refused_in_both_forms(api: httpx.Client) -> None:
    asked = [asking()] * 10_001

    whole = refused(api.post("/predict/batch", json={"rows": asked}))
    lines = refused(api.post("/predict/batch", content=in_lines(asked), headers=NDJSON))

    assert (whole["field"], lines["field"]) == ("rows", "body")
    assert "10000" in whole["rule"]
    assert lines["message"] == "body must have 1 to 10000 lines, found 10001 lines"


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"price": -1}, "price", "must be greater than 0"),
        ({"date": "2023-02-30"}, "date", "must be an existing day written YYYY-MM-DD"),
        ({"store_id": "ß" * 251}, "store_id", "must have at most 500 bytes in UTF-8"),
        ({"lag_1": 3}, "lag_1", "is not a known field; known are date, store_id"),
        ({"promotion": 1}, "promotion", "must be true or false, without quotes"),
    ],
)
def test_a_bad_row_refuses_a_document_and_only_itself_among_lines(
    api: httpx.Client, row: int, change: dict[str, Any], field: str, rule: str
) -> None:
    asked = [asking(), asking(), asking()]
    asked[row] = asking(**change)

    problem = refused(api.post("/predict/batch", json={"rows": asked}))
    lines = lines_of(api.post("/predict/batch", content=in_lines(asked), headers=NDJSON))

    assert problem["field"] == f"rows.{row}.{field}"
    assert problem["rule"].startswith(rule)
    assert [line.get("prediction") is None for line in lines] == [n == row for n in range(3)]
    assert lines[row]["detail"][0]["field"] == field


def test_a_name_that_is_given_twice_is_refused(api: httpx.Client) -> None:
    twice = json.dumps(asking()).replace('"price": 29.99', '"price": 1, "price": 29.99').encode()

    alone = refused(api.post("/predict", content=twice))
    whole = refused(api.post("/predict/batch", content=b'{"rows": [' + twice + b"]}"))
    lines = lines_of(
        api.post("/predict/batch", content=twice + b"\n" + in_lines([asking()]), headers=NDJSON)
    )

    assert alone["message"] == whole["message"] == "price must be given once, found it twice"
    assert lines[0]["detail"][0] == alone
    assert "prediction" in lines[1]


@pytest.mark.parametrize(
    "body",
    [
        b'{"date": "2024-03-15"\n"store_id": "STORE_001"}',
        in_lines([asking()]) + b", " + in_lines([asking()]),
        in_lines([asking()]) + b"]",
        b"[" + in_lines([asking()]) + b"]",
        b"\xff\xfe",
        b'{"a":' * 5_000,
        b"null",
    ],
)
def test_a_line_that_is_no_object_is_named_and_the_next_is_answered(
    api: httpx.Client, body: bytes
) -> None:
    content = body + b"\r\n\n" + in_lines([asking()]) + b"\n"
    lines = lines_of(api.post("/predict/batch", content=content, headers=NDJSON))

    assert "prediction" in lines[-1]
    assert all("detail" in line for line in lines[:-1])
    assert len(lines) == 2 + body.count(b"\n")


def test_an_empty_batch_is_refused(api: httpx.Client) -> None:
    assert refused(api.post("/predict/batch", json={"rows": []}))["field"] == "rows"
    assert refused(api.post("/predict/batch", content=b"\n \n", headers=NDJSON))["field"] == "body"


def test_rows_for_which_the_model_fails_get_the_mean_and_the_others_the_model(
    home: Home, world: World
) -> None:
    set_up(home.store, world, linear_graph({"price": 1e35}))
    later = (LAST_DAY + 5 * DAY).isoformat()
    asked = [asking(price=p, date=d) for d in ("2024-03-15", later) for p in (1.0, 1e9, 2.0)] * 200
    with running(home.settings) as api:
        found = api.post("/predict/batch", json={"rows": asked}).json()["predictions"]
        alone = [api.post("/predict", json=row).json() for row in asked[:6]]

    sources = [row["source"] for row in found]
    assert sources == ["model", "series_mean", "model"] * 400
    assert all(same(a, b) for a, b in zip(found[:6], alone, strict=True))


def test_series_that_cannot_be_rolled_do_not_spoil_those_that_can(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model explodes for one product only, so only its later days have no forecast."""
    set_up(home.store, world, linear_graph({"lag_1": 1.0, "product_id_encoded": 0.5}))
    real = roll_forward

    def failing(panel: Any, *arguments: Any, series: Any, **more: Any) -> Any:
        if 0 in series.tolist():
            raise PredictionFailed("no number")
        return real(panel, *arguments, series=series, **more)

    monkeypatch.setattr(paths, "roll_forward", failing)
    pairs = sorted(world.sales)
    later = (LAST_DAY + 9 * DAY).isoformat()
    asked = [asking(date=later, store_id=store, product_id=product) for store, product in pairs]
    with running(home.settings) as api:
        found = api.post("/predict/batch", json={"rows": asked}).json()["predictions"]

    by_mean = [pair for pair, one in zip(pairs, found, strict=True) if one["source"] != "model"]
    assert by_mean == [pairs[0], ("STORE_001", "PROD_C")]  # and that one is too young

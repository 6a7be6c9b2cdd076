"""KServe's time-series forecast protocol: what its own client sends and expects.

The schemas below are written from the protocol's description: an answer must pass as theirs.
"""

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.serving.conftest import Home, running
from tests.serving.makers import LAST_DAY, World, linear_graph, set_up
from tests.serving.naive_twin import DAY

PATH = "/v1/timeseries/forecast"
SALES = [12, 14, 11, 9, 15, 22, 25, 13, 12, 10, 11, 16, 24, 27, 14, 12]


class Forecast(BaseModel):
    type: str
    name: str
    mean_forecast: list[float]
    frequency: str
    start_timestamp: str
    quantiles: dict[str, list[float]] | None = None


class Output(BaseModel):
    type: str
    id: str
    status: str
    content: list[Forecast]
    error: dict[str, Any] | None = None


class Reply(BaseModel):
    id: str
    created_at: int
    status: str
    model: str
    outputs: list[Output]
    error: dict[str, Any] | None = None


def sent(**changes: Any) -> dict[str, Any]:
    series = {
        "type": "univariate_time_series",
        "name": "sales",
        "series": SALES,
        "frequency": "D",
        "start_timestamp": "2024-03-01T13:10:00Z",
    }
    return {**series, **changes}


def known(**changes: Any) -> dict[str, Any]:
    return sent(series=[], store_id="STORE_001", product_id="PROD_A", **changes)


def ask(api: httpx.Client, *inputs: dict[str, Any], horizon: int = 4) -> list[Forecast]:
    body = {
        "model": "scalecast",
        "inputs": inputs,
        "options": {"horizon": horizon, "other_options": "value"},
        "metadata": {"request_id": "mine"},
        "other_properties": "value",
    }
    reply = api.post(PATH, json=body)
    assert reply.status_code == 200, reply.text
    answer = Reply.model_validate(reply.json(), strict=True)
    assert (answer.model, answer.status) == ("scalecast", "completed")
    assert {(output.type, output.status) for output in answer.outputs} == {
        ("time_series_forecast", "completed")
    }
    assert len({output.id for output in answer.outputs}) == len(inputs)
    found = []
    for output in answer.outputs:
        (content,) = output.content
        assert len(content.mean_forecast) == horizon
        found.append(content)
    return found


def refused(reply: httpx.Response, status: int = 400) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) == {"code", "message", "param", "type"}
    assert error["code"] == str(status)
    return error


def test_each_input_is_continued_from_the_day_after_its_last(api: httpx.Client) -> None:
    first, second = ask(api, sent(), sent(name="other", start_timestamp="2023-12-30", price=3.0))

    assert (first.name, second.name) == ("sales", "other")
    assert first.start_timestamp == "2024-03-17T13:10:00Z"
    assert second.start_timestamp == "2024-01-15T00:00:00"
    assert (first.type, first.frequency) == ("univariate_time_series", "D")


def test_what_is_sent_is_what_the_model_looks_at(home: Home, world: World) -> None:
    set_up(home.store, world, linear_graph({"lag_14": 1.0, "promotion": 100.0}))
    with running(home.settings) as api:
        (found,) = ask(api, sent(promotion=[False, True, False, False]))

    assert found.mean_forecast == [SALES[2], SALES[3] + 100, SALES[4], SALES[5]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, 0.0), ({"store_id": "STORE_002", "product_id": "PROD_C"}, 2.0 + 30.0)],
)
def test_ids_that_are_named_are_known_to_the_model(
    home: Home, world: World, given: dict[str, str], expected: float
) -> None:
    set_up(home.store, world, linear_graph({"store_id_encoded": 1.0, "product_id_encoded": 10.0}))
    with running(home.settings) as api:
        (found,) = ask(api, sent(**given), horizon=1)

    assert found.mean_forecast == [expected]


@pytest.mark.parametrize(("given", "price"), [({}, 20.0), ({"price": 7.5}, 7.5)])
def test_the_price_is_the_one_given_or_the_last_one_known(
    home: Home, world: World, given: dict[str, float], price: float
) -> None:
    set_up(home.store, world, linear_graph({"price": 1.0}))
    with running(home.settings) as api:
        for series in (sent(**given), known(**given)):
            (found,) = ask(api, series, horizon=2)
            assert found.mean_forecast == [price, price]


def test_an_empty_series_stands_for_the_servers_own_history(api: httpx.Client) -> None:
    (found,) = ask(api, known(), horizon=14)
    days = api.post(
        "/forecast", json={"store_id": "STORE_001", "product_id": "PROD_A", "horizon": 14}
    ).json()["series"][0]["days"]

    assert found.mean_forecast == pytest.approx([day["prediction"] for day in days])
    assert found.start_timestamp == f"{LAST_DAY + DAY}T00:00:00Z"


def test_sending_what_the_server_knows_gives_the_same_answer(
    api: httpx.Client, world: World
) -> None:
    sold = world.sales["STORE_002", "PROD_A"]  # a store that opens every day
    ids = {"store_id": "STORE_002", "product_id": "PROD_A"}
    begin = min(sold).isoformat()
    mine, theirs = ask(
        api,
        sent(series=list(sold.values()), start_timestamp=begin, **ids),
        sent(series=[], **ids),
        horizon=20,
    )

    assert mine.mean_forecast == pytest.approx(theirs.mean_forecast)


def test_too_short_a_series_is_continued_by_its_mean(api: httpx.Client) -> None:
    (found,) = ask(api, sent(series=[4, 8]), horizon=2)

    assert found.mean_forecast == [6.0, 6.0]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"frequency": "W"}, "inputs.0.frequency"),
        ({"frequency": "D "}, "inputs.0.frequency"),
        ({"type": "multivariate_time_series"}, "inputs.0.type"),
        ({"series": [[1, 2], [3, 4]]}, "inputs.0.series.0"),
        ({"series": [1, -2]}, "inputs.0.series.1"),
        ({"series": [1] * 3_661}, "inputs.0.series"),
        ({"series": []}, "inputs.0.series"),
        ({"start_timestamp": None}, "inputs.0.start_timestamp"),
        ({"start_timestamp": "soon"}, "inputs.0.start_timestamp"),
        ({"start_timestamp": "0001-01-01"}, "inputs.0.start_timestamp"),
        ({"start_timestamp": "9999-12-31"}, "inputs.0.start_timestamp"),
        ({"promotion": [True]}, "inputs.0.promotion"),
        ({"price": 0}, "inputs.0.price"),
    ],
)
def test_what_cannot_be_continued_is_refused_in_the_protocols_shape(
    api: httpx.Client, change: dict[str, Any], param: str
) -> None:
    body = {"model": "scalecast", "inputs": [sent(**change)], "options": {"horizon": 4}}
    error = refused(api.post(PATH, json=body))

    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(param)


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"model": "timesfm"}, 404, "model"),
        ({"model": "1.0.0"}, 200, ""),
        ({"inputs": []}, 400, "inputs"),
        ({"options": {"horizon": 57}}, 400, "options.horizon"),
        ({"options": {"horizon": 4, "quantiles": [0.5]}}, 400, "options.quantiles"),
        ({"options": None}, 400, "options"),
    ],
)
def test_model_and_options_are_looked_at(
    api: httpx.Client, change: dict[str, Any], status: int, param: str
) -> None:
    body = {"model": "scalecast", "inputs": [sent()], "options": {"horizon": 4}, **change}
    reply = api.post(PATH, json=body)

    assert reply.status_code == status
    assert status == 200 or refused(reply, status)["param"] == param


def test_without_a_model_the_protocols_client_hears_so(home: Home) -> None:
    with running(home.settings) as api:
        body = {"model": "scalecast", "inputs": [sent()], "options": {"horizon": 4}}
        error = refused(api.post(PATH, json=body), 503)

    assert (error["param"], error["type"]) == ("model", "server_error")

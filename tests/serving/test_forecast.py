"""/forecast and /history: the coming days with what is planned, and what they start from."""

import datetime
import json
from typing import Any

import httpx
import numpy as np
import pytest

from serving.routes import forecast
from tests.serving.conftest import Home, running
from tests.serving.makers import LAST_DAY, World, asking, linear_graph, set_up
from tests.serving.naive_twin import DAY, predict_one
from tests.serving.test_refusals import refused

LINES = {"Accept": "application/x-ndjson"}
SERIES = {"store_id": "STORE_001", "product_id": "PROD_A"}


def ask(api: httpx.Client, **asked: Any) -> list[dict[str, Any]]:
    reply = api.post("/forecast", json=asked)
    assert reply.status_code == 200, reply.text
    series: list[dict[str, Any]] = reply.json()["series"]
    return series


def day_after(n: int) -> str:
    return (LAST_DAY + n * DAY).isoformat()


def rolled_by_hand(
    world: World, n_days: int, plan: dict[datetime.date, tuple[float, bool]]
) -> list[float]:
    """Forecast PROD_A in STORE_001 day by day, each day from those before it."""
    sold = dict(world.sales["STORE_001", "PROD_A"])
    weekdays = {d.weekday() for d in world.open_days["STORE_001"] if d > LAST_DAY - 28 * DAY}
    found = []
    for day in (LAST_DAY + n * DAY for n in range(1, n_days + 1)):
        price, promotion = plan.get(day, (world.price, False))
        found.append(predict_one(world, "STORE_001", "PROD_A", sold, day, price, promotion))
        if day.weekday() in weekdays:
            sold[day] = found[-1]
    return found


def test_without_a_plan_each_day_is_what_predict_answers(api: httpx.Client, world: World) -> None:
    (series,) = ask(api, **SERIES, horizon=56)

    assert [day["date"] for day in series["days"]] == [day_after(n) for n in range(1, 57)]
    for day in series["days"]:
        alone = api.post(
            "/predict", json=asking(date=day["date"], price=world.price, promotion=False)
        ).json()
        assert day["prediction"] == pytest.approx(alone.pop("prediction"), rel=1e-6)
        assert {name: day[name] for name in alone if name != "prediction"} == alone
        assert (day["price"], day["promotion"]) == (world.price, False)


def test_a_planned_day_moves_itself_and_the_days_after_it(api: httpx.Client, world: World) -> None:
    plan = [
        {"date": day_after(4), "price": 5.0, "promotion": True},
        {"date": day_after(6), "promotion": True},
        {"date": day_after(6), "price": 9.0},
        {"date": day_after(9), "price": 1e9},
        {"date": day_after(9), "price": 11.0},
    ]
    (plain,) = ask(api, **SERIES, horizon=14)
    (moved,) = ask(api, **SERIES, horizon=14, plan=plan)

    by_hand = rolled_by_hand(
        world,
        14,
        {
            LAST_DAY + 4 * DAY: (5.0, True),
            LAST_DAY + 6 * DAY: (9.0, True),
            LAST_DAY + 9 * DAY: (11.0, False),
        },
    )
    assert [day["prediction"] for day in moved["days"]] == pytest.approx(by_hand, rel=1e-4)
    assert moved["days"][:3] == plain["days"][:3]
    assert all(
        a["prediction"] > b["prediction"]
        for a, b in zip(moved["days"][3:], plain["days"][3:], strict=True)
    )
    assert (moved["days"][3]["price"], moved["days"][3]["promotion"]) == (5.0, True)


def test_a_whole_store_is_what_its_series_are_alone(api: httpx.Client, world: World) -> None:
    plan = [{"date": day_after(2), "product_id": "PROD_B", "price": 3.0}]
    whole = ask(api, store_id="STORE_001", horizon=5, plan=plan)

    assert [one["product_id"] for one in whole] == ["PROD_A", "PROD_B", "PROD_C"]
    for one in whole:
        own = plan if one["product_id"] == "PROD_B" else []
        (alone,) = ask(api, store_id="STORE_001", product_id=one["product_id"], horizon=5, plan=own)
        assert one["days"] == [
            {**day, "prediction": pytest.approx(day["prediction"])} for day in alone["days"]
        ]
    assert {day["source"] for day in whole[2]["days"]} == {"series_mean"}


def test_a_whole_product_has_each_store_from_its_own_latest_day_on(
    home: Home, world: World
) -> None:
    sales = {pair: dict(sold) for pair, sold in world.sales.items()}
    for pair, sold in sales.items():
        for n in range(9 if pair[0] == "STORE_002" else 0):
            sold.pop(LAST_DAY - n * DAY, None)
    uneven = World(world.open_days, sales)
    set_up(home.store, uneven)
    with running(home.settings) as api:
        whole = ask(api, product_id="PROD_A", horizon=3)
        promoted = ask(
            api,
            product_id="PROD_A",
            horizon=3,
            plan=[{"date": day_after(1), "promotion": True}],
        )

    assert [one["store_id"] for one in whole] == ["STORE_001", "STORE_002"]
    assert [one["days"][0]["date"] for one in whole] == [day_after(1), day_after(-8)]
    # The promoted day is one that is forecast in the first store only.
    assert whole[1] == promoted[1]
    rise = promoted[0]["days"][0]["prediction"] - whole[0]["days"][0]["prediction"]
    assert rise == pytest.approx(4.0, abs=1e-4)


def test_series_that_are_no_longer_sold_are_left_out_of_a_whole(home: Home, world: World) -> None:
    gone = {d: q for d, q in world.sales["STORE_002", "PROD_D"].items() if d < LAST_DAY - 57 * DAY}
    set_up(home.store, World(world.open_days, {**world.sales, ("STORE_002", "PROD_D"): gone}))
    with running(home.settings) as api:
        whole = ask(api, store_id="STORE_002", horizon=1)
        (alone,) = ask(api, store_id="STORE_002", product_id="PROD_D", horizon=1)
        known = api.get("/history", params={"store_id": "STORE_002", "product_id": "PROD_D"})

    assert [one["product_id"] for one in whole] == ["PROD_A", "PROD_C"]
    assert len(alone["days"]) == 1
    assert known.json()["is_active"] is False


def test_lines_are_the_same_series_one_by_one(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.coming.PART_SERIES", 2)
    whole = ask(api, store_id="STORE_002", horizon=3)
    reply = api.post("/forecast", json={"store_id": "STORE_002", "horizon": 3}, headers=LINES)

    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.headers["transfer-encoding"] == "chunked"
    assert [json.loads(line) for line in reply.text.splitlines()] == whole


def test_a_document_that_would_be_too_long_is_refused_and_lines_are_offered(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "MAX_DAYS", 10)
    asked = {"store_id": "STORE_001", "horizon": 4}

    problem = refused(api.post("/forecast", json=asked))
    lines = api.post("/forecast", json=asked, headers=LINES)

    assert problem["field"] == "horizon"
    assert "must be at most 3 for 3 series" in problem["rule"]
    assert "application/x-ndjson" in problem["rule"]
    assert lines.status_code == 200


def test_a_pair_that_was_never_seen_is_forecast_by_the_cold_start_rule(api: httpx.Client) -> None:
    plan = [{"date": day_after(2), "price": 4.5, "promotion": True}]
    (series,) = ask(api, store_id="STORE_001", product_id="PROD_NEW", horizon=3, plan=plan)

    for day in series["days"]:
        request = asking(date=day["date"], product_id="PROD_NEW")
        alone = api.post("/predict", json=request).json()
        assert {name: day[name] for name in alone} == alone
    assert [day["price"] for day in series["days"]] == [None, 4.5, None]
    assert [day["promotion"] for day in series["days"]] == [False, True, False]


def test_a_model_that_fails_for_one_series_spoils_no_other(home: Home, world: World) -> None:
    set_up(home.store, world, linear_graph({"price": 1e35}))
    plan = [{"date": day_after(2), "product_id": "PROD_B", "price": 1e9}]
    with running(home.settings) as api:
        whole = ask(api, store_id="STORE_001", horizon=3, plan=plan)

    sources = {one["product_id"]: {day["source"] for day in one["days"]} for one in whole}
    assert sources == {"PROD_A": {"model"}, "PROD_B": {"series_mean"}, "PROD_C": {"series_mean"}}


@pytest.mark.parametrize(
    ("change", "status", "field", "rule"),
    [
        ({"horizon": 57}, 422, "horizon", "must be at most 56"),
        ({"horizon": 0}, 422, "horizon", "must be at least 1"),
        ({"horizon": "7"}, 422, "horizon", "must be a whole number, without quotes"),
        ({"store_id": None, "product_id": None}, 422, "body", "must have a store_id"),
        ({"store_id": "NEVER SEEN", "product_id": None}, 404, "store_id", "must be one with"),
        ({"product_id": "NEVER SEEN", "store_id": None}, 404, "product_id", "must be one with"),
        ({"plan": [{"date": "2024-03-15"}]}, 422, "plan.0", "must have a price or a promotion"),
        ({"plan": [{"date": "2024-03-14", "price": 1}]}, 422, "plan.0.date", "must be a day that"),
        ({"plan": [{"date": "2024-03-29", "price": 1}]}, 422, "plan.0.date", "must be a day that"),
        ({"plan": [{"date": "2024-03-15", "price": 0}]}, 422, "plan.0.price", "must be greater"),
        (
            {"plan": [{"date": "2024-03-15", "price": 1, "store_id": "STORE_002"}]},
            422,
            "plan.0.store_id",
            "must be of a series that is forecast",
        ),
        (
            {"plan": [{"date": "2024-03-15", "price": 1, "product_id": "PROD_Z"}]},
            422,
            "plan.0.product_id",
            "must be of a series that is forecast",
        ),
        ({"prices": {}}, 422, "prices", "is not a known field; known are store_id"),
    ],
)
def test_what_cannot_be_forecast_is_refused_by_name(
    api: httpx.Client, change: dict[str, Any], status: int, field: str, rule: str
) -> None:
    problem = refused(api.post("/forecast", json={**SERIES, **change}), status)

    assert problem["field"] == field
    assert problem["rule"].startswith(rule)


def test_the_history_is_what_was_sold(api: httpx.Client, world: World) -> None:
    found = api.get("/history", params={**SERIES, "days": 20}).json()

    sold = world.sales["STORE_001", "PROD_A"]
    late = {d: q for d, q in sold.items() if d > LAST_DAY - 20 * DAY}
    assert {d["date"]: d["quantity_sold"] for d in found["days"]} == {
        day.isoformat(): quantity for day, quantity in late.items()
    }
    assert {(d["price"], d["promotion"]) for d in found["days"]} == {(20.0, False)}
    assert found["first_date"] == min(sold).isoformat()
    assert found["data_until"] == "2024-03-14"
    assert found["last_price"] == 20.0
    assert found["is_active"] is True
    assert found["open_weekdays"] == [True] * 6 + [False]
    assert found["store_known_to_model"] is True
    mean = np.mean([q for d, q in sold.items() if d > LAST_DAY - 28 * DAY])
    assert found["mean_28_days"] == pytest.approx(float(mean))


def test_a_young_series_begins_with_its_first_row(api: httpx.Client, world: World) -> None:
    found = api.get("/history", params={"store_id": "STORE_001", "product_id": "PROD_C"}).json()

    assert len(found["days"]) == len(world.sales["STORE_001", "PROD_C"])


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"store_id": "NEVER SEEN"}, 404, "store_id"),
        ({"product_id": "NEVER SEEN"}, 404, "product_id"),
        ({"product_id": "PROD_D"}, 404, "product_id"),
        ({"days": "0"}, 422, "days"),
        ({"days": "many"}, 422, "days"),
        ({"day": "3"}, 422, "day"),
        ({"store_id": ""}, 422, "store_id"),
        ({"store_id": "X" * 501}, 422, "store_id"),
    ],
)
def test_a_history_that_is_not_there_is_refused_by_name(
    api: httpx.Client, change: dict[str, str], status: int, field: str
) -> None:
    problem = refused(api.get("/history", params={**SERIES, **change}), status)

    assert problem["field"] == field

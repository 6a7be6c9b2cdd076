"""What /predict answers, against a naive twin of features and rolling."""

import datetime
from dataclasses import replace
from typing import Any

import httpx
import pytest

from scalecast_assets.contract.encoders import Encoders
from tests.serving.conftest import Home, running
from tests.serving.makers import (
    EPOCH,
    LAST_DAY,
    OLD_REQUEST,
    World,
    asking,
    linear_graph,
    point_at,
    set_up,
    write_bundle,
    write_state,
)
from tests.serving.naive_twin import expected_prediction
from tests.unit.naive_features import History, Sale
from tests.unit.naive_forecast import naive_unseen

DAY = datetime.timedelta(1)


def ask(api: httpx.Client, **changes: Any) -> dict[str, Any]:
    reply = api.post("/predict", json=asking(**changes))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def test_the_old_request_is_answered_verbatim(any_home: Home, world: World) -> None:
    set_up(any_home.store, world)
    with running(any_home.settings) as api:
        reply = api.post("/predict", json=OLD_REQUEST)

    assert reply.status_code == 200
    answer = reply.json()
    expected = expected_prediction(world, "STORE_001", "PROD_A", LAST_DAY + DAY, 29.99, True)
    assert answer == {
        "prediction": pytest.approx(expected, rel=1e-5),
        "model_version": "1.0.0",
        "source": "model",
        "horizon": 1,
        "data_until": "2024-03-14",
        "store_open": True,
        "lower": None,
        "upper": None,
        "level": None,
    }


@pytest.mark.parametrize("days_ago", [0, 1, 4, 20, 55])
def test_a_day_of_the_history_is_forecast_one_step_ahead_from_true_sales(
    api: httpx.Client, world: World, days_ago: int
) -> None:
    day = LAST_DAY - days_ago * DAY

    answer = ask(api, date=day.isoformat())

    before = {d: q for d, q in world.sales["STORE_001", "PROD_A"].items() if d < day}
    past = World(
        {"STORE_001": [d for d in world.open_days["STORE_001"] if d < day]},
        {("STORE_001", "PROD_A"): before},
    )
    expected = expected_prediction(past, "STORE_001", "PROD_A", day, 29.99, True)
    assert answer["prediction"] == pytest.approx(expected, rel=1e-5)
    assert (answer["horizon"], answer["source"]) == (1, "model")


@pytest.mark.parametrize("pair", [("STORE_001", "PROD_A"), ("STORE_002", "PROD_D")])
@pytest.mark.parametrize("ahead", [2, 3, 4, 10, 30, 56])
def test_a_later_day_is_rolled_forward_on_own_forecasts(
    api: httpx.Client, world: World, ahead: int, pair: tuple[str, str]
) -> None:
    store, product = pair
    day = LAST_DAY + ahead * DAY
    expected = expected_prediction(world, store, product, day, 7.5, True)

    for _ in ("first rolled", "then remembered"):
        answer = ask(
            api, date=day.isoformat(), store_id=store, product_id=product, price=7.5, promotion=True
        )
        assert answer["prediction"] == pytest.approx(expected, rel=1e-4)
        assert (answer["horizon"], answer["source"]) == (ahead, "model")


def test_price_and_promotion_of_a_later_day_move_that_day_only(api: httpx.Client) -> None:
    later = (LAST_DAY + 30 * DAY).isoformat()
    plain = ask(api, date=later, promotion=False)["prediction"]

    ask(api, date=(LAST_DAY + 29 * DAY).isoformat(), promotion=True, price=500.0)

    assert ask(api, date=later, promotion=False)["prediction"] == plain
    assert ask(api, date=later, promotion=True)["prediction"] == pytest.approx(plain + 4.0)


def test_a_closed_day_is_answered_and_not_fed_back(api: httpx.Client, world: World) -> None:
    sunday = datetime.date(2024, 3, 17)
    monday = sunday + DAY
    assert sunday not in world.open_days["STORE_001"]
    assert sunday.weekday() == 6

    closed = ask(api, date=sunday.isoformat())
    opened = ask(api, date=monday.isoformat())

    assert (closed["store_open"], opened["store_open"]) == (False, True)
    expected = expected_prediction(world, "STORE_001", "PROD_A", monday, 29.99, True)
    assert opened["prediction"] == pytest.approx(expected, rel=1e-5)


def test_a_closed_day_of_the_history_is_answered_too(api: httpx.Client) -> None:
    answer = ask(api, date="2024-03-10")

    assert answer["store_open"] is False
    assert answer["source"] == "model"


def mean_of(world: World, *pairs: tuple[str, str], days: int = 28) -> float:
    sold = [q for p in pairs for d, q in world.sales[p].items() if d > LAST_DAY - days * DAY]
    return sum(sold) / len(sold)


def test_a_short_series_is_answered_with_its_own_mean(api: httpx.Client, world: World) -> None:
    answer = ask(api, product_id="PROD_C")

    assert answer["source"] == "series_mean"
    assert answer["prediction"] == pytest.approx(mean_of(world, ("STORE_001", "PROD_C")))


@pytest.mark.parametrize("ahead", [1, 2, 30])
@pytest.mark.parametrize(
    ("product", "source"), [("PROD_D", "product_at_store"), ("NEVER SEEN", "store_mean")]
)
def test_a_new_product_of_a_store_is_answered_at_the_level_and_the_weekdays_of_the_store(
    api: httpx.Client, world: World, ahead: int, product: str, source: str
) -> None:
    day = LAST_DAY + ahead * DAY
    answer = ask(api, product_id=product, date=day.isoformat())

    history = History(
        {
            pair: {(d - EPOCH).days: Sale(q, world.price, False) for d, q in sold.items()}
            for pair, sold in world.sales.items()
        }
    )
    expected = naive_unseen(history, "STORE_001", product, (day - EPOCH).days, "store")
    assert (answer["prediction"], answer["source"]) == (pytest.approx(expected[0]), source)
    assert expected[1] == source


def test_an_unknown_store_is_answered_with_the_mean_of_the_product(
    api: httpx.Client, world: World
) -> None:
    answer = ask(api, store_id="NEVER SEEN")

    pairs = [pair for pair in world.sales if pair[1] == "PROD_A"]
    assert answer["source"] == "product_mean"
    assert answer["prediction"] == pytest.approx(mean_of(world, *pairs))
    assert answer["store_open"] is None


def test_nothing_known_is_answered_with_the_mean_of_everything(
    api: httpx.Client, world: World
) -> None:
    answer = ask(api, store_id="0' or 1=1; --", product_id="Ünïcode ☂ 🛒")

    assert answer["source"] == "global_mean"
    assert answer["prediction"] == pytest.approx(mean_of(world, *world.sales))
    assert answer["data_until"] == "2024-03-14"


def test_a_store_that_the_model_does_not_know_is_forecast_with_the_code_of_the_unknown(
    home: Home, world: World
) -> None:
    known = {store: code for store, code in world.encoders.stores.items() if store != "STORE_001"}
    encoders = Encoders(known, world.encoders.products)
    grown = replace(world, encoders=encoders)
    set_up(home.store, grown)
    with running(home.settings) as api:
        answer = ask(api)

    expected = expected_prediction(world, "STORE_001", "PROD_A", LAST_DAY + DAY, 29.99, True)
    assert answer["source"] == "model"
    assert answer["prediction"] == pytest.approx(expected - 0.25, rel=1e-5)


def test_a_prediction_below_zero_is_answered_as_zero(home: Home, world: World) -> None:
    weights = {"lag_1": -5.0}
    set_up(home.store, world, linear_graph(weights, bias=-1.0))
    with running(home.settings) as api:
        assert ask(api)["prediction"] == 0.0


def test_a_prediction_that_is_not_finite_gives_way_to_the_mean(home: Home, world: World) -> None:
    set_up(home.store, world, linear_graph({"price": 1e35}))
    with running(home.settings) as api:
        near = ask(api, price=1e9)
        far = ask(api, price=1e9, date=(LAST_DAY + 5 * DAY).isoformat())

    assert near["source"] == far["source"] == "series_mean"
    assert near["prediction"] == pytest.approx(mean_of(world, ("STORE_001", "PROD_A")))


def test_in_the_observed_calendar_rows_are_counted_instead_of_days(
    home: Home, world: World
) -> None:
    graph = linear_graph({"lag_7": 1.0})
    sha256 = write_bundle(home.store, "1.0.0", graph, world.encoders, calendar="observed")
    point_at(home.store, "1.0.0", sha256)
    write_state(home.store, world.panel("observed"))
    with running(home.settings) as api:
        near = ask(api)
        later = ask(api, date=(LAST_DAY + 5 * DAY).isoformat())

    sold = list(world.sales["STORE_001", "PROD_A"].values())
    assert near["prediction"] == sold[-7]
    # Friday and Saturday are fed back, Sunday is closed, Monday is fed back: Tuesday is the fourth.
    assert later["prediction"] == sold[-4]


def test_what_was_rolled_is_forgotten_when_there_is_too_much_of_it(
    home: Home, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.forecaster.KEPT_PATHS", 2)
    set_up(home.store, world)
    later = (LAST_DAY + 9 * DAY).isoformat()
    pairs = [pair for pair in world.sales if pair != ("STORE_001", "PROD_C")]
    with running(home.settings) as api:
        for store, product in pairs * 2:
            answer = ask(api, date=later, store_id=store, product_id=product)
            expected = expected_prediction(world, store, product, LAST_DAY + 9 * DAY, 29.99, True)
            assert answer["prediction"] == pytest.approx(expected, rel=1e-4)

"""Every answer carries its interval: the comparison's own numbers, wider where little is known."""

import datetime
import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from scalecast_assets.contract.cold_start import SOURCES
from scalecast_assets.contract.columns import MAX_HORIZON_DAYS
from scalecast_assets.contract.demand_classes import DemandProfile
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.intervals import LEVELS, IntervalTable
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.store import DirectoryStore
from scalecast_assets.forecasting.calibration import CalibratedIntervals
from scalecast_assets.forecasting.candidates import candidate, onnx_predictor
from serving.forecaster import Forecaster, Question
from serving.intervals import Intervals
from serving.model import load_model
from serving.state import load_state
from tests.interval_tables import plain_table
from tests.serving.conftest import Home, eventually, running
from tests.serving.makers import (
    EPOCH,
    LAST_DAY,
    World,
    asking,
    linear_graph,
    point_at,
    set_up,
    write_bundle,
    write_state,
)
from tests.unit.snapshot_maker import training_set
from tests.unit.test_calibration import BUDGET, HORIZON, RECIPE, noisy_shop

DAY = datetime.timedelta(1)


def with_intervals(home: Home, world: World, version: str = "1.0.0", **spoilt: bytes) -> None:
    data = spoilt.get("intervals", plain_table().to_bytes())
    graph = linear_graph()
    point_at(
        home.store,
        version,
        write_bundle(home.store, version, graph, world.encoders, intervals=data),
    )
    write_state(home.store, world.panel())


def ask(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    reply = client.post("/predict", json=asking(**changes))
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def test_an_answer_has_its_interval_at_80_per_cent_or_at_the_level_asked_for(
    any_home: Home, world: World
) -> None:
    with_intervals(any_home, world)
    with running(any_home.settings) as client:
        plain = ask(client)
        levels = {level: ask(client, level=level) for level in LEVELS}
    assert plain == levels[80]
    assert {level: answer["level"] for level, answer in levels.items()} == {n: n for n in LEVELS}
    for inner, outer in pairwise(levels.values()):
        assert 0 <= outer["lower"] < inner["lower"] < plain["prediction"]
        assert plain["prediction"] < inner["upper"] < outer["upper"]
    panel = world.panel()
    series = panel.find("STORE_001", "PROD_A")
    assert series is not None
    point = np.array(plain["prediction"])
    demand_class, scale = DemandProfile.of(panel).answered(np.array(series), point, np.array(0))
    lower, upper = plain_table().bounds(point, 1, demand_class, scale)
    assert (plain["lower"], plain["upper"]) == (float(lower), float(upper))


def test_an_answer_further_ahead_or_of_a_young_or_unknown_series_is_wider(
    home: Home, world: World
) -> None:
    with_intervals(home, world)
    with running(home.settings) as client:
        near, far = (ask(client, date=(LAST_DAY + n * DAY).isoformat()) for n in (1, 56))
        known = ask(client, store_id="STORE_002", product_id="PROD_C")
        young = ask(client, product_id="PROD_C")
        unknown = ask(client, store_id="STORE_X", product_id="PROD_X")
    assert [one["source"] for one in (known, young, unknown)] == [
        "model", "series_mean", "global_mean",
    ]  # fmt: skip
    assert width(far) > 1.9 * width(near)
    for cold in (young, unknown):
        assert width(cold) / cold["prediction"] > 2 * width(known) / known["prediction"]
        assert 0 <= cold["lower"] <= cold["prediction"] < cold["upper"]


def width(answer: dict[str, Any]) -> float:
    return float(answer["upper"] - answer["lower"])


@pytest.mark.parametrize("level", [0, 79, 100, 80.5, "80", True, None])
def test_a_level_that_is_not_offered_is_refused(api: httpx.Client, level: Any) -> None:
    reply = api.post("/predict", json=asking(level=level))
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["field"] == "level"


def test_a_model_from_before_there_were_intervals_is_served_without_bounds_and_says_so(
    home: Home, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(home.store, world)
    with caplog.at_level(logging.WARNING), running(home.settings) as client:
        answer = ask(client, level=95)
        assert (answer["lower"], answer["upper"], answer["level"]) == (None, None, None)
        assert answer["prediction"] > 0
        assert "model 1.0.0 has no intervals.json: its answers carry no bounds" in caplog.text
        assert client.get("/model").json()["manifest"]["coverage"] is None
        with_intervals(home, world, "1.1.0")
        eventually(lambda: ask(client)["model_version"] == "1.1.0", "1.1.0 answers")
        assert ask(client)["upper"] > answer["prediction"]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"0.5", b"NaN"), (b"0.5", b"-0.5"), (b"0.5", b"1e9"), (b"4.5", b"0.1"), (b"{", b"")],
)
def test_a_bundle_with_garbage_for_intervals_is_refused_and_the_last_good_one_serves(
    home: Home, world: World, caplog: pytest.LogCaptureFixture, old: bytes, new: bytes
) -> None:
    with_intervals(home, world)
    good = plain_table().to_bytes()
    assert old in good
    with caplog.at_level(logging.WARNING), running(home.settings) as client:
        before = ask(client)
        with_intervals(home, world, "1.1.0", intervals=good.replace(old, new, 1))
        eventually(lambda: "is refused: BundleError: intervals.json" in caplog.text, "refused")
        assert ask(client) == before


@pytest.mark.parametrize("calendar", ["store", "observed"])
def test_one_answer_and_many_have_the_same_bounds_to_the_last_bit(
    world: World, calendar: Any
) -> None:
    panel: Panel = world.panel(calendar)
    asked = Intervals(plain_table(), panel)
    random = np.random.default_rng(3)
    n = 300
    series = random.integers(0, panel.n_series, n)
    point = random.gamma(1.0, 30.0, n)
    horizon = random.integers(1, MAX_HORIZON_DAYS + 1, n)
    source = random.integers(0, len(SOURCES), n)
    for level in LEVELS:
        many = asked.around(series, point, horizon, source, level)
        assert many is not None
        for at in range(n):
            one = asked.around_one(
                int(series[at]), float(point[at]), int(horizon[at]), SOURCES[source[at]], level
            )
            assert one == (many[0][at], many[1][at], level)
    assert asked.around_one(None, 3.0, 1, "global_mean", 80).upper is not None
    assert Intervals(None, panel).around(series, point, horizon, source) is None


def test_the_served_interval_is_the_comparisons_for_the_same_series_and_day(
    tmp_path: Path,
) -> None:
    rows = training_set(noisy_shop(), tmp_path)
    origin = rows.origin(HORIZON)
    fitted = candidate(RECIPE).fit(
        rows.rows().up_to(origin), budget=BUDGET, seed=1, log=lambda _: None
    )
    compared = CalibratedIntervals.of(
        rows,
        origin,
        RECIPE,
        fitted.params,
        onnx_predictor(fitted.onnx),
        budget=BUDGET,
        seed=1,
        log=lambda _: None,
    )
    assert compared.table is not None
    assert compared.holdout is not None
    home = DirectoryStore(tmp_path / "store")
    forecaster = serving(home, fitted.onnx, rows.encoders, compared.table, rows.panel(origin))
    answers = compared.holdout
    tomorrow = answers.take((answers.day == origin + 1) & (answers.horizon == 1))
    assert len(tomorrow) >= 4
    for level in LEVELS:
        lower, upper = compared.table.bounds(
            tomorrow.forecast, tomorrow.horizon, tomorrow.demand_class, tomorrow.scale, level
        )
        for at, series in enumerate(tomorrow.series.tolist()):
            row = np.flatnonzero((rows.series == series) & (rows.day == origin + 1))[0]
            answer = forecaster.answer(
                Question(
                    EPOCH + datetime.timedelta(origin + 1),
                    rows.store_ids[rows.series_store[series]],
                    rows.product_ids[rows.series_product[series]],
                    float(rows.features[row, 12]),
                    bool(rows.features[row, 13]),
                    level,
                )
            )
            assert answer.prediction == pytest.approx(tomorrow.forecast[at], rel=1e-5)
            assert answer.interval.lower == pytest.approx(lower[at], rel=1e-5, abs=1e-5)
            assert answer.interval.upper == pytest.approx(upper[at], rel=1e-5)


def serving(
    home: DirectoryStore, onnx: bytes, encoders: Encoders, table: IntervalTable, panel: Panel
) -> Forecaster:
    sha256 = write_bundle(home, "1.0.0", onnx, encoders, intervals=table.to_bytes())
    point_at(home, "1.0.0", sha256)
    write_state(home, panel)
    model = load_model(home, home.get("serving/model.json").body)
    return Forecaster(model, load_state(home, home.get("serving/state.json").body))


def test_the_documentation_shows_level_and_bounds(api: httpx.Client) -> None:
    described = api.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    reply = schemas["PredictReply"]
    assert {"lower", "upper", "level"} <= set(reply["properties"])
    body = json.dumps(described["paths"]["/predict"]["post"]["requestBody"])
    assert "[50, 80, 90, 95]" in body + json.dumps(schemas)
    assert '"level": 95' in body

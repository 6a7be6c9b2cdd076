"""The remembered path of a series answers exactly what rolling forward anew would."""

import datetime
from pathlib import Path

import numpy as np
import pytest

from scalecast_assets.contract.columns import Calendar
from scalecast_assets.contract.rolling import roll_forward
from scalecast_assets.contract.store import DirectoryStore
from serving.forecaster import Forecaster, Question
from serving.model import load_model
from serving.state import load_state
from tests.serving.makers import (
    EPOCH,
    linear_graph,
    make_world,
    point_at,
    write_bundle,
    write_state,
)

N_HORIZON = 56
PRICE = 3.25


@pytest.mark.parametrize("calendar", ["store", "observed"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_horizon_of_every_series_equals_rolling_anew(
    tmp_path: Path, calendar: Calendar, seed: int
) -> None:
    world = make_world(seed)
    for day in list(world.open_days["STORE_002"])[-9:]:  # this store ends earlier than the other
        for (store, _), sold in world.sales.items():
            if store == "STORE_002":
                sold.pop(day, None)
    home = DirectoryStore(tmp_path)
    sha256 = write_bundle(home, "1.0.0", linear_graph(), world.encoders, calendar=calendar)
    point_at(home, "1.0.0", sha256)
    write_state(home, world.panel(calendar))
    model = load_model(home, home.get("serving/model.json").body)
    state = load_state(home, home.get("serving/state.json").body)
    forecaster = Forecaster(model, state)
    panel = state.panel
    codes = world.encoders.codes(panel)

    for series in range(panel.n_series):
        store = panel.stores[panel.series_store[series]]
        product = panel.products[panel.series_product[series]]
        until = int(panel.until[panel.series_store[series]])
        for horizon in range(1, N_HORIZON + 1):
            price = np.full((1, horizon), np.nan)
            promotion = np.zeros((1, horizon))
            price[0, -1], promotion[0, -1] = PRICE, 1.0
            anew = roll_forward(
                panel,
                until,
                horizon,
                model.predictor,
                codes,
                series=np.array([series]),
                price=price,
                promotion=promotion,
            )
            day = EPOCH + datetime.timedelta(until + horizon)
            answer = forecaster.answer(Question(day, store, product, PRICE, True))

            assert answer.prediction == pytest.approx(anew.predictions[0, -1], rel=1e-6)
            assert answer.source == anew.source_of(0, horizon - 1)
            assert answer.store_open == anew.is_open[0, -1]
            assert answer.horizon == horizon

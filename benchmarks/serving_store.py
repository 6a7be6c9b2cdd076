"""A store for the benchmarks of serving: the state of many seeded series, XGBoost fitted on it."""

import json
from typing import Any, Final

import numpy as np

from benchmarks.bundles import bundle, codes_of, sales, state
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.features import features
from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.store import ObjectStore
from scalecast_assets.forecasting.budget import Budget
from scalecast_assets.forecasting.candidates.base import FittedModel
from scalecast_assets.forecasting.candidates.boosting import Boosting
from scalecast_assets.forecasting.training_rows import TrainingRows

STORES: Final = 300
VERSION: Final = "1.0.0"
FIT_ROWS: Final = 100_000
PARAMS: Final = {"max_depth": 8, "learning_rate": 0.05, "variance_power": 1.5, "rounds": 180}
"""What a run on ``m5_top100.csv`` chose."""


def make_store(store: ObjectStore, n_series: int) -> FittedModel:
    """Write the state of ``n_series``, fit XGBoost on days out of it, and promote that."""
    panel = sales(STORES, n_series // STORES)
    encoders = codes_of(panel)
    fitted = Boosting().refit(
        training_rows(panel, encoders), PARAMS, budget=Budget(FIT_ROWS, FIT_ROWS), seed=1, log=print
    )
    files, model = bundle(VERSION, fitted.name, fitted.onnx, encoders)
    more_files, history = state(panel)
    for key, data in {**files, **more_files}.items():
        store.put(key, data)
    store.put(MODEL_POINTER, model.to_bytes())
    store.put(STATE_POINTER, history.to_bytes())
    return fitted


def question(store: ObjectStore) -> dict[str, Any]:
    """Return a request of ``/predict`` about the day after the data."""
    day = json.loads(store.get(STATE_POINTER).body)["data_until"]
    return {
        "date": str(np.datetime64(day) + 1),
        "store_id": "S1",
        "product_id": "P1",
        "price": 9.5,
        "promotion": True,
    }


def training_rows(panel: Panel, encoders: Encoders) -> TrainingRows:
    """Return random days of random series, whose demand follows weekday, price and promotion."""
    random = np.random.default_rng(2)
    series = random.integers(0, panel.n_series, FIT_ROWS)
    day = panel.until[0] + 1 - random.integers(1, 50, FIT_ROWS)
    codes = encoders.codes(panel)
    matrix, _ = features(
        panel,
        series,
        day,
        random.uniform(1, 20, FIT_ROWS),
        random.random(FIT_ROWS) < 0.2,
        codes.store[series],
        codes.product[series],
    )
    columns = dict(zip(FEATURES, matrix.T, strict=True))
    mean = columns["rolling_mean_14"] * (1 + 0.5 * columns["is_weekend"] + columns["promotion"])
    demand = random.poisson(mean * 10 / (5 + columns["price"])).astype(np.float64)
    order = np.argsort(day, kind="stable")
    return TrainingRows(
        matrix[order].astype(np.float32),
        demand[order],
        day[order].astype(np.int32),
        series[order].astype(np.int32),
    )

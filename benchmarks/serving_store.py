"""A store for the benchmarks of serving: the state of many seeded series, XGBoost fitted on it."""

import hashlib
import json
from typing import Any, Final

import numpy as np

from scalecast_assets.contract.bundle import FileEntry, Manifest
from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.demand_classes import ALL_CLASSES
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.features import features
from scalecast_assets.contract.intervals import HORIZON_ENDS, LEVELS, IntervalTable
from scalecast_assets.contract.layout import (
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODEL,
    MODEL_POINTER,
    STATE_POINTER,
    model_key,
    state_key,
)
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.state import STATE_SCHEMA, panel_to_bytes
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
    panel = _panel(n_series)
    n_products = n_series // STORES
    encoders = Encoders(
        {f"S{n}": n for n in range(1, STORES + 1)}, {f"P{n}": n for n in range(1, n_products + 1)}
    )
    fitted = Boosting().refit(
        _rows(panel, encoders), PARAMS, budget=Budget(FIT_ROWS, FIT_ROWS), seed=1, log=print
    )
    _promote(store, fitted.name, fitted.onnx, encoders)
    _write_state(store, panel)
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


def _rows(panel: Panel, encoders: Encoders) -> TrainingRows:
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


def _promote(store: ObjectStore, candidate: str, onnx: bytes, encoders: Encoders) -> None:
    files = {MODEL: onnx, ENCODERS: encoders.to_bytes(), INTERVALS: _intervals().to_bytes()}
    manifest = Manifest(
        version=VERSION,
        candidate=candidate,
        features=FEATURES,
        contract_hash=feature_contract_hash("store"),
        calendar="store",
        training_set="0" * 64,
        raw_files=(),
        scored_fit_cutoff="2024-01-01",
        fit_cutoff="2024-01-01",
        horizon_days=14,
        params={},
        leaderboard=(),
        libraries={},
        git_commit=None,
        run_id=None,
        created_at="2024-01-01T00:00:00+00:00",
        files={
            name: FileEntry(hashlib.sha256(data).hexdigest(), len(data))
            for name, data in files.items()
        },
    ).to_bytes()
    for name, data in {**files, MANIFEST: manifest}.items():
        store.put(model_key(VERSION, name), data)
    sha256 = hashlib.sha256(manifest).hexdigest()
    pointer = ServingPointer(VERSION, sha256, None)
    store.put(MODEL_POINTER, pointer.to_bytes())


def _intervals() -> IntervalTable:
    """Return multiples that grow with the level alone; only that there are some counts here."""
    shape = (len(ALL_CLASSES), HORIZON_ENDS.index(14) + 1, len(LEVELS))
    multiples = np.broadcast_to([0.7, 1.3, 1.7, 2.0], shape)
    residuals = np.full(shape[:2], 1_000)
    return IntervalTable(multiples, multiples, residuals, 14, "2024-01-01", "2024-01-15")


def _panel(n_series: int) -> Panel:
    random = np.random.default_rng(1)
    n_products, first = n_series // STORES, 19_700
    level = np.repeat(random.gamma(2.0, 4.0, n_series), KEPT_DAYS)
    return build_panel(
        PanelRows(
            series=np.repeat(np.arange(n_series), KEPT_DAYS),
            day=np.tile(np.arange(first, first + KEPT_DAYS, dtype=np.int32), n_series),
            quantity=random.poisson(level).astype(np.float64),
            price=np.repeat(random.uniform(1, 20, n_series), KEPT_DAYS),
            promotion=random.random(n_series * KEPT_DAYS) < 0.1,
        ),
        stores=[f"S{n}" for n in range(1, STORES + 1)],
        products=[f"P{n}" for n in range(1, n_products + 1)],
        series_store=np.repeat(np.arange(STORES), n_products),
        series_product=np.tile(np.arange(n_products), STORES),
        calendar="store",
    )


def _write_state(store: ObjectStore, panel: Panel) -> None:
    data = panel_to_bytes(panel)
    pointer = StatePointer(
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        data_until=str(np.datetime64(panel.end_day, "D")),
        contract_hash=feature_contract_hash("store"),
        schema=STATE_SCHEMA,
    )
    store.put(state_key(pointer.sha256), data)
    store.put(STATE_POINTER, pointer.to_bytes())

"""Histories, bundles and states for benchmarks: complete, as promotion writes them, and made up."""

import hashlib
from typing import Final

import numpy as np

from scalecast_assets.contract.bundle import FileEntry, Manifest
from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.demand_classes import ALL_CLASSES
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.intervals import HORIZON_ENDS, LEVELS, IntervalTable
from scalecast_assets.contract.layout import (
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODEL,
    model_key,
    state_key,
)
from scalecast_assets.contract.panel import KEPT_DAYS, Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.state import STATE_SCHEMA, panel_to_bytes

Files = dict[str, bytes]
"""Contents by key."""

CALENDAR: Final = "store"
FIRST_DAY: Final = 19_700
"""2023-12-09."""

MULTIPLES: Final = (0.5, 1.0, 1.5, 2.0)
"""Of the scale, by level: intervals of some width, the same for all."""


def sales(n_stores: int, n_products: int, n_days: int = KEPT_DAYS) -> Panel:
    """Return seeded sales of every product in every store, S1 … and P1 …, on each of the days."""
    random = np.random.default_rng(1)
    n_series = n_stores * n_products
    level = np.repeat(random.gamma(2.0, 4.0, n_series), n_days)
    return build_panel(
        PanelRows(
            series=np.repeat(np.arange(n_series), n_days),
            day=np.tile(np.arange(FIRST_DAY, FIRST_DAY + n_days, dtype=np.int32), n_series),
            quantity=random.poisson(level).astype(np.float64),
            price=np.repeat(random.uniform(1, 20, n_series), n_days),
            promotion=random.random(n_series * n_days) < 0.1,
        ),
        stores=[f"S{n}" for n in range(1, n_stores + 1)],
        products=[f"P{n}" for n in range(1, n_products + 1)],
        series_store=np.repeat(np.arange(n_stores), n_products),
        series_product=np.tile(np.arange(n_products), n_stores),
        calendar=CALENDAR,
    )


def codes_of(panel: Panel) -> Encoders:
    """Return codes for all its ids, counted from 1."""
    stores, products = (
        {one: code for code, one in enumerate(ids, 1)} for ids in (panel.stores, panel.products)
    )
    return Encoders(stores, products)


def bundle(
    version: str, candidate: str, onnx: bytes, encoders: Encoders
) -> tuple[Files, ServingPointer]:
    """Return the files of a version, and the pointer that has it served."""
    files = {MODEL: onnx, ENCODERS: encoders.to_bytes(), INTERVALS: _intervals()}
    manifest = Manifest(
        version=version,
        candidate=candidate,
        features=FEATURES,
        contract_hash=feature_contract_hash(CALENDAR),
        calendar=CALENDAR,
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
    contents = {model_key(version, name): data for name, data in files.items()}
    contents[model_key(version, MANIFEST)] = manifest
    return contents, ServingPointer(version, hashlib.sha256(manifest).hexdigest(), None)


def state(panel: Panel) -> tuple[Files, StatePointer]:
    """Return the file of a state, and the pointer that has it served."""
    data = panel_to_bytes(panel)
    pointer = StatePointer(
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        data_until=str(np.datetime64(panel.end_day, "D")),
        contract_hash=feature_contract_hash(CALENDAR),
        schema=STATE_SCHEMA,
    )
    return {state_key(pointer.sha256): data}, pointer


def _intervals() -> bytes:
    shape = (len(ALL_CLASSES), len(HORIZON_ENDS), len(LEVELS))
    tail = np.broadcast_to(MULTIPLES, shape)
    counts = np.full(shape[:2], 100)
    return IntervalTable(tail, tail, counts, 56, "2024-01-01", "2024-02-29").to_bytes()

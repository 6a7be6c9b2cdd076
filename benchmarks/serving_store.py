"""A store for ``benchmarks.serving``: a fitted candidate, and the state of many seeded series."""

import hashlib
from typing import Final

import numpy as np

from scalecast_assets.contract.bundle import FileEntry, Manifest
from scalecast_assets.contract.columns import FEATURES, feature_contract_hash
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.layout import (
    ENCODERS,
    MANIFEST,
    MODEL,
    MODEL_POINTER,
    NATIVE_MODEL,
    STATE_POINTER,
    model_key,
    state_key,
)
from scalecast_assets.contract.panel import KEPT_DAYS
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.state import STATE_SCHEMA, panel_to_bytes
from scalecast_assets.contract.store import ObjectStore

STORES: Final = 300
VERSION: Final = "1.0.0"


def make_store(
    store: ObjectStore, source: ObjectStore, candidate: str, n_series: int
) -> tuple[int, bytes | None]:
    """Promote the candidate into ``store`` beside a state; returns its graph's size and pickle."""
    found = [one for one in source.list("candidates/") if f"/{candidate}/" in one.key]
    newest = max(
        (one for one in found if one.key.endswith(MODEL)),
        key=lambda one: one.last_modified,
        default=None,
    )
    if newest is None:
        raise SystemExit(f"no {candidate} in the store: run `scalecast run` there first")
    onnx = source.get(newest.key).body
    native = next((o for o in found if o.key == newest.key.replace(MODEL, NATIVE_MODEL)), None)
    _promote(store, candidate, onnx, n_series // STORES)
    _write_state(store, n_series)
    return len(onnx), source.get(native.key).body if native else None


def _promote(store: ObjectStore, candidate: str, onnx: bytes, n_products: int) -> None:
    encoders = Encoders(
        {f"S{n}": n for n in range(1, STORES + 1)}, {f"P{n}": n for n in range(1, n_products + 1)}
    )
    files = {MODEL: onnx, ENCODERS: encoders.to_bytes()}
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
    pointer = ServingPointer(VERSION, sha256, None, {VERSION: 1.0})
    store.put(MODEL_POINTER, pointer.to_bytes())


def _write_state(store: ObjectStore, n_series: int) -> None:
    random = np.random.default_rng(1)
    n_products, first = n_series // STORES, 19_700
    panel = build_panel(
        PanelRows(
            series=np.repeat(np.arange(n_series), KEPT_DAYS),
            day=np.tile(np.arange(first, first + KEPT_DAYS, dtype=np.int32), n_series),
            quantity=random.poisson(5, n_series * KEPT_DAYS).astype(np.float64),
            price=np.repeat(random.uniform(1, 20, n_series), KEPT_DAYS),
            promotion=random.random(n_series * KEPT_DAYS) < 0.1,
        ),
        stores=[f"S{n}" for n in range(1, STORES + 1)],
        products=[f"P{n}" for n in range(1, n_products + 1)],
        series_store=np.repeat(np.arange(STORES), n_products),
        series_product=np.tile(np.arange(n_products), STORES),
        calendar="store",
    )
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

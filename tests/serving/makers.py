"""Small worlds for the sidecar: seeded sales, ONNX graphs, and bundles and states in a store.

Everything is written as the pipeline would write it, and then, where a test wants it, spoilt.
"""

import datetime
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scalecast_assets.contract.bundle import FileEntry, Manifest, RawFile
from scalecast_assets.contract.challenger import Challenger
from scalecast_assets.contract.columns import FEATURES, Calendar, feature_contract_hash
from scalecast_assets.contract.encoders import Encoders
from scalecast_assets.contract.layout import (
    ENCODERS,
    INTERVALS,
    MANIFEST,
    MODEL,
    MODEL_POINTER,
    NATIVE_MODEL,
    REPORT,
    STATE_POINTER,
    model_key,
    state_key,
)
from scalecast_assets.contract.panel import Panel
from scalecast_assets.contract.panel_rows import PanelRows, build_panel
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.contract.state import STATE_SCHEMA, panel_to_bytes
from scalecast_assets.contract.store import ObjectStore

LAST_DAY: Final = datetime.date(2024, 3, 14)
N_DAYS: Final = 90
EPOCH: Final = datetime.date(1970, 1, 1)

OLD_REQUEST: Final[dict[str, Any]] = {
    "date": "2024-03-15",
    "store_id": "STORE_001",
    "product_id": "PROD_A",
    "price": 29.99,
    "promotion": True,
}
"""The request of the old README, verbatim."""

WEIGHTS: Final[dict[str, float]] = {
    "lag_1": 0.3,
    "rolling_mean_7": 0.4,
    "rolling_mean_14": 0.2,
    "rolling_std_7": 0.05,
    "day_of_week": 0.5,
    "price": -0.01,
    "promotion": 4.0,
    "store_id_encoded": 0.25,
    "product_id_encoded": 0.125,
}
"""A model that uses enough features for a wrong one to be noticed."""


@dataclass
class World:
    """What the stores sold: ``sales[store, product][day]``, on the store's open days only."""

    open_days: dict[str, list[datetime.date]]
    sales: dict[tuple[str, str], dict[datetime.date, float]]
    price: float = 20.0
    encoders: Encoders = field(
        default_factory=lambda: Encoders(
            {"STORE_001": 1, "STORE_002": 2}, {"PROD_A": 1, "PROD_B": 2, "PROD_C": 3, "PROD_D": 4}
        )
    )

    def panel(self, calendar: Calendar = "store") -> Panel:
        """Build the panel that the pipeline would build from these sales."""
        stores = sorted({store for store, _ in self.sales})
        products = sorted({product for _, product in self.sales})
        series = sorted(self.sales)
        cells = [(s, d, q) for s, pair in enumerate(series) for d, q in self.sales[pair].items()]
        return build_panel(
            PanelRows(
                series=np.array([s for s, _, _ in cells]),
                day=np.array([(d - EPOCH).days for _, d, _ in cells], dtype=np.int32),
                quantity=np.array([q for _, _, q in cells]),
                price=np.full(len(cells), self.price),
                promotion=np.zeros(len(cells), dtype=np.bool_),
            ),
            stores=stores,
            products=products,
            series_store=np.array([stores.index(store) for store, _ in series]),
            series_product=np.array([products.index(product) for _, product in series]),
            calendar=calendar,
        )


def make_world(seed: int = 7) -> World:
    """Two stores; the first closes on Sundays and sells PROD_C since five days only."""
    random = np.random.default_rng(seed)
    days = [LAST_DAY - datetime.timedelta(n) for n in reversed(range(N_DAYS))]
    open_days = {
        "STORE_001": [day for day in days if day.weekday() != 6],
        "STORE_002": days,
    }
    begins = {
        ("STORE_001", "PROD_A"): 0,
        ("STORE_001", "PROD_B"): 40,
        ("STORE_001", "PROD_C"): N_DAYS - 5,
        ("STORE_002", "PROD_A"): 0,
        ("STORE_002", "PROD_C"): 10,
        ("STORE_002", "PROD_D"): 0,
    }
    sales = {
        pair: {
            day: float(random.poisson(20 + 5 * number))
            for day in open_days[pair[0]]
            if day >= days[begin]
        }
        for number, (pair, begin) in enumerate(begins.items())
    }
    return World(open_days, sales)


def linear_graph(
    weights: Mapping[str, float] = WEIGHTS,
    bias: float = 0.0,
    *,
    input_name: str = "features",
    output_name: str = "demand",
    width: int = len(FEATURES),
    element: int = TensorProto.FLOAT,
    n_outputs: int = 1,
    flat: bool = True,
) -> bytes:
    """Make the ONNX graph of ``max(features · weights + bias, 0)``, or one spoilt by a keyword."""
    kind = helper.tensor_dtype_to_np_dtype(element)
    column = np.array([weights.get(name, 0.0) for name in FEATURES][:width], dtype=kind)
    nodes = [
        helper.make_node("MatMul", [input_name, "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["clipped"]),
        helper.make_node("Reshape", ["clipped", "shape"], [output_name]),
    ]
    outputs = [helper.make_tensor_value_info(output_name, element, ["N"] if flat else ["N", 1])]
    if n_outputs == 2:
        nodes.append(helper.make_node("Identity", ["clipped"], ["second"]))
        outputs.append(helper.make_tensor_value_info("second", element, ["N", 1]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(input_name, element, ["N", width])],
        outputs,
        [
            numpy_helper.from_array(column[:, None], "weights"),
            numpy_helper.from_array(np.array([bias], dtype=kind), "bias"),
            numpy_helper.from_array(np.array([-1] if flat else [-1, 1]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def graph_reading_a_file(location: str) -> bytes:
    """Make a graph whose weights are said to lie in a file beside it."""
    model = onnx.load_from_string(linear_graph())
    (weights,) = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    return bytes(model.SerializeToString())


def write_bundle(
    store: ObjectStore,
    version: str,
    onnx_graph: bytes,
    encoders: Encoders,
    *,
    calendar: Calendar = "store",
    spoil: Callable[[Manifest], Manifest] = lambda manifest: manifest,
    intervals: bytes | None = None,
) -> str:
    """Write ``models/<version>/`` and return the manifest's sha256; ``intervals`` as its file."""
    files = {
        MODEL: onnx_graph,
        ENCODERS: encoders.to_bytes(),
        NATIVE_MODEL: b"cos\nsystem\n(S'touch /tmp/never'\ntR.",
        REPORT: b"<!doctype html><title>Report</title>",
    }
    if intervals is not None:
        files[INTERVALS] = intervals
    for name, data in files.items():
        store.put(model_key(version, name), data)
    manifest = Manifest(
        version=version,
        candidate="xgboost",
        features=FEATURES,
        contract_hash=feature_contract_hash(calendar),
        calendar=calendar,
        training_set="a" * 64,
        raw_files=(RawFile("raw/sales.csv", "b" * 64, 1000),),
        scored_fit_cutoff="2024-02-29",
        fit_cutoff=LAST_DAY.isoformat(),
        horizon_days=14,
        params={"max_depth": 6},
        leaderboard=({"name": "xgboost", "mae": 2.5}, {"name": "naive_baseline", "mae": 3.5}),
        libraries={"xgboost": "3.2.0"},
        git_commit=None,
        run_id=None,
        created_at="2024-03-15T03:00:00+00:00",
        files={
            name: FileEntry(hashlib.sha256(data).hexdigest(), len(data))
            for name, data in files.items()
        },
    )
    data = spoil(manifest).to_bytes()
    store.put(model_key(version, MANIFEST), data)
    return hashlib.sha256(data).hexdigest()


def point_at(
    store: ObjectStore,
    version: str,
    manifest_sha256: str,
    previous: str | None = None,
    challenger: Challenger | None = None,
) -> None:
    """Let ``serving/model.json`` name a bundle, and one beside it."""
    pointer = ServingPointer(version, manifest_sha256, previous, challenger)
    store.put(MODEL_POINTER, pointer.to_bytes())


def promote(store: ObjectStore, version: str, onnx_graph: bytes, encoders: Encoders) -> None:
    """Write a bundle and point at it."""
    point_at(store, version, write_bundle(store, version, onnx_graph, encoders))


def write_state(
    store: ObjectStore, panel: Panel, spoil: Callable[[bytes], bytes] = lambda data: data
) -> StatePointer:
    """Write ``state/<sha256>/`` and point at it; ``spoil`` changes the bytes, not their name."""
    data = panel_to_bytes(panel)
    until = EPOCH + datetime.timedelta(panel.end_day)
    pointer = StatePointer(
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        data_until=until.isoformat(),
        contract_hash=feature_contract_hash(panel.calendar),
        schema=STATE_SCHEMA,
    )
    store.put(state_key(pointer.sha256), spoil(data))
    store.put(STATE_POINTER, pointer.to_bytes())
    return pointer


def set_up(store: ObjectStore, world: World, onnx_graph: bytes | None = None) -> None:
    """Write a first model and state for ``world``."""
    promote(store, "1.0.0", onnx_graph or linear_graph(), world.encoders)
    write_state(store, world.panel())


def asking(**changes: Any) -> dict[str, Any]:
    """Return the old request with ``changes``."""
    return {**OLD_REQUEST, **changes}


def renamed(manifest: Manifest, **changes: Any) -> Manifest:
    """Return the manifest with other fields."""
    return replace(manifest, **changes)

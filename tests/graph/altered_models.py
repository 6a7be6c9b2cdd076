"""What tests put in the place of a sound model: another refit, bundle, or graph of one value."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from scalecast_assets import keys
from scalecast_assets.contract.bundle import read_bundle
from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.forecasting import comparison
from scalecast_assets.forecasting.candidates.base import FittedModel
from scalecast_assets.promotion import switching
from scalecast_assets.promotion.publishing import publish_bundle
from tests.graph.world import World

PROMOTING = (keys.MODEL_COMPARISON, keys.PROMOTED_MODEL)


def answering(value: float) -> bytes:
    """A graph that answers ``value``, without the clip at zero that ours have."""
    nodes = [
        helper.make_node("Gather", ["features", "zero"], ["column"], axis=1),
        helper.make_node("Mul", ["column", "nothing"], ["nothings"]),
        helper.make_node("Add", ["nothings", "value"], ["demand"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(0, np.int64), "zero"),
        numpy_helper.from_array(np.array(0, np.float32), "nothing"),
        numpy_helper.from_array(np.array(value, np.float32), "value"),
    ]
    rows = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(FEATURES)])
    demand = helper.make_tensor_value_info("demand", TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(nodes, "bad", [rows], [demand], constants)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(model.SerializeToString())


def refit_gives(patch: pytest.MonkeyPatch, alter: Callable[[FittedModel], FittedModel]) -> None:
    refit = comparison.refit_winner
    patch.setattr(comparison, "refit_winner", lambda *given, **more: alter(refit(*given, **more)))


def serve_again(world: World, **changes: Any) -> str:
    """Serve the served bundle once more, under a manifest that says otherwise; its version."""
    held = world.held
    assert held is not None
    bundle = read_bundle(world.store, held.pointer.version)
    fields = vars(bundle.manifest).items()
    told = {n: v for n, v in fields if n not in ("version", "files", "created_at")}
    told["raw_files"] = [vars(file) for file in bundle.manifest.raw_files]
    files = {"model.onnx": bundle.onnx, "encoders.json": bundle.encoders.to_bytes()}
    version = publish_bundle(world.store, files, told | changes).version
    switching.promote(world.store, version, held)
    return version


def predicts(value: float) -> Callable[[FittedModel], FittedModel]:
    """Graph and native model agree on ``value``."""
    return lambda fitted: dataclasses.replace(
        fitted,
        onnx=answering(value),
        predict_native=lambda rows: np.full(len(rows), value),
    )

"""ONNX graphs of the one interface: "features" float32 [N, 16] in, "demand" float32 [N] out.

Graphs are written node by node, so that scaling, target transforms and the clip at zero sit inside
them and no converter stands between a fitted model and its graph. Arithmetic is in float64 inside,
because sums over features as large as 80,000 lose units in float32. Fitting is elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from scalecast_assets.contract.columns import FEATURES
from scalecast_assets.forecasting.training_rows import Float64

_OPSET = 17
_ML_OPSET = 3
_IR_VERSION = 8  # the IR of opset 17, so that older onnxruntime releases read the graph too


class _Graph:
    """Nodes and constants collected in order, ending in the clip at zero."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(
            helper.make_node(operator, list(inputs), [output], domain=domain, **attributes)
        )
        return output

    def finish(self, demand: str, name: str) -> bytes:
        """Clip ``demand`` (float64, [N] or [N, 1]) at zero, flatten, name the output, check."""
        clipped = self.add("Max", demand, self.constant(0.0, np.float64))
        flat = self.add("Reshape", clipped, self.constant([-1], np.int64))
        self._nodes.append(helper.make_node("Cast", [flat], ["demand"], to=TensorProto.FLOAT))
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", len(FEATURES)])],
            [helper.make_tensor_value_info("demand", TensorProto.FLOAT, ["N"])],
            self._constants,
        )
        model: ModelProto = helper.make_model(
            graph,
            producer_name="scalecast",
            ir_version=_IR_VERSION,
            opset_imports=[
                helper.make_opsetid("", _OPSET),
                helper.make_opsetid("ai.onnx.ml", _ML_OPSET),
            ],
        )
        checker.check_model(model)
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized


def column_graph(feature: str) -> bytes:
    """Demand is one feature, as ``lag_1`` for the naive baseline."""
    graph = _Graph()
    index = graph.constant([FEATURES.index(feature)], np.int64)
    column = graph.add("Gather", "features", index, axis=1)
    return graph.finish(graph.add("Cast", column, to=TensorProto.DOUBLE), feature)


def constant_graph(value: float) -> bytes:
    """Demand is ``value``, whatever the features."""
    graph = _Graph()
    column = graph.add("Gather", "features", graph.constant([0], np.int64), axis=1)
    # Where and not 0 * x + value: that would turn an infinite feature into NaN
    nothing = graph.add("Equal", column, column)
    number = graph.constant([[value]], np.float64)
    return graph.finish(graph.add("Where", nothing, number, number), "constant")


@dataclass(frozen=True, eq=False)
class Layer:
    """One dense layer: ``weights`` (n_in, n_out) float64, ``bias`` (n_out,) float64."""

    weights: Float64
    bias: Float64


def dense_graph(
    name: str,
    layers: Sequence[Layer],
    *,
    input_mean: Float64,
    input_scale: Float64,
    logarithmic: Sequence[bool] = (False,) * len(FEATURES),
    output_mean: float = 0.0,
    output_scale: float = 1.0,
) -> bytes:
    """Standardise, then dense layers with ReLU between them, then undo the target's scaling.

    ``input_mean`` and ``input_scale`` are ``(16,) float64``; a ``logarithmic`` feature x becomes
    log(1 + max(x, 0)) before that. One layer is a linear model.
    """
    graph = _Graph()
    signal = graph.add("Cast", "features", to=TensorProto.DOUBLE)
    if any(logarithmic):
        positive = graph.add("Max", signal, graph.constant(0.0, np.float64))
        logged = graph.add("Log", graph.add("Add", positive, graph.constant(1.0, np.float64)))
        signal = graph.add("Where", graph.constant(logarithmic, np.bool_), logged, signal)
    signal = graph.add("Sub", signal, graph.constant(input_mean, np.float64))
    signal = graph.add("Div", signal, graph.constant(input_scale, np.float64))
    for position, layer in enumerate(layers):
        if position:
            signal = graph.add("Relu", signal)
        weights = graph.constant(layer.weights, np.float64)
        signal = graph.add("Gemm", signal, weights, graph.constant(layer.bias, np.float64))
    signal = graph.add("Mul", signal, graph.constant(output_scale, np.float64))
    signal = graph.add("Add", signal, graph.constant(output_mean, np.float64))
    return graph.finish(signal, name)


@dataclass(frozen=True, eq=False)
class Tree:
    """A regression tree as parallel arrays over its nodes; node 0 is the root.

    ``left`` and ``right`` are children (-1 at a leaf), ``feature`` the column compared with
    ``threshold`` (float32), ``value`` what a leaf adds to the sum.
    """

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float32]
    value: Float64


def tree_graph(
    name: str,
    trees: Sequence[Tree],
    *,
    goes_left: str,
    base: float = 0.0,
    exponential: bool = False,
) -> bytes:
    """Sum the leaf each tree ends in, add ``base``, and take the exponential where asked.

    ``goes_left`` is "BRANCH_LEQ" (scikit-learn: x <= threshold) or "BRANCH_LT" (XGBoost: <).
    """
    sizes = [len(tree.left) for tree in trees]
    left, right = (np.concatenate([getattr(t, side) for t in trees]) for side in ("left", "right"))
    leaf = left < 0
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    threshold = np.where(leaf, 0.0, np.concatenate([t.threshold for t in trees]))
    feature = np.where(leaf, 0, np.concatenate([t.feature for t in trees]))
    value = np.concatenate([t.value for t in trees])
    graph = _Graph()
    total = graph.add(
        "TreeEnsembleRegressor",
        "features",
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_featureids=feature.tolist(),
        nodes_values=threshold.astype(np.float32).tolist(),
        nodes_modes=np.where(leaf, "LEAF", goes_left).tolist(),
        nodes_truenodeids=np.where(leaf, 0, left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, right).tolist(),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=np.zeros(int(leaf.sum()), dtype=np.int64).tolist(),
        target_weights=value[leaf].astype(np.float32).tolist(),
    )
    total = graph.add("Cast", total, to=TensorProto.DOUBLE)
    total = graph.add("Add", total, graph.constant(base, np.float64))
    return graph.finish(graph.add("Exp", total) if exponential else total, name)


BYTES_PER_LEAF = 110
"""An upper bound of a tree graph's size per leaf: one leaf and one split, in unpacked ints."""

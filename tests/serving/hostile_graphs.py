"""ONNX graphs that keep to the interface and do harm when they are loaded or asked."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_INPUT = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 16])
_OUTPUT = helper.make_tensor_value_info("demand", TensorProto.FLOAT, ["N"])


def enormous_constant(n: int = 1 << 33) -> bytes:
    """A few hundred bytes that ask for an array of ``n`` floats, 32 GiB by default."""
    return _graph(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["big"]),
            helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["features", "axis"], ["rows"], keepdims=0),
            helper.make_node("Add", ["rows", "sum"], ["demand"]),
        ],
        {"shape": np.array([n], np.int64), "axis": np.array([1], np.int64)},
    )


def outer_product(width: int = 1 << 20) -> bytes:
    """Weights of a few megabytes that every row is multiplied with: gigabytes for a batch."""
    return _graph(
        [
            helper.make_node("ReduceSum", ["features", "axis"], ["rows"], keepdims=1),
            helper.make_node("Mul", ["rows", "wide"], ["product"]),
            helper.make_node("ReduceMax", ["product"], ["demand"], axes=[1], keepdims=0),
        ],
        {"wide": np.ones((1, width), np.float32), "axis": np.array([1], np.int64)},
    )


def endless_loop() -> bytes:
    """A loop of 2**62 rounds that does nothing."""
    flag = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["value"], ["same"]),
        ],
        "round",
        [
            flag("round", TensorProto.INT64, []),
            flag("go", TensorProto.BOOL, []),
            flag("value", TensorProto.FLOAT, ["N"]),
        ],
        [flag("go_on", TensorProto.BOOL, []), flag("same", TensorProto.FLOAT, ["N"])],
    )
    return _graph(
        [
            helper.make_node("ReduceSum", ["features", "axis"], ["rows"], keepdims=0),
            helper.make_node("Loop", ["rounds", "true", "rows"], ["demand"], body=body),
        ],
        {
            "rounds": np.array(2**62, np.int64),
            "true": np.array(True),
            "axis": np.array([1], np.int64),
        },
    )


def _graph(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "hostile",
        [_INPUT],
        [_OUTPUT],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())

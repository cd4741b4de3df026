"""What devices need, and what their execution providers run."""

import numpy as np
import onnx
from conftest import once
from onnx import TensorProto, helper

from export.targets import checklist, profiles

pytestmark = once


def hand_made(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_profiles_name_nodes_and_layers():
    model = hand_made(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="caps/votes/matmul"),
            helper.make_node("Softmax", ["a"], ["b"], name="caps/softmax", axis=1),
            helper.make_node("Softmax", ["b"], ["c"], name="caps/softmax_2", axis=-1),
            helper.make_node("ReduceSum", ["c", "axes"], ["d"], name="sum/reducesum"),
            helper.make_node("Det", ["d"], ["y"], name="det"),
        ],
        [("x", TensorProto.FLOAT, ["batch", 3, 4])],
        [("y", TensorProto.FLOAT, None)],
        [("w", np.zeros((4, 4), "float32")), ("axes", np.array([0]))],
    )
    found = {
        entry.provider: {node.node: node.layer for node in entry.unsupported}
        for name in ("cpu", "web", "mobile")
        for entry in profiles.examine(model, name).providers
    }
    assert found["CPU"] == found["WebAssembly"] == {}
    assert found["WebGPU"] == {"det": None}
    assert found["CoreML"].keys() >= {"det"}  # The list of onnxruntime 1.20 lacks more.
    assert found["NNAPI"] == {"sum/reducesum": "sum", "det": None}
    assert found["XNNPACK"] == {
        **{"caps/votes/matmul": "caps", "caps/softmax": "caps"},
        **{"sum/reducesum": "sum", "det": None},
    }
    nnapi = profiles.examine(model, "mobile").providers[-1]
    assert "static shapes only" in nnapi.remark


def test_the_checklist_finds_what_stands_in_the_way():
    model = hand_made(
        [
            helper.make_node("Transpose", ["x"], ["t"], name="turn/transpose", perm=[1, 0]),
            helper.make_node("Cast", ["t"], ["d"], name="wide/cast", to=TensorProto.DOUBLE),
            helper.make_node("Exp", ["d"], ["e"], name="wide/exp"),
            helper.make_node("Reshape", ["e", "shape"], ["r"], name="wide/reshape"),
            helper.make_node("Einsum", ["r"], ["y"], name="sum/einsum", equation="i->"),
        ],
        [("x", TensorProto.FLOAT, ["batch", "width"])],
        [("y", TensorProto.DOUBLE, [])],
        [("shape", np.array([-1]))],
    )
    content = model.SerializeToString()
    checks = {entry.check: entry for entry in checklist.checklist(model, content, "1.12")}
    passed = {name: entry.passed for name, entry in checks.items()}
    assert passed == {
        **{"shapes": False, "onnxruntime": True, "operations": False, "types": False},
        **{"transposes": None, "size": None},
    }
    assert checks["shapes"].finding.startswith("open besides the batch: width; ")
    assert checks["operations"].finding.endswith(": sum/einsum")
    found = checks["types"].finding
    assert "wide/exp (float64)" in found and "(int64)" not in found
    assert checks["transposes"].finding == "1 remain: turn/transpose"
    assert checks["size"].finding == f"{len(content):,} bytes, 8 of them weights"
    assert not checklist.checklist(model, content, "1.11")[1].passed

"""Measures the exported capsule layer in onnxruntime, and compares it with other graphs.

    python -m benchmarks.export
    python -m benchmarks.export --routings dynamic em --batches 1 --threads 1

The layer is the one of CapsNet, 1152 poses of 8 to 10 of 16. Each routing is converted as in an
export (ours) and written by hand (`benchmarks.handwritten`), with the same weights. Both must agree
to 1e-5. `dynamic` is also converted by tf2onnx alone from Keras code with einsums, and with
broadcast products. Milliseconds are medians, and compared graphs take turns in one process.
"""

import argparse
import functools
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import onnx
import onnxruntime

from benchmarks import handwritten, results
from benchmarks.layers_by_hand import BroadcastCapsules, EinsumCapsules
from export import keras_model
from export.convert.routes import to_raw_graph
from export.graph.canonical import to_canonical
from keras_capsules import CapsuleLayer

CHILDREN, IN_DIM = 1152, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = list(handwritten.ROUTINGS)
    parser.add_argument("--routings", nargs="+", default=every, choices=every)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=200, help="at batch 1; fewer for more")
    results.add_options(parser, "export")
    options = parser.parse_args()
    rows = []
    for routing in options.routings:
        graphs = graphs_of(routing)
        check(graphs)
        for threads in options.threads:
            sessions = {name: session(graph, threads) for name, graph in graphs.items()}
            for batch in options.batches:
                runs = max(10, options.runs // batch)
                rows += measured(routing, graphs, sessions, threads, batch, runs)
    results.publish(rows, ["routing", "beside", "batch", "threads"], options)


def graphs_of(routing: str) -> dict[str, onnx.ModelProto]:
    """Returns the graphs of one routing by their origin, with the same weights."""
    model, layer = build(routing)
    inputs = shapes(keras_model.input_names(model), model.inputs)
    outputs = shapes(keras_model.output_names(model), model.outputs)
    raw = to_raw_graph(model, 17, "tf2onnx")
    graphs = {
        "ours": to_canonical(raw, inputs, outputs, keras_model.layer_names(model), {})[0],
        "by hand": handwritten.graph(routing, weights(routing, layer)),
    }
    if routing == "dynamic":
        for name, plain in (("einsum", EinsumCapsules()), ("broadcast", BroadcastCapsules())):
            poses = keras.Input((CHILDREN, IN_DIM), name="poses")
            textbook = keras.Model(poses, {"parents": plain(poses)})
            plain.set_weights([layer.kernel])
            graphs[f"{name}, tf2onnx"] = to_raw_graph(textbook, 17, "tf2onnx")
    return graphs


def shapes(names: list[str], tensors: list) -> dict[str, tuple]:
    """Returns the shapes of inputs or outputs by name, with an open batch."""
    return {name: ("batch", *tensor.shape[1:]) for name, tensor in zip(names, tensors, strict=True)}


def build(routing: str):
    """Returns a model with only the layer, and the layer, with random weights."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((CHILDREN, IN_DIM), name="poses")
    outputs = ("parents",)
    layer = CapsuleLayer(10, 16, routing=routing)
    if layer.routing.explicit_activations:
        inputs = inputs, keras.Input((CHILDREN,), name="activations")
        outputs = ("parents", "presence")
    parents = layer(inputs)
    model = keras.Model(inputs, dict(zip(outputs, keras.tree.flatten(parents), strict=True)))
    for weight in layer.routing.weights:  # Not the initial weights, some of which are all equal.
        weight.assign(weight + keras.random.uniform(weight.shape, 0.0, 0.05))
    return model, layer


def weights(routing: str, layer) -> dict[str, np.ndarray]:
    """Returns the layer's weights in the form of `benchmarks.handwritten`."""
    (scope,) = {weight.path.split("/")[1] for weight in layer.routing.weights} or {""}
    values = {
        weight.path.partition(f"{scope}/")[2].replace("/", "_"): keras.ops.convert_to_numpy(weight)
        for weight in layer.routing.weights
    }
    if routing == "self_routing":
        values = {f"gate_{name}": value for name, value in values.items()}
    elif routing in ("self_attention", "heinsen"):
        columns = (10, CHILDREN, 1) if routing == "self_attention" else (10, 1, CHILDREN)
        values = {name: value.T.reshape(columns) for name, value in values.items()}
    elif routing == "em":
        values = {name: value.reshape(10, 1, 1) for name, value in values.items()}
    elif routing == "variational_bayes":
        values = {name: value.reshape(10, 1, -1) for name, value in values.items()}
        for name, output in (("pose", "pose"), ("activation", "presence")):
            values[f"{output}_mean"] = values.pop(f"{name}_normalization_moving_mean")
            variance = values.pop(f"{name}_normalization_moving_variance")
            values[f"{output}_deviation"] = np.sqrt(variance + np.float32(1e-5))
        values["orders"] = np.arange(16, dtype="float32")
    kernel = (
        keras.ops.convert_to_numpy(layer.kernel)
        .transpose(0, 2, 1, 3)
        .reshape(CHILDREN, IN_DIM, 160)
    )
    return {"kernel": kernel, **{k: np.ascontiguousarray(v) for k, v in values.items()}}


def check(graphs: dict[str, onnx.ModelProto]) -> None:
    """Fails if two graphs differ by more than 1e-5."""
    sessions = {name: session(graph, 1) for name, graph in graphs.items()}
    found = {name: each.run(None, feeds(each, 3)) for name, each in sessions.items()}
    for name, outputs in found.items():
        for output, expected in zip(outputs, found["ours"], strict=True):
            np.testing.assert_allclose(output, expected, atol=1e-5, err_msg=name)


def measured(routing, graphs, sessions, threads, batch, runs) -> list[dict]:
    """Returns a row for each graph that is compared with ours."""
    data = feeds(next(iter(sessions.values())), batch)
    calls = {name: functools.partial(each.run, None, data) for name, each in sessions.items()}
    medians = results.medians(calls, runs)
    nodes = {
        name: sum(node.op_type != "Constant" for node in graph.graph.node)
        for name, graph in graphs.items()
    }
    return [
        {
            "routing": routing,
            "beside": name,
            "batch": batch,
            "threads": threads,
            "our ms": medians["ours"],
            "its ms": medians[name],
            "ratio": medians["ours"] / medians[name],
            "our nodes": nodes["ours"],
            "its nodes": nodes[name],
            "our bytes": graphs["ours"].ByteSize(),
            "its bytes": graph.ByteSize(),
        }
        for name, graph in graphs.items()
        if name != "ours"
    ]


def session(graph: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )


def feeds(session: onnxruntime.InferenceSession, batch: int) -> dict[str, np.ndarray]:
    """Returns random poses of average length one, and activations if they are needed."""
    generator = np.random.default_rng(0)
    poses = generator.normal(scale=IN_DIM**-0.5, size=(batch, CHILDREN, IN_DIM))
    activations = generator.uniform(size=(batch, CHILDREN))
    values = {"poses": poses.astype("float32"), "activations": activations.astype("float32")}
    return {value.name: values[value.name] for value in session.get_inputs()}


if __name__ == "__main__":
    main()

"""Computes the values inside a Keras model with TensorFlow, by the converter's names."""

import keras
import numpy as np

from export import keras_model
from export.compare.run import in_batches
from export.compare.suites import Suite


def tensorflow_values(model: keras.Model, suite: Suite, names: list[str]) -> dict[str, np.ndarray]:
    """Runs a model and returns the named tensors that its TensorFlow graph has.

    Args:
        model: The Keras model, on TensorFlow.
        suite: Inputs.
        names: Names that tf2onnx gave to the values of its raw graph.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    forward = tf.compat.v1.wrap_function(lambda *x: keras_model.call(model, list(x)), signature)
    known = {
        tensor.name: tensor
        for operation in forward.graph.get_operations()
        for tensor in operation.outputs
    }
    fetched = {name: known[name] for name in names if name in known}
    feeds = forward.inputs[: len(signature)]
    traced = forward.prune(feeds, list(fetched.values()))

    def run(batch):
        return [value.numpy() for value in traced(*map(tf.constant, batch))]

    return dict(zip(fetched, in_batches(run, suite), strict=True))

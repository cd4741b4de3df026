"""Computes the outputs of a model in float64, and thus without its rounding error.

The difference from these outputs is the model's rounding error on the same inputs. It decides how
far a file may differ from the model.
"""

import functools
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from export import keras_model
from export.admit.precision import default_precision, with_precision
from export.compare.run import each_once, in_batches, run_keras
from export.compare.suites import Suite

_ALIKE = 0.01
"""Largest difference, far above rounding, at which both still count as the same model."""


def float64_outputs(model: keras.Model, suites: list[Suite]) -> list[list[np.ndarray]] | str:
    """Returns the float64 model's outputs for each suite, or the reason why there are none.

    The backend must compute in float64, as TensorFlow does. The first suite has ordinary inputs.
    """
    return begin_float64(model, suites)()


def begin_float64(
    model: keras.Model, suites: list[Suite]
) -> Callable[[], list[list[np.ndarray]] | str]:
    """Returns a function that returns `float64_outputs`, which are computed in the meantime.

    Another thread runs a graph of the model, and no Python of its layers. A model that runs only
    eagerly runs when the function is called.
    """
    try:
        with default_precision("float64"):
            float64 = _float64_model(model)
    except Exception as error:  # A custom layer that insists on float32 may raise any class.
        return functools.partial(_reason, error)
    try:
        with default_precision("float64"):
            run = functools.partial(in_batches, _traced(float64))
    except Exception:  # What runs only eagerly may raise any class.
        running = []
    else:
        running = each_once(functools.partial(ThreadPoolExecutor(1).submit, run), suites)
    return functools.partial(_finish, model, float64, suites, running)


def _finish(model, float64, suites, running):
    """Waits for the graph on each suite, or runs the model eagerly, and compares with float32."""
    try:
        outputs = [job.result() for job in running]
    except Exception:  # As above.
        outputs = []
    try:
        with default_precision("float64"):
            outputs = outputs or each_once(functools.partial(run_keras, float64), suites)
    except Exception as error:
        return _reason(error)
    for own, other in zip(run_keras(model, suites[0]), outputs[0], strict=True):
        if not np.allclose(own, other, rtol=_ALIKE, atol=_ALIKE, equal_nan=True):
            return "it computes something else there, because a layer saves only part of its state"
    return outputs


def _reason(error):
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _traced(model):
    """Returns a function from a batch to the outputs, which takes half the time of the model."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    forward = tf.function(lambda *inputs: keras_model.call(model, list(inputs)))
    traced = forward.get_concrete_function(*signature)

    def run(batch):
        pairs = zip(batch, signature, strict=True)
        return [output.numpy() for output in traced(*(tf.constant(x, s.dtype) for x, s in pairs))]

    return run


def _float64_model(model):
    config = keras.saving.serialize_keras_object(model)
    float64 = keras.saving.deserialize_keras_object(with_precision(config, "float64"))
    with tempfile.TemporaryDirectory() as folder:  # Layers derive values from loaded weights.
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        float64.load_weights(path)
    return float64

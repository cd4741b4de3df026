"""Takes gradients on each backend, since Keras has no function for it."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def gradient(function: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Returns the gradient of the number `function(x)` at the array `x`."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        variable = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(variable)
            total = function(variable)
        return np.asarray(tape.gradient(total, [variable])[0])
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(x))
    if backend == "torch":
        variable: Any = ops.convert_to_tensor(x).requires_grad_()
        function(variable).backward()
        return ops.convert_to_numpy(variable.grad)
    raise _unknown(backend)


def gradient_norms(
    function: Callable[[], Any], weights: Sequence[keras.Variable], others: Sequence[keras.Variable]
) -> Callable[[], np.ndarray]:
    """Makes a function that measures the gradient of the number `function()` by the weights.

    TensorFlow and JAX compile it at the first call. Only the variables keep their current values
    after that.

    Args:
        function: Computes a number from the variables. It does not change them.
        weights: The variables that the gradient is taken by.
        others: The other variables that `function` depends on.

    Returns:
        A function that returns the length of the gradient of each weight. A weight that the number
        does not depend on has a gradient of zero.
    """
    backend = keras.backend.backend()
    if not weights:
        return lambda: np.zeros(0, "float32")
    if backend == "tensorflow":
        return _with_tensorflow(function, weights)
    if backend == "jax":
        return _with_jax(function, weights, others)
    if backend == "torch":
        return _with_torch(function, weights)
    raise _unknown(backend)


def _with_tensorflow(function, weights):
    import tensorflow as tf

    @tf.function
    def norms():
        variables = [weight.value for weight in weights]
        with tf.GradientTape() as tape:
            total = function()
        # An embedding has a sparse gradient.
        found = tape.gradient(total, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.stack([_norm(tf.convert_to_tensor(part)) for part in found])

    return lambda: np.asarray(norms())


def _with_jax(function, weights, others):
    import jax

    def total(values, other_values):
        mapping = [*zip(weights, values, strict=True), *zip(others, other_values, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return function()

    @jax.jit
    def norms(values, other_values):
        return ops.stack([_norm(part) for part in jax.grad(total)(values, other_values)])

    return lambda: np.asarray(norms([v.value for v in weights], [v.value for v in others]))


def _with_torch(function, weights):
    import torch

    def norms():
        variables: Any = [weight.value for weight in weights]
        found = torch.autograd.grad(function(), variables, allow_unused=True)
        sizes = [0.0 if part is None else float(_norm(part)) for part in found]
        return np.asarray(sizes, "float32")

    return norms


def _norm(part):
    return ops.sqrt(ops.sum(ops.square(ops.cast(part, "float32"))))


def _unknown(backend):
    return ValueError(f"Gradients are taken on TensorFlow, JAX and PyTorch. Received: {backend}")

"""Provides pure functions of `keras.ops` that layers, routings and losses share.

Each function keeps values and gradients, first and second, finite from zero to 1e27, and computes
in float32 if its input has half precision. Two details ensure this:

* epsilon stands inside the root, where it bounds the derivative at zero;
* the input is scaled by 2**-30 before it is squared. The scaling is exact. It moves the range in
  which float32 squares neither overflow nor vanish to the values that capsules need.
"""

import keras
from keras import ops

_SCALE = 2.0**-30


def at_least_float32(x):
    """Casts half precision to float32 and leaves float32 and float64 as they are."""
    x = ops.convert_to_tensor(x)
    half = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
    return ops.cast(x, "float32") if half else x


def _floating(x):
    """Casts whole numbers to Keras' float type and leaves other tensors as they are."""
    x = ops.convert_to_tensor(x)
    known = "float" in keras.backend.standardize_dtype(x.dtype)
    return x if known else ops.cast(x, keras.config.floatx())


@keras.saving.register_keras_serializable(package="keras_capsules")
def safe_norm(x, axis: int = -1, keepdims: bool = False, epsilon: float = 1e-12):
    """Computes the Euclidean norm, with a gradient that is finite everywhere, even at zero.

    `safe_norm(x) = sqrt(sum(square(x), axis) + epsilon)`

    Args:
        x: Tensor of any rank.
        axis: Integer. The axis over which to sum. Defaults to `-1`.
        keepdims: Boolean. Whether to keep the summed axis with size 1. Defaults to `False`.
        epsilon: Float. Added to the sum of squares. Defaults to `1e-12`, so the norm of a zero
            vector is `1e-6`.

    Returns:
        Tensor of the shape of `x` without `axis` (size 1 there with `keepdims=True`), float32 or
        wider.

    Example:

    >>> keras_capsules.ops.safe_norm(keras.ops.array([[3.0, 4.0]]))
    [5.0]
    """
    x = at_least_float32(_floating(x))
    # Not square(x * _SCALE): an exporter would merge the factor into the product that x comes from,
    # and the file would no longer contain x.
    square = ops.sum(x * (x * _SCALE**2), axis=axis, keepdims=keepdims) + epsilon * _SCALE**2
    return ops.sqrt(square) * (1 / _SCALE)


@keras.saving.register_keras_serializable(package="keras_capsules")
def squash(x, axis: int = -1, epsilon: float = 1e-12):
    """Shrinks vectors to a length below one and keeps their direction.

    `squash(x) = norm(x)**2 / (1 + norm(x)**2) * x / norm(x) = x * norm(x) / (1 + norm(x)**2)`

    The norm is bounded below by `sqrt(epsilon)`, so a dead capsule still receives a gradient.

    Args:
        x: Tensor of any rank. The vectors lie along `axis`.
        axis: Integer. The axis that holds the components of one vector. Defaults to `-1`.
        epsilon: Float. Added to the squared norm, inside the root. Defaults to `1e-12`.

    Returns:
        Tensor of the shape and dtype of `x`. The length of every vector is in [0, 1].

    Example:

    >>> keras_capsules.squash(keras.ops.array([[0.0, 1.0], [3.0, 4.0]]))
    [[0.0, 0.5], [0.57692307, 0.7692308]]

    Reference:
        Sabour, Frosst, Hinton, 2017, arXiv 1710.09829, equation 1.
    """
    x = _floating(x)
    scaled = at_least_float32(x) * _SCALE
    square = ops.sum(scaled * scaled, axis=axis, keepdims=True) + epsilon * _SCALE**2
    norm = ops.sqrt(square)
    # JAX divides by the third power of a divisor, in second derivatives, so `norm` is scaled back
    # for it. The others do not need this, and their files have one node fewer. The values are the
    # same.
    jax = keras.config.backend() == "jax"
    inverse = _SCALE / (norm * (1 / _SCALE)) if jax else _SCALE**2 / norm
    return ops.cast(scaled / (norm + inverse), x.dtype)


@keras.saving.register_keras_serializable(package="keras_capsules")
def exponential_squash(x, axis: int = -1, epsilon: float = 1e-12):
    """Shrinks vectors to a length below one, more gently near zero than `squash`.

    `exponential_squash(x) = (1 - exp(-norm(x))) * x / norm(x)`

    Args:
        x: Tensor of any rank. The vectors lie along `axis`.
        axis: Integer. The axis that holds the components of one vector. Defaults to `-1`.
        epsilon: Float. Added to the squared norm, inside the root. Defaults to `1e-12`.

    Returns:
        Tensor of the shape and dtype of `x`. The length of every vector is in [0, 1].

    Example:

    >>> keras_capsules.exponential_squash(keras.ops.array([[0.0, 1.0], [3.0, 4.0]]))
    [[0.0, 0.6321206], [0.5959572, 0.7946097]]

    Reference:
        Mazzia, Salvetti, Chiaberge, 2021, arXiv 2101.12491, equation 6.
    """
    x = _floating(x)
    norm = safe_norm(x, axis=axis, keepdims=True, epsilon=epsilon)
    factor = (1.0 - ops.exp(-norm)) / norm
    return ops.cast(at_least_float32(x) * factor, x.dtype)


@keras.saving.register_keras_serializable(package="keras_capsules")
def capsule_length(poses, axis: int = -1, epsilon: float = 1e-12):
    """Computes the length of each capsule's pose, which says how present the capsule's entity is.

    `capsule_length(v) = sqrt(sum(square(v), axis) + epsilon)`

    Args:
        poses: Tensor `(..., capsule_dim)`.
        axis: Integer. The axis that holds the pose. Defaults to `-1`.
        epsilon: Float. Added to the squared length, inside the root: without it the gradient of a
            zero pose is NaN. Defaults to `1e-12`.

    Returns:
        Tensor of the shape of `poses` without `axis`, and of the same dtype. In [0, 1] for squashed
        poses.

    Example:

    >>> keras_capsules.capsule_length(keras.ops.array([[0.6, 0.8]]))
    [1.0]
    """
    poses = _floating(poses)
    return ops.cast(safe_norm(poses, axis=axis, epsilon=epsilon), poses.dtype)

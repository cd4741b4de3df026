"""Provides helpers that the metrics share."""

from keras import ops

# Added to sums of weights before a division by them. Without any weight the result is zero.
TINY = 1e-12


def sample_weights(sample_weight, values):
    """Returns one weight for each sample, of the shape and dtype of `values`."""
    if sample_weight is None:
        return ops.ones_like(values)
    weights = ops.reshape(ops.cast(ops.convert_to_tensor(sample_weight), values.dtype), (-1,))
    return ops.broadcast_to(weights, ops.shape(values))  # One weight may be for all samples.


def fixed_shape(metric, shape):
    """Returns the shape of a state that has one number for each capsule."""
    if None in shape:
        raise ValueError(
            f"{type(metric).__name__} keeps a number for each capsule, so their number must "
            f"be fixed. Fix the shape of the model's input. Received: shape={('batch', *shape)}"
        )
    return tuple(shape)


def check_same_shape(metric, expected, shape):
    if tuple(expected) != tuple(shape):
        raise ValueError(
            f"{type(metric).__name__} has seen capsules of shape {tuple(expected)} before. Use a "
            f"metric for each layer. Received: shape={tuple(shape)}"
        )

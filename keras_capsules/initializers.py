"""Initializes the kernels that turn poses into votes."""

import math

import keras


@keras.saving.register_keras_serializable(package="keras_capsules")
class VoteScaling(keras.initializers.Initializer):
    """Draws vote kernels so that parents start neither dead nor saturated.

    The distribution is a truncated normal with standard deviation `length * J / sqrt(I * E)`, for I
    children that vote, J parents and votes of E components (p for poses that are p x p matrices).

    With children of length one and the uniform coupling `1 / J` of a first iteration, the sum of
    the votes has about that length, for 16 children as for 1152. One is the middle of the range in
    which squash has a gradient. A fixed deviation suits only one number of children: squash turns
    small sums into their squares, whose gradient vanishes. For the 1152 children and 10 parents of
    Sabour et al. the deviation is 0.074; their released code has 0.1.

    Routings that measure votes in a fixed unit need shorter votes. In `variational_bayes` the votes
    for a parent have a scatter of `length**2 * J / E`, and the prior adds one. With a length of 0.1
    the prior is larger for up to 100 parents.

    Args:
        seed: Integer or `None`. Makes the draw repeatable. Defaults to `None`.
        length: Float. Length of the sum of the votes. Defaults to `1`. A layer with the
            initializer `"vote_scaling"` uses the `vote_length` of its routing.

    Call arguments:
        shape: Shape `(..., J, D, E)`. The product of the leading axes is I.
        dtype: Data type of the kernel.
        children: Integer or `None`. The number I, if children share a kernel.

    Raises:
        ValueError: If the shape has fewer than three axes.

    Example:

    >>> kernel = keras_capsules.VoteScaling(seed=0)((1152, 10, 8, 16))
    >>> float(keras.ops.std(kernel))
    0.0736
    """

    def __init__(self, seed: int | None = None, length: float = 1.0):
        self.seed = seed
        self.length = length

    def __call__(self, shape, dtype=None, children=None):
        if len(shape) < 3:
            raise ValueError(
                "VoteScaling is for kernels of shape (..., num_capsules, in_dim, capsule_dim). "
                f"Received: shape={tuple(shape)}"
            )
        *leading, num_out, _, components = shape
        num_in = children or math.prod(leading)
        deviation = self.length * num_out / math.sqrt(num_in * components)
        # A normal distribution that is cut off at two deviations has 0.8796 of its deviation.
        # `TruncatedNormal` is not used, because it takes four times the kernel's memory under
        # PyTorch.
        inside = math.erf(math.sqrt(2))
        uniform = keras.initializers.RandomUniform(-inside, inside, seed=self.seed)
        normal = math.sqrt(2) * keras.ops.erfinv(uniform(shape, dtype="float32"))
        return keras.ops.cast(deviation / 0.8796 * normal, dtype or keras.config.floatx())

    def get_config(self):
        return {"seed": self.seed, "length": self.length}

"""Initializes the kernels that make votes."""

import math

import keras


@keras.saving.register_keras_serializable(package="keras_capsules")
class VoteScaling(keras.initializers.Initializer):
    """Draws vote kernels so that parents start neither dead nor saturated.

    Truncated normal of standard deviation `length * J / sqrt(I * E)`, for I children that vote, J
    parents and votes of E components (p for poses that are p x p matrices).

    With the uniform coupling `1 / J` of a first iteration and children of length one, the sum of
    the votes then has about that length. One is in the middle of the range in which squash has a
    gradient, for 16 children as for 1152. A fixed deviation suits one number of children only:
    the squash turns small sums into squares, and their gradient vanishes. For the 1152 children
    and 10 parents of Sabour et al. it gives 0.074, beside the 0.1 of their released code.

    Routings that measure the votes in a fixed unit need shorter ones: in the Gaussians of
    `variational_bayes` the votes for a parent scatter by `length**2 * J / E` around it, beside a
    prior of one, and a length of 0.1 keeps the prior in charge for up to 100 parents.

    Args:
        seed: Integer or `None`. Makes the draw repeatable. Defaults to `None`.
        length: Float. Length of the sum of the votes. Defaults to `1`; where a layer is given
            `"vote_scaling"`, that is `vote_length` of its routing.

    Call arguments:
        shape: Shape `(..., J, D, E)`; the product of the leading axes is I.
        dtype: Data type of the kernel.
        children: Integer or `None`. I, where children share a kernel.

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
        # Cut off at two deviations, a normal distribution has 0.8796 of its deviation. Not
        # `TruncatedNormal`, which takes four times the memory of the kernel under PyTorch.
        inside = math.erf(math.sqrt(2))
        uniform = keras.initializers.RandomUniform(-inside, inside, seed=self.seed)
        normal = math.sqrt(2) * keras.ops.erfinv(uniform(shape, dtype="float32"))
        return keras.ops.cast(deviation / 0.8796 * normal, dtype or keras.config.floatx())

    def get_config(self):
        return {"seed": self.seed, "length": self.length}

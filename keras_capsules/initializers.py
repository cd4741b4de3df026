"""Initializes the kernels that turn poses into votes."""

import math

import keras

TARGETS = ("sum", "mean", "vote")


@keras.saving.register_keras_serializable(package="keras_capsules")
class VoteScaling(keras.initializers.Initializer):
    """Draws vote kernels so that parents start neither dead nor saturated.

    The distribution is a truncated normal with standard deviation `V / sqrt(E)`, for votes of E
    components (p for poses that are p x p matrices). A child of length one then votes with a length
    of about V. V depends on the number I of children that vote, on the number J of parents, and on
    `target`, which says what the routing does with votes:

    * `"sum"`: parents are sums of votes, and each parent first gets `1 / J` of each vote. The votes
      have random directions, so their sum is `sqrt(I) * V / J` long. `V = length * J / sqrt(I)`
      makes this `length`.
    * `"mean"`: parents are means of votes, `V / sqrt(I)` long. `V = length * sqrt(I)`.
    * `"vote"`: each vote has the length itself, `V = length`.

    A layer with the initializer `"vote_scaling"` uses the `vote_scaling` of its routing:

    * `uniform`, `dynamic`, `kmeans`: sums of length 2. Squash turns a sum of length n into
      `n**2 / (1 + n**2)`. If each layer first multiplies lengths by g, a length x is kept where
      `x - x**2 = 1 / g**2`, which needs `g >= 2`. With less, capsules die layer by layer. With many
      parents of few children the votes are long, and agreement lets each child choose a single
      parent. `longest` limits that: 16 in `dynamic`, 6 in `kmeans`.
    * `squeeze_excitation`: sums of length 4, because its gates start at one half.
    * `self_attention`: sums of length 1.5, `longest=5`. Its squash, `1 - exp(-n)`, keeps lengths if
      g is more than 1, and its logits grow with the square of the votes.
    * `inverted_dot_product`: `"vote"`, length 1. Parents are normalized, so the sum may have any
      length, but the logits `votes . p / sqrt(D)` have the size of the votes.
    * `self_routing`: `"mean"`, length 1. Poses keep their length, layer by layer.
    * `em`, `heinsen`: `"vote"`, length 1. Only two things give their fit a unit: `epsilon` and, in
      `em`, the logarithm of the deviation times the number of children. Votes of length one are far
      from both. Votes that would keep the length of the means make `em` learn more slowly.
    * `variational_bayes`: sums of length 0.1. The votes for a parent then have a scatter of about
      `length**2 * J / D`, less than that of the prior for up to 100 parents. Parents are normalized
      over the batch.

    Args:
        seed: Integer or `None`. Makes the draw repeatable. Defaults to `None`.
        length: Float. Length of the target, for children of length one. Defaults to `1`.
        target: `"sum"`, `"mean"` or `"vote"`: what has this length. Defaults to `"sum"`.
        longest: Float or `None`. Limit of V. Defaults to `None`.

    Call arguments:
        shape: Shape `(..., J, D, E)`. The product of the leading axes is I.
        dtype: Data type of the kernel.
        children: Integer or `None`. The number I, if children share a kernel.

    Raises:
        ValueError: If `target` is unknown, or the shape has fewer than three axes.

    Example:

    >>> kernel = keras_capsules.VoteScaling(seed=0)((1152, 10, 8, 16))
    >>> float(keras.ops.std(kernel))
    0.0736
    """

    def __init__(
        self,
        seed: int | None = None,
        length: float = 1.0,
        target: str = "sum",
        longest: float | None = None,
    ):
        if target not in TARGETS:
            raise ValueError(f"`target` must be one of {TARGETS}. Received: target={target!r}")
        self.seed = seed
        self.length = length
        self.target = target
        self.longest = longest

    def __call__(self, shape, dtype=None, children=None):
        if len(shape) < 3:
            raise ValueError(
                "VoteScaling is for kernels of shape (..., num_capsules, in_dim, capsule_dim). "
                f"Received: shape={tuple(shape)}"
            )
        *leading, num_out, _, components = shape
        vote = self._vote_length(children or math.prod(leading), num_out)
        deviation = vote / math.sqrt(components)
        # A normal distribution that is cut off at two deviations has 0.8796 of its deviation.
        # `TruncatedNormal` is not used, because it takes four times the kernel's memory under
        # PyTorch.
        inside = math.erf(math.sqrt(2))
        uniform = keras.initializers.RandomUniform(-inside, inside, seed=self.seed)
        normal = math.sqrt(2) * keras.ops.erfinv(uniform(shape, dtype="float32"))
        return keras.ops.cast(deviation / 0.8796 * normal, dtype or keras.config.floatx())

    def get_config(self):
        return {
            "seed": self.seed,
            "length": self.length,
            "target": self.target,
            "longest": self.longest,
        }

    def _vote_length(self, num_in, num_out):
        """Computes the length V of the votes of children of length one."""
        factors = {"sum": num_out / math.sqrt(num_in), "mean": math.sqrt(num_in), "vote": 1.0}
        length = self.length * factors[self.target]
        return length if self.longest is None else min(length, self.longest)

"""Groups a user's behaviours into interests, which are capsules."""

import keras
from keras import ops

from keras_capsules._arguments import positive_integer
from keras_capsules.ops import at_least_float32, squash


@keras.saving.register_keras_serializable(package="keras_capsules")
class MultiInterestCapsule(keras.layers.Layer):
    """Groups a user's behaviours into interests by behaviour-to-interest dynamic routing.

    `votes_i = behaviour_i @ kernel`, the same for each interest. From fixed random logits `b_ki`,
    `iterations` times:

    `c_ki = softmax_k(b_ki)`, `interest_k = squash(sum_i c_ki * votes_i)`,
    `b_ki = b_ki + votes_i . interest_k` (not after the last).

    With one shared kernel, equal logits would make all interests equal. The random logits break the
    tie. They are drawn once, are the same for each user, and are saved with the model. Gradients
    flow only through the votes of the last sum.

    Few behaviours reveal few interests. With `dynamic_interests` a user with n behaviours has
    `max(1, min(num_interests, floor(log2(n))))` interests. The others are absent: they get no share
    of any behaviour and they are zero. The mask of the output tells the next layer which ones.

    Args:
        num_interests: Integer. Largest number of interests of a user.
        interest_dim: Integer. Size of an interest.
        iterations: Integer, 1 or more. Defaults to `3`.
        max_length: Integer or `None`. Largest number of behaviours of a user. `None`, the default,
            takes the length from the input's shape, which must then be known.
        dynamic_interests: Boolean. Whether the number of interests depends on the number of
            behaviours. Defaults to `True`.
        kernel_initializer: Initializer of the kernel. Defaults to `"glorot_uniform"`.
        kernel_regularizer: Regularizer of the kernel, or `None`.
        seed: Integer or `None`. Makes the draw of the logits repeatable. Defaults to `None`.

    Call arguments:
        behaviours: Tensor `(batch, length, in_dim)`, embeddings of items. Padding must be at the
            end, because a behaviour's logits depend on its position.
        mask: Boolean tensor `(batch, length)`, by keyword. `True` where a behaviour is present.
            `keras.layers.Embedding(mask_zero=True)` passes it automatically.

    Output shape:
        `(batch, num_interests, interest_dim)`, with lengths in [0, 1]. Its mask, which
        `compute_mask(behaviours, mask)` also returns, is boolean `(batch, num_interests)`, or
        `None` without `dynamic_interests`.

    Weights:
        `kernel`: `(in_dim, interest_dim)`. `routing_logits`: `(num_interests, max_length)`, not
        trainable.

    Raises:
        ValueError: If an argument is out of range, or an input has a rank or a length that does
            not fit.

    Example:

    >>> layer = keras_capsules.MultiInterestCapsule(num_interests=4, interest_dim=8)
    >>> behaviours = keras.random.normal((2, 10, 16))  # 10 behaviours: 3 interests
    >>> layer(behaviours).shape
    (2, 4, 8)
    >>> layer.compute_mask(behaviours)[0]
    [True, True, True, False]

    References:
        Li et al., CIKM 2019, arXiv 1904.08030 (MIND), algorithm 1.
        Cen et al., KDD 2020, arXiv 2005.09347 (ComiRec): `dynamic_interests=False`.
    """

    def __init__(
        self,
        num_interests: int,
        interest_dim: int,
        iterations: int = 3,
        max_length: int | None = None,
        dynamic_interests: bool = True,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_interests = positive_integer("num_interests", num_interests)
        self.interest_dim = positive_integer("interest_dim", interest_dim)
        self.iterations = positive_integer("iterations", iterations)
        self.max_length = None
        if max_length is not None:
            self.max_length = positive_integer("max_length", max_length)
        self.dynamic_interests = dynamic_interests
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.supports_masking = True

    def build(self, behaviours_shape):
        _, length, in_dim = self._check(behaviours_shape)
        if in_dim is None or (length is None and self.max_length is None):
            raise ValueError(
                f"{self.name} needs the size of a behaviour and how many there are at most. Fix "
                "them in the input's shape; with `max_length` the length may stay open. "
                f"Received: behaviours.shape={tuple(behaviours_shape)}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(in_dim, self.interest_dim),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.routing_logits = self.add_weight(
            name="routing_logits",
            shape=(self.num_interests, self.max_length or length),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=self.seed),
            trainable=False,
            autocast=False,
        )
        self.built = True

    def call(self, behaviours, *, mask=None):
        length = self._check(behaviours.shape)[1] or ops.shape(behaviours)[1]
        present = self.compute_mask(behaviours, mask)
        if mask is not None:
            mask = ops.cast(mask, "bool")
            behaviours = ops.where(mask[:, :, None], behaviours, 0.0)
        dtype = behaviours.dtype
        votes = at_least_float32(ops.matmul(behaviours, self.kernel))
        inner_votes = ops.stop_gradient(votes)
        logits = ops.cast(self.routing_logits[None, :, :length], votes.dtype)
        # The votes are the same for each interest, so both steps are matrix products.
        for iteration in range(1, self.iterations + 1):
            coupling = self._softmax_over_interests(logits, present)
            if iteration == self.iterations:
                interests = squash(ops.matmul(coupling, votes))
            else:
                interests = squash(ops.matmul(coupling, inner_votes))
                agreement = ops.matmul(interests, ops.transpose(inner_votes, (0, 2, 1)))
                logits = logits + agreement
        return ops.cast(interests, dtype)

    def compute_mask(self, behaviours, mask=None):
        if not self.dynamic_interests:
            return None
        if mask is None:
            mask = ops.ones_like(behaviours[:, :, 0], dtype="float32")
        count = ops.sum(ops.cast(mask, "float32"), axis=1, keepdims=True)
        # Interest k is present from 2**k behaviours on, and the first one always.
        needed = [0.0, *(2.0**k for k in range(2, self.num_interests + 1))]
        return count >= ops.convert_to_tensor([needed], dtype="float32")

    def compute_output_shape(self, behaviours_shape):
        return (self._check(behaviours_shape)[0], self.num_interests, self.interest_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "num_interests": self.num_interests,
            "interest_dim": self.interest_dim,
            "iterations": self.iterations,
            "max_length": self.max_length,
            "dynamic_interests": self.dynamic_interests,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "seed": self.seed,
        }

    def _softmax_over_interests(self, logits, present):
        if present is not None:
            logits = ops.where(present[:, :, None], logits, -1e30)
        return ops.softmax(logits, axis=1)

    def _check(self, behaviours_shape):
        shape = tuple(behaviours_shape)
        if len(shape) != 3:
            raise ValueError(
                f"{self.name} expects behaviours of shape (batch, length, in_dim). "
                f"Received: behaviours.shape={shape}"
            )
        at_most = self.routing_logits.shape[1] if self.built else self.max_length
        if at_most and shape[1] and shape[1] > at_most:
            raise ValueError(
                f"{self.name} has routing logits for {at_most} behaviours. Pass a larger "
                "`max_length`, or keep the latest behaviours only. "
                f"Received: behaviours.shape={shape}"
            )
        return shape

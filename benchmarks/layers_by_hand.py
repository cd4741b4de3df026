"""Implements the capsule layer as it is commonly written in Keras, for comparison.

Both layers have dynamic routing and compute the same as `CapsuleLayer(10, 16)`, from a kernel
`(num_in, 10, in_dim, 16)`.
"""

import keras
from keras import ops

from keras_capsules import VoteScaling, squash


class EinsumCapsules(keras.layers.Layer):
    """Uses an einsum for every product, as in a textbook."""

    def build(self, input_shape):
        shape = (input_shape[1], 10, input_shape[2], 16)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=VoteScaling())

    def call(self, poses):
        votes = ops.einsum("bid,ijde->bije", poses, self.kernel)
        logits = ops.zeros_like(votes[..., 0])
        for iteration in range(3):
            coupling = ops.softmax(logits, axis=2)
            parents = squash(ops.einsum("bij,bije->bje", coupling, votes))
            if iteration < 2:
                logits = logits + ops.einsum("bije,bje->bij", votes, parents)
        return parents


class BroadcastCapsules(EinsumCapsules):
    """Uses a multiplication of expanded tensors and a sum for every product."""

    def call(self, poses):
        votes = ops.sum(poses[:, :, None, :, None] * self.kernel, axis=3)
        logits = ops.zeros_like(votes[..., 0])
        for iteration in range(3):
            coupling = ops.softmax(logits, axis=2)
            parents = squash(ops.sum(coupling[..., None] * votes, axis=1))
            if iteration < 2:
                logits = logits + ops.sum(votes * parents[:, None], axis=3)
        return parents

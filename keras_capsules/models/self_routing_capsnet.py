"""Builds self-routing capsules on a residual network."""

import keras
from keras import layers, ops

from keras_capsules.layers import CapsuleLayer
from keras_capsules.models._shared.convolutional_capsules import normalized_capsules
from keras_capsules.models._shared.halvings import halved
from keras_capsules.models.registry import register_model
from keras_capsules.models.se_resnet import basic_stages
from keras_capsules.routing.votes import StoredVotes


@keras.saving.register_keras_serializable(package="keras_capsules")
class UntransformedCapsuleLayer(CapsuleLayer):
    """Class capsules whose poses are not used, so the children's poses are the votes.

    A kernel that only these poses depend on would never be trained.
    """

    def _add_weights(self, positions, types, in_dim, num_children):
        self.kernel = self.bias = None

    def votes_of(self, poses, training=False):
        poses = ops.expand_dims(self._flat(poses), 1)
        return StoredVotes(ops.repeat(poses, self.num_capsules, axis=1))


@register_model(
    top="class_capsules",
    loss=keras.losses.CategoricalCrossentropy,
    tiny={"filters": (4, 8), "blocks": 1, "primary_capsules": 2, "capsule_dim": 4},
)
def self_routing_capsnet(
    input_shape=(32, 32, 3),
    num_classes: int = 10,
    filters=(16, 32, 64),
    blocks: int = 3,
    primary_capsules: int = 32,
    capsule_dim: int = 16,
    halvings: int | None = None,
    name: str = "self_routing_capsnet",
) -> keras.Model:
    """Builds ResNet-20 with self-routing capsules instead of its pooling and dense layer.

    The network has three stages of residual blocks, primary capsules by 3 x 3 convolutions with
    batch normalization, and class capsules over the whole map. The activations of the class
    capsules are the scores and sum to one. The defaults are the authors' for CIFAR-10. They give
    934,416 trainable parameters, 2,752 more than the authors' code (0.9M in the paper), in which
    the shortcuts between stages have none. Train the model with `CategoricalCrossentropy`, its
    `keras_capsules.models.default_loss`, on one-hot labels. `python -m benchmarks.learns` does so
    with Adam at a learning rate of 1e-3 and batches of 64.

    Args:
        input_shape: Tuple `(height, width, channels)`. The authors standardize each channel.
        num_classes: Integer.
        filters: Tuple of integers. Channels of the stages. Each stage after the first halves the
            image.
        blocks: Integer. Residual blocks in each stage.
        primary_capsules: Integer. Types of primary capsules in each cell.
        capsule_dim: Integer. Size of the primary capsules' poses.
        halvings: Integer. How often a convolution with stride 2 halves the image first. `None`, the
            default, halves until at most 40 pixels are left on each side.
        name: String. Name of the model.

    Returns:
        A functional `keras.Model` from `image` to `scores`, the activations of the class capsules
        `(batch, num_classes)`, probabilities.

    Example:

    >>> model = keras_capsules.create_model("self_routing_capsnet", blocks=1)
    >>> poses, activations = model.get_layer("class_capsules").input
    >>> poses.shape, activations.shape
    ((None, 8, 8, 32, 16), (None, 8, 8, 32))

    Reference:
        Hahn, Pyeon, Kim, 2019, "Self-Routing Capsule Networks", NeurIPS.
    """
    image = keras.Input(input_shape, name="image")
    x = basic_stages(halved(image, halvings, 40), filters, [blocks] * len(filters))
    x = normalized_capsules(x, primary_capsules, capsule_dim, kernel_size=3, by_type=False)
    _, activations = UntransformedCapsuleLayer(
        num_classes, capsule_dim, routing="self_routing", name="class_capsules"
    )(x)
    return keras.Model(image, layers.Identity(name="scores")(activations), name=name)

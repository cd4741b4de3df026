"""Transforms images differently in each epoch, and batches them for `model.fit`."""

import keras
import numpy as np

from keras_capsules._arguments import positive_integer


def random_affine(
    images: np.ndarray,
    generator: np.random.Generator,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    shift: float = 0.0,
) -> np.ndarray:
    """Turns, scales, shears and shifts each image about its centre, by random amounts.

    Pixels from beyond the border are zero. Values between pixels are interpolated linearly.

    Args:
        images: Array `(batch, height, width, channels)`.
        generator: Source of the randomness.
        rotation: Float, degrees. Drawn from `[-rotation, rotation]`.
        scale: Pair of floats. Drawn between them, separately for height and width. 2 is twice as
            large.
        shear: Float, tangent of an angle. Drawn from `[-shear, shear]`.
        shift: Float, pixels. Drawn from `[-shift, shift]`, separately for height and width.

    Returns:
        Array of the shape and dtype of `images`.
    """
    number = len(images)
    angle = np.radians(generator.uniform(-rotation, rotation, number))
    zoom = generator.uniform(*scale, (number, 2))
    slant = generator.uniform(-shear, shear, number)
    offset = generator.uniform(-shift, shift, (number, 2))
    return affine(images, angle, zoom, slant, offset)


def affine(images, angle, zoom, slant, offset) -> np.ndarray:
    """Turns, scales, shears and shifts each image about its centre.

    Args:
        images: Array `(batch, height, width, channels)`.
        angle: Array `(batch,)`, radians.
        zoom: Array `(batch, 2)`, of height and width.
        slant: Array `(batch,)`, tangents of angles.
        offset: Array `(batch, 2)`, pixels down and to the right.

    Returns:
        Array of the shape and dtype of `images`.
    """
    from scipy import ndimage

    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), -1, 0)
    lean = np.tile(np.eye(2), (len(images), 1, 1))
    lean[:, 0, 1] = slant
    # The matrix maps a position in the result to the position in the image that it shows.
    matrices = turn @ lean / zoom[:, None, :]
    centre = (np.array(images.shape[1:3]) - 1) / 2
    moved = np.empty_like(images)
    for image, matrix, start, result in zip(
        images, matrices, centre - matrices @ centre - offset, moved, strict=True
    ):
        for channel in range(images.shape[-1]):
            ndimage.affine_transform(
                image[..., channel], matrix, start, output=result[..., channel], order=1
            )
    return moved


def random_erasing(
    images: np.ndarray, generator: np.random.Generator, probability: float = 0.3, size: int = 4
) -> np.ndarray:
    """Sets a square of each image to zero, with a probability.

    Args:
        images: Array `(batch, height, width, channels)`.
        generator: Source of the randomness.
        probability: Float in [0, 1].
        size: Integer. Side of the square in pixels.

    Returns:
        Array of the shape and dtype of `images`.
    """
    images = images.copy()
    height, width = images.shape[1:3]
    for index in np.flatnonzero(generator.random(len(images)) < probability):
        top = generator.integers(height - size + 1)
        left = generator.integers(width - size + 1)
        images[index, top : top + size, left : left + size] = 0
    return images


class ImageBatches(keras.utils.PyDataset):
    """Batches of images for `model.fit`, in a new order and with new transformations each epoch.

    The content of an epoch depends only on the seed and on the epoch's number. A training run that
    stopped and continues with `initial_epoch` therefore sees the same batches as an uninterrupted
    one. For this, pass `dataset.callback` to `fit`, which announces each epoch to the dataset, and
    `shuffle=False`: Keras would draw another order of the batches from its own random state.

    Args:
        images: Array `(samples, height, width, channels)`.
        labels: Array `(samples, ...)`.
        transform: Function `(images, labels, generator) -> batch`. It turns a part of the arrays
            into a batch for `fit`, with a `numpy.random.Generator`.
        batch_size: Integer. The last batch may be smaller.
        seed: Integer.

    Raises:
        ValueError: If there is not a label for each image, or the batch size is not positive.
    """

    def __init__(self, images, labels, transform, batch_size: int = 64, seed: int = 0):
        super().__init__()
        if len(labels) != len(images):
            raise ValueError(
                f"There must be a label for each of {len(images)} images. "
                f"Received: {len(labels)} labels"
            )
        self.images = images
        self.labels = labels
        self.transform = transform
        self.batch_size = positive_integer("batch_size", batch_size)
        self.seed = seed
        self.start_epoch(0)

    @property
    def callback(self) -> keras.callbacks.Callback:
        """Returns a callback for `fit` that starts each epoch of this dataset."""
        return keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: self.start_epoch(epoch)
        )

    def start_epoch(self, epoch: int) -> None:
        """Draws the order of an epoch."""
        self.epoch = epoch
        self.order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        generator = np.random.default_rng((self.seed, self.epoch, index))
        return self.transform(self.images[chosen], self.labels[chosen], generator)

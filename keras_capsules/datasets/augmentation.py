"""Images moved a little, differently in each epoch, and the batches that `model.fit` reads."""

import keras
import numpy as np


def random_affine(
    images: np.ndarray,
    generator: np.random.Generator,
    rotation: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    shift: float = 0.0,
) -> np.ndarray:
    """Turns, scales, shears and shifts each image about its centre, by amounts drawn for it.

    What comes from beyond the border is zero; between pixels the values are interpolated linearly.

    Args:
        images: Array `(batch, height, width, channels)`.
        generator: Source of the randomness.
        rotation: Float, degrees. Drawn from `[-rotation, rotation]`.
        scale: Pair of floats. Drawn in between, for height and width apart; 2 is twice as large.
        shear: Float, the tangent of the angle. Drawn from `[-shear, shear]`.
        shift: Float, pixels. Drawn from `[-shift, shift]`, for height and width apart.

    Returns:
        Array of the shape and dtype of `images`.
    """
    from scipy import ndimage

    number = len(images)
    angle = np.radians(generator.uniform(-rotation, rotation, number))
    zoom = generator.uniform(*scale, (number, 2))
    slant = generator.uniform(-shear, shear, number)
    offset = generator.uniform(-shift, shift, (number, 2))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.moveaxis(np.array([[cosine, -sine], [sine, cosine]]), -1, 0)
    lean = np.tile(np.eye(2), (number, 1, 1))
    lean[:, 0, 1] = slant
    # The matrix takes a position in the result to the position in the image that it shows.
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
    """Batches of images for `model.fit`, in a new order and newly transformed in each epoch.

    What an epoch holds depends on the seed and on its number alone, so a training that stopped
    and goes on with `initial_epoch` sees what an unbroken one would have seen. For that, pass
    `dataset.callback` to `fit`, which says which epoch has begun.

    Args:
        images: Array `(samples, height, width, channels)`.
        labels: Array `(samples, ...)`.
        transform: Function `(images, labels, generator) -> batch`: the batch as `fit` takes it,
            made of a part of the arrays with a `numpy.random.Generator`.
        batch_size: Integer. The last batch may be smaller.
        seed: Integer.
    """

    def __init__(self, images, labels, transform, batch_size: int = 64, seed: int = 0):
        super().__init__()
        self.images = images
        self.labels = labels
        self.transform = transform
        self.batch_size = batch_size
        self.seed = seed
        self.start_epoch(0)

    @property
    def callback(self) -> keras.callbacks.Callback:
        """Callback for `fit` that begins each epoch here too."""
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

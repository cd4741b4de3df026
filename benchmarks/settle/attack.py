"""Projected gradient descent: the change of each pixel by at most epsilon that hides the class."""

import numpy as np
from keras import ops

from keras_capsules._gradients import gradient

EPSILON, STEPS = 0.1, 20


def attacked(model, images, labels, generator, epsilon=EPSILON, steps=STEPS) -> np.ndarray:
    """Changes images in [0, 1] so that a model takes each for another class.

    `x = clip(x - 2.5 epsilon / steps sign(d lead / d x))`, where the lead is the logarithm of the
    score of the right class, less that of the highest other one. It starts at a random change.

    Args:
        model: Its output is `scores`.
        images: Array `(batch, height, width, channels)`.
        labels: Integers.
        generator: `numpy.random.Generator`.
        epsilon: Float. The largest change of a pixel.
        steps: Integer.

    Reference:
        Madry et al., 2018, arXiv 1706.06083; the lead is that of Carlini and Wagner, 2017,
        arXiv 1608.04644.
    """
    low, high = np.maximum(images - epsilon, 0), np.minimum(images + epsilon, 1)
    right = ops.one_hot(labels, model.output_shape[-1])

    def lead(x):
        logits = ops.log(ops.maximum(model(x, training=False), 1e-12))
        others = ops.max(logits - 1e9 * right, axis=-1)
        return ops.sum(ops.sum(logits * right, axis=-1) - others)

    x = generator.uniform(low, high).astype("float32")
    for _ in range(steps):
        x = np.clip(x - 2.5 * epsilon / steps * np.sign(gradient(lead, x)), low, high)
        x = x.astype("float32")
    return x

"""Makes the batch normalization of the zoo, whose statistics follow short trainings."""

from typing import Any

from keras import layers


def normalization(name: str, **options: Any) -> layers.BatchNormalization:
    """Returns a batch normalization of momentum 0.9.

    After `n` steps `momentum**n` of the moving statistics still is their initial value: 0.5 % after
    50 steps at 0.9, but 61 % at Keras' default of 0.99, and then validation says nothing. The
    statistics of the last ten batches or so are enough at the batch sizes of the zoo.
    """
    return layers.BatchNormalization(momentum=0.9, name=name, **options)

"""Changes the margin of a spread loss between the epochs of `model.fit`."""

import math
import warnings

import keras

from keras_capsules._arguments import positive_integer
from keras_capsules._graph import is_graph, producer
from keras_capsules.losses import SpreadLoss


class SpreadMarginSchedule(keras.callbacks.Callback):
    """Widens the margin of the model's `SpreadLoss` at the beginning of each epoch.

    `margin = start + (end - start) * min(1, epoch / epochs)` with `curve="linear"`,
    `margin = start + (end - start) * sigmoid(min(10, 8 * epoch / epochs - 4))` with
    `curve="sigmoid"`

    The first epoch is number 0. To resume a training, call `fit(..., initial_epoch=n)`, which
    continues with the margin of epoch n. The current margin is in `logs["margin"]`, and so in the
    history.

    A compiled train function contains the margin as a constant, and JAX passes no other state to a
    loss. Each epoch with a new margin therefore compiles the train function again and, with
    validation data, the test function. Each time this costs as much as the first step of the
    training, `epochs` times with the linear curve. Choose few `epochs` where compilation is slow.
    Nothing is compiled again after them.

    Logits do not fit a `SpreadLoss`. If a functional model ends with a `Dense` layer without
    activation, the schedule warns at the beginning of the training.

    Args:
        epochs: Integer, 1 or more. Number of epochs after which a linear margin reaches `end`.
        start: Float in (0, 1]. Margin of the first epoch, on the linear curve. Defaults to `0.2`.
        end: Float in (0, 1]. Final margin. Defaults to `0.9`.
        curve: `"linear"` or `"sigmoid"`. The released code uses `"sigmoid"` with `end=0.99` and
            with `epochs` that amount to 400,000 steps. Defaults to `"linear"`.

    Raises:
        ValueError: If an argument is out of range, or if the model has been compiled without a
            `SpreadLoss`.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "sigmoid")])
    >>> model.compile("adam", keras_capsules.SpreadLoss())
    >>> schedule = keras_capsules.SpreadMarginSchedule(epochs=2)
    >>> x, y = np.ones((8, 4)), np.eye(2)[np.arange(8) % 2]
    >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=[schedule])
    >>> history.history["margin"]
    [0.2, 0.55, 0.9]

    Reference:
        Hinton, Sabour, Frosst, ICLR 2018, "Matrix capsules with EM routing", section 5.
    """

    def __init__(self, epochs: int, start: float = 0.2, end: float = 0.9, curve: str = "linear"):
        for name, value in (("start", start), ("end", end)):
            if not 0 < value <= 1:
                raise ValueError(f"`{name}` must be in (0, 1]. Received: {name}={value!r}")
        if curve not in ("linear", "sigmoid"):
            raise ValueError(f'`curve` must be "linear" or "sigmoid". Received: curve={curve!r}')
        super().__init__()
        self.epochs = positive_integer("epochs", epochs)
        self.start = start
        self.end = end
        self.curve = curve

    def on_train_begin(self, logs=None):
        for name in _unlimited_scores(self.model):
            warnings.warn(
                f"SpreadLoss is for scores in [0, 1], and the Dense layer {name!r} at the end of "
                f"{self.model.name!r} has no activation, so its outputs are logits. End the model "
                'with capsules or activation="sigmoid", or train it with '
                "keras.losses.CategoricalCrossentropy(from_logits=True).",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        margin = self.margin(epoch)
        changed = [loss for loss in self._losses() if loss.margin != margin]
        for loss in changed:
            loss.margin = margin
        if changed:
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["margin"] = self.margin(epoch)

    def margin(self, epoch):
        """Returns the margin of an epoch as a float."""
        way = min(1.0, epoch / self.epochs)
        if self.curve == "sigmoid":
            way = 1.0 / (1.0 + math.exp(-min(10.0, 8.0 * epoch / self.epochs - 4.0)))
        return (1.0 - way) * self.start + way * self.end

    def _losses(self):
        losses = keras.tree.flatten(self.model.loss)
        found = [loss for loss in losses if isinstance(loss, SpreadLoss)]
        if not found:
            raise ValueError(
                "SpreadMarginSchedule widens the margin of a SpreadLoss. Compile the model with "
                f"`loss=keras_capsules.SpreadLoss()`. Received: model.loss={self.model.loss!r}"
            )
        return found


def _unlimited_scores(model):
    """Returns the names of dense layers without activation on whose outputs a `SpreadLoss` is."""
    if not is_graph(model) or not model.built:
        return []
    outputs, losses = model.outputs, model.loss
    if isinstance(losses, dict):
        named = model.output if isinstance(model.output, dict) else {}
        pairs = [(named[name], loss) for name, loss in losses.items() if name in named]
    elif isinstance(losses, (list, tuple)):
        pairs = list(zip(outputs, losses, strict=False))
    else:
        pairs = [(output, losses) for output in outputs]
    last = [producer(output).operation for output, loss in pairs if isinstance(loss, SpreadLoss)]
    return [
        layer.name
        for layer in last
        if isinstance(layer, keras.layers.Dense) and layer.activation is keras.activations.linear
    ]

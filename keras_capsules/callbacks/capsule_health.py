"""Watches during `model.fit` whether capsules live and gradients reach all layers."""

from typing import Any

import keras
import numpy as np

from keras_capsules.callbacks import _complaints as complaints
from keras_capsules.callbacks._watched_loss import WatchedLoss
from keras_capsules.callbacks._watched_model import WatchedModel
from keras_capsules.losses import misfit

SAMPLES = 64
# A loss this much of a constant answer's is no better.
NO_BETTER = 0.99
PATIENCE = 2


class CapsuleHealth(keras.callbacks.Callback):
    """Watches a few samples, and says at the end of an epoch what is off and what to try.

    `dead = mean_j(max_x(a_j(x)) <= 0.01)`, `saturated = mean_j(min_x(a_j(x)) > 0.99)`,
    for the activations a of capsules j, with `a_j = length(v_j)` where they are not explicit

    These figures go into `logs`, and so into the history:

    * `<layer>/dead` and `<layer>/saturated` of each layer of capsules, as shares of its capsules.
      Lengths above one are not squashed, and never saturated.
    * `<layer>/coupling_entropy` of each routing, as `CouplingEntropy` measures it.
    * `<layer>/gradient`, with `y`: the size of the loss's gradient by all weights of a layer.
    * `scores/loss` and `scores/constant_loss`, with `y`: the loss of the scores, and of their mean
      over the samples as the answer for each of them. They are of the output `scores`, or of the
      only one.

    A line is printed, once in a `fit`, if half of the last layer's capsules or nearly all of
    another layer's are dead or saturated; if something is not finite; if no gradient reaches a
    layer; if for two epochs the scores are no better than their mean; or if the loss is for scores
    of another kind, before the first epoch. One line is printed an epoch, of the lowest layer
    first, since layers above it suffer.

    Everything is computed as in inference, so dropout is off and batch normalization uses its
    moving statistics. An epoch costs one prediction and one gradient of at most 64 samples more. A
    copy of the model is made, and compiled once in a `fit`.

    Keras shows the figures only to the callbacks that come later: put this one first, before
    `CSVLogger`, `TensorBoard` or `EarlyStopping`. The history always has them.

    Args:
        x: Array, or list or dictionary of arrays: samples as `model.fit` takes them. Of more than
            64 samples 64 are taken, evenly spaced.
        y: Labels of all these samples, as `model.fit` takes them, or `None`, the default, to leave
            gradients and the loss out.

    Raises:
        ValueError: If `x` and `y` have no samples, or not equally many; or at the start of `fit`,
            if the model has no capsules or is not functional or sequential. Layers inside a nested
            model are not watched.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", size="tiny")
    >>> model.compile("adam", keras_capsules.MarginLoss())
    >>> x, y = np.random.rand(20, 28, 28, 1), np.eye(10)[np.arange(20) % 10]
    >>> health = keras_capsules.CapsuleHealth(x, y)
    >>> history = model.fit(x, y, verbose=0, callbacks=[health])
    >>> history.history["class_capsules/saturated"]
    [0.0]

    Reference:
        Mitterreiter, Koch, Giesen, Laue, 2023, arXiv 2301.01583 (capsule starvation).
    """

    def __init__(self, x: Any, y: Any = None):
        super().__init__()
        arrays = keras.tree.flatten(x) + ([] if y is None else keras.tree.flatten(y))
        if not all(hasattr(array, "shape") and len(array.shape) for array in arrays):
            raise ValueError(
                "CapsuleHealth watches arrays, as `x_train[:64]` and `y_train[:64]`. Of a dataset, "
                f"take a batch. Received: x of {type(x).__name__}, y of {type(y).__name__}"
            )
        sizes = {len(array) for array in arrays}
        if len(sizes) != 1 or 0 in sizes:
            raise ValueError(
                "CapsuleHealth needs at least one sample, and as many labels as samples. "
                f"Received: arrays of {', '.join(str(len(array)) for array in arrays)} samples"
            )
        self.x, self.y = _few(x), None if y is None else _few(y)

    def on_train_begin(self, logs=None):
        self._watched = WatchedModel(self.model, self.x)
        self._loss = WatchedLoss(self.model, self.x, self.y)
        self._said: set[str] = set()
        self._epochs_without_gain = 0
        scores = self._watched.look(self.model)[1]
        message = None if scores is None else misfit(self._loss.of_scores, scores)
        if message:
            print(f"\nCapsuleHealth: {message}", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        seen, scores = self._watched.look(self.model)
        losses, gradients = self._loss.losses(scores), self._loss.gradients()
        figures = {}
        for name, found in seen.items():
            figures |= {f"{name}/{what}": value for what, value in complaints.shares(found).items()}
        figures |= {f"{name}/gradient": size for name, size in gradients.items()}
        figures |= {f"scores/{what}": value for what, value in losses.items()}
        if logs is not None:
            logs.update(figures)
        lines = [
            *complaints.of_capsules(self._watched.layers, seen),
            *complaints.of_gradients(gradients, losses.get("loss")),
            *self._no_gain(**losses),
        ]
        new = [line for line in lines if _subject(line) not in self._said]
        if new:
            self._said.add(_subject(new[0]))
            print(f"\nEpoch {epoch + 1}: {new[0]}", flush=True)

    def _no_gain(self, loss=0.0, constant_loss=np.inf):
        none = np.isfinite(loss) and loss >= NO_BETTER * constant_loss and self._loss.labels_vary
        self._epochs_without_gain = self._epochs_without_gain + 1 if none else 0
        if self._epochs_without_gain >= PATIENCE:
            yield complaints.of_scores(self._epochs_without_gain, loss, constant_loss)


def _few(arrays):
    """Returns at most 64 samples, evenly spaced."""

    def some(array):
        array = np.asarray(array)
        if len(array) > SAMPLES:
            array = array[np.linspace(0, len(array) - 1, SAMPLES).astype("int64")]
        if np.issubdtype(array.dtype, np.floating):
            array = array.astype(keras.config.floatx())
        return array

    return keras.tree.map_structure(some, arrays)


def _subject(line):
    """Returns a line without its numbers, which change from epoch to epoch."""
    return "".join(letter for letter in line if not letter.isdigit())

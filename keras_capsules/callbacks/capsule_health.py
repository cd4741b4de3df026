"""Watches during `model.fit` whether capsules live and gradients reach all layers."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_capsules.callbacks._complaints import complaints, of_constant_answer, shares
from keras_capsules.callbacks._watched_loss import WatchedLoss
from keras_capsules.callbacks._watched_model import WatchedModel
from keras_capsules.losses import CapsuleLoss

SAMPLES = 64
PATIENCE = 2  # Epochs.


class CapsuleHealth(keras.callbacks.Callback):
    """Watches a few samples, and says at the end of an epoch what is wrong and what to try.

    `dead = mean_j(max_x(a_j(x)) <= 0.01)`, `saturated = mean_j(min_x(a_j(x)) > 0.99)`,
    for the activations a of capsules j, with `a_j = length(v_j)` where they are not explicit

    These figures go into `logs`, and so into the history:

    * `<layer>/dead` and `<layer>/saturated` of each layer of capsules, as shares of its capsules.
      Lengths above one are not squashed, and never saturated.
    * `<layer>/coupling_entropy` of each routing, as `CouplingEntropy` measures it.
    * `<layer>/gradient`, with `y`: the size of the loss's gradient by all weights of a layer.
    * `scores/loss` and `scores/constant_loss`, with `y`: the loss of the scores, and of their mean
      over the samples as the answer for each of them. The scores are the output `scores`, or the
      only output.

    A line is printed, once in a `fit`, if half of the last layer's capsules or nearly all of
    another layer's are dead or saturated; if something is not finite; if no gradient reaches a
    layer; or if for two epochs the scores are no better than their mean. Only the first of several
    lines is printed, since the others often follow from it. Before the first epoch a warning is
    given if the scores of a `MarginLoss` or `SpreadLoss` are logits or a softmax over many classes.

    Everything is computed as in inference, so dropout is off and batch normalization uses its
    moving statistics. Each epoch costs one more prediction and one more gradient, of at most 64
    samples. A copy of the model is made, and compiled once in a `fit`.

    Keras shows the figures only to the callbacks that come later: put this one first, before
    `CSVLogger`, `TensorBoard` or `EarlyStopping`. The history always has them.

    Args:
        x: Array, or list or dictionary of arrays: samples as `model.fit` takes them. If there are
            more than 64, 64 of them are taken, evenly spaced.
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
        self._constant_epochs = 0
        scores = self._watched.look()[1]
        if scores is not None and isinstance(self._loss.of_scores, CapsuleLoss):
            self._loss.of_scores.warn_of_misfit(scores)

    def on_epoch_end(self, epoch, logs=None):
        seen, scores = self._watched.look()
        losses, gradients = self._loss.losses(scores), self._loss.gradients()
        figures = {}
        for name, found in seen.items():
            figures |= {f"{name}/{what}": value for what, value in shares(found).items()}
        figures |= {f"{name}/gradient": size for name, size in gradients.items()}
        figures |= {f"scores/{what}": value for what, value in losses.items()}
        if logs is not None:
            logs.update(figures)
        constant = self._loss.is_constant_answer(losses, scores)
        self._constant_epochs = self._constant_epochs + 1 if constant else 0
        found = list(complaints(self._watched.layers, seen, gradients, losses.get("loss")))
        if self._constant_epochs >= PATIENCE:
            found.append(of_constant_answer(self._constant_epochs, *losses.values()))
        for key, line in found[:1]:  # The others follow from it.
            if key not in self._said:
                print(f"\nEpoch {epoch + 1}: {line}", flush=True)
            self._said.add(key)

    def on_train_end(self, logs=None):
        del self._watched, self._loss


def _few(arrays):
    """Returns at most 64 samples, evenly spaced."""

    def some(array):
        array = ops.convert_to_numpy(array) if ops.is_tensor(array) else np.asarray(array)
        if len(array) > SAMPLES:
            array = array[np.linspace(0, len(array) - 1, SAMPLES).astype("int64")]
        if np.issubdtype(array.dtype, np.floating):
            array = array.astype(keras.config.floatx())
        return array

    return keras.tree.map_structure(some, arrays)

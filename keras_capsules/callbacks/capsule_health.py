"""Watches during `model.fit` whether capsules live and gradients reach all layers."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_capsules._gradients import gradient_norms
from keras_capsules._graph import layers_within
from keras_capsules.callbacks import _complaints as complaints
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
        self._said: set[str] = set()
        self._epochs_without_gain = 0
        self._gradients: Callable[[], dict[str, float]] | None = None
        self._train_function = None
        scores = self._watched.look(self.model)[1]
        loss, _ = self._loss_and_labels()
        if scores is not None and (message := misfit(loss, np.asarray(scores))):
            print(f"\nCapsuleHealth: {message}", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        seen, scores = self._watched.look(self.model)
        figures: dict[str, float] = {}
        for name, (activations, entropy) in seen.items():
            finite = bool(np.isfinite(activations).all())
            for what, measure in (("dead", complaints.dead), ("saturated", complaints.saturated)):
                figures[f"{name}/{what}"] = float(measure(activations).mean()) if finite else np.nan
            if entropy is not None:
                figures[f"{name}/coupling_entropy"] = entropy
        lines = list(complaints.of_capsules(self._watched.layers, seen))
        if self.y is not None:
            losses, gradients = self._losses(scores), self._gradient_sizes()
            figures |= {f"{name}/gradient": size for name, size in gradients.items()}
            figures |= losses
            lines += complaints.of_gradients(gradients, losses.get("scores/loss"))
            lines += self._no_gain(**{name.partition("/")[2]: x for name, x in losses.items()})
        if logs is not None:
            logs.update(figures)
        new = [line for line in lines if _subject(line) not in self._said]
        if new:
            self._said.add(_subject(new[0]))
            print(f"\nEpoch {epoch + 1}: {new[0]}", flush=True)

    def _loss_and_labels(self):
        """Returns the loss and the labels of the scores, or `None` for what is not known."""
        loss, y = self.model.loss, self.y
        several = isinstance(self.model.output, dict) and len(self.model.output) > 1
        for_scores = []
        for value in (loss, y):
            if isinstance(value, dict):
                first = None if several else next(iter(value.values()))
                value = value.get("scores", first)
            elif isinstance(value, (list, tuple)):
                value = value[0] if len(value) == 1 else None
            for_scores.append(value)
        return keras.losses.get(for_scores[0]), for_scores[1]

    def _losses(self, scores):
        loss, labels = self._loss_and_labels()
        if scores is None or loss is None or labels is None:
            return {}
        scores = np.asarray(scores, "float32")
        answers = {"loss": scores, "constant_loss": np.broadcast_to(scores.mean(0), scores.shape)}
        return {
            f"scores/{name}": float(np.mean(ops.convert_to_numpy(loss(labels, answer))))
            for name, answer in answers.items()
        }

    def _no_gain(self, loss=np.inf, constant_loss=0.0):
        _, labels = self._loss_and_labels()
        varies = labels is not None and bool((labels != labels[:1]).any())
        gain = not (varies and np.isfinite(loss) and loss >= NO_BETTER * constant_loss)
        self._epochs_without_gain = 0 if gain else self._epochs_without_gain + 1
        if self._epochs_without_gain >= PATIENCE:
            yield complaints.of_scores(self._epochs_without_gain, loss, constant_loss)

    def _gradient_sizes(self):
        # `SpreadMarginSchedule` makes the train function again when the loss has changed.
        if self._gradients is None or self._train_function is not self.model.train_function:
            self._gradients = _gradients_by_layer(self.model, self.x, self.y)
            self._train_function = self.model.train_function
        return self._gradients()


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


def _gradients_by_layer(model, x, y):
    x, y = (keras.tree.map_structure(ops.convert_to_tensor, part) for part in (x, y))
    weights = list(model.trainable_variables)
    positions = {id(weight): position for position, weight in enumerate(weights)}

    def loss():
        return model.compute_loss(x=x, y=y, y_pred=model(x, training=False))

    norms = gradient_norms(loss, weights, model.non_trainable_variables)
    layers = [layer for layer in layers_within(model) if layer.trainable_variables]

    def sizes():
        squares = np.square(norms().astype("float64"))
        return {
            layer.name: float(np.sqrt(sum(squares[positions[id(w)]] for w in of_layer)))
            for layer in layers
            if (of_layer := layer.trainable_variables)
        }

    return sizes


def _subject(line):
    """Returns a line without its numbers, which change from epoch to epoch."""
    return "".join(letter for letter in line if not letter.isdigit())

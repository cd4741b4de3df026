import warnings

import keras
import numpy as np
import pytest
from conftest import to_numpy

from keras_capsules import MarginLoss, SpreadLoss


def test_equation_4(generator):
    labels = (generator.uniform(size=(5, 4)) > 0.6).astype("float32")  # several may be present
    lengths = generator.uniform(size=(5, 4)).astype("float32")
    total = 0.0
    for n, k in np.ndindex(5, 4):
        if labels[n, k]:
            total += max(0, 0.9 - lengths[n, k]) ** 2
        else:
            total += 0.5 * max(0, lengths[n, k] - 0.1) ** 2
    np.testing.assert_allclose(to_numpy(MarginLoss()(labels, lengths)), total / 5, rtol=1e-5)


def test_margins_weight_and_config():
    loss = MarginLoss(positive_margin=0.8, negative_margin=0.2, negative_weight=2.0)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    value = to_numpy(again([[1.0, 0.0]], [[0.5, 0.5]]))
    np.testing.assert_allclose(value, 0.3**2 + 2 * 0.3**2, rtol=1e-5)


def test_spread_loss_equation_3(generator):
    right = generator.integers(4, size=6)
    scores = generator.uniform(size=(6, 4))
    total = 0.0
    for n, i in np.ndindex(6, 4):
        if i != right[n]:
            total += max(0, 0.7 - (scores[n, right[n]] - scores[n, i])) ** 2
    labels = np.eye(4)[right]
    value = SpreadLoss(margin=0.7)(labels, scores.astype("float32"))
    np.testing.assert_allclose(to_numpy(value), total / 6, rtol=1e-5)


def test_spread_loss_config():
    loss = SpreadLoss(margin=0.3, reduction="sum", name="spread")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert again.margin == 0.3


def test_spread_loss_refuses_margins_out_of_range():
    for margin in (0.0, -0.2, 1.5):
        with pytest.raises(ValueError, match=f"margin={margin}"):
            SpreadLoss(margin)


@pytest.mark.parametrize("loss", [MarginLoss(), SpreadLoss(0.7)])
def test_maps_of_pixels(generator, loss):
    """Numbers and one-hot maps say the same, and each pixel counts as a sample does, by weight."""
    numbers = generator.integers(3, size=(2, 4, 5))
    scores = generator.uniform(size=(2, 4, 5, 3)).astype("float32")
    weights = generator.uniform(size=(2, 4, 5)).astype("float32")
    total = 0.0
    for place in np.ndindex(2, 4, 5):
        pixel = to_numpy(loss(numbers[place][None], scores[place][None]))
        total += weights[place] * pixel / numbers.size
    for labels in (numbers, numbers[..., None], np.eye(3)[numbers]):
        found = to_numpy(loss(labels, scores, sample_weight=weights))
        np.testing.assert_allclose(found, total, rtol=1e-5)
    with pytest.raises(ValueError, match=r"height and width.*\(2, 4, 6\).*\(2, 4, 5, 3\)"):
        loss(np.zeros((2, 4, 6)), scores)
    with pytest.raises(ValueError, match="1 of 40 labels .* 0 to 2.*the label 3"):
        loss(np.where(np.arange(40).reshape(2, 4, 5) == 7, 3, numbers), scores)


def test_a_map_of_one_class(generator):
    present = generator.integers(2, size=(2, 4, 5))
    scores = generator.uniform(size=(2, 4, 5, 1)).astype("float32")
    lengths = scores[..., 0]
    expected = np.where(
        present, np.maximum(0.9 - lengths, 0) ** 2, 0.5 * np.maximum(lengths - 0.1, 0) ** 2
    )
    for labels in (present, present[..., None]):
        found = to_numpy(MarginLoss()(labels, scores))
        np.testing.assert_allclose(found, expected.mean(), rtol=1e-5)


LOGITS = np.array([[-2.0, 3.0], [0.5, 1.5]], "float32")
SOFTMAX = np.full((2, 20), 0.05, "float32")


@pytest.mark.parametrize("loss", [MarginLoss, SpreadLoss])
@pytest.mark.parametrize(("scores", "what"), [(LOGITS, "logits"), (SOFTMAX, "softmax")])
def test_scores_that_do_not_fit_are_told_once(loss, scores, what):
    loss, labels = loss(), np.eye(scores.shape[1])[:2]
    with pytest.warns(UserWarning, match=f"{loss.__class__.__name__}.*{what}.*CategoricalCross"):
        loss(labels, scores)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loss(labels, scores)


@pytest.mark.parametrize("loss", [MarginLoss, SpreadLoss])
@pytest.mark.parametrize(
    "scores", [[[0.0, 1.0]], [[0.5, 0.5]], [[0.9, 0.8]], [[1 / 20] * 19 + [0]]]
)
def test_scores_that_fit_are_not_told(loss, scores):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loss()(np.eye(len(scores[0]))[:1], np.array(scores, "float32"))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_when_training_tells_of_logits(run_eagerly, recwarn):
    """A compiled step of TensorFlow and JAX has no values."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(5.0)])
    model.compile("sgd", MarginLoss(), run_eagerly=run_eagerly)
    model.fit(LOGITS, np.eye(2, dtype="float32"), verbose=0)
    told = [warning for warning in recwarn if "MarginLoss" in str(warning.message)]
    assert len(told) == (run_eagerly or keras.backend.backend() == "torch")

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


def test_class_numbers_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="to_categorical.*y_true.shape"):
        MarginLoss()(np.array([[1], [0]], "float32"), np.ones((2, 4), "float32"))
    with pytest.raises(ValueError, match="num_classes"):
        MarginLoss()(np.array([0.0, 1.0]), np.array([0.2, 0.4]))


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


def test_spread_loss_refuses_class_numbers_and_margins_out_of_range():
    with pytest.raises(ValueError, match="SpreadLoss.*to_categorical.*y_true.shape"):
        SpreadLoss()(np.array([[1], [0]], "float32"), np.ones((2, 4), "float32"))
    for margin in (0.0, -0.2, 1.5):
        with pytest.raises(ValueError, match=f"margin={margin}"):
            SpreadLoss(margin)

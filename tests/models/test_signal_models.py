"""Networks for signals: parameters, masks, open lengths, training and files."""

import math

import keras
import numpy as np
import pytest
from conftest import SMALL_OF_TASK, once

from keras_capsules import create_model, list_models
from keras_capsules.models import default_loss

NAMES = list_models(task="signals")
SMALL = SMALL_OF_TASK["signals"]


@once
def test_they_have_as_many_parameters():
    def trainable(name):
        return sum(math.prod(w.shape) for w in create_model(name).trainable_weights)

    assert [create_model(name).count_params() for name in NAMES] == [37_321, 37_208, 37_340]
    for name in NAMES:
        assert trainable(name) == pytest.approx(trainable("signal_capsnet"), rel=0.01)


# Torch need not compile the models.
TORCH = keras.backend.backend() == "torch"


@pytest.mark.parametrize("name", NAMES if TORCH else ["signal_capsnet"])
def test_training_masks_and_file(generator, tmp_path, name):
    """Of masked series of an open length."""
    model = create_model(name, **SMALL | {"input_shape": (None, 2), "mask_value": 0.0})
    signals = generator.normal(size=(24, 24, 2)).astype("float32")
    signals[:12, :, 0] += 3
    signals[:, 12:] = 0
    labels = np.eye(3)[np.arange(24) // 12]
    model.compile(keras.optimizers.Adam(3e-3), default_loss(name))
    losses = model.fit(signals, labels, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    scores = model.predict(signals, verbose=0)
    assert scores.shape == (24, 3) and 0 <= scores.min() and scores.max() <= 1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # How many absent steps follow does not matter, but that they are absent does.
    longer = np.pad(signals, ((0, 0), (0, 8), (0, 0)))
    np.testing.assert_allclose(loaded.predict(longer, verbose=0), scores, atol=1e-5)
    assert np.abs(loaded.predict(longer + 1e-3, verbose=0) - scores).max() > 1e-3


@once
def test_features_and_a_fixed_length():
    shapes = {"signal_capsnet": (None, 5, 2, 8), "signal_cnn": (None, 10, 8)}
    for name, shape in (shapes | {"se_signal_net": (None, 10, 8)}).items():
        features = create_model(name, **SMALL, include_top=False)
        assert features.output_shape == shape and features.inputs[0].name == "signal"


@once
@pytest.mark.parametrize("name", NAMES)
def test_series_without_steps_are_refused(name):
    with pytest.raises(ValueError, match=r"one step or more.*input_shape=\(0, 3\)"):
        create_model(name, input_shape=(0, 3))
    with pytest.raises(ValueError, match="one step or more"):
        create_model(name, **SMALL | {"input_shape": (None, 2)})(np.ones((1, 0, 2)))
    with pytest.raises(ValueError, match=r"is \(length, channels\)"):
        create_model(name, input_shape=(10, 10, 3))

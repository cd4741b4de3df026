"""The decoder alone draws what the model draws, and what NumPy makes of its weights."""

import keras
import numpy as np
import pytest
from conftest import small_capsnet, to_numpy

import keras_capsules
from keras_capsules.explain import decoder_model


def test_the_decoder_of_a_model(generator, tmp_path):
    model = small_capsnet(with_decoder=True)
    decoder = decoder_model(model)
    assert decoder.input.name == "poses" and decoder.output_names == ["reconstruction"]
    poses = generator.normal(size=(3, 4, 6)).astype("float32")
    w1, b1, w2, b2 = (to_numpy(w) for w in model.get_layer("reconstruction").get_weights())
    hidden = np.maximum(poses.reshape(3, 24).astype("float64") @ w1 + b1, 0)
    expected = (1 / (1 + np.exp(-(hidden @ w2 + b2)))).reshape(3, 12, 12, 1)
    np.testing.assert_allclose(to_numpy(decoder(poses)), expected, atol=1e-5)

    model.save(tmp_path / "model.keras")
    decoder.save(tmp_path / "decoder.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for again in (decoder_model(loaded), keras.models.load_model(tmp_path / "decoder.keras")):
        np.testing.assert_allclose(to_numpy(again(poses)), to_numpy(decoder(poses)), atol=1e-6)
    assert model.get_layer("reconstruction").output.shape == (None, 12, 12, 1)  # Called once.


def test_a_model_of_ones_own(generator):
    """Its decoder, of another name, lies in a model inside."""
    poses = keras.Input((2, 3))
    draw = keras_capsules.ReconstructionDecoder((4, 4, 1), units=(), name="draw")
    inner = keras.Model(poses, draw(poses))
    model = keras.Sequential([keras.Input((6,)), keras.layers.Reshape((2, 3)), inner])
    x = generator.normal(size=(2, 6)).astype("float32")
    decoder = decoder_model(model)
    assert decoder.output_names == ["reconstruction"]
    np.testing.assert_allclose(to_numpy(decoder(x.reshape(2, 2, 3))), to_numpy(model(x)), atol=1e-6)


def test_no_decoder():
    with pytest.raises(ValueError, match="'capsnet' with 0 of them"):
        decoder_model(small_capsnet())

"""Files that commit c3658b0 saved load, and predict what they predicted there."""

import keras
import numpy as np
import pytest
from conftest import ROOT

import keras_capsules

FOLDER = ROOT / "tests/fixtures"


@pytest.fixture(scope="module")
def predictions():
    with np.load(FOLDER / "predictions.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ["capsules", "variational_capsnet"])
def test_saved_models(name, predictions):
    model = keras.saving.load_model(FOLDER / f"{name}.keras", compile=False)
    outputs = model.predict(predictions[f"{name}_inputs"], verbose=0)
    np.testing.assert_allclose(outputs, predictions[f"{name}_outputs"], rtol=1e-4, atol=1e-5)


def test_saved_weights(predictions):
    model = keras_capsules.create_model("se_resnet20", size="tiny", attention="gc")
    model.load_weights(FOLDER / "se_resnet20.weights.h5")
    outputs = model.predict(predictions["se_resnet20_inputs"], verbose=0)
    np.testing.assert_allclose(outputs, predictions["se_resnet20_outputs"], rtol=1e-4, atol=1e-5)

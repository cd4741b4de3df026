"""What TensorFlow saves loads in a fresh process under each backend, what these save under it."""

import keras
import numpy as np
import pytest
from conftest import BACKENDS, run_python, small_capsnet

import keras_capsules

READERS = BACKENDS if keras.backend.backend() == "tensorflow" else ["tensorflow"]
PREDICT = """
import sys
import numpy as np
import keras_capsules
import keras
model = keras.models.load_model(sys.argv[1])
images = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(images, verbose=0))
model.compile("adam", keras_capsules.MarginLoss())
labels = np.eye(4)[np.arange(len(images)) % 4]
losses = model.fit(images, labels, epochs=3, verbose=0).history["loss"]
assert losses[-1] < losses[0]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(3)
    image = keras.Input((12, 12, 1), name="image")
    capsnet = small_capsnet()
    x = keras.layers.Conv2D(8, 3, padding="same")(image)
    x = keras_capsules.SqueezeExcitation(4)(x)
    x = keras.layers.Conv2D(1, 1)(x)
    model = keras.Model(image, capsnet(x))
    model.compile("adam", keras_capsules.MarginLoss(), metrics=["accuracy"])
    images = np.random.default_rng(0).uniform(size=(9, 12, 12, 1)).astype("float32")
    model.fit(images, np.eye(4)[np.arange(9) % 4], epochs=2, verbose=0)
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images)
    return folder, model.predict(images, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", READERS)
def test_a_fresh_process_predicts_the_same(trained, backend):
    folder, expected = trained
    found = folder / f"{backend}.npy"
    run_python("-c", PREDICT, folder / "model.keras", folder / "images.npy", found, backend=backend)
    np.testing.assert_allclose(np.load(found), expected, atol=1e-5)


def test_layer_weights_keep_their_names():
    """These names are paths in files that people have saved."""
    model = small_capsnet(with_decoder=True)
    layer = keras_capsules.CapsuleLayer(3, 4, use_bias=True)
    layer.build((None, 6, 5))
    assert [weight.path for weight in layer.weights] == [
        f"{layer.name}/kernel",
        f"{layer.name}/bias",
    ]
    assert {weight.path for weight in model.weights} == {
        "convolution/kernel",
        "convolution/bias",
        "primary_capsules/convolution/kernel",
        "primary_capsules/convolution/bias",
        "class_capsules/kernel",
        "reconstruction/dense_1/kernel",
        "reconstruction/dense_1/bias",
        "reconstruction/dense_2/kernel",
        "reconstruction/dense_2/bias",
    }

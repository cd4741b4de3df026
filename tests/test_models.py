import math

import keras
import numpy as np
import pytest
from conftest import small_capsnet

import keras_capsules
from keras_capsules import create_model, list_models

SMALL = {
    "capsnet": {"input_shape": (12, 12, 1), "filters": 8, "kernel_size": 3}
    | {"primary_capsules": 2, "primary_kernel_size": 3, "num_classes": 3},
    "cnn_baseline": {
        "input_shape": (12, 12, 1),
        "filters": (4, 4),
        "units": (8,),
        "num_classes": 3,
    },
    "efficient_capsnet": {"input_shape": (12, 12, 1), "filters": (8, 8), "num_classes": 3}
    | {"kernel_sizes": (3, 3), "strides": (1, 2), "primary_capsules": 2},
    "se_resnet20": {"input_shape": (12, 12, 1), "filters": (4, 8), "blocks": 1, "num_classes": 3},
}


def test_every_model_is_tested_small():
    assert set(SMALL) == set(list_models())


def test_parameters_of_the_papers_sizes():
    assert create_model("capsnet").count_params() == 6_804_224
    with_decoder = create_model("capsnet", with_decoder=True)
    assert with_decoder.count_params() == 8_215_568
    classifier = keras.Model(with_decoder.input["image"], with_decoder.output["scores"])
    assert classifier.count_params() == 6_804_224
    assert create_model("cnn_baseline").count_params() == 35_445_522
    weights = create_model("efficient_capsnet").trainable_weights
    assert sum(math.prod(weight.shape) for weight in weights) == 161_824


def test_parameters_of_se_resnet20():
    def normalized(kernel_size, width_in, width):
        return kernel_size**2 * width_in * width + 4 * width

    expected, width_in = normalized(3, 3, 16), 16
    for width in (16, 32, 64):
        for _ in range(3):
            expected += normalized(3, width_in, width) + normalized(3, width, width)
            expected += normalized(1, width_in, width) * (width_in != width)
            expected += 2 * width * (width // 16) + width // 16 + width
            width_in = width
    assert create_model("se_resnet20").count_params() == expected + 64 * 10 + 10


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_step_lowers_the_loss(generator, name):
    model = create_model(name, **SMALL[name])
    assert model.output_names == ["scores"] and model.inputs[0].name == "image"
    images = generator.uniform(size=(24, 12, 12, 1)).astype("float32")
    images[:12, :6] = 0
    labels = keras.utils.to_categorical([0] * 12 + [1] * 12, 3)
    loss = keras_capsules.MarginLoss() if "caps" in name else "categorical_crossentropy"
    model.compile(keras.optimizers.Adam(3e-3), loss)
    losses = model.fit(images, labels, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    scores = model.predict(images[:5], verbose=0)
    assert scores.shape == (5, 3) and 0 <= scores.min() and scores.max() <= 1


@pytest.mark.parametrize("name", ["capsnet", "efficient_capsnet"])
def test_a_decoder_trains_and_reconstructs_the_labelled_capsule(generator, name):
    sizes = SMALL[name] | {"num_classes": 4, "decoder_units": (16,)}
    model = create_model(name, with_decoder=True, **sizes)
    model.compile(
        keras.optimizers.Adam(3e-3),
        loss={"scores": keras_capsules.MarginLoss(), "reconstruction": "mse"},
        loss_weights={"scores": 1.0, "reconstruction": 0.392},
    )
    images = generator.uniform(size=(16, 12, 12, 1)).astype("float32")
    labels = np.eye(4, dtype="float32")[np.arange(16) % 4]
    inputs = {"image": images, "label": labels}
    targets = {"scores": labels, "reconstruction": images}
    losses = model.fit(inputs, targets, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    outputs = [
        model.predict({"image": images, "label": other}, verbose=0)
        for other in (labels, labels[::-1])
    ]
    assert outputs[0]["reconstruction"].shape == images.shape
    np.testing.assert_array_equal(outputs[0]["scores"], outputs[1]["scores"])
    assert np.abs(outputs[0]["reconstruction"] - outputs[1]["reconstruction"]).max() > 0


def test_the_routing_is_one_word():
    model = small_capsnet(routing="uniform")
    assert isinstance(model.get_layer("class_capsules").routing, keras_capsules.UniformRouting)


def test_weights_from_a_file(tmp_path, generator):
    images = generator.uniform(size=(2, 12, 12, 1)).astype("float32")
    model = create_model("cnn_baseline", **SMALL["cnn_baseline"])
    model.save_weights(tmp_path / "model.weights.h5")
    again = create_model(
        "cnn_baseline", weights=str(tmp_path / "model.weights.h5"), **SMALL["cnn_baseline"]
    )
    np.testing.assert_array_equal(*(m.predict(images, verbose=0) for m in (model, again)))


def test_names_and_patterns():
    assert list_models("*caps*") == ["capsnet", "efficient_capsnet"]
    assert list_models("se_*") == ["se_resnet20"]
    with pytest.raises(ValueError, match="capsnet, cnn_baseline, .*'capsnets'"):
        create_model("capsnets")

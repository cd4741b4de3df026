import math

import keras
import numpy as np
import pytest
from conftest import SMALL, once, small_capsnet

import keras_capsules
from keras_capsules import create_model, list_models
from keras_capsules.models import default_loss

SAME_AS_SE_RESNET20 = {"se_resnet32", "se_resnet56"}  # Where `blocks` is given.


def trainable(name, **options):
    weights = create_model(name, **options).trainable_weights
    return sum(math.prod(weight.shape) for weight in weights)


@pytest.mark.slow
@once
def test_parameters_of_the_papers_sizes():
    assert create_model("capsnet").count_params() == 6_804_224
    with_decoder = create_model("capsnet", with_decoder=True)
    assert with_decoder.count_params() == 8_215_568
    classifier = keras.Model(with_decoder.input["image"], with_decoder.output["scores"])
    assert classifier.count_params() == 6_804_224
    assert create_model("cnn_baseline").count_params() == 35_445_522
    assert trainable("efficient_capsnet") == 161_824
    assert abs(trainable("se_capsnet") / 161_824 - 1) < 0.01
    # The paper says 310K, and 68K of the smaller.
    assert trainable("matrix_capsnet") == 316_010
    small = {"filters": 64, "primary_capsules": 8, "conv_capsules": (16, 16)}
    assert trainable("matrix_capsnet", **small) == 67_114
    # As in the authors' code; in the second 512 more, in the third 2,752 more.
    assert trainable("variational_capsnet") == 68_714
    assert trainable("inverted_capsnet") == 1_828_817 + 512
    assert trainable("self_routing_capsnet") == 931_664 + 2_752
    assert trainable("deepcaps") == 8_441_920
    assert trainable("deepcaps", input_shape=(64, 64, 3)) == 13_359_424


@once
@pytest.mark.parametrize("name, blocks", [("20", 3), ("32", 5), ("56", 9)])
def test_parameters_of_the_small_se_resnets(name, blocks):
    def normalized(kernel_size, width_in, width):
        return kernel_size**2 * width_in * width + 4 * width

    expected, width_in = normalized(3, 3, 16), 16
    for width in (16, 32, 64):
        for _ in range(blocks):
            expected += normalized(3, width_in, width) + normalized(3, width, width)
            expected += normalized(1, width_in, width) * (width_in != width)
            expected += 2 * width * (width // 16) + width // 16 + width
            width_in = width
    assert create_model(f"se_resnet{name}").count_params() == expected + 64 * 10 + 10


@pytest.mark.slow
@once
def test_parameters_of_se_resnet50():
    """Counted as PyTorch does, without moving statistics; with biases."""
    get = keras_capsules.attention.get

    def parameters(attention):
        weights = create_model("se_resnet50", attention=attention).trainable_weights
        return sum(math.prod(weight.shape) for weight in weights)

    assert parameters(None) == 25_557_032
    assert parameters("se") == 28_088_024
    assert parameters(get("se", use_bias=False)) == 28_071_976
    for ratio, millions in ((2, 45.70), (4, 35.64), (8, 30.60), (32, 26.83)):
        assert round(parameters(get("se", reduction_ratio=ratio)) / 1e6, 2) == millions


@once
def test_se_resnet50_strides_in_the_first_convolution_of_a_stage():
    model = create_model("se_resnet50", **SMALL | {"input_shape": (32, 32, 3)})
    sizes = {
        layer.name: layer.output.shape[1]
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert sizes == {
        "stem_convolution": 16,
        **dict.fromkeys([f"stage_1_block_1_{part}_convolution" for part in (1, 2, 3)], 8),
        **dict.fromkeys([f"stage_2_block_1_{part}_convolution" for part in (1, 2, 3)], 4),
        "stage_1_block_1_shortcut_convolution": 8,
        "stage_2_block_1_shortcut_convolution": 4,
    }


@once
@pytest.mark.parametrize("attention", sorted(keras_capsules.attention.ATTENTIONS))
def test_the_attention_is_one_word(attention):
    model = create_model("se_resnet20", attention=attention, **SMALL)
    block = model.get_layer(f"stage_1_block_1_{attention}")
    assert type(block) is keras_capsules.attention.ATTENTIONS[attention]
    assert model.get_layer("stage_1_block_1_add").input[0] is block.output


def test_the_attention_may_be_a_config_or_a_prototype():
    prototype = keras_capsules.attention.get("se", reduction_ratio=2)
    for attention in (prototype, keras.saving.serialize_keras_object(prototype)):
        model = create_model("se_resnet20", attention=attention, **SMALL)
        blocks = [model.get_layer(f"stage_{stage}_block_1_se") for stage in (1, 2)]
        assert [block.reduction_ratio for block in blocks] == [2, 2]
        assert blocks[0] is not blocks[1] and prototype not in blocks and not prototype.built
    with pytest.raises(ValueError, match="Unknown attention"):
        create_model("se_resnet20", attention="sea")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(list_models(task="images")) - SAME_AS_SE_RESNET20))
def test_a_step_lowers_the_loss(generator, name):
    model = create_model(name, **SMALL)
    assert model.output_names == ["scores"] and model.inputs[0].name == "image"
    images = generator.uniform(size=(24, 12, 12, 1)).astype("float32")
    images[:12, :6] = 0
    labels = keras.utils.to_categorical([0] * 12 + [1] * 12, 3)
    model.compile(keras.optimizers.Adam(3e-3), default_loss(name))
    losses = model.fit(images, labels, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    scores = model.predict(images[:5], verbose=0)
    assert scores.shape == (5, 3) and 0 <= scores.min() and scores.max() <= 1


def test_each_model_names_its_loss():
    losses = {name: type(default_loss(name)).__name__ for name in list_models()}
    assert losses["deepcaps"] == losses["efficient_capsnet"] == "MarginLoss"
    for name in ("matrix_capsnet", "se_resnet20", "variational_capsnet"):
        assert losses[name] == "CategoricalCrossentropy"
    assert default_loss("capsnet") is not default_loss("capsnet")
    with pytest.raises(ValueError, match="Known ones: capsnet.*Received: model='capsnets'"):
        default_loss("capsnets")


@once
@pytest.mark.parametrize("name", ["deepcaps", "efficient_capsnet", "se_resnet20"])
def test_inference_follows_fifty_steps_of_training(generator, name):
    model = create_model(name, **SMALL)
    images = 10 * generator.uniform(size=(64, 12, 12, 1)).astype("float32")
    far = abs(model(images, training=True) - model(images)).numpy().max()
    for _ in range(50):
        trained = model(images, training=True)
    near = abs(trained - model(images)).numpy().max()
    assert near < far / 5


@once
def test_variational_kernels_start_as_in_the_authors_code():
    model = create_model("variational_capsnet", input_shape=(28, 28, 1), num_classes=10)
    for name, children, parents, window in (
        ("convolutional_capsules_1", 8, 16, 9),
        ("convolutional_capsules_2", 16, 16, 9),
        ("class_capsules", 16, 10, 1),
    ):
        deviation = float(np.std(model.get_layer(name).get_weights()[0]))
        expected = math.sqrt(2 / ((children + parents) * window * 16))
        assert deviation == pytest.approx(expected, rel=0.05), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["capsnet", "deepcaps", "efficient_capsnet"])
def test_a_decoder_trains_and_reconstructs_the_labelled_capsule(generator, name):
    sizes = SMALL | {"num_classes": 4, "decoder_units": (16,)}
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
    model = create_model("cnn_baseline", **SMALL)
    model.save_weights(tmp_path / "model.weights.h5")
    again = create_model("cnn_baseline", weights=str(tmp_path / "model.weights.h5"), **SMALL)
    np.testing.assert_array_equal(*(m.predict(images, verbose=0) for m in (model, again)))


def test_names_and_patterns():
    assert list_models("*caps*") == [
        "capsnet",
        "deepcaps",
        "efficient_capsnet",
        "inverted_capsnet",
        "matrix_capsnet",
        "se_capsnet",
        "segcaps",
        "self_routing_capsnet",
        "signal_capsnet",
        "variational_capsnet",
    ]
    assert list_models(task="segmentation") == ["se_unet", "segcaps", "unet"]
    assert list_models("signal*", task="signals") == ["signal_capsnet", "signal_cnn"]
    with pytest.raises(ValueError, match="`task` must be one of.*'signal'"):
        list_models(task="signal")
    names = ["se_resnet20", "se_resnet32", "se_resnet50", "se_resnet56"]
    assert list_models("se_res*") == names
    with pytest.raises(ValueError, match="capsnet, cnn_baseline, .*'capsnets'"):
        create_model("capsnets")


@pytest.mark.parametrize("name", ["capsnet", "deepcaps", "efficient_capsnet", "se_capsnet"])
def test_routings_with_explicit_activations_are_refused(name):
    with pytest.raises(ValueError, match="explicit activations instead"):
        create_model(name, **SMALL, routing="em")


@pytest.mark.parametrize("shape", [(3, 3, 1), (None, None, 1), (16,)])
@pytest.mark.parametrize("name", ["capsnet", "matrix_capsnet", "variational_capsnet", "deepcaps"])
def test_sizes_that_a_model_cannot_have_name_the_parameter(name, shape):
    if (name, shape) == ("deepcaps", (3, 3, 1)):
        shape = (3, 3)
    with pytest.raises(ValueError, match="input_shape"):
        keras_capsules.create_model(name, input_shape=shape)

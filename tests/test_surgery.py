import keras
import numpy as np
import pytest
from conftest import once, run_python, to_numpy
from keras import layers
from reference import attention as reference

import export
from keras_capsules import SqueezeExcitation, attention, insert_attention

PREDICT = """
import sys
import numpy as np
import keras_capsules
import keras
model = keras.models.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def residual(shortcut_first=True, shortcut="projection"):
    """A stem and a residual block."""
    image = keras.Input((6, 6, 3), name="image")
    stem = x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    for part in ("a", "b"):
        x = layers.Conv2D(4, 3, padding="same", name=part)(x)
        x = layers.BatchNormalization(name=f"{part}_bn")(x)
    if shortcut == "projection":
        stem = layers.Conv2D(4, 1, name="shortcut")(stem)
        stem = layers.BatchNormalization(name="shortcut_bn")(stem)
    inputs = [stem, x] if shortcut_first else [x, stem]
    x = layers.Add(name="add")(inputs)
    return keras.Model(image, layers.ReLU(name="relu")(x), name="residual")


def inserted(model, copy):
    """Names of the layers that the copy has and the model has not."""
    names = {layer.name for layer in model.layers}
    assert names <= {layer.name for layer in copy.layers}
    return [layer.name for layer in copy.layers if layer.name not in names]


def inputs_of(layer):
    """The layers whose outputs a layer takes, from the saved form of the graph."""
    return [x["config"]["keras_history"][0] for x in _keras_tensors(layer)]


def _keras_tensors(node):
    if isinstance(node, dict):
        found = [node] if node.get("class_name") == "__keras_tensor__" else []
        return found + [x for value in node.values() for x in _keras_tensors(value)]
    if isinstance(node, (list, tuple)):
        return [x for value in node for x in _keras_tensors(value)]
    return []


def edges(model):
    return {
        layer["name"]: inputs_of(layer["inbound_nodes"]) for layer in model.get_config()["layers"]
    }


def assert_kept(model, copy):
    for layer in model.layers:
        again = copy.get_layer(layer.name)
        assert again is not layer and again.trainable == layer.trainable
        for old, new in zip(layer.get_weights(), again.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def perturb(layer, generator):
    for weight in layer.weights:
        weight.assign(weight + generator.uniform(0.01, 0.2, size=weight.shape))


@pytest.mark.parametrize(
    "shortcut_first, shortcut", [(True, "identity"), (False, "identity"), (False, "projection")]
)
def test_values_of_a_residual_block(generator, shortcut_first, shortcut):
    """Against the two branches of the old model and an independent squeeze-and-excitation."""
    model = residual(shortcut_first, shortcut)
    perturb(model, generator)
    before = model.get_weights()
    copy = insert_attention(model, attention.get("se", reduction_ratio=2))
    assert inserted(model, copy) == ["b_bn_se"]
    assert_kept(model, copy)
    perturb(copy.get_layer("b_bn_se"), generator)
    stem = "stem" if shortcut == "identity" else "shortcut_bn"
    branches = [model.get_layer(name).output for name in (stem, "b_bn")]
    image = generator.normal(size=(3, 6, 6, 3)).astype("float32")
    stem, branch = keras.Model(model.input, branches).predict_on_batch(image)
    weights = copy.get_layer("b_bn_se").weights
    weights = {"/".join(w.path.split("/")[-2:]): to_numpy(w.value) for w in weights}
    expected = reference.relu(stem + reference.se(branch, weights)[0])
    np.testing.assert_allclose(copy.predict_on_batch(image), expected, atol=1e-5)
    for weight in copy.weights:
        weight.assign(weight + 1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_training_reaches_the_blocks(generator):
    model = residual()
    copy = insert_attention(model, attention.get("se", reduction_ratio=1))
    copy.compile(keras.optimizers.SGD(0.1), "mse")
    before = [to_numpy(weight.value) for weight in copy.trainable_weights]
    image = generator.normal(size=(8, 6, 6, 3)).astype("float32")
    target = generator.normal(size=(8, 6, 6, 4)).astype("float32")
    first, last = copy.train_on_batch(image, target), copy.train_on_batch(image, target)
    assert last < first
    block = copy.get_layer("b_bn_se")
    assert len(block.trainable_weights) == 4
    for weight, old in zip(copy.trainable_weights, before, strict=True):
        if weight.path.startswith("b_bn_se/"):
            assert np.abs(to_numpy(weight.value) - old).max() > 0, weight.path


@once
@pytest.mark.parametrize(
    "after, names",
    [
        (layers.Conv2D, ["stem_se", "a_se", "b_se", "shortcut_se"]),
        ("Conv2D", ["stem_se", "a_se", "b_se", "shortcut_se"]),
        ("?_bn", ["a_bn_se", "b_bn_se"]),
        (lambda layer: layer.name in ("stem", "relu"), ["stem_se", "relu_se"]),
    ],
)
def test_places(after, names):
    model = residual()
    copy = insert_attention(model, after=after)
    assert sorted(inserted(model, copy)) == sorted(names)
    graph = edges(copy)
    for name in names:
        assert graph[name] == [name.removesuffix("_se")]
        followers = {key for key, inputs in edges(model).items() if graph[name][0] in inputs}
        assert {key for key, inputs in graph.items() if name in inputs} == followers


@once
def test_the_residual_rule_weighs_the_edge_into_the_addition_only():
    image = keras.Input((6, 6, 3))  # Its layer has a name of its own, unlike the tensor.
    stem = layers.Conv2D(4, 3, name="stem")(image)
    branch = layers.Conv2D(4, 3, padding="same", name="branch")(stem)
    model = keras.Model(image, [layers.Add(name="add")([branch, stem]), branch])
    copy = insert_attention(model)
    assert edges(copy)["add"] == ["branch_se", "stem"]
    assert copy.output_names == ["add", "branch"] == model.output_names
    followed = insert_attention(model, after="branch")
    assert followed.output_names == ["add", "branch_se"]
    operation = keras.Model(image, branch + stem)
    assert inserted(operation, insert_attention(operation)) == ["branch_se"]


@once
def test_blocks_that_are_models(generator):
    """A nested model counts by its layers, is copied as well, and gets its own blocks."""
    image = keras.Input((6, 6, 3), name="image")
    branch = keras.Sequential([layers.Conv2D(4, 3, padding="same", name=f"c{i}") for i in range(3)])
    x = layers.Conv2D(4, 1, name="short")(image)
    x = layers.BatchNormalization(name="short_bn")(x)
    model = keras.Model(image, layers.Add(name="add")([branch(image), x]))
    copy = insert_attention(model)
    assert inserted(model, copy) == [f"{branch.name}_se"]
    assert_kept(model, copy)
    nested = keras.Sequential([keras.Input((6, 6, 3)), residual(), layers.Flatten()])
    copy = insert_attention(nested)
    inner = copy.get_layer("residual")
    assert inserted(nested.get_layer("residual"), inner) == ["b_bn_se"]
    assert_kept(nested.get_layer("residual"), inner)
    for weight in inner.get_layer("b_bn_se").weights:  # Gates of one: as the old model.
        weight.assign(np.full(weight.shape, 40.0 if weight.path.endswith("excite/bias") else 0.0))
    image = generator.normal(size=(2, 6, 6, 3)).astype("float32")
    old, new = nested.predict_on_batch(image), copy.predict_on_batch(image)
    np.testing.assert_allclose(new, old, atol=1e-5)


@once
def test_a_block_takes_dtype_and_data_format_of_its_place():
    image = keras.Input((3, 6, 6), name="image")
    options = {"padding": "same", "data_format": "channels_first"}
    stem = layers.Conv2D(4, 3, dtype="mixed_float16", name="stem", **options)(image)
    x = layers.BatchNormalization(axis=1, dtype="mixed_float16", name="bn")(stem)
    model = keras.Model(image, layers.Add(name="add")([stem, x]))
    model.get_layer("stem").trainable = False
    prototype = SqueezeExcitation(2, use_bias=False, data_format="channels_last", name="mine")
    copy = insert_attention(model, prototype)
    block = copy.get_layer("bn_se")
    assert block is not prototype and not prototype.built and block.reduction_ratio == 2
    assert block.dtype_policy.name == "mixed_float16" and block.data_format == "channels_first"
    assert block.output.dtype == "float16" and block.reduce.kernel.shape == (1, 1, 4, 2)
    assert block.trainable
    assert_kept(model, copy)
    assert copy.get_layer("stem").dtype_policy.name == "mixed_float16"


@once
def test_structures_and_names_of_inputs_and_outputs_stay(generator):
    inputs = {key: keras.Input((6, 6, 3), name=key) for key in ("left", "right")}
    x = layers.Conv2D(4, 3, name="stem")(inputs["left"])
    x = layers.Add(name="add")([x, layers.Conv2D(4, 1, name="conv")(x)])
    both = layers.Concatenate(name="both")([x, layers.Conv2D(1, 3, name="small")(inputs["right"])])
    model = keras.Model(inputs, {"z": both, "a": x}, name="several")
    copy = insert_attention(model, "simam")
    assert copy.name == "several" and inserted(model, copy) == ["conv_simam"]
    images = {key: generator.normal(size=(2, 6, 6, 3)).astype("float32") for key in inputs}
    outputs = copy(images)
    assert list(outputs) == list(model(images)) and outputs["z"].shape == (2, 4, 4, 5)
    assert copy.output_names == model.output_names
    assert [layer.name for layer in copy.layers[:2]] == [layer.name for layer in model.layers[:2]]


@once
def test_masks_reach_the_blocks(generator):
    sequence = keras.Input((None, 3), name="sequence")
    x = layers.Dense(4, name="dense")(layers.Masking()(sequence))
    copy = insert_attention(keras.Model(sequence, x), "se", after="dense")
    steps = generator.normal(size=(2, 5, 3)).astype("float32")
    steps[:, 3:] = 0  # Masked; the bias of the layer makes other values of them.
    perturb(copy, generator)
    whole, present = copy.predict_on_batch(steps), copy.predict_on_batch(steps[:, :3])
    np.testing.assert_allclose(whole[:, :3], present, atol=1e-6)


@once
def test_adapted_layers_and_a_second_insertion(generator):
    images = generator.normal(3.0, 2.0, size=(4, 6, 6, 3)).astype("float32")
    normalization = layers.Normalization(name="normalize")
    normalization.adapt(images)
    model = keras.Sequential([keras.Input((6, 6, 3)), normalization, layers.ReLU(name="relu")])
    copy = insert_attention(model, "se", after="relu")
    assert_kept(model, copy)
    features = keras.Model(copy.input, copy.get_layer("relu").output)
    np.testing.assert_array_equal(features(images), model(images))
    again = insert_attention(copy, "se", after="relu")
    assert [layer.name for layer in again.layers][-2:] == ["relu_2_se", "relu_se"]


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


class Pair(layers.Layer):
    def call(self, inputs):
        return inputs, inputs


def with_layers(*stack, shape=(6, 6, 3)):
    image = x = keras.Input(shape, name="image")
    for layer in stack:
        x = layer(x)
    return keras.Model(image, x)


@once
def test_refusals():
    convolution = layers.Conv2D(3, 3, padding="same", name="shared")
    cases = [
        (Subclassed(), None, "subclassed model .* Subclassed"),
        (keras.Sequential([layers.Dense(3)]), None, "no shapes yet. .*keras.Input"),
        (with_layers(convolution, convolution), "shared", "'shared' more than once"),
        (
            with_layers(layers.Conv2D(3, 3, name="only")),
            None,
            "no addition .*`after`.* image, only",
        ),
        (residual(), "nothing*", r"no such layer.* image, stem, .*after='nothing\*'"),
        (residual(), 3, "`after` must be .*after=3"),
        (with_layers(Pair(name="pair")), "pair", "'pair' has several outputs"),
        (with_layers(layers.Flatten(name="flat")), "flat", r"follow .*'flat'.*\(None, 108\)"),
    ]
    for model, after, message in cases:
        with pytest.raises(ValueError, match=message):
            insert_attention(model, after=after)
    with pytest.raises(ValueError, match="Unknown attention"):
        insert_attention(residual(), "sea")


@once
def test_additions_that_are_no_residual_blocks():
    left, right = keras.Input((6, 6, 3)), keras.Input((6, 6, 3))
    convolution = layers.Conv2D(3, 1)
    apart = keras.Model([left, right], layers.Add()([convolution(left), right]))
    same = layers.Add()([layers.Conv2D(3, 1)(left), layers.Conv2D(3, 1)(left)])
    three = layers.Add()([layers.ReLU()(left), left, left])
    wide = layers.Add()([layers.AveragePooling2D(6)(left), left])
    for model in (apart, *(keras.Model(left, x) for x in (same, three, wide))):
        with pytest.raises(ValueError, match="no addition"):
            insert_attention(model)


@pytest.mark.slow
@once
def test_resnet50():
    """The count of SE-ResNet-50 is PyTorch's: without moving statistics and convolutions' biases.

    Keras counts the former and its ResNet-50 has the latter.
    """
    model = keras.applications.ResNet50(weights=None)
    copy = insert_attention(model, "se")
    blocks = [copy.get_layer(name) for name in inserted(model, copy)]
    assert [block.name for block in blocks] == [
        f"conv{stage}_block{number}_3_bn_se"
        for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3))
        for number in range(1, count + 1)
    ]
    added = sum(2 * c * c // 16 + c // 16 + c for c in (256,) * 3 + (512,) * 4 + (1024,) * 6)
    added += 3 * (2 * 2048 * 2048 // 16 + 2048 // 16 + 2048)
    assert sum(block.count_params() for block in blocks) == added == 28_088_024 - 25_557_032
    biases = [layer.bias for layer in model.layers if isinstance(layer, layers.Conv2D)]
    statistics = model.non_trainable_weights
    extra = sum(int(np.prod(weight.shape)) for weight in biases + statistics)
    assert model.count_params() == 25_557_032 + extra
    assert copy.count_params() == 28_088_024 + extra == 28_167_704
    assert_kept(model, copy)
    assert edges(copy)["conv2_block1_add"] == ["conv2_block1_0_bn", "conv2_block1_3_bn_se"]


@pytest.mark.slow
@once
@pytest.mark.parametrize(
    "build, places, first",
    [
        (keras.applications.MobileNetV2, 10, "block_2_project_BN_eca"),
        (keras.applications.MobileNetV3Small, 6, "expanded_conv_2_project_bn_eca"),
        (keras.applications.EfficientNetB0, 9, "block2b_drop_eca"),
    ],
)
def test_mobile_networks(generator, build, places, first):
    model = build(input_shape=(32, 32, 3), weights=None, classes=4)
    copy = insert_attention(model, "eca")
    names = inserted(model, copy)
    assert len(names) == places and names[0] == first
    assert_kept(model, copy)
    scores = copy(generator.uniform(size=(2, 32, 32, 3)).astype("float32"))
    np.testing.assert_allclose(np.sum(scores, axis=1), 1, atol=1e-5)


@pytest.mark.slow
@once
def test_saving_and_exporting(tmp_path, generator):
    model = insert_attention(residual(), "se")
    perturb(model, generator)
    image = generator.normal(size=(2, 6, 6, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "image.npy", image)
    paths = [tmp_path / name for name in ("model.keras", "image.npy", "output.npy")]
    run_python("-c", PREDICT, *paths)
    np.testing.assert_allclose(np.load(paths[2]), model(image), atol=1e-6)
    assert export.export_onnx(model, tmp_path / "model.onnx").passed

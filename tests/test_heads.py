"""Heads on any backbone: they start at any scale of features, come back, and are alike large."""

import keras
import numpy as np
import pytest
from conftest import once, once_under_torch
from keras import layers

import keras_capsules
from keras_capsules import MarginLoss, add_head
from keras_capsules.routing import ROUTINGS, get

HEADS = ("capsules", "squeeze_excitation", "pooling")
SCALES = (1e-3, 1.0, 1e3)
CLASSES, SAMPLES = 3, 24


@keras.saving.register_keras_serializable(package="tests")
class Scaled(layers.Layer):
    """Multiplies features by a number that a test sets."""

    def build(self, shape):
        self.supports_masking = True
        self.scale = self.add_weight(initializer="ones", trainable=False, name="scale")

    def call(self, inputs):
        return inputs * self.scale

    def compute_output_shape(self, shape):
        return shape


def convolutional(shape=(8, 8, 3), strides=1):
    image = keras.Input(shape)
    x = layers.Conv2D(12, 3, strides=strides, activation="relu")(image)
    return keras.Model(image, layers.Conv2D(16, 3, padding="same", activation="relu")(x))


def normalized():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, use_bias=False)(image)
    return keras.Model(image, layers.ReLU()(layers.BatchNormalization()(x)))


def vector():
    return keras.Sequential([keras.Input((10,)), layers.Dense(20, activation="relu")])


def pooled():
    backbone = convolutional()
    return keras.Model(backbone.inputs, layers.GlobalAveragePooling2D()(backbone.output))


def nested():
    image = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Rescaling(2.0), convolutional()])
    return keras.Model(image, inner(image))


def frozen():
    backbone = normalized()
    backbone.trainable = False
    return backbone


def signal():
    return keras.Sequential([keras.Input((40, 2)), layers.Conv1D(12, 5, 2, activation="relu")])


def text():
    words = keras.Input((9,), dtype="int32")
    x = layers.Embedding(30, 8, mask_zero=True)(words)
    return keras.Model(words, layers.LSTM(12, return_sequences=True)(x))


BACKBONES = {
    "map": (convolutional, (8, 8, 3)),
    "large map": (lambda: convolutional((37, 21, 3), 2), (37, 21, 3)),
    "open map": (lambda: convolutional((None, None, 3)), (9, 7, 3)),
    "normalized": (normalized, (8, 8, 3)),
    "vector": (vector, (10,)),
    "pooled": (pooled, (8, 8, 3)),
    "nested": (nested, (8, 8, 3)),
    "frozen": (frozen, (8, 8, 3)),
    "signal": (signal, (40, 2)),
    "text": (text, (9,)),
}


def scaled(backbone):
    return keras.Model(backbone.inputs, Scaled(name="scaled")(backbone.outputs[0]))


def samples(generator, shape, name):
    """Returns inputs whose classes differ: each lacks another third of the values."""
    x, labels = generator.uniform(size=(SAMPLES, *shape)), np.arange(SAMPLES) % CLASSES
    for label in range(CLASSES):
        x.reshape(SAMPLES, -1)[labels == label, label::CLASSES] = 0
    return (30 * x).astype("int32") if name == "text" else x.astype("float32")


def check_start(tmp_path, backbone, x, head, routing):
    """Trains for ten steps at each scale from the same weights, then saves and loads."""
    model = add_head(scaled(backbone), CLASSES, head, routing)
    assert model.output_names == ["scores"] and model.output_shape == (None, CLASSES)
    y = np.arange(SAMPLES) % CLASSES
    lengths = head == "capsules" and routing != "inverted_dot_product"
    loss = MarginLoss() if lengths else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    start, state = model.get_weights(), [np.array(v) for v in model.optimizer.variables]
    for scale in SCALES:
        model.set_weights(start)
        for variable, value in zip(model.optimizer.variables, state, strict=True):
            variable.assign(value)
        model.get_layer("scaled").scale.assign(scale)
        found = model.fit(x, y, epochs=10, batch_size=SAMPLES, verbose=0).history["loss"]
        assert found[-1] < 0.99 * found[0], (scale, found)
        scores = model.predict(x, verbose=0)
        assert np.isfinite(scores).all() and 0 <= scores.min() <= scores.max() <= 1 + 1e-6
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), scores, atol=1e-6)


ONCE = [pytest.mark.slow, once_under_torch]
CASES = [
    pytest.param(name, head, marks=() if name in ("map", "vector") else ONCE)
    for name in BACKBONES
    for head in HEADS
]


@pytest.mark.parametrize("name, head", CASES)
def test_a_head_starts_at_any_scale_and_comes_back(tmp_path, generator, name, head):
    build, shape = BACKBONES[name]
    routing = "dynamic" if name == "open map" else "self_attention"
    x = samples(generator, shape, name)
    check_start(tmp_path, build(), x, head, routing)


@pytest.mark.slow
@once_under_torch
@pytest.mark.parametrize("routing", sorted(set(ROUTINGS) - {"self_attention"}))
def test_every_routing_starts(tmp_path, generator, routing):
    build, shape = BACKBONES["map"]
    check_start(tmp_path, build(), samples(generator, shape, "map"), "capsules", routing)


@once
@pytest.mark.parametrize("routing", ["self_attention", "dynamic", "kmeans"])
def test_capsules_start_neither_dead_nor_saturated(generator, routing):
    """Children of one type are alike at all positions, so their votes add up."""
    build, shape = BACKBONES["map"]
    lengths = add_head(build(), 10, routing=routing).predict(samples(generator, shape, "map"))
    assert 0.1 < lengths.mean() < 0.9 and lengths.std(axis=0).mean() > 1e-3


@once
@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("shape", [(7, 7, 64), (7, 7, 1280), (14, 14, 512), (2048,), (49, 384)])
def test_the_heads_have_comparable_parameters(shape, classes):
    image = keras.Input(shape)
    backbone = keras.Model(image, layers.ReLU()(image))
    counts = [add_head(backbone, classes, head).count_params() for head in HEADS]
    assert max(counts) <= 1.01 * min(counts)


@once
def test_the_number_of_parameters_is_as_documented():
    for channels, expected in ((128, 25_888), (1280, 175_648), (2048, 275_488)):
        image = keras.Input((7, 7, channels))
        found = add_head(keras.Model(image, layers.ReLU()(image)), 10).count_params()
        # Normalization, primary capsules, the shared kernel and the routing's prior.
        parts = 2 * channels + 128 * (channels + 1) + 10 * 8 * 16 + 7 * 7 * 16 * 10
        assert found == expected == parts
        assert f"{expected:,}" in add_head.__doc__


@once
def test_the_backbone_is_shared_and_may_be_frozen_later(generator):
    backbone = convolutional()
    model = add_head(backbone, CLASSES)
    assert model.get_layer(backbone.layers[1].name) is backbone.layers[1]
    backbone.trainable = False
    before = backbone.get_weights()
    model.compile("adam", MarginLoss())
    model.fit(samples(generator, (8, 8, 3), "map"), np.arange(SAMPLES) % CLASSES, verbose=0)
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@once
def test_a_routing_instance_keeps_its_options():
    routing = get("dynamic", iterations=2)
    backbone = convolutional()
    for head in reversed(HEADS):  # The sizes of the others follow from it, but do not build it.
        model = add_head(backbone, CLASSES, head, routing)
    assert model.get_layer("class_capsules").routing is routing


@once
def test_the_map_of_the_evidence(generator):
    image = samples(generator, (8, 8, 3), "map")[:2]
    maps = keras_capsules.explain.coupling_map(add_head(convolutional(), CLASSES), image)
    assert maps.shape == (2, 8, 8) and np.isfinite(maps).all() and np.abs(maps).max() > 0


@once
def test_a_head_on_a_vector_is_explained_by_the_map_below_it(generator):
    model, image = add_head(pooled(), CLASSES), samples(generator, (8, 8, 3), "map")[:2]
    maps = keras_capsules.explain.grad_cam(model, image)
    assert maps.shape == (2, 8, 8) and np.isfinite(maps).all() and maps.max() > 0
    with pytest.raises(ValueError, match="grad_cam.*a map of shape"):
        keras_capsules.explain.coupling_map(model, image)


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def ending(layer):
    backbone = pooled()
    return keras.Model(backbone.inputs, layer(backbone.output))


def two_outputs():
    backbone = convolutional()
    return keras.Model(backbone.inputs, [backbone.output, backbone.layers[1].output])


def not_a_number():
    backbone = convolutional()
    kernel, bias = backbone.layers[1].get_weights()
    kernel[0, 0, 0, 0] = np.nan
    backbone.layers[1].set_weights([kernel, bias])
    return backbone


def inside(backbone):
    image = keras.Input(backbone.input_shape[1:])
    return keras.Model(image, backbone(image))


@once
@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (lambda: ending(layers.Dense(5, activation="softmax")), "include_top=False.*last layer"),
        (lambda: ending(layers.Dense(1, activation="sigmoid")), "ends in scores"),
        (lambda: inside(ending(layers.Dense(5, activation="softmax"))), "ends in scores"),
        (lambda: ending(layers.Softmax()), "ends in scores"),
        (lambda: keras_capsules.create_model("se_capsnet"), "ends in scores"),
        (two_outputs, r"one output.*outputs of shapes \[.*6, 6, 16"),
        (lambda: Subclassed(), "functional or sequential.*Subclassed"),
        (lambda: keras.Sequential([layers.Conv2D(4, 3)]), "no shapes yet"),
        (not_a_number, "NaN.*Received: conv2d.*kernel"),
        (lambda: ending(layers.Reshape((2, 2, 2, 2))), r"shape \(None, 2, 2, 2, 2\)"),
        (lambda: convolutional((None, None, 3)), "weights for each child"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(backbone, message):
    with pytest.raises(ValueError, match=message):
        add_head(backbone(), CLASSES)


@once
def test_channels_first_is_refused_unless_permuted():
    image = keras.Input((3, 8, 8))
    x = layers.MaxPooling2D(data_format="channels_first")(image)
    with pytest.raises(ValueError, match=r"Permute\(\(2, 3, 1\)\).*max_pooling2d"):
        add_head(keras.Model(image, x), CLASSES)
    with pytest.raises(ValueError, match="max_pooling2d"):
        add_head(keras.Model(image, keras.Model(image, x)(image)), CLASSES)
    add_head(keras.Model(image, layers.Permute((2, 3, 1))(x)), CLASSES)


@once
@pytest.mark.parametrize("head", ["capsules", "squeeze_excitation", "pooling"])
def test_heads_are_the_same_where_keras_puts_channels_first(head):
    features = keras.Input((20, 20, 5))
    expected = add_head(keras.Model(features, layers.ReLU()(features)), CLASSES, head=head)
    keras.config.set_image_data_format("channels_first")
    try:
        model = add_head(keras.Model(features, layers.ReLU()(features)), CLASSES, head=head)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert [layer.output.shape for layer in model.layers] == [
        layer.output.shape for layer in expected.layers
    ]


@once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "2 or more. Received: num_classes=1"),
        ({"num_classes": 2.5}, "num_classes=2.5"),
        ({"head": "capsule"}, "one of capsules, squeeze_excitation, pooling.*head='capsule'"),
        ({"routing": "none"}, "Unknown routing"),
        ({"primary_capsules": 0}, "primary_capsules=0"),
        ({"capsule_dim": -1, "head": "pooling"}, "capsule_dim=-1"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        add_head(convolutional(), **{"num_classes": CLASSES, **options})

"""Inputs of any size: each layer against the same weights in a layer that knows its size."""

import keras
import numpy as np
import pytest
from conftest import evaluate, gradient, to_numpy
from reference import convolution

from keras_capsules import (
    CapsuleLayer,
    CapsuleLength,
    CapsuleSqueezeExcitation,
    ConvCapsule1D,
    ConvCapsule2D,
    MultiInterestCapsule,
    PrimaryCapsule1D,
    PrimaryCapsule2D,
    ReconstructionDecoder,
    attention,
    routing,
)

# These have no weights for each child.
OPEN_ROUTINGS = [
    "dynamic",
    "em",
    "inverted_dot_product",
    "kmeans",
    "uniform",
    "variational_bayes",
]
OTHER_ROUTINGS = sorted(set(routing.ROUTINGS) - set(OPEN_ROUTINGS))

# Shapes without the batch, and layers.
IMAGE, SEQUENCE = (None, None, 6), (None, 6)
GRID, ROW, FLAT = (None, None, 2, 4), (None, 2, 4), (None, 4)
SAME = {"padding": "same", "strides": 2, "use_bias": True, "coordinate_addition": True}
LAYERS = {
    "primary": (IMAGE, PrimaryCapsule2D, {"kernel_size": 3, "strides": 2}),
    "primary same": (
        IMAGE,
        PrimaryCapsule2D,
        {"kernel_size": (3, 2), "padding": "same", "explicit_activations": True},
    ),
    "primary row": (SEQUENCE, PrimaryCapsule1D, {"kernel_size": 3, "depthwise": True}),
    "length": (GRID, CapsuleLength, {}),
    "interests": (FLAT, MultiInterestCapsule, {"max_length": 12}),
}
for name in sorted(routing.ROUTINGS):
    LAYERS[f"grid {name}"] = (GRID, ConvCapsule2D, {"routing": name, "kernel_size": 2})
for name in OPEN_ROUTINGS:
    shared = {"routing": name, "share_weights": True}
    LAYERS[f"same {name}"] = (GRID, ConvCapsule2D, {"routing": name, "kernel_size": 3, **SAME})
    LAYERS[f"row {name}"] = (ROW, ConvCapsule1D, {**shared, "kernel_size": 3, "padding": "same"})
    LAYERS[f"flat {name}"] = (FLAT, CapsuleLayer, {**shared, "use_bias": True})
    LAYERS[f"children {name}"] = (GRID, CapsuleLayer, {**shared, "implementation": "stored"})
for name, layer_class in attention.ATTENTIONS.items():
    LAYERS[name] = (IMAGE, layer_class, {})
    if 3 in layer_class.ranks:
        LAYERS[f"{name} row"] = (SEQUENCE, layer_class, {})
for variant in ("theta_minus", "theta", "theta_plus"):
    options = {"variant": variant, "extent": 2}
    LAYERS[f"ge {variant}"] = (IMAGE, attention.GatherExcite, options)
    options = {**options, "extent": 4, "data_format": "channels_first"}
    LAYERS[f"ge {variant} first"] = ((6, None), attention.GatherExcite, options)

# Batches and sizes: the smallest, an even and an odd one. JAX compiles each again, as a known size.
JAX = keras.backend.backend() == "jax"
SIZES = ((1, 3), (2, 8), (1, 5))[: 1 if JAX else 3]

CAPSULES = (PrimaryCapsule1D, PrimaryCapsule2D, ConvCapsule1D, ConvCapsule2D, CapsuleLayer)


def make(layer_class, options):
    if layer_class in CAPSULES:
        options = {"num_capsules": 3, "capsule_dim": 4, **options}
    if layer_class is MultiInterestCapsule:
        options = {"num_interests": 3, "interest_dim": 4, **options}
    return layer_class(**options)


def inputs_of(generator, layer, shape, batch):
    """Features, or poses and the activations that the layer's routing asks for."""
    x = generator.normal(size=(batch, *shape)).astype("float32")
    if not getattr(getattr(layer, "routing", None), "explicit_activations", False):
        return x
    return x, generator.uniform(0.1, 1, size=x.shape[:-1]).astype("float32")


def at(shape, size):
    """The shape with the open axes from `size` on."""
    return tuple(size + axis if known is None else known for axis, known in enumerate(shape))


def trace(model):
    """The model as a function that is traced once, for all sizes, where a backend can do that."""

    def call(*parts):
        return model(list(parts) if parts[1:] else parts[0])

    if keras.backend.backend() != "tensorflow":
        return lambda *parts: evaluate(lambda parts: call(*parts), parts)
    import tensorflow as tf

    function = tf.function(call, [tf.TensorSpec(part.shape, part.dtype) for part in model.inputs])
    return lambda *parts: to_numpy(function(*parts))


def disturb(generator, layer):
    for weight in layer.trainable_weights:
        weight.assign(to_numpy(weight) + 0.3 * generator.normal(size=weight.shape))


@pytest.mark.parametrize("case", LAYERS)
def test_any_size_gives_what_a_known_size_gives(generator, tmp_path, case):
    shape, *layer = LAYERS[case]
    layer = make(*layer)
    example = inputs_of(generator, layer, at(shape, 3), 1)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(shape if x.ndim > len(shape) else shape[:-1]), example
    )
    model = keras.Model(inputs, layer(inputs))
    disturb(generator, layer)
    model.save(tmp_path / "model.keras")
    function = trace(keras.models.load_model(tmp_path / "model.keras"))
    for batch, size in SIZES:
        x = inputs_of(generator, layer, at(shape, size), batch)
        known = type(layer).from_config(layer.get_config())
        known.build(keras.tree.map_structure(lambda part: part.shape, x))
        known.set_weights(layer.get_weights())
        expected = keras.tree.flatten(evaluate(known, x))
        found = keras.tree.flatten(function(*keras.tree.flatten(x)))
        symbols = keras.tree.flatten(model.output)
        for value, other, symbol in zip(expected, found, symbols, strict=True):
            np.testing.assert_allclose(other, value, atol=1e-5)
            sizes = zip(symbol.shape[1:], value.shape[1:], strict=True)
            assert all(known in (None, size) for known, size in sizes)


def network(kind, name, size):
    """Layers from an input of open or known `size` to three numbers."""
    if kind == "attention":
        image = keras.Input((*size, 3))
        x = keras.layers.Conv2D(8, 3, activation="relu")(image)
        x = attention.get(name)(x)
        return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    explicit = {"explicit_activations": routing.get(name).explicit_activations}
    if kind == "image":
        inputs = keras.Input((*size, 3))
        x = PrimaryCapsule2D(3, 4, 3, strides=2, **explicit)(inputs)
        x = ConvCapsule2D(3, 4, 3, padding="same", routing=name)(x)
    else:
        inputs = keras.Input(size[:1])
        x = keras.layers.Embedding(7, 5, mask_zero=True)(inputs)
        x = PrimaryCapsule1D(3, 4, 3, **explicit)(x)
        x = ConvCapsule1D(3, 4, 2, routing=name)(x)
    if name in OPEN_ROUTINGS:
        x = CapsuleLayer(3, 4, routing=name, share_weights=True)(x)
        x = x[0] if isinstance(x, tuple) else x
        return keras.Model(inputs, CapsuleLength()(x))
    x = x[0] if isinstance(x, (tuple, list)) else x
    axes = tuple(range(1, len(x.shape) - 1))
    return keras.Model(inputs, keras.ops.mean(x, axis=axes)[:, :3])


NETWORKS = [
    *[("image", name) for name in sorted(routing.ROUTINGS)],
    *[("text", name) for name in ("dynamic", "em")],
    *[("attention", name) for name in attention.ATTENTIONS],
]


@pytest.mark.parametrize(("kind", "name"), NETWORKS[:: 4 if JAX else 1])
def test_a_step_at_any_size_is_a_step_at_a_known_size(generator, kind, name):
    model = network(kind, name, (None, None))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    # TensorFlow traces the second step for all sizes.
    for batch, size in ((2, (7, 8)), (1, (10, 9))):
        x = generator.normal(size=(batch, *size, 3)).astype("float32")
        if kind == "text":
            x = generator.integers(1, 7, size=(batch, size[0]))
            x[0, 5:] = 0
        target = generator.uniform(size=(batch, 3)).astype("float32")
        before = model.get_weights()
        model.train_on_batch(x, target)
    known = network(kind, name, size)
    known.set_weights(before)
    known.compile(keras.optimizers.SGD(0.5), "mse")
    known.train_on_batch(x, target)
    assert all(np.isfinite(weight).all() for weight in before)
    for one, other in zip(model.get_weights(), known.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


SIZED = {
    "one kernel for each child": (FLAT, CapsuleLayer, {}, "share_weights=True"),
    "a kernel for each child of a grid": (GRID, CapsuleLayer, {}, "share_weights=True"),
    **{
        name: (FLAT, CapsuleLayer, {"share_weights": True, "routing": name}, '"dynamic", "em"')
        for name in OTHER_ROUTINGS
    },
    "types": ((8, 8, None, 4), ConvCapsule2D, {"kernel_size": 3}, "known number of types"),
    "interests": (FLAT, MultiInterestCapsule, {"max_length": None}, "max_length"),
    "decoder": (FLAT, ReconstructionDecoder, {"target_shape": (4, 4)}, "class_independent=True"),
    "gates of capsules": (FLAT, CapsuleSqueezeExcitation, {}, "put a SqueezeExcitation"),
    "ge": (IMAGE, attention.GatherExcite, {"variant": "theta"}, "take an extent"),
    "channels": ((8, None), attention.SqueezeExcitation, {}, "number of channels"),
}


@pytest.mark.parametrize("case", SIZED)
def test_a_layer_that_needs_a_size_says_so_and_what_does_not(case):
    shape, layer_class, options, remedy = SIZED[case]
    layer = make(layer_class, {"name": "fixes_the_size", **options})
    with pytest.raises(ValueError, match=f"fixes_the_size.*{remedy}.*Received.*None"):
        layer.build((None, *shape))


def test_a_decoder_that_sums_takes_any_number_of_capsules(generator):
    decoder = ReconstructionDecoder((4, 4), units=(3,), class_independent=True)
    assert decoder(keras.Input(FLAT)).shape == (None, 4, 4)
    assert decoder(generator.normal(size=(1, 5, 4))).shape == (1, 4, 4)


GEOMETRIES = [
    {"kernel_size": 3},
    {"kernel_size": 2, "strides": 3},
    {"kernel_size": 3, "strides": 2, "padding": "same"},
    {"kernel_size": 4, "padding": "same"},
]


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_cell_is_present_if_its_window_sees_something_present(generator, rank, geometry):
    """On grids of many sizes, against windows listed one by one."""
    layers = (PrimaryCapsule1D, ConvCapsule1D) if rank == 1 else (PrimaryCapsule2D, ConvCapsule2D)
    for layer in [layer_class(3, 4, **geometry) for layer_class in layers]:
        for size in (4, 5, 6, 9):
            grid = (size, size + 1)[:rank]
            mask = generator.uniform(size=(3, *grid)) < 0.2
            options = layer.kernel_size, layer.strides, layer.padding
            found, cells = convolution.windows(grid, *options)
            expected = [
                [any(place and sample[place] for place in window) for window in found]
                for sample in mask
            ]
            present = to_numpy(layer.compute_mask(None, mask))
            np.testing.assert_array_equal(present, np.reshape(expected, (3, *cells)))


def text_network(name, length=None):
    """Capsules of a text of any length; the shares of the children in the last layer."""
    explicit = {"explicit_activations": routing.get(name).explicit_activations}
    words = keras.Input((length,))
    x = keras.layers.Embedding(9, 5, mask_zero=True)(words)
    x = PrimaryCapsule1D(2, 4, 3, strides=2, **explicit)(x)
    x = ConvCapsule1D(3, 4, 2, routing=name, use_bias=True)(x)
    x = CapsuleLayer(2, 4, routing=name, share_weights=True, use_bias=True)(x, return_coupling=True)
    return keras.Model(words, keras.tree.flatten(x))


@pytest.mark.parametrize("name", OPEN_ROUTINGS)
def test_masks_reach_the_routing_and_padding_changes_nothing(generator, name):
    model = text_network(name)
    disturb(generator, model)
    words = generator.integers(1, 9, size=(1, 8))

    def padded(more):
        return np.pad(words, [(0, 0), (0, more)]).astype("float32")

    function = trace(model)
    # Windows reach over the end: 2 steps of the first convolution, 1 cell of the second.
    *poses, coupling = function(padded(4))
    for more in (6, 12, 13):
        *again, shares = function(padded(more))
        for one, other in zip(again, poses, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
        # The first convolution has 4 cells that see words, the second 4, with 3 capsules each.
        np.testing.assert_allclose(shares[:, :12], coupling[:, :12], atol=1e-5)
        assert (shares[:, :12].sum(axis=-1) > 0.5).all() and (shares[:, 12:] == 0).all()


def test_absent_steps_have_no_gradient(generator):
    layer = PrimaryCapsule1D(2, 4, 3)
    mask = keras.ops.convert_to_tensor([[True, False, True, True, False]])
    x = generator.normal(size=(1, 5, 3)).astype("float32")
    layer.build(x.shape)
    slopes = gradient(lambda value: keras.ops.square(layer(value, mask=mask)), x)
    assert (slopes[0, [1, 4]] == 0).all() and (slopes[0, [0, 2, 3]] != 0).all()


@pytest.mark.parametrize("axes", [(5,), (5, 2), (10,)])
def test_a_mask_of_positions_counts_for_all_types(generator, axes):
    poses = generator.normal(size=(2, 5, 2, 4)).astype("float32")
    mask = generator.uniform(size=(2, *axes)) < 0.5
    of_children = mask if mask[0].size == 10 else np.repeat(mask, 2, axis=1)
    of_children = of_children.reshape(2, 10)
    for layer in (CapsuleLayer(3, 4), CapsuleSqueezeExcitation()):
        expected = to_numpy(layer(poses.reshape(2, 10, 4), mask=of_children))
        found = to_numpy(layer(poses, mask=mask))
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-6)

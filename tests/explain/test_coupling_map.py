"""A map divides the length of a capsule as NumPy divides it, place by place, and points right."""

import keras
import numpy as np
import pytest
from conftest import once, small_capsnet, to_numpy
from keras import layers
from reference import convolution, routing

import keras_capsules
from keras_capsules import CapsuleLayer, CapsuleLength, ConvCapsule2D, PrimaryCapsule2D
from keras_capsules.explain import coupling_map, explained_model, grad_cam
from keras_capsules.explain._pixel_shares import pixel_shares


def capsule_model(size, primary, capsules, **options):
    image = keras.Input(size, name="image")
    x = PrimaryCapsule2D(name="primary", **primary)(image)
    x = CapsuleLayer(*capsules, kernel_initializer="glorot_normal", name="classes", **options)(x)
    return keras.Model(image, CapsuleLength(name="scores")(x))


def randomize(model, generator):
    for weight in model.weights:
        weight.assign(weight + generator.normal(scale=0.3, size=weight.shape))


def features_of(image, kernel, grid, depthwise, bias):
    """What a convolution makes of one image, cell by cell."""
    found, _ = grid
    result = np.zeros((len(found), len(bias)))
    for cell, window in enumerate(found):
        for place, weights in zip(window, kernel.reshape(-1, *kernel.shape[2:]), strict=True):
            if place is not None and depthwise:
                result[cell] += (image[place][:, None] * weights).reshape(-1)
            elif place is not None:
                result[cell] += image[place] @ weights
    return result + bias


def reference_map(model, image, chosen):
    """For each pixel, what the class's pose owes to it in its own direction."""
    primary, classes = model.get_layer("primary"), model.get_layer("classes")
    kernel, bias = (w.astype("float64") for w in map(to_numpy, primary.get_weights()))
    votes_kernel = to_numpy(classes.kernel).astype("float64")
    size = image.shape[:2]
    grid = convolution.windows(size, primary.kernel_size, primary.strides, primary.padding)
    sizes = (image, kernel, grid, primary.depthwise, bias)
    before = features_of(*sizes).reshape(-1, primary.capsule_dim)
    poses = routing.squash(before)
    votes = np.einsum("ia,ijad->ijd", poses, votes_kernel)
    parents, coupling = (x[0] for x in routing.dynamic(votes[None]))
    chosen = np.linalg.norm(parents, axis=1).argmax() if chosen is None else chosen
    summed = np.einsum("i,id->d", coupling[:, chosen], votes[:, chosen])
    length = np.linalg.norm(parents[chosen])
    direction = parents[chosen] / length
    shortened = np.linalg.norm(poses, axis=1) / np.linalg.norm(before, axis=1)
    result = np.zeros(size)
    for place in np.ndindex(size):
        alone = np.zeros_like(image)
        alone[place] = image[place]
        part = features_of(alone, *sizes[1:4], 0 * bias).reshape(before.shape)
        part = np.einsum("i,ia,iad->id", shortened, part, votes_kernel[:, chosen])
        result[place] = coupling[:, chosen] @ part @ direction
    return result * length / np.linalg.norm(summed), length


@pytest.mark.parametrize(
    "primary",
    [
        {"kernel_size": 3, "strides": 2},
        {"kernel_size": (2, 3), "padding": "same"},
        {"kernel_size": (5, 6), "depthwise": True},
    ],
    ids=["strides", "same", "depthwise"],
)
@pytest.mark.parametrize("chosen", [None, 1], ids=["longest", "one"])
def test_division_among_pixels(generator, primary, chosen):
    model = capsule_model((5, 6, 3), {"num_capsules": 3, "capsule_dim": 4} | primary, (4, 5))
    randomize(model, generator)
    images = generator.normal(size=(2, 5, 6, 3))
    found = coupling_map(model, images, class_index=chosen)
    for image, one in zip(images, found, strict=True):
        expected, length = reference_map(model, image, chosen)
        np.testing.assert_allclose(one, expected, atol=1e-5 * length)
    assert np.abs(found).max() > 1e-3


@pytest.mark.parametrize(
    "options",
    [
        {"routing": "self_attention", "implementation": "lean"},
        {"routing": "squeeze_excitation", "transform": "matrix"},
        {"routing": "kmeans", "share_weights": True},
        {"routing": "uniform", "share_weights": True, "implementation": "lean"},
    ],
    ids=lambda options: options["routing"],
)
def test_stacks_gates_and_branches_add_up(generator, options):
    """Without biases, the parts of the length are all there is of it."""
    image = keras.Input((9, 9, 1), name="image")
    x = layers.Conv2D(4, 3, activation="relu", use_bias=False)(image)
    coarse = PrimaryCapsule2D(2, 4, 3, strides=2)(x)
    coarse = layers.Reshape((-1, 4))(keras_capsules.CapsuleSqueezeExcitation()(coarse))
    fine = PrimaryCapsule2D(2, 4, 7, depthwise=True)(x)
    fine = layers.Reshape((-1, 4))(layers.Dropout(0.5)(fine))
    x = CapsuleLayer(5, 4)(layers.Concatenate(1)([coarse, fine]))
    x = CapsuleLayer(3, 4, **options)(x)
    model = keras.Model(image, CapsuleLength(name="scores")(x))
    for weight in model.weights:
        if weight.name != "bias":
            weight.assign(generator.normal(size=weight.shape))
    images = generator.uniform(size=(2, 9, 9, 1)).astype("float32")
    scores = to_numpy(model(images))
    assert scores.max(axis=1).min() > 1e-3
    sums = coupling_map(model, images).sum(axis=(1, 2))
    np.testing.assert_allclose(sums, scores.max(axis=1), rtol=1e-4)


def test_the_corner_with_the_evidence(generator):
    model = small_capsnet()
    images = np.zeros((4, 12, 12, 1), "float32")
    corners = [np.s_[:3, :3], np.s_[:3, -3:], np.s_[-3:, :3], np.s_[-3:, -3:]]
    for image, corner in zip(images, corners, strict=True):
        image[corner] = generator.uniform(0.5, 1, size=(3, 3, 1))
    for found, corner in zip(coupling_map(model, images), corners, strict=True):
        half = tuple(slice(0, 6) if one.start is None else slice(-6, None) for one in corner)
        assert np.abs(found[half]).sum() == pytest.approx(np.abs(found).sum())
        assert found[half].sum() > 0


@pytest.mark.parametrize("window", [None, 3], ids=["fully_connected", "convolution"])
def test_explicit_activations(generator, window):
    """Each child counts its coupling times its activation, and keeps its cell's window."""
    image = keras.Input((9, 9, 1), name="image")
    pair = PrimaryCapsule2D(2, 4, 3, strides=3, explicit_activations=True, name="primary")(image)
    options = {"routing": "em", "transform": "matrix", "name": "classes"}
    if window:
        options |= {"coordinate_addition": True, "share_weights": True}
        _, scores = ConvCapsule2D(3, 4, window, **options)(pair)
        scores = layers.Reshape((3,))(scores)
    else:
        _, scores = CapsuleLayer(3, 4, **options)(pair)
    model = keras.Model(image, layers.Activation("linear", name="scores")(scores))
    randomize(model, generator)
    primary = model.get_layer("primary")
    primary.convolution.bias.assign(np.zeros(8))
    images = generator.uniform(size=(2, 9, 9, 1)).astype("float32")
    found = to_numpy(explained_model(model, ["scores", "coupling", "map"])(images))
    present = to_numpy(primary(images)[1])
    longest = found["scores"].argmax(axis=1)
    for n in range(2):
        counts = found["coupling"][n, :, longest[n]].reshape(3, 3, 2) * present[n]
        cells = found["map"][n].reshape(3, 3, 3, 3).sum(axis=(1, 3))
        np.testing.assert_allclose(cells, counts.sum(axis=-1), atol=1e-5)


def test_capsules_made_by_other_layers(generator):
    """Their cells are divided among what they see."""
    image = keras.Input((8, 6, 2), name="image")
    x = layers.AveragePooling2D(2)(image)
    x = layers.Reshape((4, 3, 2, 1))(x)
    x = CapsuleLayer(3, 4, kernel_initializer="glorot_normal", name="classes")(x)
    model = keras.Model(image, CapsuleLength(name="scores")(x))
    images = generator.uniform(size=(2, 8, 6, 2)).astype("float32")
    found = coupling_map(model, images, division="even")
    blocks = found.reshape(2, 4, 2, 3, 2)
    np.testing.assert_allclose(np.ptp(blocks, axis=(2, 4)), 0, atol=1e-6)
    np.testing.assert_allclose(
        found.sum(axis=(1, 2)), to_numpy(model(images)).max(axis=1), rtol=1e-4
    )


@once
def test_places_are_those_of_pooling(generator):
    """Dividing evenly among windows is the transpose of averaging over them."""
    image = keras.Input((17, 14, 1), name="image")
    outputs, pooled = image, image
    for kernel, stride, padding in ((5, 1, "valid"), ((3, 2), 2, "same"), (2, (1, 2), "valid")):
        outputs = layers.Conv2D(1, kernel, strides=stride, padding=padding)(outputs)
        outputs = layers.BatchNormalization()(outputs)
        pooled = layers.AveragePooling2D(kernel, stride, padding)(pooled)
    outputs = layers.Add()([outputs, layers.Activation("relu")(outputs)])
    dense = layers.Reshape(outputs.shape[1:])(layers.Flatten()(outputs))
    outputs = layers.Add()([dense, outputs])  # The way through a vector counts as none.
    outputs = outputs * layers.GlobalAveragePooling2D(keepdims=True)(outputs)
    rows, columns = (pixel_shares(outputs, axis) for axis in (1, 2))
    x = generator.normal(size=(17, 14))
    expected = to_numpy(keras.Model(image, pooled)(x[None, :, :, None]))[0, :, :, 0]
    np.testing.assert_allclose(rows.T @ x @ columns, expected, atol=1e-6)
    halved = layers.Resizing(3, 7)(image)
    np.testing.assert_allclose(pixel_shares(halved, 2).T, np.kron(np.eye(7), [0.5, 0.5]))
    thirds = pixel_shares(halved, 1)
    np.testing.assert_allclose(thirds.sum(axis=0), 1)
    assert thirds[5].tolist() == pytest.approx([2 / 17, 1 / 17, 0])  # Pixel 5 is cut at 5 2/3.


def test_saving(generator, tmp_path):
    model = small_capsnet(routing="self_attention")
    randomize(model, generator)
    images = generator.uniform(size=(3, 12, 12, 1)).astype("float32")
    expected = coupling_map(model, images)
    model.save(tmp_path / "model.keras")
    explained_model(model, ["map"]).save(tmp_path / "map.keras")
    again = coupling_map(keras.models.load_model(tmp_path / "model.keras"), images)
    np.testing.assert_allclose(again, expected, atol=1e-6)
    loaded = keras.models.load_model(tmp_path / "map.keras")
    np.testing.assert_allclose(to_numpy(loaded(images))["map"], expected, atol=1e-6)
    assert model.get_layer("class_capsules").output.shape == (None, 4, 6)  # Called once.


@pytest.mark.slow
@once
def test_the_same_on_a_device(generator, tmp_path):
    """onnxruntime and NumPy give the map, and all else that a person wants to see."""
    import onnxruntime

    import export

    sizes = {"size": "tiny", "with_decoder": True, "decoder_units": (8,)}
    model = keras_capsules.create_model("efficient_capsnet", **sizes)
    randomize(model, generator)
    images = generator.uniform(size=(3, 28, 28, 1)).astype("float32")
    names = ["scores", "poses", "map", "reconstruction"]
    export.export_onnx(model, tmp_path / "model.onnx", outputs=names)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = dict(zip(names, session.run(names, {"image": images}), strict=True))
    np.testing.assert_allclose(found["map"], coupling_map(model, images), atol=1e-4)
    expected = to_numpy(explained_model(model, names)(images))
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    assert np.ptp(found["map"]) > 1e-3


@once
def test_most_of_a_trained_score_is_in_the_map():
    """What is left is the part of the biases and of the normalizations."""
    model = keras_capsules.create_model("efficient_capsnet", "mnist")
    images = keras_capsules.models.examples("efficient_capsnet", "mnist")["image"]
    found = to_numpy(explained_model(model, ["scores", "map"])(images))
    sums, scores = found["map"].sum(axis=(1, 2)), found["scores"].max(axis=1)
    np.testing.assert_allclose(sums, scores, atol=0.1)


def test_errors():
    model = small_capsnet()
    images = np.zeros((2, 12, 12, 1))
    with pytest.raises(ValueError, match=r"\['class_capsules'\].*layer='scores'"):
        coupling_map(model, images, layer="scores")
    with pytest.raises(ValueError, match="from 0 to 3, .* of 2 inputs. Received: class_index=4"):
        coupling_map(model, images, class_index=4)
    signal = keras.Input((9, 2))
    x = layers.Reshape((12, 4))(layers.Dense(48)(layers.Flatten()(signal)))
    with pytest.raises(ValueError, match="no place in the image.*shape"):
        coupling_map(keras.Model(signal, CapsuleLayer(3, 4)(x)), np.zeros((1, 9, 2)))
    x = layers.Reshape((2, 2, 3, 4))(layers.Dense(48)(layers.Flatten()(signal)))
    with pytest.raises(ValueError, match="does not come from a feature map"):
        coupling_map(keras.Model(signal, CapsuleLayer(3, 4)(x)), np.zeros((1, 9, 2)))


def test_two_pictures_are_for_a_model_with_the_map_inside(generator):
    shape = (12, 12, 1)
    pictures = [keras.Input(shape, name=name) for name in ("left", "right")]
    x = PrimaryCapsule2D(2, 4, 3)(layers.Concatenate()(pictures))
    model = keras.Model(pictures, CapsuleLength(name="scores")(CapsuleLayer(3, 4)(x)))
    images = generator.random((2, *shape))
    for explain in (coupling_map, grad_cam):
        for class_index in (None, 1):
            with pytest.raises(ValueError, match=r"explained_model.*\['left', 'right'\]"):
                explain(model, images, class_index=class_index)
    inside = explained_model(model, ["map"])
    assert inside.predict({"left": images, "right": images}, verbose=0)["map"].shape == (2, 12, 12)

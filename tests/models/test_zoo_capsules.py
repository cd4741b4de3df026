"""The capsule networks of the zoo: what is special about each, and what all of them can do."""

import math

import keras
import numpy as np
import pytest
from conftest import SMALL, evaluate, once, run_python, to_numpy
from reference import routing as reference
from reference.attention import convolve

import export
import keras_capsules
from keras_capsules import create_model, list_models

NAMES = list_models("*caps*", task="images")
PREDICT = """
import sys
import numpy as np
import keras_capsules
import keras
images = np.load("images.npy")
for name in sys.argv[1:]:
    scores = keras.models.load_model(f"{name}.keras").predict(images, verbose=0)
    np.save(f"{name}.npy", scores)
"""


def images(generator, number=3):
    return generator.uniform(size=(number, 12, 12, 1)).astype("float32")


def as_if_trained(model, generator):
    """No zeros, which hide what they multiply."""
    for weight in model.weights:
        weight.assign(weight + generator.uniform(0.02, 0.1, size=weight.shape))
    return model


@pytest.mark.slow
@once
def test_another_backend_loads_them_in_a_fresh_process(tmp_path, generator):
    expected = {}
    np.save(tmp_path / "images.npy", images(generator))
    for name in NAMES:
        model = as_if_trained(create_model(name, **SMALL), generator)
        model.save(tmp_path / f"{name}.keras")
        expected[name] = model.predict(np.load(tmp_path / "images.npy"), verbose=0)
    run_python("-c", PREDICT, *NAMES, backend="torch", cwd=tmp_path)
    for name in NAMES:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected[name], atol=1e-5)


@once
@pytest.mark.usefixtures("warm_conversions")
def test_they_export(tmp_path, generator):
    """As one model: one conversion, one comparison. The others export in tests of their own."""
    image = keras.Input((12, 12, 1), name="image")
    names = set(NAMES) - {"capsnet", "efficient_capsnet"}
    models = {n: as_if_trained(create_model(n, **SMALL), generator) for n in sorted(names)}
    model = keras.Model(image, {name: model(image) for name, model in models.items()})
    report = export.export_onnx(model, tmp_path / "model.onnx")
    assert report.passed
    assert not set(report.file.operations) & {"Loop", "If", "Einsum", "Where"}


@pytest.mark.parametrize("name", NAMES)
def test_features_are_what_the_classifier_takes(name):
    features = create_model(name, include_top=False, **SMALL)
    top = create_model(name, **SMALL).get_layer("class_capsules")
    assert [x.shape for x in features.outputs] == [x.shape for x in keras.tree.flatten(top.input)]
    assert "class_capsules" not in [layer.name for layer in features.layers]


@once
@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision(generator, name):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = create_model(name, **SMALL)
    finally:
        keras.config.set_dtype_policy("float32")
    x = images(generator)
    scores = to_numpy(evaluate(model, x))
    assert scores.dtype == "float16" and np.isfinite(scores).all()
    expected = create_model(name, **SMALL)
    expected.set_weights(model.get_weights())
    np.testing.assert_allclose(scores, evaluate(expected, x), atol=0.02)


@pytest.mark.parametrize(
    "name, routing", [("matrix_capsnet", "em"), ("inverted_capsnet", "kmeans")]
)
def test_an_instance_of_a_routing_is_made_anew_for_each_layer(name, routing):
    prototype = keras_capsules.routing.get(routing, iterations=2)
    model = create_model(name, routing=prototype, **SMALL)
    layers = [model.get_layer(n) for n in ("convolutional_capsules_1", "class_capsules")]
    assert [layer.routing.iterations for layer in layers] == [2, 2]
    assert layers[0].routing is not layers[1].routing and not prototype.built


@once
@pytest.mark.parametrize(
    "name, routing",
    [("matrix_capsnet", "dynamic"), ("variational_capsnet", "uniform"), ("inverted_capsnet", "em")],
)
def test_a_routing_of_the_other_family_is_refused(name, routing):
    with pytest.raises(ValueError, match=f"{name} needs a routing with.*{routing}"):
        create_model(name, routing=routing, **SMALL)


def test_scores_of_self_routing(generator):
    """Each part gives its activation to the classes as its own pose says; no vote is needed."""
    model = as_if_trained(create_model("self_routing_capsnet", **SMALL), generator)
    layer = model.get_layer("class_capsules")
    submodel = keras.Model(model.input, [*layer.input, *layer.output, model.output])
    poses, activations, parents, _, scores = to_numpy(evaluate(submodel, images(generator)))
    poses, activations = poses.reshape(3, 72, 4), activations.reshape(3, 72)
    kernel, bias = (to_numpy(weight) for weight in layer.weights)
    votes = np.repeat(poses[:, :, None], 3, axis=2)
    expected = reference.self_routing(votes, activations, poses, kernel, bias)
    np.testing.assert_allclose(parents, expected[0], rtol=1e-5)
    np.testing.assert_allclose(scores, expected[1], atol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_routing_of_the_last_cell_of_deepcaps(generator):
    """Types vote by the same kernels, and divide themselves among all types and positions."""
    model = create_model("deepcaps", **SMALL | {"input_shape": (24, 24, 1)})
    ends = [model.get_layer(f"cell_3_{part}").output for part in ("1", "skip")]
    grid, found = to_numpy(
        evaluate(
            keras.Model(model.input, ends),
            generator.uniform(size=(2, 24, 24, 1)).astype("float32"),
        )
    )
    assert grid.shape == found.shape == (2, 3, 3, 2, 4)
    kernel, bias = map(to_numpy, model.get_layer("cell_3_skip_convolution").weights)
    votes = [convolve(grid[:, :, :, child], kernel[0]) + bias for child in range(2)]
    votes = np.stack(votes, axis=1).reshape(2, 2, 3 * 3 * 2, 4)
    poses, coupling = reference.dynamic(votes)
    np.testing.assert_allclose(coupling.sum(axis=2), 1)
    np.testing.assert_allclose(found.reshape(2, 18, 4), poses, atol=1e-5)


@once
def test_class_capsules_of_deepcaps_are_alive_at_the_start(generator):
    """Twelve squashes leave nothing of poses that a usual initializer makes."""
    images = generator.uniform(size=(4, 28, 28, 1))
    scores = to_numpy(create_model("deepcaps")(images, training=True))
    assert 0.02 < scores.min() and scores.max() < 0.9


@once
def test_kernels_of_inverted_attention_start_as_the_authors_do():
    model = create_model("inverted_capsnet", blocks=(1, 1))
    for name, children, parents in (
        ("convolutional_capsules_1", 288, 32),
        ("convolutional_capsules_2", 288, 32),
        ("class_capsules", 800, 10),
    ):
        deviation = to_numpy(model.get_layer(name).kernel).std()
        assert deviation == pytest.approx(math.sqrt(parents / (children * 4)), rel=0.02)

import sys

import keras
import numpy as np
import pytest
from conftest import to_numpy
from keras import layers
from reference import attention as reference

from keras_capsules import attention, create_model, insert_attention
from keras_capsules.explain import (
    excitation_profile,
    explained_model,
    plot_excitation_profile,
)


def small_model():
    """Squeeze-and-excitation, one without gates of channels, and one with gates of both kinds."""
    image = keras.Input((6, 5, 3), name="image")
    x = layers.Conv2D(4, 3, name="convolution")(image)
    x = attention.get("se", reduction_ratio=2, name="first")(x)
    x = attention.get("simam", name="parameterless")(x)
    x = attention.get("cbam", reduction_ratio=2, name="last")(x)
    return keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(x))


@pytest.fixture
def case(generator):
    model = small_model()
    for weight in model.weights:
        weight.assign(weight + generator.uniform(0.02, 0.3, size=weight.shape))
    x = generator.normal(size=(11, 6, 5, 3)).astype("float32")
    return model, x, np.array([0, 2, 2, 0, 5, 2, 0, 0, 2, 2, 0])


def expected_gates(model, x, name, function):
    """Gates by NumPy, of the feature map that the layer takes in the model."""
    layer = model.get_layer(name)
    features = keras.Model(model.input, layer.input).predict_on_batch(x)
    weights = {w.path.removeprefix(f"{name}/"): to_numpy(w.value) for w in layer.weights}
    return function(features.astype("float64"), weights)[1]


def test_mean_and_deviation_of_each_class(case):
    """Of classes with five images, with none in between, and with one; 11 images in fours."""
    model, x, y = case
    graph, before = model.get_config(), model.get_weights()
    profile = excitation_profile(model, (x, y), batch_size=4)
    assert profile.classes.tolist() == [0, 2, 5]
    assert list(profile.mean) == list(profile.deviation) == list(profile.overall)
    assert list(profile.mean) == ["first", "last"]
    gates = {
        "first": expected_gates(model, x, "first", reference.se),
        "last": expected_gates(model, x, "last", reference.cbam)[0],
    }
    for name, values in gates.items():
        means = [[v.mean() for v in values[y == c].T] for c in (0, 2, 5)]
        deviations = [np.sqrt(((values[y == c] - values[y == c].mean(0)) ** 2).mean(0)) for c in y]
        rows = [list(y).index(c) for c in (0, 2, 5)]
        np.testing.assert_allclose(profile.mean[name], means, atol=1e-5)
        np.testing.assert_allclose(
            profile.deviation[name], [deviations[row] for row in rows], atol=1e-5
        )
        np.testing.assert_allclose(profile.overall[name], np.mean(means, axis=0), atol=1e-5)
        assert np.ptp(means, axis=0).min() > 1e-4 and profile.deviation[name][:2].min() > 1e-4
    assert model.get_config() == graph
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class InBatches(keras.utils.PyDataset):
    """The case in batches of four, the labels one-hot."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, np.eye(6)[y]

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return self.x[rows], self.y[rows]


def test_datasets_of_batches_and_chosen_classes(case):
    model, x, y = case
    whole = excitation_profile(model, (x, y))
    batches = InBatches(x, y)
    two = [(x[:6], batches.y[:6]), (x[6:], batches.y[6:])]
    for dataset in (batches, [batches[0], batches[1], batches[2]], two, (x, batches.y)):
        profile = excitation_profile(model, dataset, classes=[5, 0])
        assert profile.classes.tolist() == [5, 0]
        for name, means in profile.mean.items():
            np.testing.assert_allclose(means, whole.mean[name][[2, 0]], atol=1e-6)


def test_zoo_models_and_inserted_attention(generator):
    sizes = {"input_shape": (8, 8, 3), "filters": (4, 8), "blocks": 1}
    plain = create_model("se_resnet20", attention=None, **sizes)
    x = generator.normal(size=(3, 8, 8, 3)).astype("float32")
    inserted = insert_attention(plain, "eca")
    profile = excitation_profile(
        inserted, (x, [1, 0, 1]), layers=["stage_2_block_1_2_normalization_eca"]
    )
    assert [array.shape for array in profile.mean.values()] == [(2, 8)]
    zoo = create_model("se_resnet20", **sizes)
    assert list(excitation_profile(zoo, (x, [1, 0, 1])).mean) == [
        "stage_1_block_1_se",
        "stage_2_block_1_se",
    ]


def test_masks_reach_the_gates(generator):
    gates = attention.get("se", reduction_ratio=1, name="gates")
    model = keras.Sequential([keras.Input((None, 3)), layers.Masking(), gates])
    steps = generator.normal(size=(2, 5, 3)).astype("float32")
    steps[:, 3:] = 0
    means = [excitation_profile(model, (s, [0, 1])).mean["gates"] for s in (steps, steps[:, :3])]
    np.testing.assert_allclose(*means, atol=1e-6)


def test_which_attentions_have_gates_of_channels():
    image = keras.Input((4, 4, 8), name="image")
    outputs = [attention.get(name, name=name)(image) for name in attention.ATTENTIONS]
    model = keras.Model(image, outputs)
    profile = excitation_profile(model, (np.ones((1, 4, 4, 8)), [0]))
    assert set(profile.mean) == {"se", "scse", "ese", "eca", "cbam", "ge", "srm"}


def test_errors(case):
    model, x, y = case
    for labels, message in ((y[:3], "11 inputs.*shape"), (y.astype("float32"), "float32")):
        with pytest.raises(ValueError, match=message):
            excitation_profile(model, (x, labels))
    with pytest.raises(ValueError, match=r"holds \[0, 2, 5\].*classes=\[1, 2\]"):
        excitation_profile(model, (x, y), classes=[1, 2])
    with pytest.raises(ValueError, match=r"\['first', 'last'\]. Received: layers=\['second'\]"):
        excitation_profile(model, (x, y), layers=["second"])
    plain = keras.Sequential([keras.Input((6, 5, 3)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(ValueError, match=r"'plain' has \[\]"):
        excitation_profile(plain, (x, y))
    with pytest.raises(ValueError, match="that knows its shapes. Received: Sequential"):
        excitation_profile(keras.Sequential([model]), (x, y))


def test_labels_in_a_column(case):
    model, x, y = case
    expected = excitation_profile(model, (x, y))
    for dataset in ((x, y[:, None]), [(x[:4], y[:4, None]), (x[4:8], y[4:8]), (x[8:], y[8:])]):
        found = excitation_profile(model, dataset)
        np.testing.assert_array_equal(found.classes, expected.classes)
        np.testing.assert_allclose(found.mean["last"], expected.mean["last"], atol=1e-6)


def test_plot(case):
    pytest.importorskip("matplotlib")
    model, x, y = case
    profile = excitation_profile(model, (x, y))
    figure = plot_excitation_profile(model, (x, y), deviation=True)
    assert [axes.get_title() for axes in figure.axes] == ["first", "last"]
    for axes, means in zip(figure.axes, profile.mean.values(), strict=True):
        assert len(axes.lines) == 4 and len(axes.collections) == 3
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), means[1])


def test_plotting_without_matplotlib(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-capsules\[explain\]"):
        plot_excitation_profile(case[0], case[1:])


def test_gates_are_those_of_an_explained_model(case, generator):
    """Also where the model takes labels, on which no gates depend."""
    model, x, _ = case
    gates = to_numpy(explained_model(model, ["gates"])(x))["gates"]
    profile = excitation_profile(model, (x, np.arange(11)))
    np.testing.assert_allclose(profile.mean["first"], gates["first"], atol=1e-6)
    np.testing.assert_allclose(profile.mean["last"], gates["last"][0], atol=1e-6)
    sizes = {"input_shape": (12, 12, 1), "num_classes": 3, "size": "tiny"}
    taught = create_model("se_capsnet", with_decoder=True, decoder_units=(8,), **sizes)
    images = generator.uniform(size=(4, 12, 12, 1)).astype("float32")
    inputs = {"image": images, "label": np.eye(3, dtype="float32")[[0, 1, 2, 0]]}
    gates = to_numpy(explained_model(taught, ["gates"])(images))["gates"]
    profile = excitation_profile(taught, (inputs, np.arange(4)))
    assert profile.mean
    for name, means in profile.mean.items():
        np.testing.assert_allclose(means, gates[name], atol=1e-6)

"""Traversals, trees, statistics, Grad-CAM and curves against what NumPy makes of toy models."""

import keras
import numpy as np
import pytest
from conftest import once, small_capsnet, to_numpy
from keras import layers

import keras_capsules
from keras_capsules import CapsuleLayer, CapsuleLength, PrimaryCapsule2D, explain


@pytest.fixture
def images(generator):
    return generator.uniform(size=(3, 12, 12, 1)).astype("float32")


def test_traversal(images):
    model = small_capsnet(with_decoder=True)
    decoded = explain.pose_traversal(model, images, deltas=(-0.3, 0, 0.1))
    assert decoded.shape == (3, 6, 3, 12, 12, 1)
    found = to_numpy(explain.explained_model(model, ["poses", "reconstruction"])(images))
    centre = np.repeat(found["reconstruction"][:, None], 6, axis=1)
    np.testing.assert_allclose(decoded[:, :, 1], centre, atol=1e-6)
    longest = np.linalg.norm(found["poses"][2], axis=-1).argmax()
    moved = np.zeros_like(found["poses"][:1])
    moved[0, longest] = found["poses"][2, longest] + [0, 0, 0, 0, -0.3, 0]
    expected = to_numpy(explain.decoder_model(model)(moved))[0]
    np.testing.assert_allclose(decoded[2, 4, 0], expected, atol=1e-6)
    assert np.abs(decoded[2, 4, 0] - decoded[2, 4, 1]).max() > 1e-4


def stacked_model(generator):
    """Two children, three parts, two wholes, by uniform routing; votes made by hand."""
    image = keras.Input((1, 1, 4), name="image")
    x = layers.Reshape((2, 2))(image)
    options = {"routing": "uniform", "kernel_initializer": "random_normal"}
    x = CapsuleLayer(3, 2, name="parts", **options)(x)
    x = CapsuleLayer(2, 2, name="wholes", **options)(x)
    model = keras.Model(image, CapsuleLength(name="scores")(x))
    for name in ("parts", "wholes"):
        kernel = model.get_layer(name).kernel
        kernel.assign(generator.normal(size=kernel.shape))
    return model


def stacked_lengths(model, x):
    """The lengths in each level, of one input, by NumPy."""
    levels = [x.reshape(2, 2)]
    for name in ("parts", "wholes"):
        kernel = to_numpy(model.get_layer(name).kernel)
        summed = np.einsum("ia,ijad->jd", levels[-1], kernel) / kernel.shape[1]
        norm = np.linalg.norm(summed, axis=1, keepdims=True)
        levels.append(summed * norm / (1 + norm**2))
    return [np.linalg.norm(level, axis=1) for level in levels]


def test_tree(generator):
    model = stacked_model(generator)
    x = generator.normal(size=(1, 1, 4))
    children, parts, wholes = stacked_lengths(model, x)
    tree = explain.part_whole_tree(model, x, strongest=2)
    assert (tree.layer, tree.index, tree.coupling) == ("wholes", wholes.argmax(), 1)
    assert tree.activation == pytest.approx(wholes.max(), abs=1e-5)
    assert [part.index for part in tree.parts] == np.argsort(-parts)[:2].tolist()
    for part in tree.parts:
        assert (part.layer, part.coupling) == ("parts", pytest.approx(1 / 2))
        assert part.activation == pytest.approx(parts[part.index], abs=1e-5)
        assert [child.index for child in part.parts] == np.argsort(-children).tolist()
        assert [child.coupling for child in part.parts] == pytest.approx([1 / 3] * 2)
        assert {child.layer for child in part.parts} == {"image"}
        assert not any(child.parts for child in part.parts)
    other = explain.part_whole_tree(model, x, class_index=1 - tree.index)
    assert other.index == 1 - tree.index and len(other.parts) == 3


def test_trees_of_a_batch(generator):
    model, x = stacked_model(generator), generator.normal(size=(5, 1, 1, 4))
    for chosen in (None, 1, [0, 1, 1, 0, 1]):
        trees = explain.part_whole_tree(model, x, class_index=chosen, batch_size=2)
        each = [None] * 5 if chosen is None else np.broadcast_to(chosen, 5)
        for tree, one, index in zip(trees, x, each, strict=True):
            alone = explain.part_whole_tree(model, one, class_index=index)
            assert [p.index for p in tree.parts] == [p.index for p in alone.parts]
            assert (tree.index, tree.activation) == (
                alone.index,
                pytest.approx(alone.activation, abs=1e-6),
            )
    with pytest.raises(ValueError, match=r"of 5 inputs. Received: class_index=\[0\]"):
        explain.part_whole_tree(model, x, class_index=[0])


def test_tree_of_a_model_with_explicit_activations(images):
    image = keras.Input((12, 12, 1), name="image")
    x = PrimaryCapsule2D(2, 4, 3, strides=4, explicit_activations=True, name="primary")(image)
    _, scores = CapsuleLayer(3, 4, routing="em", name="wholes")(x)
    model = keras.Model(image, layers.Activation("linear", name="scores")(scores))
    tree = explain.part_whole_tree(model, images[0], strongest=1)
    found = to_numpy(explain.explained_model(model, ["scores", "coupling"])(images[:1]))
    present = to_numpy(model.get_layer("primary")(images[:1])[1]).reshape(-1)
    assert tree.activation == pytest.approx(found["scores"].max(), abs=1e-6)
    strength = found["coupling"][0, :, tree.index] * present
    assert tree.parts[0].index == strength.argmax() and tree.parts[0].layer == "primary"


def test_statistics(generator):
    model = stacked_model(generator)
    kernel = model.get_layer("wholes").kernel
    kernel.assign(to_numpy(kernel) * np.array([1.0, 0.0])[:, None, None])  # The second is dead.
    x = generator.normal(size=(5, 1, 1, 4)).astype("float32")
    x[..., :2] = 0
    for dataset in (x, [(x[:2], None), (x[2:], None)]):
        found = explain.coupling_statistics(model, dataset, batch_size=2)
        assert list(found) == ["parts", "wholes"]
        for entropy, variance, _, _ in found.values():
            assert (entropy, variance) == (pytest.approx(1), pytest.approx(0))
        assert (found["parts"].dead_children, found["parts"].dead_parents) == (0.5, 0)
        assert (found["wholes"].dead_children, found["wholes"].dead_parents) == (0, 0.5)


def test_statistics_of_any_input(generator):
    """Dictionaries, and maps of an open size."""
    taught = small_capsnet(with_decoder=True)
    images = generator.uniform(size=(3, 12, 12, 1)).astype("float32")
    inputs = {"image": images, "label": np.eye(4, dtype="float32")[:3]}
    found = explain.coupling_statistics(taught, inputs, batch_size=2)
    assert found == explain.coupling_statistics(taught, images, batch_size=2)
    models = []
    for size in (None, 12):
        image = keras.Input((size, size, 1))
        pair = PrimaryCapsule2D(2, 4, 3, explicit_activations=True)(image)
        pair = CapsuleLayer(3, 4, routing="em", share_weights=True, name="wholes")(pair)
        models.append(keras.Model(image, pair))
    models[1].set_weights(models[0].get_weights())
    whole, fixed = (explain.coupling_statistics(model, images)["wholes"] for model in models)
    assert whole == pytest.approx(fixed, abs=1e-6) and whole.variance > 0


def test_couplings_of_either_sign(generator, images):
    model = small_capsnet(routing="self_attention")
    prior = model.get_layer("class_capsules").routing.prior
    prior.assign(generator.normal(size=prior.shape))
    found = explain.coupling_statistics(model, images)["class_capsules"]
    coupling = to_numpy(explain.explained_model(model, ["coupling"])(images))["coupling"]
    shares = np.abs(coupling.astype("float64"))
    shares /= shares.sum(axis=2, keepdims=True)
    expected = -(shares * np.log(shares)).sum(axis=2).mean() / np.log(4)
    assert found.entropy == pytest.approx(expected, abs=1e-5) and coupling.min() < 0
    assert found.variance == pytest.approx(coupling.var(axis=0).mean(), rel=1e-3)


def test_grad_cam(generator):
    """Where the features are averaged, the gradient is the weight over their number."""
    image = keras.Input((6, 7, 2), name="image")
    x = layers.Conv2D(3, (3, 4), activation="relu", name="features")(image)
    dense = layers.Dense(4, name="scores")
    model = keras.Model(image, dense(layers.GlobalAveragePooling2D()(x)))
    x = generator.normal(size=(3, 6, 7, 2)).astype("float32")
    features = to_numpy(keras.Model(image, model.get_layer("features").output)(x))
    for chosen in (None, 2, [0, 1, 3]):
        classes = to_numpy(model(x)).argmax(axis=1) if chosen is None else chosen
        weights = to_numpy(dense.kernel)[:, np.broadcast_to(classes, 3)].T / 16
        cells = np.maximum(np.einsum("bc,bhwc->bhw", weights, features), 0)
        expected = np.zeros((3, 6, 7))
        for row, column in np.ndindex(4, 4):
            window = expected[:, row : row + 3, column : column + 4]
            window += cells[:, row, column, None, None] / 12
        found = explain.grad_cam(model, x, class_index=chosen, batch_size=2)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found.max() > 1e-3
    with pytest.raises(ValueError, match=r"\['features'\].*layer='scores'"):
        explain.grad_cam(model, x, layer="scores")


def test_grad_cam_looks_above_the_scores(images):
    """And not at the decoder's image."""
    model = small_capsnet(with_decoder=True)
    found = explain.grad_cam(model, images)
    np.testing.assert_array_equal(found, explain.grad_cam(model, images, layer="convolution"))


def test_deletion_and_insertion(generator):
    """Of a model whose score is a weighted mean of the pixels."""
    image = keras.Input((4, 5, 1), name="image")
    x = layers.Dense(2, name="scores")(layers.Flatten()(image))
    model = keras.Model(image, x)
    weights = generator.uniform(size=(20, 2)) * [1, 0.1]
    model.get_layer("scores").set_weights([weights, np.array([0.25, 0.1])])
    x = generator.uniform(size=(3, 4, 5, 1)).astype("float32")
    maps = generator.permutation(60).reshape(3, 4, 5)
    found = explain.deletion_insertion(model, x, maps, steps=5)
    np.testing.assert_allclose(found.fractions, [0, 0.2, 0.4, 0.6, 0.8, 1])
    parts = (x * weights[:, 0].reshape(4, 5, 1)).reshape(3, 20)
    for n in range(3):
        ordered = parts[n][np.argsort(-maps[n].ravel())]
        inserted = 0.25 + np.array([ordered[: 4 * k].sum() for k in range(6)])
        np.testing.assert_allclose(found.insertion[n], inserted, rtol=1e-5)
        np.testing.assert_allclose(found.deletion[n], 0.5 + parts[n].sum() - inserted, rtol=1e-5)
        area = (inserted[:-1] + inserted[1:]).sum() / 2 / 5
        assert found.insertion_area[n] == pytest.approx(area, rel=1e-5)
    whole, blank = to_numpy(model(x))[:, 0], to_numpy(model(0 * x))[:, 0]
    np.testing.assert_allclose(found.deletion[:, [0, -1]].T, [whole, blank], rtol=1e-6)
    np.testing.assert_allclose(found.insertion[:, [0, -1]].T, [blank, whole], rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(4, 5\) for each of 3"):
        explain.deletion_insertion(model, x, maps[:2])
    random = explain.random_maps(x)
    assert random.shape == (3, 4, 5) and len(np.unique(random)) == 60


@once
def test_models_without_what_is_needed(images):
    plain = keras.Sequential([keras.Input((12, 12, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match="one ReconstructionDecoder"):
        explain.pose_traversal(plain, images)
    with pytest.raises(ValueError, match="must have a CapsuleLayer"):
        explain.part_whole_tree(plain, images[0])
    with pytest.raises(ValueError, match="must have a CapsuleLayer"):
        explain.coupling_statistics(plain, images)


@once
def test_figures_of_maps(generator, images):
    """They draw the maps of the same arguments."""
    pytest.importorskip("matplotlib")
    model = small_capsnet()
    for plot, explanation in (
        (explain.plot_coupling_map, explain.coupling_map),
        (explain.plot_grad_cam, explain.grad_cam),
    ):
        axes = plot(model, images, titles=["a", "b", "c"], class_index=[0, 3, 1]).axes
        assert [one.get_title() for one in axes[:3]] == ["a", "b", "c"]
        maps = explanation(model, images, class_index=[0, 3, 1])
        for one, image, found in zip(axes[3:], images, maps, strict=True):
            np.testing.assert_allclose(one.images[0].get_array(), image[..., 0])
            np.testing.assert_allclose(one.images[1].get_array(), found, atol=1e-7)
    loud = explain.plot_coupling_map(model, 255 * images).axes[0].images[0].get_array()
    assert (loud.min(), loud.max()) == (0, 1)


@once
@pytest.mark.parametrize("kind", ["signal", "tokens"])
def test_figures_of_sequences(generator, kind):
    pytest.importorskip("matplotlib")
    start = keras.Input((6, 2)) if kind == "signal" else keras.Input((6,), dtype="int32")
    x = start if kind == "signal" else layers.Embedding(9, 2)(start)
    x = CapsuleLayer(3, 4)(keras_capsules.PrimaryCapsule1D(2, 4, 3)(x))
    model = keras.Model(start, CapsuleLength(name="scores")(x))
    shape = (2, *start.shape[1:])
    values = generator.random(shape) if kind == "signal" else generator.integers(0, 9, shape)
    axes = explain.plot_coupling_map(model, values).axes
    for one, value, found in zip(axes, values, explain.coupling_map(model, values), strict=True):
        np.testing.assert_allclose(one.images[0].get_array(), found[None], atol=1e-7)
        if kind == "signal":
            np.testing.assert_allclose([line.get_ydata() for line in one.lines], value.T)
        else:
            assert [text.get_text() for text in one.texts] == [str(token) for token in value]


@once
def test_figures_of_decoders(images):
    pytest.importorskip("matplotlib")
    model = small_capsnet(with_decoder=True)
    axes = explain.plot_reconstructions(model, images, titles=["a", "b", "c"]).axes
    found = to_numpy(explain.explained_model(model, ["reconstruction"])(images))["reconstruction"]
    np.testing.assert_allclose(axes[4].images[0].get_array(), found[1, ..., 0], atol=1e-6)
    axes = explain.plot_pose_traversal(model, images[0], deltas=(-1, 0, 1)).axes
    assert axes[0].get_title() == "-1.00" and axes[3].get_ylabel() == "2"
    decoded = explain.pose_traversal(model, images[:1], deltas=(-1, 0, 1))[0]
    np.testing.assert_allclose(axes[4].images[0].get_array(), decoded[1, 1, ..., 0], atol=1e-6)


@once
def test_figures_of_capsules(generator):
    pytest.importorskip("matplotlib")
    model, x = stacked_model(generator), generator.normal(size=(2, 1, 1, 4))
    axes = explain.plot_part_whole_tree(model, x, strongest=2).axes
    for one, tree in zip(axes, explain.part_whole_tree(model, x, strongest=2), strict=True):
        texts = [text.get_text() for text in one.texts]
        assert texts[0] == f"{tree.index}\n{tree.activation:.2f}" and len(texts) == 1 + 2 * 6
        widths = [line.get_linewidth() for line in one.lines]  # Of a half or a third of a vote.
        assert sorted(widths) == pytest.approx(4 * [0.5 + 6 / 3] + 2 * [0.5 + 6 / 2])
    figure = explain.plot_coupling_statistics(model, x)
    found = explain.coupling_statistics(model, x)
    for one, field in zip(figure.axes, explain.CouplingStatistics._fields, strict=True):
        widths = [bar.get_width() for bar in one.patches]
        assert widths == pytest.approx([getattr(f, field) for f in found.values()])


@once
def test_figure_of_curves():
    pytest.importorskip("matplotlib")
    curve = np.array([[0.0, 1.0], [1.0, 1.0]])
    found = explain.DeletionInsertion(np.arange(2), 1 - curve, curve, np.ones(2), np.ones(2))
    figure = explain.plot_deletion_insertion({"mine": found})
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), [0.5, 1])
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "mine, area 1.00"

"""Convolutional capsules on grids of any size, saved, and with symbolic shapes."""

import keras
import numpy as np
import pytest
from conftest import evaluate, gradient

from keras_capsules import ConvCapsule2D, ConvCapsule2DTranspose, routing
from tests.layers.conv_capsules import built


@pytest.mark.parametrize("transform", ["dense", "convolution"])
def test_cells_that_no_kernel_reaches_are_zero(generator, transform):
    sizes = {"kernel_size": 2, "strides": 3, "transform": transform}
    layer, poses = built(generator, (3,), transposed=True, **sizes)
    found = evaluate(layer, poses)
    assert found.shape == (2, 9, 3, 4)
    empty = np.abs(found).max(axis=(0, 2, 3)) == 0
    np.testing.assert_array_equal(empty, np.arange(9) % 3 == 2)


def test_transposed_layers_save_and_take_open_sizes(generator, tmp_path):
    for name, options in (("dynamic", {"transform": "convolution"}), ("em", {})):
        sizes = {"kernel_size": 4, "strides": 2, "padding": "same", "routing": name}
        layer, inputs = built(generator, (3, 4), transposed=True, **sizes, **options)
        expected = keras.tree.flatten(evaluate(layer, inputs))
        opened = ((None, None, 2, 4), (None, None, 2))[: len(keras.tree.flatten(inputs))]
        tensors = [keras.Input(shape) for shape in opened]
        again = ConvCapsule2DTranspose.from_config(layer.get_config())
        model = keras.Model(tensors, again(tensors if tensors[1:] else tensors[0]))
        assert keras.tree.flatten(model.output)[0].shape == (None, None, None, 3, 4)
        again.set_weights(layer.get_weights())
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        found = keras.tree.flatten(loaded.predict(inputs, verbose=0))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("name", ["dynamic", "em"])
def test_a_layer_takes_grids_of_other_sizes(generator, name):
    layer, _ = built(generator, (5, 4), routing=name, kernel_size=3)
    other, inputs = built(generator, (4, 6), routing=name, kernel_size=3)
    other.set_weights(layer.get_weights())
    for one, two in zip(
        keras.tree.flatten(evaluate(layer, inputs)),
        keras.tree.flatten(evaluate(other, inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["dynamic", "em", "variational_bayes"])
def test_samples_do_not_see_their_batch(generator, name):
    layer, inputs = built(generator, (5, 4), routing=name, kernel_size=3)
    together = keras.tree.flatten(evaluate(layer, inputs))
    alone = keras.tree.map_structure(lambda x: x[1:], inputs)
    for one, both in zip(keras.tree.flatten(evaluate(layer, alone)), together, strict=True):
        np.testing.assert_allclose(one[0], both[1], atol=1e-5)
    poses = inputs[0] if isinstance(inputs, tuple) else inputs
    poses[0, 0, 0] = np.nan
    poisoned = keras.tree.flatten(evaluate(layer, inputs))[0]
    assert np.isnan(poisoned[0]).any() and not np.isnan(poisoned[1]).any()


@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_symbolic_shapes_config_and_finite_gradient_at_zero(generator, name):
    layer, inputs = built(generator, (4, 5), routing=name, kernel_size=3, padding="same", strides=2)
    symbolic = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:]), inputs)
    output, coupling = layer(symbolic, return_coupling=True)
    assert coupling.shape == (None, 2, 3, 18, 3)
    shapes = [part.shape for part in keras.tree.flatten(output)]
    assert shapes == [(None, 2, 3, 3, 4), (None, 2, 3, 3)][: len(shapes)]
    again = ConvCapsule2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again.build(keras.tree.map_structure(lambda x: x.shape, inputs))
    again.set_weights(layer.get_weights())
    for one, other in zip(
        keras.tree.flatten(evaluate(again, inputs)),
        keras.tree.flatten(evaluate(layer, inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    rest = [keras.ops.convert_to_tensor(part) for part in keras.tree.flatten(inputs)[1:]]

    def poses_of(poses):
        return keras.tree.flatten(layer((poses, *rest) if rest else poses))[0]

    zeros = np.zeros((1, 4, 5, 2, 4), "float32")
    rest = [part[:1] for part in rest]
    assert np.isfinite(gradient(poses_of, zeros)).all()

"""Inputs and arguments that convolutional capsules refuse."""

import keras
import numpy as np
import pytest

from keras_capsules import CapsuleLayer, ConvCapsule2D


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"kernel_size": 5}, (4, 6, 2, 4), r"kernel_size=\(5, 5\), grid=\(4, 6\)"),
        ({}, (4, 2, 4), r"PrimaryCapsule2D.*shape=\(None, 4, 2, 4\)"),
        ({"kernel_size": 5}, (None, 4, 2, 4), r"grid=\(None, 4\)"),
        ({"transform": "matrix"}, (4, 4, 2, 5), "matrix of the size"),
    ],
)
def test_inputs_that_do_not_fit(options, shape, message):
    with pytest.raises(ValueError, match=message):
        ConvCapsule2D(3, 4, **{"kernel_size": 3, **options}).build((None, *shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 0}, "kernel_size=0"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size=\(3, 3, 3\)"),
        ({"strides": (1, -1)}, "strides=-1"),
        ({"padding": "causal"}, "padding='causal'"),
        ({"coordinate_addition": True, "capsule_dim": 1}, "capsule_dim=1"),
        ({"transform": "convolve"}, '"dense", "matrix" or "convolution".*convolve'),
        ({"transform": "convolution", "routing": "em"}, "explicit activations.*em_routing"),
        ({"transform": "convolution", "share_weights": True}, "share_weights=True"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ConvCapsule2D(**{"num_capsules": 3, "capsule_dim": 4, "kernel_size": 3, **options})


def test_activations_missing_or_not_wanted(generator):
    poses = generator.normal(size=(2, 4, 4, 2, 4)).astype("float32")
    with pytest.raises(ValueError, match="activations=None"):
        ConvCapsule2D(3, 4, 3, routing="em")(poses)
    with pytest.raises(ValueError, match="does not use"):
        ConvCapsule2D(3, 4, 3)((poses, poses[..., 0]))


@pytest.mark.parametrize("transform", ["dense", "convolution"])
def test_a_built_layer_refuses_other_children(generator, transform):
    layer = ConvCapsule2D(3, 4, 3, transform=transform)
    layer(generator.normal(size=(2, 4, 4, 2, 4)).astype("float32"))
    assert layer(generator.normal(size=(2, 5, 6, 2, 4)).astype("float32")).shape == (2, 3, 4, 3, 4)
    with pytest.raises(ValueError, match="poses of 4 components.*another layer"):
        layer(generator.normal(size=(2, 4, 4, 2, 8)).astype("float32"))
    other_types = generator.normal(size=(2, 4, 4, 1, 4)).astype("float32")
    if transform == "convolution":  # All types share a kernel.
        assert layer(other_types).shape == (2, 2, 2, 3, 4)
    else:
        with pytest.raises(ValueError, match="for 2 types of children"):
            layer(other_types)


def test_symbolic_activations_missing_or_not_wanted():
    poses, activations = keras.Input((4, 4, 2, 4)), keras.Input((4, 4, 2))
    with pytest.raises(ValueError, match="activations=None"):
        ConvCapsule2D(3, 4, 3, routing="em")(poses)
    with pytest.raises(ValueError, match="does not use"):
        ConvCapsule2D(3, 4, 3)((poses, activations))


@pytest.mark.parametrize("layer", [ConvCapsule2D(3, 4, 3, routing="em"), CapsuleLayer(3, 4, "em")])
def test_activations_with_other_axes_than_the_poses(generator, layer):
    """As many numbers in another order."""
    poses = generator.normal(size=(2, 4, 4, 2, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4, 2\).*shape=\(2, 2, 4, 4\)"):
        layer((poses, generator.random((2, 2, 4, 4)).astype("float32")))


def test_a_mask_with_other_axes_than_the_grid(generator):
    poses = generator.normal(size=(2, 4, 4, 2, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"shape \(2, 4, 4\).*mask.shape=\(2, 2, 8\)"):
        ConvCapsule2D(3, 4, 3)(poses, mask=np.ones((2, 2, 8), "bool"))

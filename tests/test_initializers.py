"""The default kernels start stacks of capsules neither dead nor saturated."""

import math

import keras
import numpy as np
import pytest
from conftest import once_under_torch, to_numpy

from benchmarks.initializers import stack
from keras_capsules import CapsuleLayer, VoteScaling, routing


@once_under_torch
@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
@pytest.mark.parametrize(
    ("kind", "children", "parents"),
    [("matrix", 1152, 10), pytest.param("dense", 16, 100, marks=pytest.mark.slow)],
)
def test_stacks_start_alive(name, kind, children, parents):
    """`python -m benchmarks.initializers` measures more sizes, and four layers."""
    figures = stack(name, kind, children, parents, depth=2)
    assert figures["lowest"] > 0.1
    # The activations of these two have no upper limit: see the benchmark.
    assert figures["highest"] < 0.99 or name in ("inverted_dot_product", "self_routing")
    assert figures["shortest"] > 2e-3
    assert figures["longest"] < 3
    assert figures["varies"] > 0.5
    assert 0.01 < figures["smallest first / last"] < 100


@pytest.mark.parametrize("children", [16, 10_000])
@pytest.mark.parametrize(
    ("options", "length"),
    [
        ({"length": 2.0}, lambda children: 2 * 5 / math.sqrt(children)),
        ({"length": 2.0, "longest": 1.5}, lambda children: min(1.5, 10 / math.sqrt(children))),
        ({"length": 2.0, "target": "mean"}, lambda children: 2 * math.sqrt(children)),
        ({"length": 2.0, "target": "vote"}, lambda _: 2.0),
    ],
)
def test_votes_have_the_length_of_the_docstring(generator, options, length, children):
    kernel = to_numpy(VoteScaling(0, **options)((children, 5, 8, 4)))
    pose = generator.normal(size=8)
    votes = pose / np.linalg.norm(pose) @ kernel
    found = np.sqrt(np.mean(np.sum(votes**2, axis=-1)))
    np.testing.assert_allclose(found, length(children), rtol=0.1)


def test_the_target_is_checked():
    with pytest.raises(ValueError, match="target='median'"):
        VoteScaling(target="median")


@pytest.mark.parametrize("name", sorted(routing.ROUTINGS))
def test_a_layer_keeps_the_options_of_its_routing(name):
    options = routing.get(name).vote_scaling
    config = CapsuleLayer(3, 4, routing=name).get_config()
    kept = CapsuleLayer.from_config(config).kernel_initializer.get_config()
    assert kept == VoteScaling(**options).get_config()


def test_configs_of_old_files_draw_as_before():
    """They have no `target`, and mean sums of votes."""
    old = {"class_name": "VoteScaling", "config": {"seed": 1, "length": 0.1}}
    old |= {
        "module": "keras_capsules.initializers",
        "registered_name": "keras_capsules>VoteScaling",
    }
    kernel = to_numpy(keras.initializers.deserialize(old)((64, 5, 8, 4)))
    np.testing.assert_allclose(kernel.std(), 0.1 * 5 / math.sqrt(64 * 4), rtol=0.05)

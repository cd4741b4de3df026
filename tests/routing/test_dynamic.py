"""Dynamic routing: its options, its iterations, and the time that they take."""

import statistics
import time

import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy

import keras_capsules
from keras_capsules import routing
from tests.routing.random_inputs import inputs_of


def test_a_leaky_child_keeps_part_of_its_vote(generator):
    layer = routing.get("dynamic", leaky=True)
    coupling = to_numpy(layer(**inputs_of(layer, generator)).coupling)
    assert coupling.min() > 0 and coupling.sum(axis=2).max() < 1


def test_stop_gradient_changes_the_gradient_alone(generator):
    votes = inputs_of(routing.get("dynamic"), generator)["votes"]
    through, stopped = (routing.get("dynamic", stop_gradient=s) for s in (False, True))
    np.testing.assert_array_equal(to_numpy(through(votes).poses), to_numpy(stopped(votes).poses))
    coupling = to_numpy(stopped(votes).coupling)
    slopes = gradient(lambda v: stopped(v).poses, votes)
    fixed = gradient(
        lambda v: keras_capsules.squash(
            keras.ops.sum(keras.ops.multiply(v, coupling[..., None]), axis=1)
        ),
        votes,
    )
    np.testing.assert_allclose(slopes, fixed, atol=1e-5)
    assert np.abs(gradient(lambda v: through(v).poses, votes) - slopes).max() > 1e-3


def test_dynamic_routing_is_not_normalised_over_the_children(generator):
    """The commonest bug in published code; with it, routing changes nothing."""
    votes = inputs_of(routing.get("dynamic"), generator, scale=3.0)["votes"]
    one, three = (to_numpy(routing.get("dynamic", iterations=r)(votes).poses) for r in (1, 3))
    assert np.abs(one - three).max() > 0.01


def test_one_iteration_of_dynamic_routing_is_uniform(generator):
    votes = inputs_of(routing.get("dynamic"), generator)["votes"]
    dynamic, uniform = routing.get("dynamic", iterations=1)(votes), routing.get("uniform")(votes)
    for one, other in zip(to_numpy(dynamic), to_numpy(uniform), strict=True):
        np.testing.assert_array_equal(one, other)


def test_jit(generator):
    """One compiled step on the backends that compile by default."""
    if keras.backend.backend() == "torch":
        pytest.skip("torch does not compile by default")
    model = keras.Sequential([keras.Input((6, 4)), keras_capsules.CapsuleLayer(3, 5)])
    model.compile("adam", "mse", jit_compile=True)
    model.fit(generator.normal(size=(4, 6, 4)), np.zeros((4, 3, 5)), verbose=0)


@pytest.mark.slow
def test_a_training_step_grows_with_the_iterations_no_more_than_linearly():
    """`python -m benchmarks.scaling` measures it; here with much room for noise."""
    poses, targets = np.ones((8, 512, 8), "float32"), np.zeros((8, 8, 16), "float32")

    def median_time(iterations):
        layer = keras_capsules.CapsuleLayer(8, 16, routing.get("dynamic", iterations=iterations))
        model = keras.Sequential([keras.Input((512, 8)), layer])
        model.compile("sgd", "mse")
        times = []
        for _ in range(6):
            start = time.perf_counter()
            model.train_on_batch(poses, targets)
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])  # The first compiles.

    assert median_time(30) <= 40 * median_time(3)

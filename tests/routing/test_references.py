"""Every routing in the table against its float64 reference, in value and gradient."""

import keras
import numpy as np
import pytest
from conftest import gradient, to_numpy
from routing_cases import CASES

from keras_capsules import routing
from tests.routing.random_inputs import built, inputs_of

SHAPES = [((2, 6, 3, 4), 1.0), ((2, 6, 3, 4), 0.1), ((1, 1, 1, 2), 1.0), ((3, 40, 10, 16), 1.0)]
ids = [f"{name}{list(options.values()) or ''}" for name, options, _ in CASES]


@pytest.mark.parametrize(("name", "options", "expected"), CASES, ids=ids)
@pytest.mark.parametrize(("shape", "scale"), SHAPES)
def test_agrees_with_the_float64_reference(generator, name, options, expected, shape, scale):
    layer = built(name, generator, shape, **options)
    inputs = inputs_of(layer, generator, shape, scale)
    weights = {
        weight.path.partition("/")[2]: to_numpy(weight).astype("float64")
        for weight in layer.trainable_weights
    }
    result = to_numpy(layer(**inputs))
    poses, *activations, coupling = expected(inputs, weights)
    if not layer.explicit_activations:
        activations = [np.linalg.norm(poses, axis=-1)]
    np.testing.assert_allclose(result.poses, poses, atol=1e-5)
    np.testing.assert_allclose(result.activations, activations[0], atol=1e-5)
    np.testing.assert_allclose(result.coupling, coupling, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "expected"), {case[0]: case for case in CASES}.values()
)
def test_gradients_are_those_of_the_reference(generator, name, options, expected):
    """Finite differences of the float64 reference, in a few random directions."""
    shape = (1, 5, 3, 4)
    layer = built(name, generator, shape, **options)
    inputs = inputs_of(layer, generator, shape)
    weights = {
        weight.path.partition("/")[2]: to_numpy(weight).astype("float64")
        for weight in layer.trainable_weights
    }
    onto = generator.normal(size=(1, 3, 4)).astype("float32")
    onto_activations = generator.normal(size=(1, 3)).astype("float32")

    def project(poses, activations):
        total = (poses * onto).sum()
        return total + (activations * onto_activations).sum() * layer.explicit_activations

    for argument, array in inputs.items():
        others = {k: keras.ops.convert_to_tensor(a) for k, a in inputs.items() if k != argument}

        def projected(x, argument=argument, others=others):
            result = layer(**{argument: x}, **others)
            total = keras.ops.sum(result.poses * keras.ops.convert_to_tensor(onto))
            if layer.explicit_activations:
                weighted = result.activations * keras.ops.convert_to_tensor(onto_activations)
                total = total + keras.ops.sum(weighted)
            return total

        slopes = gradient(projected, array)
        for _ in range(4):
            direction = generator.normal(size=array.shape)
            ends = []
            for step in (1e-5, -1e-5):
                moved = {k: a.astype("float64") for k, a in inputs.items()}
                moved[argument] = moved[argument] + step * direction
                ends.append(
                    project(*expected(moved, weights)[:2])
                    if layer.explicit_activations
                    else project(expected(moved, weights)[0], onto_activations)
                )
            difference = (ends[0] - ends[1]) / 2e-5
            np.testing.assert_allclose((slopes * direction).sum(), difference, rtol=1e-3, atol=1e-4)


def test_every_routing_has_a_reference():
    assert {name for name, _, _ in CASES} == set(routing.ROUTINGS)

"""The implementation that never stores votes gives what the one that does gives."""

import json

import keras
import numpy as np
import pytest
from conftest import evaluate, gradient, once, run_python, to_numpy

from keras_capsules import CapsuleLayer, routing
from keras_capsules.layers import capsule_layer
from keras_capsules.routing.votes import LeanVotes

# JAX compiles each of them.
FORMS = [("dense", False), ("matrix", True), ("dense", True)]
FORMS = FORMS[: 1 if keras.backend.backend() == "jax" else 3]
LEAN = sorted(name for name, layer in routing.ROUTINGS.items() if layer.sums_votes)
CASES = [*LEAN, routing.DynamicRouting(stop_gradient=True)]


def pair(generator, poses_dim=9, **options):
    """The same layer twice, stored and lean, with the same random weights, and inputs for them."""
    options = {"num_capsules": 3, "capsule_dim": 9, "kernel_initializer": "zeros", **options}
    layers = [CapsuleLayer(**options, implementation=kind) for kind in ("stored", "lean")]
    explicit = layers[0].routing.explicit_activations
    poses = generator.normal(size=(2, 7, poses_dim)).astype("float32")
    rest = [generator.uniform(size=(2, 7)).astype("float32")] * explicit
    shapes = [poses.shape, *(part.shape for part in rest)]
    for layer in layers:
        layer.build(shapes if explicit else poses.shape)
    weights = [0.4 * generator.normal(size=w.shape) for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers, poses, rest


@pytest.mark.parametrize("routing", CASES, ids=[*LEAN, "stop_gradient"])
@pytest.mark.parametrize(("transform", "share_weights"), FORMS)
def test_same_parents_coupling_and_gradients(generator, routing, transform, share_weights):
    options = {"routing": routing, "transform": transform, "share_weights": share_weights}
    layers, poses, rest = pair(generator, use_bias=True, **options)
    mask = keras.ops.convert_to_tensor(generator.uniform(size=(2, 7)) > 0.3)
    rest = [keras.ops.convert_to_tensor(part) for part in rest]

    def call(layer, poses):
        inputs = (poses, *rest) if rest else poses
        return layer(inputs, mask=mask, return_coupling=True, training=True)

    stored, lean = (
        keras.tree.flatten(evaluate(lambda x, layer=layer: call(layer, x), poses))
        for layer in layers
    )
    for one, other in zip(stored, lean, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)

    def squares(layer, poses):
        return keras.ops.square(keras.tree.flatten(call(layer, poses))[0])

    slopes = [gradient(lambda x, layer=layer: squares(layer, x), poses) for layer in layers]
    np.testing.assert_allclose(*slopes, atol=1e-5 * max(1, np.abs(slopes[0]).max()))


@pytest.mark.parametrize("routing", LEAN)
def test_half_precision_weights(generator, routing):
    layers, poses, rest = pair(generator, routing=routing, dtype="bfloat16")
    inputs = (poses, *rest) if rest else poses
    parents = (keras.tree.flatten(layer(inputs))[0] for layer in layers)
    stored, lean = (to_numpy(keras.ops.cast(poses, "float32")) for poses in parents)
    np.testing.assert_allclose(stored, lean, atol=0.05)


@pytest.mark.parametrize("transform", ["dense", "matrix"])
def test_same_gradients_of_kernel_and_bias(generator, transform):
    """Steps of plain gradient descent leave the same weights behind."""
    layers, poses, _ = pair(generator, use_bias=True, transform=transform)
    targets = generator.normal(size=(2, 3, 9)).astype("float32")
    for layer in layers:
        model = keras.Sequential([keras.Input((7, 9)), layer])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(poses, targets, epochs=3, verbose=0)
    for one, other in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert all(np.abs(weight).max() > 0 for weight in layers[1].get_weights())


@pytest.mark.parametrize("transform", ["dense", "matrix"])
def test_same_predictions(generator, transform):
    layers, poses, _ = pair(generator, transform=transform, use_bias=True)
    stored, lean = (keras.Sequential([layer]).predict(poses, verbose=0) for layer in layers)
    np.testing.assert_allclose(stored, lean, atol=1e-5)


def test_any_number_of_children_with_shared_weights(generator):
    layers, _, _ = pair(generator, share_weights=True)
    for children in (1, 5):
        poses = generator.normal(size=(2, children, 9)).astype("float32")
        stored, lean = (keras.Sequential([layer]).predict(poses, verbose=0) for layer in layers)
        np.testing.assert_allclose(stored, lean, atol=1e-5)


def test_half_precision_and_config(generator):
    layers, poses, _ = pair(generator, dtype="mixed_float16")
    stored, lean = (to_numpy(keras.ops.cast(layer(poses), "float32")) for layer in layers)
    assert layers[1](poses).dtype == layers[0](poses).dtype
    np.testing.assert_allclose(stored, lean, atol=2e-2)
    again = CapsuleLayer.from_config(layers[1].get_config())
    assert again.implementation == "lean" and again.get_config() == layers[1].get_config()


def test_a_mask_of_the_wrong_shape(generator):
    layers, poses, _ = pair(generator)
    for layer in layers:
        with pytest.raises(ValueError, match=r"mask.shape=\(2, 5\)"):
            layer(poses, mask=np.ones((2, 5), "bool"))


def test_routings_that_look_at_each_vote_are_refused():
    for name in set(routing.ROUTINGS) - set(LEAN):
        with pytest.raises(ValueError, match="only sum votes"):
            CapsuleLayer(3, 4, routing=name, implementation="lean")
    with pytest.raises(ValueError, match="implementation='fast'"):
        CapsuleLayer(3, 4, implementation="fast")


@pytest.mark.parametrize(
    ("options", "lean"),
    [
        ({}, False),
        ({"share_weights": True}, True),
        ({"share_weights": True, "capsule_dim": 1}, False),
        ({"share_weights": True, "routing": "em"}, False),
        ({"share_weights": True, "implementation": "stored"}, False),
        ({"implementation": "lean"}, True),
        ({"num_capsules": 300, "capsule_dim": 32}, keras.config.backend() == "jax"),
        ({"num_capsules": 300, "capsule_dim": 32, "routing": "em"}, False),
        ({"num_capsules": 600, "capsule_dim": 16}, False),
    ],
)
def test_auto_is_lean_where_that_is_faster(monkeypatch, options, lean):
    made = []
    monkeypatch.setattr(
        capsule_layer, "LeanVotes", lambda *args, **kw: made.append(args) or LeanVotes(*args, **kw)
    )
    layer = CapsuleLayer(**{"num_capsules": 3, "capsule_dim": 2} | options)
    poses, activations = np.ones((2, 7, 16), "float32"), np.ones((2, 7), "float32")
    layer((poses, activations) if layer.routing.explicit_activations else poses)
    assert bool(made) == lean
    assert layer.get_config()["implementation"] == options.get("implementation", "auto")


TRAIN = """
import json, re, sys
import keras, numpy as np
from keras_capsules import CapsuleLayer
size = json.loads(sys.argv[2])
layer = CapsuleLayer(size["parents"], size["dim"], implementation=sys.argv[1])
model = keras.Sequential([keras.Input((size["children"], size["in_dim"])), layer])
model.compile("sgd", "mse")
poses = np.ones((size["batch"], size["children"], size["in_dim"]), "float32")
for _ in range(3):
    model.train_on_batch(poses, np.zeros((size["batch"], size["parents"], size["dim"]), "float32"))
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def peak(implementation, sizes):
    """Returns the highest resident memory, in MiB, of a process that trains, under TensorFlow."""
    # Else the C library keeps freed blocks, of up to 32 MiB each, that it may use again.
    environment = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    arguments = ("-c", TRAIN, implementation, json.dumps(sizes))
    output = run_python(*arguments, backend="tensorflow", env=environment).stdout
    return int(output.splitlines()[-1]) / 1024


def once_of_two(low, measure, high):
    """Whether a measure is in a range, if need be at the second time.

    Where other work delays some threads of a process, more is held at once.
    """
    return any(low < measure() < high for _ in range(2))


@pytest.mark.slow
@once
def test_memory_does_not_grow_with_the_votes():
    """`python -m benchmarks.memory --growth` measures it; here with some room for noise."""
    sizes = {"children": 1152, "in_dim": 8, "parents": 40, "batch": 128}
    votes = 4 * 16 * sizes["batch"] * sizes["children"] * sizes["parents"] / 2**20

    def growth(kind):
        return (peak(kind, sizes | {"dim": 32}) - peak(kind, sizes | {"dim": 16})) / votes

    assert once_of_two(-0.1, lambda: growth("lean"), 0.35)
    assert once_of_two(1, lambda: growth("stored"), 10)


@pytest.mark.slow
@once
def test_few_parents_are_computed_at_once():
    """Kernel, gradient and step take four times the kernel; ten parents at once, six times."""
    sizes = {"children": 30_000, "in_dim": 8, "parents": 16, "dim": 16, "batch": 8}
    kernel = 4 * 30_000 * 8 * 16 * 16 / 2**20
    rest = peak("lean", sizes | {"children": 16})
    assert once_of_two(0, lambda: peak("lean", sizes) - rest, 5 * kernel)

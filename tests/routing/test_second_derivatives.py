"""Second derivatives, which gradient penalties train with, against float64 NumPy."""

import keras
import numpy as np
import pytest
from conftest import second_gradient, to_numpy
from reference.routing import squash as reference_squash
from routing_cases import CASES

from keras_capsules import CapsuleLayer, CapsuleLength, PrimaryCapsule2D, routing, squash
from keras_capsules.ops import capsule_length
from keras_capsules.routing.votes import ChunkedVotes, LeanVotes
from keras_capsules.routing.votes.transform import matrices_of, votes_of

BATCH, CHILDREN, PARENTS, SIZE, DIM = 2, 4, 3, 5, 4
LAST_CASES = {case[0]: case for case in CASES}
LOOPS = {("dynamic", "lean loop"), ("dynamic", "chunked"), ("em", "chunked")}  # Slow to compile.
# JAX compiles each operation of each case.
JAX = keras.backend.backend() == "jax"


def kinds_of(name):
    """Returns the ways of keeping votes that a routing is tested with."""
    if JAX and name != "uniform":
        return ["training"]
    lean = ["lean"] if routing.ROUTINGS[name].sums_votes else []
    return ["stored", "training", *lean, *(kind for other, kind in LOOPS if other == name)]


def votes_of_kind(kind, layer, poses, kernel):
    if kind == "chunked":
        return ChunkedVotes(poses, kernel, 1, 1, layer.expected_sums)
    if "lean" in kind:
        rows = keras.ops.expand_dims(poses, 1)
        return LeanVotes(rows, kernel, layer.expected_sums, unroll=kind == "lean")
    votes = votes_of(poses, matrices_of(kernel), PARENTS)
    return layer.stored(votes, training=kind == "training")


def check(function, exact, arrays, generator):
    """Compares second derivatives with differences of the float64 function, in a few directions.

    The first is by the first array, along a random direction. Its derivatives are by all arrays.
    """
    scale = np.std(arrays[0]) or 1.0
    along = generator.normal(size=arrays[0].shape)
    found = second_gradient(function, arrays, along.astype("float32"))
    assert all(np.isfinite(part).all() for part in found)
    step = 1e-4 * scale
    for _ in range(3):
        ahead = [np.std(x) * generator.normal(size=x.shape) for x in arrays]

        def slope(far, ahead=ahead):
            moved = [x.astype("float64") + far * a for x, a in zip(arrays, ahead, strict=True)]
            first, *others = moved
            upper = exact(first + step * along, *others)
            return (upper - exact(first - step * along, *others)) / (2 * step)

        wanted = (slope(1e-4) - slope(-1e-4)) / 2e-4
        products = [part * a for part, a in zip(found, ahead, strict=True)]
        size = np.sqrt(sum(np.sum(np.square(product)) for product in products))
        assert abs(sum(map(np.sum, products)) - wanted) <= 1e-3 * size + 1e-9


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in sorted(LAST_CASES) for kind in kinds_of(name)]
)
def test_routings(generator, name, kind):
    """Of a sum over the parents, by the children's poses, and then by poses and kernel."""
    _, options, expected = LAST_CASES[name]
    layer = routing.get(name, **options)
    others = {}
    if layer.explicit_activations:
        others["activations"] = generator.uniform(0.05, 1, size=(BATCH, CHILDREN))
    if layer.needs_poses:
        others["poses"] = generator.normal(size=(BATCH, CHILDREN, SIZE))
    tensors = {key: keras.ops.convert_to_tensor(x, "float32") for key, x in others.items()}
    layer(np.ones((BATCH, CHILDREN, PARENTS, DIM), "float32"), **tensors)
    for weight in layer.trainable_weights:
        weight.assign(to_numpy(weight) + 0.3 * generator.normal(size=weight.shape))
    weights = {
        weight.path.partition("/")[2]: to_numpy(weight).astype("float64")
        for weight in layer.trainable_weights
    }
    factors = generator.normal(size=(BATCH, PARENTS, DIM)), generator.normal(size=(BATCH, PARENTS))
    of_parents = [keras.ops.convert_to_tensor(factor, "float32") for factor in factors]

    def total(poses, kernel):
        votes = votes_of_kind(kind, layer, poses, kernel)
        result = layer.call_parents_first(votes, **tensors)
        return sum(keras.ops.sum(f * x) for f, x in zip(of_parents, result[:2], strict=True))

    def exact(poses, kernel):
        votes = np.einsum("bid,ijde->bije", poses, kernel)
        parents, *activations, _ = expected({"votes": votes, **others}, weights)
        activations = activations[0] if activations else np.linalg.norm(parents, axis=-1)
        return np.sum(factors[0] * parents) + np.sum(factors[1] * activations)

    kernel = 0.5 * generator.normal(size=(CHILDREN, PARENTS, SIZE, DIM)).astype("float32")
    for scale in (0.1,) if JAX else (1.0, 0.1):
        poses = scale * generator.normal(size=(BATCH, CHILDREN, SIZE)).astype("float32")
        poses[0, 0] = 0
        check(total, exact, (poses, kernel), generator)


@pytest.mark.parametrize("scale", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize(
    ("function", "exact"),
    [(squash, reference_squash), (capsule_length, lambda v: np.linalg.norm(v, axis=-1))],
)
def test_functions(generator, function, exact, scale):
    x = scale * generator.normal(size=(3, 8)).astype("float32")
    factors = generator.normal(size=(3, 8) if function is squash else (3,))
    tensor = keras.ops.convert_to_tensor(factors, "float32")
    check(
        lambda v: keras.ops.sum(tensor * function(v)),
        lambda v: np.sum(factors * exact(v)),
        (x,),
        generator,
    )


@pytest.mark.parametrize("function", [squash, capsule_length])
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-8, 1e-4, 1e18, 1e27])
def test_functions_are_finite(generator, function, value):
    x = np.full((2, 8), value, "float32")
    along = generator.normal(size=x.shape).astype("float32")
    (found,) = second_gradient(lambda v: keras.ops.sum(function(v)), (x,), along)
    assert np.isfinite(found).all()


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a loop of torch is the shortest")
@pytest.mark.parametrize("name", ["dynamic", "em"])
def test_training_with_a_gradient_penalty(generator, name):
    """The penalty is the squared gradient of the loss by the image."""
    import torch

    image = keras.Input((9, 9, 1))
    explicit = routing.ROUTINGS[name].explicit_activations
    parents = PrimaryCapsule2D(2, 4, 3, strides=2, explicit_activations=explicit)(image)
    parents = CapsuleLayer(3, 4, routing=name)(parents)
    model = keras.Model(image, CapsuleLength()(parents[0] if explicit else parents))
    optimizer = torch.optim.Adam([weight.value for weight in model.trainable_weights], 1e-2)
    images = generator.uniform(size=(12, 9, 9, 1)).astype("float32")
    labels = torch.eye(3, device=model(images).device)[torch.arange(12) % 3]
    losses = []
    for _ in range(8):
        x = torch.tensor(images, device=labels.device, requires_grad=True)
        loss = torch.mean((model(x, training=True) - labels) ** 2)
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        total = loss + 100 * torch.sum(slope**2)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(float(total))
    assert np.isfinite(losses).all() and losses[-1] < losses[0]

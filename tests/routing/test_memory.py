"""PyTorch frees what a step of a training made: a cycle through its graph would stay for ever."""

import gc

import keras
import numpy as np
import pytest

from keras_capsules import routing
from keras_capsules.routing.votes import ChunkedVotes, LeanVotes, StoredVotes, TrainingVotes

BATCH, CHILDREN, PARENTS, SIZE, DIM = 2, 4, 3, 5, 4
KINDS = {
    "stored": lambda poses, kernel, sums: StoredVotes(_tensor(poses, kernel)),
    "training": lambda poses, kernel, sums: TrainingVotes(_tensor(poses, kernel), sums),
    "chunked": lambda poses, kernel, sums: ChunkedVotes(poses, kernel, 1, 1, sums),
    "lean": lambda poses, kernel, sums: LeanVotes(poses[:, None], kernel, sums),
}
CASES = [
    (name, kind)
    for name in sorted(routing.ROUTINGS)
    for kind in KINDS
    if kind != "lean" or routing.ROUTINGS[name].sums_votes
]
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="other backends keep graphs elsewhere"
)


@pytest.fixture(autouse=True, scope="module")
def only_new_objects():
    """Lets the collector look at nothing older, which takes most of the time."""
    gc.freeze()
    yield
    gc.unfreeze()


def _tensor(poses, kernel):
    return keras.ops.einsum("bid,ijde->bjie", poses, kernel)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_nothing_stays_after_a_gradient(generator, name, kind):
    layer = routing.get(name)
    poses = generator.normal(size=(BATCH, CHILDREN, SIZE)).astype("float32")
    kernel = generator.normal(size=(CHILDREN, PARENTS, SIZE, DIM)).astype("float32")

    def step():
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in (poses, kernel)]
        others = (
            {"activations": torch.ones((BATCH, CHILDREN))} if layer.explicit_activations else {}
        )
        others |= {"poses": tensors[0]} if layer.needs_poses else {}
        if not layer.built:
            layer(torch.ones((BATCH, CHILDREN, PARENTS, DIM)), **others)
        result = layer.call_parents_first(KINDS[kind](*tensors, layer.expected_sums), **others)
        (keras.ops.sum(result[0]) + keras.ops.sum(result[1])).backward()
        return tensors[0].grad.numpy()

    assert np.isfinite(step()).all()
    before = tensors_of_graphs()
    step()
    assert tensors_of_graphs() == before


def tensors_of_graphs():
    import torch

    gc.collect()
    found = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    return sum(tensor.grad_fn is not None for tensor in found)

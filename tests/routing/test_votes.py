"""Each kind of votes, and what the base class derives, against float64 NumPy."""

import ast

import keras
import numpy as np
import pytest
from conftest import ROOT, evaluate, gradient, to_numpy

from keras_capsules import CapsuleLayer, routing
from keras_capsules.routing.votes import (
    ChunkedVotes,
    LeanVotes,
    StoredVotes,
    TrainingVotes,
    Votes,
)

BATCH, PARENTS, CHILDREN, ROWS, SIZE, COLUMNS = 2, 3, 5, 2, 4, 2
DIM = ROWS * COLUMNS
KINDS = ["stored", "training", "chunked", "lean", "lean loop", "shared", "primitives"]
FITTING = ["stored", "training", "chunked"]


class Primitives(Votes):
    """Votes that implement nothing but what each subclass must."""

    def __init__(self, tensor):
        super().__init__(tensor.shape, tensor.dtype, tensor)
        self.stored = StoredVotes(tensor)

    def combine(self, coupling):
        return self.stored.combine(coupling)

    def agreement(self, parents):
        return self.stored.agreement(parents)

    def constant(self):
        return Primitives(self.stored.constant().tensor)

    def present(self, mask):
        return Primitives(self.stored.present(mask).tensor)


class Made:
    """Poses, kernel and bias, and the votes that they make: a kind of them, and float64 NumPy."""

    def __init__(self, kind, generator):
        self.kind = kind
        self.poses = generator.normal(size=(BATCH, CHILDREN, ROWS * SIZE)).astype("float32")
        kernels = 1 if kind == "shared" else CHILDREN
        kernel = generator.normal(size=(kernels, PARENTS, SIZE, COLUMNS)).astype("float32")
        self.kernel, self.bias = kernel, generator.normal(size=(PARENTS, DIM)).astype("float32")

    def votes(self, poses, expected_sums=2):
        """Returns the votes of poses `(batch, num_in, rows * size)`."""
        kernel, bias = map(keras.ops.convert_to_tensor, (self.kernel, self.bias))
        if self.kind == "chunked":
            offset = keras.ops.broadcast_to(bias[:, None], (PARENTS, CHILDREN, DIM))
            present = keras.ops.ones_like(poses[..., :1])
            return ChunkedVotes(poses, kernel, ROWS, 1, expected_sums, offset, present)
        poses = keras.ops.reshape(poses, (BATCH, CHILDREN, ROWS, SIZE))
        poses = keras.ops.transpose(poses, (0, 2, 1, 3))
        if self.kind in ("lean", "lean loop", "shared"):
            unroll = self.kind == "lean"
            return LeanVotes(poses, kernel, expected_sums, bias, unroll=unroll)
        tensor = keras.ops.einsum("brid,ijde->bjire", poses, kernel)
        shape = (BATCH, PARENTS, CHILDREN, DIM)
        tensor = keras.ops.reshape(tensor, shape) + bias[:, None, :]
        if self.kind == "training":
            return TrainingVotes(tensor, expected_sums)
        return StoredVotes(tensor) if self.kind == "stored" else Primitives(tensor)

    def reference(self):
        poses = self.poses.reshape(BATCH, CHILDREN, ROWS, SIZE).astype("float64")
        kernel = np.broadcast_to(self.kernel, (CHILDREN, *self.kernel.shape[1:]))
        tensor = np.einsum("bird,ijde->bjire", poses, kernel.astype("float64"))
        return tensor.reshape(BATCH, PARENTS, CHILDREN, DIM) + self.bias[:, None, :]


@pytest.fixture
def weights(generator):
    """A coupling and parents."""
    coupling = generator.uniform(size=(BATCH, PARENTS, CHILDREN)).astype("float32")
    return coupling, generator.normal(size=(BATCH, PARENTS, DIM)).astype("float32")


@pytest.mark.parametrize("change", ["as they are", "masked", "masked and constant"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_methods(generator, weights, kind, change):
    made = Made(kind, generator)
    expected = made.reference()
    mask = np.array([[True, False, True, True, False], [False, True, True, True, True]])
    if "masked" in change:
        expected = expected * mask[:, None, :, None]
    coupling, parents = map(keras.ops.convert_to_tensor, weights)

    def call(poses):
        votes = made.votes(poses)
        if "masked" in change:
            votes = votes.present(keras.ops.convert_to_tensor(mask))
        if "constant" in change:
            votes = votes.constant()
        assert tuple(votes.shape) == expected.shape
        assert keras.backend.standardize_dtype(votes.dtype) == "float32"
        sums = (votes.combine(coupling), votes.agreement(parents))
        return *sums, votes.total(), votes.mean_component(), votes.equal_shares(0.25)

    found = evaluate(call, keras.ops.convert_to_tensor(made.poses))
    wanted = (
        np.einsum("bji,bjid->bjd", weights[0], expected),
        np.einsum("bjid,bjd->bji", expected, weights[1]),
        expected.sum(axis=2),
        expected.mean(axis=3),
        np.full((BATCH, PARENTS, CHILDREN), 0.25),
    )
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("expected_sums", [1, 4, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_whatever_the_expected_number_of_sums(generator, weights, kind, expected_sums):
    """By the poses, of five sums, one of which takes the result of another."""
    made = Made(kind, generator)
    tensors = [keras.ops.convert_to_tensor(array) for array in weights]

    def results(poses):
        votes = made.votes(poses, expected_sums)
        coupling, parents = tensors
        total = votes.total()
        found = [votes.combine(coupling), votes.agreement(parents), total, votes.mean_component()]
        return [*found, votes.agreement(total), votes.constant().combine(coupling)]

    def squares(poses):
        return sum(keras.ops.sum(keras.ops.square(found)) for found in results(poses))

    # The gradient by the votes, by hand, and from there to the poses by the kernel.
    (coupling, parents), votes = weights, made.reference()
    total = votes.sum(axis=2)
    slope = 2 * np.einsum("bji,bjd->bjid", coupling, np.einsum("bji,bjid->bjd", coupling, votes))
    logits = np.einsum("bjid,bjd->bji", votes, parents)
    slope += 2 * np.einsum("bji,bjd->bjid", logits, parents)
    slope += 2 * total[:, :, None] + 2 * votes.mean(axis=3)[..., None] / DIM
    logits = np.einsum("bjid,bjd->bji", votes, total)
    slope += 2 * np.einsum("bji,bjd->bjid", logits, total)
    slope += 2 * np.einsum("bji,bjid->bjd", logits, votes)[:, :, None]
    slope = slope.reshape(BATCH, PARENTS, CHILDREN, ROWS, COLUMNS)
    kernel = np.broadcast_to(made.kernel, (CHILDREN, *made.kernel.shape[1:]))
    expected = np.einsum("bjire,ijde->bird", slope, kernel).reshape(made.poses.shape)
    found = gradient(squares, made.poses)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("expected_sums", [1, 2, 5])
@pytest.mark.parametrize("kind", FITTING)
def test_gaussians_and_their_gradient(generator, weights, kind, expected_sums):
    """By the poses, of a fit, its mean alone, its distances, and those from other centers."""
    made = Made(kind, generator)
    coupling, center = weights
    coupling = coupling / coupling.sum(axis=2, keepdims=True)
    inverse = np.abs(center) + 0.5

    def results(poses):
        votes = made.votes(poses, expected_sums).scaled(2.0)
        shares = keras.ops.convert_to_tensor(coupling)
        fit = votes.fit(shares)
        inverses, centers = map(keras.ops.convert_to_tensor, (inverse, center))
        distances = fit.distances(inverses * fit.variance)
        others = centers + fit.mean
        from_others = fit.distances(inverses, others), votes.distances(others, inverses)
        return fit.mean, fit.variance, votes.mean(shares), distances, *from_others

    def expected(tensor):
        votes = 2.0 * tensor
        mean = np.einsum("bji,bjid->bjd", coupling, votes)
        squares = (votes - mean[:, :, None]) ** 2
        variance = np.einsum("bji,bjid->bjd", coupling, squares)
        distances = np.einsum("bjd,bjid->bji", inverse * variance, squares)
        others = (votes - (center + mean)[:, :, None]) ** 2
        from_others = np.einsum("bjd,bjid->bji", inverse, others)
        return mean, variance, mean, distances, from_others, from_others

    found = evaluate(results, keras.ops.convert_to_tensor(made.poses))
    for one, other in zip(found, expected(made.reference()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)

    def total(poses):
        return sum(keras.ops.sum(keras.ops.sqrt(1 + found * found)) for found in results(poses))

    slopes = gradient(total, made.poses)
    poses, step = made.poses.astype("float64"), 1e-5
    for entry in [(0, 0, 0), (1, 2, 3), (0, 4, 7)]:
        moved = []
        for sign in (1, -1):
            made.poses = poses.copy()
            made.poses[entry] += sign * step
            moved.append(sum(np.sqrt(1 + part**2).sum() for part in expected(made.reference())))
        slope = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(slopes[entry], slope, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("implementation", ["stored", "lean"])
def test_a_layer_trains_the_same_with_a_wrong_number(generator, monkeypatch, implementation):
    poses = generator.normal(size=(4, 6, 5)).astype("float32")
    layer = CapsuleLayer(3, 4, implementation=implementation)
    layer.build(poses.shape)

    def slope():
        return gradient(lambda x: keras.ops.square(layer(x, training=True)), poses)

    assert "expected_sums" not in str(keras.saving.serialize_keras_object(layer))
    expected = slope()
    for wrong in (1, 2, 9):
        monkeypatch.setattr(routing.DynamicRouting, "expected_sums", wrong)
        np.testing.assert_allclose(slope(), expected, atol=1e-5)


def test_half_precision_is_summed_in_float32():
    for kind in (StoredVotes, lambda tensor: TrainingVotes(tensor, 2)):
        votes = kind(keras.ops.ones((1, 2, 3, 4), "bfloat16"))
        assert keras.backend.standardize_dtype(votes.dtype) == "bfloat16"
        for form in (votes, votes.constant(), votes.present(keras.ops.ones((1, 3), "bool"))):
            assert keras.backend.standardize_dtype(form.dtype) == "bfloat16"
            assert keras.backend.standardize_dtype(form.total().dtype) == "float32"


def test_masks_add_up(generator):
    masks = np.array([[[True, True, False, True, True]] * 2, [[False, True, True, True, True]] * 2])
    for kind in KINDS:
        made = Made(kind, generator)
        votes = made.votes(keras.ops.convert_to_tensor(made.poses))
        for mask in masks:
            votes = votes.present(keras.ops.convert_to_tensor(mask))
        expected = (made.reference() * masks.all(axis=0)[:, None, :, None]).sum(axis=2)
        np.testing.assert_allclose(to_numpy(votes.total()), expected, atol=2e-5)


def test_only_stored_votes_have_a_tensor(generator):
    for kind in ("stored", "training"):
        made = Made(kind, generator)
        tensor = made.votes(keras.ops.convert_to_tensor(made.poses)).tensor
        np.testing.assert_allclose(to_numpy(tensor), made.reference(), atol=2e-5)
    made = Made("lean", generator)
    with pytest.raises(ValueError, match="leave `sums_votes`"):
        _ = made.votes(keras.ops.convert_to_tensor(made.poses)).tensor


def test_a_kind_of_votes_says_what_it_lacks():
    votes = Votes((1, 2, 3, 4), "float32", keras.ops.ones((1, 2, 3, 4)))
    calls = {"combine": [None], "agreement": [None], "constant": [], "present": [None]}
    calls |= {"fit": [None], "distances": [None, None], "scaled": [1.0]}
    for name, arguments in calls.items():
        with pytest.raises(NotImplementedError, match=f"must implement `{name}`"):
            getattr(votes, name)(*arguments)


def test_nobody_asks_what_kind_votes_are():
    kinds = {kind.__name__ for kind in (Votes, StoredVotes, TrainingVotes, ChunkedVotes, LeanVotes)}
    for path in (ROOT / "keras_capsules").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                names = {ast.unparse(part) for part in ast.walk(node.args[1])}
                assert not names & kinds and ast.unparse(node.args[0]) != "votes", path


def test_votes_are_not_a_tensor():
    class Mean(routing.Routing):
        def route(self, votes, activations=None, poses=None):
            return keras.ops.mean(votes, axis=2)

    with pytest.raises(Exception, match=r"Take the tensor as `votes\.tensor`"):
        Mean()(np.ones((2, 3, 4, 5), "float32"))

"""What the poses of class capsules hold: k-means' centres of the votes, factors of the image."""

import keras
import numpy as np
from scipy import stats

from keras_capsules.datasets.augmentation import affine

ITERATIONS = (1, 2, 3, 4, 5)
FACTORS = ("shift_down", "shift_right", "turn", "zoom")
BINS_OF_POSES, BINS_OF_FACTORS = 8, 4


def of_classes(model, images, labels) -> np.ndarray | None:
    """Returns the pose of the right class `(batch, dim)`, `None` for a head without capsules."""
    names = [layer.name for layer in model.layers]
    if "class_capsules" not in names:
        return None
    found = keras.Model(model.input, model.get_layer("class_capsules").output).predict(
        images, batch_size=250, verbose=0
    )
    poses = found[0] if isinstance(found, (list, tuple)) else found
    return poses[np.arange(len(labels)), labels]


def beside_kmeans(model, images) -> dict:
    """Compares the parents of dynamic routing with k-means on the same votes, by iteration.

    In each image, k-means gives each child to the parent whose centre agrees most with its vote,
    `argmax_j votes_ij . m_j / (|votes_ij| |m_j|)`, and a centre is the mean of its votes.
    Both start with all children shared equally.

    Returns:
        `kmeans_cosine_N`: the mean cosine of the parents' poses and the centres after `N`
        iterations, of parents with children. `kmeans_children_N`: the share of children whose
        largest coupling is to the parent that k-means gives them to.
    """
    layer = model.get_layer("class_capsules")
    children = keras.Model(model.input, layer.input).predict(images, batch_size=250, verbose=0)
    children = children.reshape(len(children), -1, children.shape[-1])
    votes = np.einsum("bid,ijdo->bijo", children, np.asarray(layer.kernel))
    parents, coupling = votes.mean(axis=1), None
    seen, centres = 0.0, parents
    found = {}
    for number in ITERATIONS:
        if number > 1:
            seen = seen + _squashed(parents)
            logits = np.einsum("bijo,bjo->bij", votes, seen)
            coupling = np.exp(logits - logits.max(axis=2, keepdims=True))
            coupling /= coupling.sum(axis=2, keepdims=True)
            chosen = _cosine(votes, centres[:, None]).argmax(axis=2)
            members = np.eye(votes.shape[2])[chosen]
            same = coupling.argmax(axis=2) == chosen
            parents = np.einsum("bij,bijo->bjo", coupling, votes)
            centres = _means(votes, members, centres)
            found[f"kmeans_children_{number}"] = float(same.mean())
        known = np.ones(parents.shape[:2], bool) if number == 1 else members.any(axis=1)
        found[f"kmeans_cosine_{number}"] = float(_cosine(parents, centres)[known].mean())
    return found


def _means(votes, members, before):
    number = members.sum(axis=1)[..., None]
    sums = np.einsum("bij,bijo->bjo", members, votes)
    return np.where(number > 0, sums / np.maximum(number, 1), before)


def _cosine(a, b):
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(axis=-1) / np.maximum(lengths, 1e-12)


def _squashed(x):
    squared = np.square(x).sum(axis=-1, keepdims=True)
    return x * np.sqrt(squared) / (1 + squared)


def factors(model, images, labels, generator) -> dict:
    """Measures whether a dimension of a pose follows one factor of the image.

    Images are shifted down and to the right by up to 3 pixels, turned by up to 30 degrees, and
    zoomed by 0.8 to 1.2, separately. Poses and factors are put into bins of equal number, within
    each class.

    Returns:
        `factor_information`: the largest mutual information of a factor and a dimension, as a share
        of the factor's entropy, mean over factors and classes. `factor_gap`: that information less
        the second largest, which is small where two dimensions hold the same factor (Chen et al.,
        2018, arXiv 1802.04942). Nothing for a head without capsules.
    """
    moved, drawn = deformed(images, generator)
    poses = of_classes(model, moved, labels)
    if poses is None:
        return {}
    shares = np.array(
        [_shares(poses[labels == each], drawn[labels == each]) for each in np.unique(labels)]
    )
    shares.sort(axis=-1)
    return {
        "factor_information": float(shares[..., -1].mean()),
        "factor_gap": float((shares[..., -1] - shares[..., -2]).mean()),
    }


def deformed(images, generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns deformed images, and the factors `(batch, 4)` in the order of `FACTORS`."""
    number = len(images)
    low, high = [-3, -3, -30, 0.8], [3, 3, 30, 1.2]
    drawn = generator.uniform(low, high, (number, len(FACTORS)))
    down, right, turn, zoom = drawn.T
    turn = np.radians(turn)
    # `affine` shifts before it turns and zooms.
    before = np.stack(
        [
            np.cos(turn) * down - np.sin(turn) * right,
            np.sin(turn) * down + np.cos(turn) * right,
        ],
        axis=1,
    )
    both, upright = np.stack([zoom, zoom], axis=1), np.zeros(number)
    return affine(images, turn, both, upright, before / both), drawn


def _shares(poses, drawn) -> np.ndarray:
    """Returns the information of each factor and dimension, over the factor's entropy."""
    dims = [_binned(values, BINS_OF_POSES) for values in poses.T]
    held = [_binned(values, BINS_OF_FACTORS) for values in drawn.T]
    return np.array([[_information(factor, dim) for dim in dims] for factor in held])


def _binned(values, bins):
    return (stats.rankdata(values, method="ordinal") - 1) * bins // len(values)


def _information(factor, dim) -> float:
    joint = np.zeros((BINS_OF_FACTORS, BINS_OF_POSES))
    np.add.at(joint, (factor.astype(int), dim.astype(int)), 1 / len(factor))
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    present = joint > 0
    independent = np.outer(rows, columns)[present]
    entropy = -(rows[rows > 0] * np.log(rows[rows > 0])).sum()
    return float((joint[present] * np.log(joint[present] / independent)).sum() / entropy)

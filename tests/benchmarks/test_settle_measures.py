"""The attack, and what poses hold, on models of which the answer is known."""

import keras
import numpy as np
from scipy import ndimage

from benchmarks.settle import attack, poses
from keras_capsules import CapsuleLayer


def linear_model(weights):
    image = keras.Input((2, 2, 1))
    scores = keras.layers.Dense(2, activation="softmax")
    model = keras.Model(image, scores(keras.layers.Flatten()(image)))
    scores.set_weights([weights, np.zeros(2)])
    return model


def test_the_attack_on_a_linear_model_goes_to_the_corner(generator):
    """The lead is `x . (w_0 - w_1)`, so that its sign says where each pixel goes."""
    weights = generator.normal(size=(4, 2)).astype("float32")
    images = generator.uniform(0.3, 0.7, (5, 2, 2, 1)).astype("float32")
    labels = np.array([0, 1, 0, 1, 1])
    changed = attack.attacked(linear_model(weights), images, labels, generator)
    slope = np.sign(weights[:, 0] - weights[:, 1]) * np.where(labels == 0, 1, -1)[:, None]
    expected = images.reshape(5, 4) - attack.EPSILON * slope
    np.testing.assert_allclose(changed.reshape(5, 4), expected, atol=1e-6)


def test_the_attack_stays_among_images(generator):
    images = generator.integers(0, 2, (5, 2, 2, 1)).astype("float32")
    changed = attack.attacked(linear_model(np.ones((4, 2))), images, np.zeros(5, int), generator)
    assert changed.min() >= 0 and changed.max() <= 1
    assert np.abs(changed - images).max() <= attack.EPSILON + 1e-6


def test_images_are_deformed_as_drawn(generator):
    image = np.zeros((28, 28, 1), "float32")
    image[8:20, 12:16] = 1
    moved, drawn = poses.deformed(np.repeat(image[None], 20, axis=0), generator)
    assert drawn.shape == (20, len(poses.FACTORS))
    for found, (down, right, turn, zoom) in zip(moved[..., 0], drawn, strict=True):
        centre = ndimage.center_of_mass(found)
        np.testing.assert_allclose(centre, [13.5 + down, 13.5 + right], atol=0.2)
        np.testing.assert_allclose(found.sum(), image.sum() * zoom**2, rtol=0.03)
        upright = ndimage.rotate(found, turn, reshape=False, order=1)
        rows = np.ptp(np.nonzero(upright.max(axis=1) > 0.5)[0]) + 1
        np.testing.assert_allclose(rows, 12 * zoom, atol=1.1)


def test_a_dimension_that_follows_a_factor_is_found(generator):
    """The first dimension holds the first factor, and no other dimension holds anything."""
    drawn = generator.uniform(size=(4000, 4))
    held = generator.normal(size=(4000, 8))
    held[:, 0] = np.exp(3 * drawn[:, 0])
    shares = poses._shares(held, drawn)
    np.testing.assert_allclose(shares[0, 0], 1, rtol=1e-6)
    shares[0, 0] = 0
    assert shares.max() < 0.01


def test_kmeans_beside_dynamic_routing(generator):
    """Equal at first; and where the votes lie in clear clusters, both find these."""
    children = keras.Input((12, 3))
    layer = CapsuleLayer(2, 3, routing="dynamic", name="class_capsules")
    model = keras.Model(children, layer(children))
    kernel = np.zeros((12, 2, 3, 3), "float32")
    kernel[:8, 0] = kernel[8:, 1] = 4 * np.eye(3)
    layer.set_weights([kernel])
    inputs = 1 + 0.1 * generator.random((5, 12, 3), dtype="float32")
    found = poses.beside_kmeans(model, inputs)
    np.testing.assert_allclose(found["kmeans_cosine_1"], 1, atol=1e-6)
    assert found["kmeans_children_3"] == 1 and found["kmeans_cosine_5"] > 0.99

    kernel = generator.normal(size=kernel.shape).astype("float32")
    layer.set_weights([kernel])
    votes = np.einsum("bid,ijdo->bijo", inputs, kernel).astype("float64")
    parents = votes.mean(axis=1)
    lengths = np.linalg.norm(votes, axis=-1) * np.linalg.norm(parents, axis=-1)[:, None]
    nearest = (np.einsum("bijo,bjo->bij", votes, parents) / lengths).argmax(axis=2)
    squared = np.square(parents).sum(axis=-1, keepdims=True)
    squashed = parents * np.sqrt(squared) / (1 + squared)
    routed = np.einsum("bijo,bjo->bij", votes, squashed).argmax(axis=2)
    second = poses.beside_kmeans(model, inputs)["kmeans_children_2"]
    np.testing.assert_allclose(second, (nearest == routed).mean())

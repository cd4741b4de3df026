"""A cell is divided among its pixels by what these hold in front of the background."""

import keras
import numpy as np
import pytest
from conftest import small_capsnet
from keras import layers

from keras_capsules import CapsuleLayer, CapsuleLength
from keras_capsules.explain import coupling_map
from keras_capsules.explain._content import content_of


def reference_weights(picture):
    """The equations of `coupling_map` for one picture `(height, width, channels)`."""
    background = picture.mean(axis=(0, 1))
    variance = ((picture - background) ** 2).sum(axis=-1).mean()
    for width in (1, 4, 16):
        near = np.exp(-width * ((picture - background) ** 2).sum(axis=-1) / variance)
        background = (near[..., None] * picture).sum(axis=(0, 1)) / near.sum()
    distance = np.linalg.norm(picture - background, axis=-1)
    plain = np.exp(-16 * distance**2 / variance).mean()
    return np.exp(12 * plain**2 * (distance / distance.max() - 1))


def drawing(generator, size, paper, ink):
    """A few strokes of ink of several strengths on plain paper."""
    picture = np.full((*size, len(paper)), paper, "float32")
    strokes = generator.random(size) < 0.15
    strength = generator.uniform(0.2, 1, (strokes.sum(), 1))
    picture[strokes] += strength * (np.asarray(ink) - np.asarray(paper))
    return picture


def content(pictures):
    image = keras.Input(pictures.shape[1:])
    weights = keras.Model(image, content_of(layers.Conv2D(1, 3)(image), grid=2))
    return weights.predict(pictures, verbose=0)


def test_shares_within_a_cell(generator):
    image = keras.Input((8, 6, 2))
    x = layers.Reshape((4, 3, 2, 1))(layers.AveragePooling2D(2)(image))
    x = CapsuleLayer(3, 4, kernel_initializer="glorot_normal")(x)
    model = keras.Model(image, CapsuleLength()(x))
    pictures = np.stack([drawing(generator, (8, 6), (0, 0), (1, 0.7)) for _ in range(3)])
    found = coupling_map(model, pictures, class_index=1)
    even = coupling_map(model, pictures, class_index=1, division="even")
    assert np.abs(found - even).max() > 0.1 * np.abs(even).max()
    for picture, one, cells in zip(pictures.astype("float64"), found, even, strict=True):
        blocks = reference_weights(picture).reshape(4, 2, 3, 2)
        shares = blocks / blocks.sum(axis=(1, 3), keepdims=True)
        expected = shares.reshape(8, 6) * np.kron(cells[::2, ::2], np.full((2, 2), 4.0))
        np.testing.assert_allclose(one, expected, atol=1e-5 * np.abs(even).sum())


def test_weights_are_those_of_the_equations(generator):
    pictures = [drawing(generator, (9, 7), (0.9, 0.8, 0.7), (0, 0.1, 0)) for _ in range(3)]
    pictures = np.stack([*pictures, generator.random((9, 7, 3))]).astype("float32")
    expected = [reference_weights(picture) for picture in pictures.astype("float64")]
    np.testing.assert_allclose(content(pictures), expected, rtol=5e-3)


def test_ink_counts_on_paper_of_any_colour(generator):
    pictures = np.stack([drawing(generator, (12, 12), (0,), (1,)) for _ in range(3)])
    weights = content(pictures)
    ink = pictures[..., 0] > 0.9
    assert weights[ink].min() > 100 * weights[pictures[..., 0] == 0].max()
    for changed in (1 - pictures, 255 * pictures, 0.4 + 0.1 * pictures):
        np.testing.assert_allclose(content(changed), weights, rtol=5e-3)


def test_pictures_without_a_background_count_about_evenly(generator):
    photograph = content(generator.random((4, 16, 16, 3)).astype("float32"))
    assert photograph.min() > 0.8
    constant = content(np.full((1, 9, 9, 1), 0.3, "float32"))
    np.testing.assert_allclose(constant / constant.max(), 1)


def test_division_is_known():
    with pytest.raises(ValueError, match="'content' or 'even'. Received: division='uneven'"):
        coupling_map(small_capsnet(), np.zeros((1, 12, 12, 1)), division="uneven")


def test_tokens_are_divided_evenly():
    tokens = keras.Input((5,), dtype="int32")
    assert content_of(layers.Embedding(3, 2)(tokens), grid=1) is None


def test_two_pictures_are_divided_evenly():
    pictures = [keras.Input((5, 4, 1)), keras.Input((5, 4, 1))]
    assert content_of(layers.Add()(pictures), grid=2) is None

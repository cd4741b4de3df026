"""Datasets: what they hold, that damage is noticed, and that they are the same each time."""

import gzip
import hashlib
import zipfile

import keras
import numpy as np
import pytest
from conftest import once

from keras_capsules import datasets
from keras_capsules.datasets import files, series
from keras_capsules.datasets.small_norb import small_norb

pytestmark = once


def test_mnist(data):
    (train_images, train_labels), (test_images, test_labels) = datasets.mnist()
    assert train_images.shape == (60_000, 28, 28, 1) and test_images.shape == (10_000, 28, 28, 1)
    assert train_images.dtype == "uint8" and train_images.max() == 255
    assert np.bincount(train_labels)[[0, 1]].tolist() == [5923, 6742]
    assert test_labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.slow
def test_cifar10(data):
    if not (data / "cifar10_jpeg.npz").is_file():
        pytest.skip(f"no cifar10_jpeg.npz in {data}")
    (train_images, train_labels), (test_images, test_labels) = datasets.cifar10()
    assert train_images.shape == (50_000, 32, 32, 3) and test_images.shape == (10_000, 32, 32, 3)
    assert np.bincount(train_labels).tolist() == [5_000] * 10
    assert np.bincount(test_labels).tolist() == [1_000] * 10


def test_digits():
    (train_images, train_labels), (test_images, test_labels) = datasets.digits()
    assert train_images.shape == (1437, 8, 8, 1) and test_images.shape == (360, 8, 8, 1)
    assert train_images.dtype == "uint8" and train_images.max() == 255
    assert np.bincount(train_labels).min() >= 139 and np.bincount(test_labels).min() >= 34


@pytest.mark.slow
def test_affnist(data):
    (train_images, _), (images, labels) = datasets.affnist()
    assert train_images.shape == (60_000, 40, 40, 1) and images.shape == (10_000, 40, 40, 1)
    again = datasets.affnist()[1][0]
    np.testing.assert_array_equal(images, again)
    (original, _), (test, expected) = datasets.mnist()
    np.testing.assert_array_equal(labels, expected)
    # The training digits are shifted and nothing else: all their pixels are there.
    np.testing.assert_array_equal(train_images.sum(axis=(1, 2, 3)), original.sum(axis=(1, 2, 3)))
    assert not np.array_equal(images, datasets.affnist(seed=1)[1][0])
    mass = images.sum(axis=(1, 2, 3)) / test.sum(axis=(1, 2, 3))
    assert 0.8**2 * 0.9 < mass.min() and 1.0 < mass.max() < 1.2**2 * 1.1


@pytest.mark.slow
def test_multi_mnist(data):
    images, labels = datasets.multi_mnist()[1]
    assert images.shape == (10_000, 36, 36, 1) and labels.shape == (10_000, 2)
    assert (labels[:, 0] != labels[:, 1]).all()


def test_overlapping_digits(generator):
    digits = np.zeros((3, 28, 28, 1), "uint8")
    for index in range(3):
        digits[index, 10 + index, 5:20] = 200
    merged, alone, labels = datasets.overlap(digits, np.array([4, 4, 7]), generator)
    assert sorted(labels[0].tolist()) == [4, 7] and set(labels[2].tolist()) == {4, 7}
    np.testing.assert_array_equal(merged, np.minimum(alone[:, 0].astype(int) + alone[:, 1], 255))
    assert (alone.sum(axis=(2, 3, 4)) == 200 * 15).all()


@pytest.mark.parametrize("damage", ["cut", "other", "pickled"])
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, damage):
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    arrays = {name: np.zeros((2, 28, 28), "uint8") for name in ("x_train", "x_test")}
    arrays |= {name: np.zeros(2, "uint8") for name in ("y_train", "y_test")}
    if damage == "pickled":
        arrays["x_train"] = np.array([{}], dtype=object)
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="does not hold" if damage == "other" else "damaged"):
        datasets.mnist()


def test_an_absent_file_says_what_to_put_where(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    with pytest.raises(ValueError, match="mnist.npz.*no network.*KERAS_CAPSULES_DATA"):
        datasets.mnist()
    with pytest.raises(ValueError, match="small NORB"):
        small_norb()


def test_small_norb(tmp_path, monkeypatch, generator):
    """Hand-made files in the official format: magic number, dimensions, data."""
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    images = generator.integers(256, size=(3, 2, 96, 96)).astype("uint8")
    labels, views = np.array([4, 0, 2], "<i4"), np.arange(12, dtype="<i4").reshape(3, 4)
    for prefix in ("5x46789x9x18x6x2x96x96-training", "5x01235x9x18x6x2x96x96-testing"):
        for kind, array, sizes in (
            ("dat", images, [4, 3, 2, 96, 96]),
            ("cat", labels, [1, 3, 1, 1]),
            ("info", views, [2, 3, 4, 1]),
        ):
            magic = 0x1E3D4C55 if kind == "dat" else 0x1E3D4C54
            header = np.array([magic, *sizes], "<i4").tobytes()
            content = gzip.compress(header + array.tobytes())
            (tmp_path / f"smallnorb-{prefix}-{kind}.mat.gz").write_bytes(content)
    train, _ = small_norb()
    np.testing.assert_array_equal(train.images[1, :, :, 0], images[1, 0])
    assert train.labels.tolist() == [4, 0, 2] and train.views.tolist() == views.tolist()
    path = tmp_path / "smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat.gz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="testing-dat.mat.gz is damaged"):
        small_norb()


TS = """# a comment
@problemName Vowels
@classLabel true b a
@data
1,2,3:-1,-2,-3:a
4.5,5:6,7:b
"""


def test_series_are_read_from_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    path = tmp_path / series.WHEEL
    with zipfile.ZipFile(path, "w") as wheel:
        for part, text in (("TRAIN", TS), ("TEST", TS.replace("3:-1,-2,-3", "3,4:-1,-2,-3,-4"))):
            wheel.writestr(f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts", text)
    with pytest.raises(ValueError, match="its digest is"):
        datasets.japanese_vowels()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(series, "_SHA256", digest)
    (train, train_labels), (test, test_labels) = datasets.japanese_vowels()
    assert train_labels.tolist() == test_labels.tolist() == [1, 0]
    assert train.tolist()[0] == [[1, -1], [2, -2], [3, -3], [0, 0]]
    assert train.tolist()[1] == [[4.5, 6], [5, 7], [0, 0], [0, 0]]
    assert test.tolist()[0][3] == [4, -4] and test.dtype == "float32"


def test_the_real_series(monkeypatch):
    if files.find(series.WHEEL) is None:
        pytest.skip(f"no {series.WHEEL}")
    shapes = {
        datasets.basic_motions: ((40, 100, 6), (40, 100, 6), 4),
        datasets.gun_point: ((50, 150, 1), (150, 150, 1), 2),
        datasets.japanese_vowels: ((270, 29, 12), (370, 29, 12), 9),
    }
    for load, (train_shape, test_shape, classes) in shapes.items():
        (train, train_labels), (test, test_labels) = load()
        assert (train.shape, test.shape) == (train_shape, test_shape)
        assert set(train_labels) == set(test_labels) == set(range(classes))
    steps = (train != 0).any(axis=-1)  # Of the vowels: zeros only after the end.
    assert (np.diff(steps.astype(int), axis=1) <= 0).all() and steps.sum(axis=1).min() == 7


def test_a_wheel_that_cannot_be_had_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(series.sys, "executable", "false")
    with pytest.raises(ValueError, match=f"{series.WHEEL}.*KERAS_CAPSULES_DATA"):
        datasets.gun_point()


def test_shapes(data):
    options = {"size": 48, "train": 30, "test": 40}
    (images, masks), upright = datasets.shapes(**options)
    assert images.shape == (30, 48, 48, 1) and masks.shape == (30, 48, 48)
    assert images.dtype == masks.dtype == "uint8" and set(np.unique(masks)) == {0, 1, 2, 3, 4}
    again, turned = datasets.shapes(**options, rotation=60)
    np.testing.assert_array_equal(images, again[0])
    assert (turned[1] != upright[1]).mean() > 0.02
    # Turned objects are where the upright ones are, and as large.
    share = [(half[1] > 0).mean() for half in (upright, turned)]
    assert share[0] == pytest.approx(share[1], rel=0.1)
    assert images[masks > 0].mean() > images[masks == 0].mean() + 50
    with pytest.raises(ValueError, match="size=8"):
        datasets.shapes(size=8)


def test_digits_that_cannot_overlap_are_refused(generator):
    digits = np.zeros((3, 28, 28, 1), "uint8")
    with pytest.raises(ValueError, match=r"two classes.*\[4\]"):
        datasets.overlap(digits, np.array([4, 4, 4]), generator)
    with pytest.raises(ValueError, match="uint8.*float64"):
        datasets.overlap(digits / 255, np.array([4, 4, 7]), generator)


def test_batches_that_cannot_be_made_are_refused():
    images = np.zeros((3, 8, 8, 1), "uint8")
    with pytest.raises(ValueError, match="each of 3 images. Received: 4 labels"):
        datasets.ImageBatches(images, np.zeros(4), lambda *batch: batch)
    with pytest.raises(ValueError, match="batch_size=0"):
        datasets.ImageBatches(images, np.zeros(3), lambda *batch: batch, batch_size=0)

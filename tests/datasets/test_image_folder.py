"""Pictures are read from folders as a device reads them, and what is wrong is named."""

import numpy as np
import pytest
from conftest import once

from keras_capsules.datasets import image_folder

Image = pytest.importorskip("PIL.Image")
pytestmark = once


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog", ".cache"):
        (tmp_path / name).mkdir()
    for name, array in {
        "cat/colour.png": noise(50, 40, 3),
        "cat/grey.png": noise(30, 30),
        "dog/transparent.png": noise(20, 60, 4),
        "dog/black_and_white.bmp": noise(64, 64) > 127,
    }.items():
        Image.fromarray(array).save(tmp_path / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise(40, 80, 3)).save(tmp_path / "dog/turned.jpg", exif=turned)
    Image.fromarray(noise(8, 8, 3)).quantize(4).save(tmp_path / "dog/palette.gif")
    (tmp_path / "cat/notes.txt").write_text("no picture")
    (tmp_path / "cat/._colour.png").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_those_of_the_device(folder, channels):
    from export.device import _pixels

    images, labels, names, paths = image_folder(folder, (32, 48), channels)
    assert names == ["cat", "dog"]
    assert labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert images.shape == (6, 32, 48, channels) and images.dtype == np.uint8
    for image, path in zip(images, paths, strict=True):
        np.testing.assert_array_equal(image, _pixels(path, (32, 48, channels)))


def test_transparent_pixels_are_white(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((9, 9, 4), "uint8")).save(tmp_path / name / "clear.png")
    assert (image_folder(tmp_path, (5, 5)).images == 255).all()


def test_a_turned_picture(tmp_path, folder):
    (picture,) = [p for p in image_folder(folder).paths if p.name == "turned.jpg"]
    with Image.open(picture) as file:
        upright = file.rotate(-90, expand=True).resize((64, 64), Image.Resampling.BILINEAR)
    index = image_folder(folder).paths.index(picture)
    np.testing.assert_array_equal(image_folder(folder).images[index], np.asarray(upright))


def test_folders_that_are_wrong(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="no folder .*nowhere"):
        image_folder(folder / "nowhere")
    with pytest.raises(ValueError, match="at least two classes. Found: none"):
        image_folder(folder / "cat")
    with pytest.raises(ValueError, match="image_size=8"):
        image_folder(folder, 8)
    one = tmp_path_factory.mktemp("one")
    (one / "cat").mkdir()
    with pytest.raises(ValueError, match="at least two classes. Found: cat"):
        image_folder(one)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no picture"):
        image_folder(folder)


@pytest.mark.parametrize("kind", ["damaged", "deep", "cut"])
def test_pictures_that_cannot_be_read(folder, kind):
    path = folder / "dog" / f"{kind}.png"
    if kind == "deep":
        Image.fromarray(noise(9, 9).astype("uint16") * 256).save(path)
    else:
        whole = (folder / "cat/colour.png").read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if kind == "cut" else b"no picture")
    with pytest.raises(ValueError, match=rf"{kind}\.png cannot be read: .* Save it again"):
        image_folder(folder)


def test_each_class_is_in_both_parts(tmp_path):
    for name, count in (("cat", 10), ("dog", 20)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.fromarray(np.full((3, 3), number, "uint8")).save(
                tmp_path / name / f"{number}.png"
            )
    photos = image_folder(tmp_path, (3, 3))
    train, held_out = photos.split(0.2)
    assert np.bincount(train.labels).tolist() == [8, 16]
    assert np.bincount(held_out.labels).tolist() == [2, 4]
    assert sorted(train.paths + held_out.paths) == sorted(photos.paths)
    for part in (train, held_out):
        for image, path in zip(part.images, part.paths, strict=True):
            assert (image == int(path.stem)).all()

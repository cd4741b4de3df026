"""Loads pictures from folders, one folder for each class."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder(NamedTuple):
    """Pictures of a folder.

    Attributes:
        images: uint8 array `(samples, height, width, channels)` from 0 to 255.
        labels: Integer array `(samples,)`, positions in `class_names`.
        class_names: List of the names of the folders, sorted.
        paths: List of the files.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: list[str]
    paths: list[Path]

    def split(self, share: float = 0.2, seed: int = 0) -> tuple["ImageFolder", "ImageFolder"]:
        """Divides the pictures at random. Each class has the same share in both parts.

        Args:
            share: Float in (0, 1). Share of the second part.
            seed: Integer.

        Returns:
            Two `ImageFolder`s.

        Raises:
            ValueError: If a class has too few pictures for both parts.
        """
        from sklearn.model_selection import train_test_split

        places = np.arange(len(self.images))
        parts = train_test_split(places, test_size=share, stratify=self.labels, random_state=seed)
        first, second = (
            self._replace(
                images=self.images[part],
                labels=self.labels[part],
                paths=[self.paths[place] for place in part],
            )
            for part in parts
        )
        return first, second


def image_folder(folder, image_size: tuple[int, int] = (64, 64), channels: int = 3) -> ImageFolder:
    """Loads all pictures of a folder that has a folder for each class.

    A picture is turned as its camera was held, put on white where it is transparent, and resized
    with bilinear interpolation, all as `export.device` does it. Hidden files are left out, and so
    are files that do not end in `image_folder.SUFFIXES`.

    Args:
        folder: Path. `folder/cat/1.jpg` is a picture of the class `cat`.
        image_size: Pair `(height, width)`.
        channels: Integer, 3 for colours or 1 for grey.

    Returns:
        An `ImageFolder`.

    Raises:
        ValueError: If there is no such folder, if it has fewer than two classes, if a class has no
            picture, or if a picture cannot be read or has more than 8 bits.
    """
    folder = Path(folder)
    if channels not in (1, 3):
        raise ValueError(f"Pass channels=3 for colours, or 1 for grey. Received: {channels}")
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise ValueError(f"`image_size` is (height, width). Received: image_size={image_size}")
    if not folder.is_dir():
        raise ValueError(
            f"There is no folder {folder}. Pass a folder with a folder for each class."
        )
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and _is_shown(path))
    if len(classes) < 2:
        raise ValueError(
            f"{folder} needs a folder for each of at least two classes. "
            f"Found: {', '.join(path.name for path in classes) or 'none'}"
        )
    images, labels, paths = [], [], []
    for label, of_class in enumerate(classes):
        files = sorted(path for path in of_class.rglob("*") if _is_picture(path))
        if not files:
            raise ValueError(
                f"{of_class} has no picture. Put files ending in {', '.join(SUFFIXES)} there, or "
                "remove the folder."
            )
        images += [read_image(path, image_size, channels) for path in files]
        labels += [label] * len(files)
        paths += files
    names = [path.name for path in classes]
    return ImageFolder(np.stack(images), np.array(labels), names, paths)


def read_image(path, image_size: tuple[int, int], channels: int = 3) -> np.ndarray:
    """Returns the pixels of one picture, see `image_folder`."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode in ("I", "F") or image.mode.startswith("I;"):
                raise ValueError(f"its pixels have more than 8 bits, {image.mode}")
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("L" if channels == 1 else "RGB")
            height, width = image_size
            image = image.resize((width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # Its type depends on the damage.
        raise ValueError(
            f"{path} cannot be read: {error}. Save it again as an 8-bit PNG or JPEG, or remove it."
        ) from error
    return np.asarray(image, "uint8").reshape(height, width, channels)


def _is_picture(path):
    return path.is_file() and _is_shown(path) and path.suffix.lower() in SUFFIXES


def _is_shown(path):
    return not path.name.startswith(".")

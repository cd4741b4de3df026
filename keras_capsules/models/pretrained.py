"""Loads the weights that come with the library, each with a card that describes them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_capsules.models._shared.main_input import main_input
from keras_capsules.models._shared.preprocessing import pixels_of, with_preprocessing

FOLDER = Path(__file__).parent / "weights"


def names(model: str) -> list[str]:
    """Returns the names of the weights that the library has for a model of the zoo."""
    return sorted(path.stem.removeprefix(f"{model}-") for path in FOLDER.glob(f"{model}-*.json"))


def card(model: str, weights: str) -> dict:
    """Returns the card of weights that come with the library.

    Args:
        model: String. Name of a model of the zoo.
        weights: String. Name of its weights, such as `"mnist"`.

    Returns:
        A dictionary with the data and their licence, the arguments that build the model, the names
        of the classes, the preparation of its inputs, the metric and its value for each seed, the
        command and the versions that made the weights, and the digests of the files.

    Raises:
        ValueError: If there are no such weights.

    Example:

    >>> keras_capsules.models.card("efficient_capsnet", "mnist")["metric"]
    'accuracy on the 10,000 test images'
    >>> keras_capsules.models.card("se_resnet20", "cifar10")["class_names"][:3]
    ['airplane', 'automobile', 'bird']
    """
    if weights not in names(model):
        raise ValueError(
            f"There are no weights {weights!r} for {model!r}. There are: "
            f"{', '.join(names(model)) or 'none'}. Received: weights={weights!r}"
        )
    return json.loads((FOLDER / f"{model}-{weights}.json").read_text())


def examples(
    model: str, weights: str, include_preprocessing: bool = False
) -> dict[str, np.ndarray]:
    """Returns `image`s or `signal`s prepared for the model, and the `scores` that it gave.

    Args:
        model: String. Name of a model of the zoo.
        weights: String. Name of its weights, such as `"mnist"`.
        include_preprocessing: Boolean. Whether the images are for a model that prepares them
            itself, as in `create_model`: uint8 pixels from 0 to 255. Defaults to `False`.

    Raises:
        ValueError: If there are no such weights, their file is damaged, or they take no pixels.

    Example:

    >>> found = keras_capsules.models.examples("efficient_capsnet", "mnist")
    >>> found["image"].shape[1:], found["scores"].shape[1:]
    ((28, 28, 1), (10,))
    """
    description = card(model, weights)
    with np.load(_checked(f"{model}-{weights}.examples.npz", description["files"])) as file:
        found = dict(file)
    if include_preprocessing:
        found["image"] = pixels_of(found["image"], _steps(description))
    return found


def restore(
    build: Callable[..., keras.Model],
    model: str,
    weights: str,
    arguments: dict,
    include_preprocessing: bool = False,
) -> keras.Model:
    """Builds a model with the sizes and weights of a card.

    Args:
        build: The function that builds the model.
        model: String. Name of the model in the zoo.
        weights: String. Name of the weights.
        arguments: Dictionary. Arguments of `build` that override the card, such as `with_decoder`.
        include_preprocessing: Boolean. As in `create_model`.

    Raises:
        ValueError: If the weights do not fit the model that `arguments` ask for, are damaged, or
            take no pixels that could be prepared.
    """
    description = card(model, weights)
    stem, files = f"{model}-{weights}", description["files"]
    if arguments.get("with_decoder") and f"{stem}.decoder.npz" not in files:
        raise ValueError(
            f"The weights {weights!r} of {model!r} come without those of a decoder. Leave "
            "`with_decoder` out. Or train a decoder: build the model without `weights`, and copy "
            "them by `keras.Model(model.inputs[0], model.get_layer('scores').output)"
            ".set_weights(trained.get_weights())`. "
            f"Received: weights={weights!r}, with_decoder=True"
        )
    steps = _steps(description) if include_preprocessing else None
    built = build(**description["arguments"] | arguments)
    classifier = keras.Model(main_input(built), built.get_layer("scores").output)
    path = _checked(f"{stem}.weights.h5", files)
    decoder = {}
    if arguments.get("with_decoder"):
        with np.load(_checked(f"{stem}.decoder.npz", files)) as file:
            decoder = dict(file)
    try:
        classifier.load_weights(path)
        if decoder:
            built.get_layer("reconstruction").set_weights(list(decoder.values()))
    except ValueError as error:
        raise ValueError(
            f"The weights {weights!r} of {model!r} fit {description['arguments']} and defaults "
            "otherwise. For other classes use include_top=False and add your own classifier. "
            f"Received: {arguments}. ({str(error).partition(chr(10))[0]})"
        ) from error
    return built if steps is None else with_preprocessing(built, steps)


def _steps(description):
    """Returns how pixels are prepared, or raises."""
    if description["preprocessing"] is None:
        raise ValueError(
            f"{description['model']!r} takes signals as they are, and no pixels that could be "
            "prepared. Leave `include_preprocessing` out. "
            f"Received: weights={description['weights']!r}, include_preprocessing=True"
        )
    return description["preprocessing"]


def load_file(model: keras.Model, name: str, path: str):
    """Loads a file that `model.save_weights` wrote.

    Raises:
        ValueError: If there is no such file, or its weights do not fit.
    """
    if not Path(path).is_file():
        raise ValueError(
            "`weights` must be the name of weights that come with the library (for "
            f"{name!r}: {', '.join(names(name)) or 'none'}), or the path of a .weights.h5 file. "
            f"Received: weights={str(path)!r}"
        )
    try:
        model.load_weights(path)
    except OSError as error:  # h5py says so of a file that is damaged.
        raise ValueError(f"{path} cannot be read: {error}. Save the weights again.") from error


def _checked(name, digests):
    """Compares the digest of a file and returns its path."""
    path = FOLDER / name
    if not path.is_file() or name not in digests:
        raise ValueError(f"There is no {name} among the weights of the library.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digests[name]:
        raise ValueError(
            f"{path} is damaged: its sha256 is {found} and should be {digests[name]}. Install "
            "keras-capsules again."
        )
    return path

"""The names of the zoo's models, and the functions that build them."""

import fnmatch
from collections.abc import Callable

import keras

_MODELS: dict[str, Callable[..., keras.Model]] = {}


def register_model(function: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """Adds a function that builds a model to the zoo, under the function's name."""
    _MODELS[function.__name__] = function
    return function


def list_models(pattern: str = "*") -> list[str]:
    """Lists the models of the zoo.

    Args:
        pattern: String. Shell-style pattern that the names must match, such as `"*caps*"`.
            Defaults to `"*"`.

    Returns:
        Sorted list of names for `create_model`.

    Example:

    >>> keras_capsules.list_models("*caps*")
    ['capsnet', 'efficient_capsnet']
    """
    return sorted(fnmatch.filter(_MODELS, pattern))


def create_model(name: str, weights: str | None = None, **kwargs) -> keras.Model:
    """Builds a model of the zoo.

    Args:
        name: String. One of `list_models()`.
        weights: Path of a `.weights.h5` file that `model.save_weights` wrote, or `None`, the
            default, for freshly drawn weights.
        **kwargs: Sizes of the model, such as `input_shape` and `num_classes`; its own function,
            `keras_capsules.models.<name>`, documents them.

    Returns:
        A functional `keras.Model` whose output `scores` has one column for each class.

    Raises:
        ValueError: If there is no such model. The message lists those there are.

    Example:

    >>> model = keras_capsules.create_model("cnn_baseline", input_shape=(28, 28, 1), units=(32,))
    >>> model.output_shape
    (None, 10)
    """
    if name not in _MODELS:
        raise ValueError(
            f"Unknown model. Known ones: {', '.join(list_models())}. Received: {name!r}"
        )
    model = _MODELS[name](**kwargs)
    if weights is not None:
        model.load_weights(weights)
    return model

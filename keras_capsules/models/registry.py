"""Registers the models of the zoo by name."""

import fnmatch
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import NamedTuple

import keras

from keras_capsules._lookup import check_name
from keras_capsules.models import pretrained
from keras_capsules.models._shared.main_input import main_input

# With this many parameters a model warns of what it costs.
_COSTLY = 10**8


TASKS = ("images", "segmentation", "signals")
_AXES = {3: "(height, width, channels)", 2: "(length, channels)"}


class _Entry(NamedTuple):
    build: Callable[..., keras.Model]
    top: str
    tiny: dict
    loss: Callable[[], keras.losses.Loss]
    task: str


_MODELS: dict[str, _Entry] = {}


def register_model(
    top: str,
    tiny: dict,
    loss: Callable[[], keras.losses.Loss],
    task: str = "images",
    multiple: int = 1,
) -> Callable:
    """Registers a function that builds a model in the zoo, under the function's name.

    Args:
        top: String. Name of the first layer of the classifier. Its inputs are the features.
        tiny: Dictionary. Arguments of the function for a model small enough for tests.
        loss: Function without arguments, such as a class, that makes the loss to train with.
        task: String. `"images"`, `"segmentation"` or `"signals"`: what the model takes, and whether
            it labels all of it or each pixel.
        multiple: Integer. What the sizes must be multiples of. Defaults to `1`.

    Returns:
        A decorator for the function.
    """

    def register(function):
        build = _explaining_sizes(function, multiple)
        _MODELS[function.__name__] = _Entry(build, top, tiny, loss, task)
        return build

    return register


def _explaining_sizes(function, multiple):
    """Makes a function name an `input_shape` that does not fit, and warn of large models."""
    parameter = inspect.signature(function).parameters.get("input_shape")
    if parameter is None:  # It takes the arguments of a larger one, which does the same.
        return function
    default = parameter.default

    @functools.wraps(function)
    def build(input_shape=default, *args, **kwargs):
        if not isinstance(input_shape, (tuple, list)) or len(input_shape) != len(default):
            raise ValueError(
                f"`input_shape` is {_AXES[len(default)]}. Received: input_shape={input_shape}"
            )
        sizes = [size for size in input_shape[:-1] if size is not None]
        if multiple > 1 and any(size < 1 or size % multiple for size in sizes):
            raise ValueError(
                f"{function.__name__} halves height and width and doubles them again, so both must "
                f"be multiples of {multiple}. Pad or crop the images. "
                f"Received: input_shape={input_shape}"
            )
        inspect.signature(function).bind(input_shape, *args, **kwargs)
        try:
            model = function(input_shape, *args, **kwargs)
        except (TypeError, ValueError) as error:
            sizes = list(zip(input_shape, default, strict=True))[:-1]
            if all(size is not None and size >= usual for size, usual in sizes):
                raise
            raise ValueError(
                f"{function.__name__} cannot be built with these sizes. Pass a larger "
                f"`input_shape`, without None; the default is {default}. Or choose smaller windows "
                f"and strides. Received: input_shape={input_shape}. ({error})"
            ) from error
        _tell_cost(model, input_shape)
        return model

    return build


def _tell_cost(model, input_shape):
    """Warns of a model that is too large for most machines, with what to do."""
    count = model.count_params()
    if count < _COSTLY:
        return
    largest = max(model.layers, key=lambda layer: layer.count_params())
    warnings.warn(
        f"{model.name} has {count:,} parameters for input_shape={input_shape}, of which "
        f"{largest.name!r} has {largest.count_params():,}. That is {4 * count / 2**30:.1f} GiB, "
        "and four times that in training with Adam. Pass a smaller `input_shape`, more `halvings` "
        "or smaller sizes, or put capsules on a backbone: keras_capsules.add_head.",
        stacklevel=4,
    )


def list_models(
    pattern: str = "*", weights: str | None = None, task: str | None = None
) -> list[str]:
    """Lists the models of the zoo.

    Args:
        pattern: String. Shell-style pattern for the names, such as `"*caps*"`. Defaults to `"*"`.
        weights: String or `None`. Lists only models that have weights of this name for
            `create_model`, such as `"mnist"`, or any weights with `"*"`. `None`, the default, lists
            all models.
        task: String or `None`. Lists only models that classify `"images"` or `"signals"`, or the
            pixels of images, `"segmentation"`. `None`, the default, lists all models.

    Returns:
        Sorted list of names for `create_model`.

    Raises:
        ValueError: If there is no such task.

    Example:

    >>> "efficient_capsnet" in keras_capsules.list_models("*caps*", weights="mnist")
    True
    """
    if task not in (None, *TASKS):
        raise ValueError(f"`task` must be one of {TASKS}, or None. Received: task={task!r}")
    names = fnmatch.filter(_MODELS, pattern)
    if task is not None:
        names = [name for name in names if _MODELS[name].task == task]
    if weights is not None:
        names = [name for name in names if fnmatch.filter(pretrained.names(name), weights)]
    return sorted(names)


def create_model(
    name: str,
    weights: str | None = None,
    include_top: bool = True,
    size: str | None = None,
    include_preprocessing: bool = False,
    **kwargs,
) -> keras.Model:
    """Builds a model of the zoo.

    Args:
        name: String. One of `list_models()`.
        weights: String or `None`. Name of weights that come with the library, such as `"mnist"`, or
            path of a `.weights.h5` file that `model.save_weights` wrote. `None`, the default, draws
            new weights. A name also sets the sizes with which the weights were trained.
        include_top: Boolean. Whether the model ends with the classifier. Otherwise the model
            returns features: the capsules below the class capsules, or the map of the last
            convolution. Defaults to `True`.
        size: `"tiny"` for a model small enough for tests, or `None`, the default, for the paper's
            sizes.
        include_preprocessing: Boolean. Whether the model itself prepares images, as the card of its
            weights says. It then takes pixels from 0 to 255, as uint8 or float. A decoder still
            draws in [0, 1]. Only for weights that come with the library. Defaults to `False`.
        **kwargs: Sizes of the model, such as `input_shape` and `num_classes`. The function
            `keras_capsules.models.<name>` documents them.

    Returns:
        A functional `keras.Model` from `image` or `signal` to `scores`, with one column for each
        class, or one for each class at each pixel. Without the top, the output is the features.

    Raises:
        ValueError: If there is no such model, size or weights, if the weights do not fit the sizes,
            if their file is damaged, or if no card says how to prepare images.

    Example:

    >>> model = keras_capsules.create_model("efficient_capsnet", weights="mnist")
    >>> model.output_shape
    (None, 10)
    >>> features = keras_capsules.create_model("cnn_baseline", include_top=False)
    >>> features.output_shape
    (None, 28, 28, 128)
    >>> options = {"weights": "cifar10", "include_preprocessing": True}
    >>> model = keras_capsules.create_model("se_resnet20", **options)
    >>> model.predict(np.zeros((1, 32, 32, 3), "uint8"), verbose=0).shape
    (1, 10)
    """
    check_name("model", name, list_models())
    if size not in (None, "tiny"):
        raise ValueError(f"`size` must be 'tiny' or None. Received: size={size!r}")
    build, top, tiny, *_ = _MODELS[name]
    arguments = (tiny if size == "tiny" else {}) | kwargs
    if weights is not None and weights in pretrained.names(name):
        model = pretrained.restore(build, name, weights, arguments, include_preprocessing)
    else:
        if include_preprocessing:
            raise ValueError(
                "`include_preprocessing` does what the card of weights says, and only weights that "
                f"come with the library have one (for {name!r}: "
                f"{', '.join(pretrained.names(name)) or 'none'}). Put a keras.layers.Rescaling "
                f"before the model instead. Received: weights={weights!r}"
            )
        model = build(**arguments)
        if weights is not None:
            pretrained.load_file(model, name, weights)
    if include_top:
        return model
    return keras.Model(main_input(model), model.get_layer(top).input, name=model.name)


def default_loss(name: str) -> keras.losses.Loss:
    """Returns the loss with which a model of the zoo is documented and measured.

    It compares the output `scores` with one-hot labels. `python -m benchmarks.learns` trains each
    model with it.

    Args:
        name: String. One of `list_models()`.

    Returns:
        A new `keras.losses.Loss`.

    Raises:
        ValueError: If there is no such model.

    Example:

    >>> keras_capsules.models.default_loss("capsnet").name
    'margin_loss'
    """
    check_name("model", name, list_models())
    return _MODELS[name].loss()

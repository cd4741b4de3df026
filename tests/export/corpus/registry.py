"""Lists the models of the corpus, and makes inputs for them."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

GROUPS = (
    "recurrent",
    "attention",
    "convolutions",
    "normalization",
    "activations",
    "preprocessing",
    "operations",
    "shapes",
    "structures",
    "networks",
    "policies",
    "capsules",
    "applications",
)
"""The modules of this folder that have models, one for each group."""


@dataclass(frozen=True)
class Refusal:
    """What the export says of a model that a file cannot hold.

    Attributes:
        error: Name of the error's class, of `export.errors`.
        words: Words of the message, among them the remedy.
    """

    error: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A model of the corpus.

    Attributes:
        group: Name of the module.
        function: Name of the function.
        variant: Name of the variant, or `""` if the function makes one model.
        make: Returns the model.
        floats: Lowest and highest real input.
        integers: Lowest and highest integer input.
        lengths: Two sizes for each open axis but the batch. Each is tried.
        tolerance: Largest difference from the model, times the largest output above 1.
        refusal: The expected refusal, or `None` for a model that must be exported.
        slow: Whether only `make test-corpus` exports the model.
    """

    group: str
    function: str
    variant: str
    make: Callable[[], keras.Model]
    floats: tuple[float, float] = (-2.0, 2.0)
    integers: tuple[int, int] = (0, 9)
    lengths: tuple[int, int] = (7, 12)
    tolerance: float = 1e-5
    refusal: Refusal | None = None
    slow: bool = False

    @property
    def id(self) -> str:
        """The name in tests and tables."""
        return "_".join(filter(None, (f"{self.group}/{self.function}", self.variant)))

    def build(self) -> keras.Model:
        """Returns the model, with the same weights each time."""
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = self.make()
        _move_constants(model)
        return model

    def inputs(self, model: keras.Model) -> Iterator[list[np.ndarray]]:
        """Yields inputs of two sizes for a model that `build` made."""
        generator = np.random.default_rng(0)
        for batch, length in zip((1, 3), self.lengths, strict=True):
            yield [
                self._array(generator, x.dtype, (x.shape[0] or batch, *_sizes(x, length)))
                for x in model.inputs
            ]

    def _array(self, generator, dtype, shape):
        if dtype == "bool":
            return generator.integers(0, 2, shape).astype(bool)
        if "int" in dtype:
            return generator.integers(*self.integers, shape, endpoint=True).astype(dtype)
        return generator.uniform(*self.floats, shape).astype(dtype)


def _sizes(tensor, length):
    return [size or length for size in tensor.shape[1:]]


def _move_constants(model):
    """Changes weights that are all 0 or all 1, which would hide what they are added to."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        value = keras.ops.convert_to_numpy(weight).astype("float64")
        if (weight.trainable or "moving" in weight.path) and np.ptp(value) == 0:
            weight.assign(value + generator.uniform(0.02, 0.1, value.shape))


_entries: dict[str, Entry] = {}


def model(
    variants: Mapping[str, Any] | Iterable[str] | None = None,
    refused: tuple[str, ...] | None = None,
    **facts: Any,
) -> Callable:
    """Registers a function that makes a model.

    Args:
        variants: Arguments of the function by name of the variant, or names that are arguments too.
            Without variants the function takes no argument.
        refused: The name of the expected error and words of its message, if a file cannot hold the
            model.
        facts: Further attributes of the `Entry`.
    """

    def register(make):
        group = make.__module__.rpartition(".")[2]
        refusal = refused and Refusal(refused[0], refused[1:])
        for variant, build in _variants(make, variants):
            entry = Entry(group, make.__name__, variant, build, refusal=refusal, **facts)
            assert entry.id not in _entries, entry.id
            _entries[entry.id] = entry
        return make

    return register


def _variants(make, variants):
    if variants is None:
        return [("", make)]
    named = variants if isinstance(variants, Mapping) else {name: name for name in variants}
    return [(name, lambda value=value: make(value)) for name, value in named.items()]


def entries() -> list[Entry]:
    """Returns all models of the corpus, group by group."""
    for group in GROUPS:
        importlib.import_module(f"{__package__}.{group}")
    return sorted(_entries.values(), key=lambda entry: GROUPS.index(entry.group))


def one_layer(arguments: tuple) -> keras.Sequential:
    """Returns a model of one layer.

    Args:
        arguments: Shape of a sample, class of the layer, and its arguments as a dictionary.
    """
    shape, kind, options = arguments
    return keras.Sequential([keras.Input(shape, name="x"), kind(**options)])

"""The inputs that a model and its file are compared on: ordinary, real and extreme ones."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from export import source

BATCHES = (1, 2, 7, 32)
REAL = 256
"""How many of the real inputs are compared in each way; of more, only the scores are, once."""


@dataclass(frozen=True)
class Suite:
    """Inputs of one kind.

    Attributes:
        name: What they are.
        inputs: Array `(samples, ...)` for each of the model's inputs, in its order.
        batch: Number of samples that are run at once.
    """

    name: str
    inputs: list[np.ndarray]
    batch: int

    def around(self, sample: int | None) -> "Suite":
        """Returns the batch in which a sample is run, or everything for `None`."""
        if sample is None:
            return self
        start = sample // self.batch * self.batch
        return replace(self, inputs=[array[start : start + self.batch] for array in self.inputs])


def suites(
    model: keras.Model,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
    batch: int | None = None,
) -> list[Suite]:
    """Returns the inputs to compare a model on, the same in each process.

    Args:
        model: The Keras model.
        input_range: Pair of floats between which inputs usually lie.
        data: Real inputs by name, all of one length, or `None`. Of more than `REAL` samples, as
            many are drawn.
        batch: The only size of batches, or `None` for any.
    """
    generator = np.random.default_rng(0)
    full = functools.partial(made_inputs, model, input_range)

    def random(factor=1.0):
        return lambda shape, low, high: generator.uniform(low, high, shape) * factor

    sizes = BATCHES if batch is None else (batch,)
    found = [Suite(f"random, batch {size}", full(size, random()), size) for size in sizes]
    if batch is None:
        found.append(Suite("random, one by one", found[2].inputs, batch=1))
    else:
        found.append(Suite("random, 3 batches", full(3 * batch, random()), batch))
    few, largest = batch or 2, batch or max(BATCHES)
    if data:
        samples = _samples(model, data)
        drawn = np.random.default_rng(0).choice(samples, min(samples, REAL), replace=False)
        found.append(_real("real", model, data, batch, np.sort(drawn)))
    found.append(Suite("zeros", full(few, lambda shape, low, high: np.zeros(shape)), largest))
    found.append(
        Suite("constant", full(few, lambda shape, low, high: np.full(shape, high)), largest)
    )
    if any("float" in tensor.dtype for tensor in model.inputs):
        for name, factor in (
            ("huge, x 1e4", 1e4),
            ("tiny, x 1e-8", 1e-8),
            ("tiny, x 1e-30", 1e-30),
        ):
            found.append(Suite(name, full(few, random(factor)), largest))
    return found


def all_real(
    model: keras.Model, data: dict[str, np.ndarray] | None, batch: int | None = None
) -> list[Suite]:
    """Returns a suite of all real inputs, where `suites` takes some of them only, or none."""
    if not data or _samples(model, data) <= REAL:
        return []
    return [_real("real, all", model, data, batch, slice(None))]


def _samples(model, data):
    return len(data[source.input_names(model)[0]])


def _real(name, model, data, batch, drawn):
    """Returns the real inputs that are drawn; the first are repeated to fill the last batch."""
    inputs = zip(source.input_names(model), model.inputs, strict=True)
    real = [np.asarray(data[name], tensor.dtype)[drawn] for name, tensor in inputs]
    return Suite(
        name, real if batch is None else filled_batches(real, batch), batch or max(BATCHES)
    )


def made_inputs(
    model: keras.Model,
    input_range: tuple[float, float],
    samples: int,
    make: Callable[[tuple, float, float], np.ndarray],
) -> list[np.ndarray]:
    """Returns an array for each input, made from its shape and the range of its values."""
    arrays = []
    for tensor in model.inputs:
        is_pixels = tensor.dtype == "uint8"
        array = make((samples, *tensor.shape[1:]), *((0, 255) if is_pixels else input_range))
        if "int" in tensor.dtype:  # Else numbers of words or classes: all have a 0 and a 1.
            array = np.clip(np.round(array), 0, 255 if is_pixels else 1)
        arrays.append(array.astype(tensor.dtype))
    return arrays


def filled_batches(arrays: list[np.ndarray], batch: int) -> list[np.ndarray]:
    """Repeats samples from the first on until the last batch is full."""
    samples = -(-len(arrays[0]) // batch) * batch
    return [np.resize(array, (samples, *array.shape[1:])) for array in arrays]


def run_keras(model: keras.Model, suite: Suite) -> list[np.ndarray]:
    """Runs the model for inference, and returns its flat outputs as arrays."""

    def run(batch):
        tensors = [keras.ops.convert_to_tensor(array) for array in batch]
        return [keras.ops.convert_to_numpy(output) for output in source.call(model, tensors)]

    return in_batches(run, suite)


def in_batches(run, suite: Suite) -> list[np.ndarray]:
    """Calls `run` on the inputs of one batch after the other, and joins what it returns."""
    starts = range(0, len(suite.inputs[0]), suite.batch)
    batches = ([array[start : start + suite.batch] for array in suite.inputs] for start in starts)
    parts = list(map(run, batches))
    return [np.concatenate(output) for output in zip(*parts, strict=True)]


def last_bits_changed(suite: Suite, seed: int) -> Suite:
    """Returns a suite whose real numbers are all one of their two neighbours, up or down."""
    generator = np.random.default_rng(seed)

    def neighbours(array):
        if not np.issubdtype(array.dtype, np.floating):
            return array
        towards = generator.choice([-np.inf, np.inf], array.shape).astype(array.dtype)
        return np.nextafter(array, towards)

    return replace(suite, inputs=[neighbours(array) for array in suite.inputs])


def save(path: Path, suites: list[Suite]) -> None:
    """Stores suites, for another process."""
    arrays = {"names": [suite.name for suite in suites], "batches": [s.batch for s in suites]}
    save_arrays(path, arrays | _numbered([suite.inputs for suite in suites]))


def load(path: Path) -> list[Suite]:
    """Returns what `save` stored."""
    with np.load(path) as arrays:
        named = zip(arrays["names"], arrays["batches"], _grouped(arrays), strict=True)
        return [Suite(str(name), inputs, int(batch)) for name, batch, inputs in named]


def save_outputs(path: Path, outputs: list[list[np.ndarray]] | str) -> None:
    """Stores the outputs for each suite, or why there are none."""
    save_arrays(path, {"error": outputs} if isinstance(outputs, str) else _numbered(outputs))


def save_arrays(path: Path, arrays: dict) -> None:
    """Stores arrays under a path that need not end in `.npz`."""
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def load_outputs(path: Path) -> list[list[np.ndarray]] | str:
    """Returns what `save_outputs` stored."""
    with np.load(path) as arrays:
        return str(arrays["error"]) if "error" in arrays else _grouped(arrays)


def _numbered(groups):
    return {f"{i}/{j}": array for i, group in enumerate(groups) for j, array in enumerate(group)}


def _grouped(arrays):
    groups = {}
    for key in arrays:
        if "/" in key:
            groups.setdefault(int(key.partition("/")[0]), []).append(arrays[key])
    return [groups[index] for index in sorted(groups)]

"""The inputs that a model and its file are compared on: ordinary, real and extreme ones."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from export import source

BATCHES = (1, 2, 7, 32)


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


def suites(
    model: keras.Model,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
) -> list[Suite]:
    """Returns the inputs to compare a model on, the same in each process.

    Args:
        model: The Keras model.
        input_range: Pair of floats between which inputs usually lie.
        data: Real inputs by name, all of one length, or `None`.
    """
    low, high = input_range
    generator = np.random.default_rng(0)

    def full(batch, make):
        arrays = [make((batch, *tensor.shape[1:])) for tensor in model.inputs]
        for index, tensor in enumerate(model.inputs):
            if "int" in tensor.dtype:  # Numbers of words or classes: all have a 0 and a 1.
                arrays[index] = np.clip(np.round(arrays[index]), 0, 1)
            arrays[index] = arrays[index].astype(tensor.dtype)
        return arrays

    def uniform(shape):
        return generator.uniform(low, high, shape)

    found = [Suite(f"random, batch {batch}", full(batch, uniform), batch) for batch in BATCHES]
    found.append(Suite("random, one by one", found[2].inputs, batch=1))
    largest = max(BATCHES)
    if data:
        names = zip(source.input_names(model), model.inputs, strict=True)
        real = [np.asarray(data[name], tensor.dtype) for name, tensor in names]
        found.append(Suite("real", real, largest))
    return [
        *found,
        Suite("zeros", full(2, np.zeros), largest),
        Suite("constant", full(2, lambda shape: np.full(shape, high)), largest),
        Suite("huge, x 1e4", full(2, lambda shape: uniform(shape) * 1e4), largest),
        Suite("tiny, x 1e-8", full(2, lambda shape: uniform(shape) * 1e-8), largest),
        Suite("tiny, x 1e-30", full(2, lambda shape: uniform(shape) * 1e-30), largest),
    ]


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

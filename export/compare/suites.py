"""Makes the ordinary, real and extreme inputs on which a model and its file are compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import keras
import numpy as np

from export import keras_model
from export.compare.accepted import accepted, random_inputs, rows_of_tables, signed_inputs
from export.compare.open_axes import OpenAxes, choose_open_axes
from export.results import Kind, SuiteKey
from export.verify import VALUES

BATCHES = (1, 2, 7, 32)
"""Batches of random inputs. Layers are compared on the third one."""
BATCHES_OF_LARGE = (1, 2, 3)
"""Batches for a model that `is_large`."""
REAL = 256
"""Number of real inputs that are compared in each setting. Others are compared once, by score."""

SIGNED = 64
"""Number of samples of both signs. Fewer show less of a fault, compared with the rounding."""

_SEALED_BATCH = 2
_LARGE = 4_000_000
_EXTREMES = ((Kind.HUGE, 1e4), (Kind.TINY, 1e-8), (Kind.TINY, 1e-30))
_SEALED_EXTREMES = ((Kind.HUGE, 1e4), (Kind.TINY, 1e-30))


@dataclass(frozen=True)
class Suite:
    """Inputs of one kind.

    Attributes:
        kind: Kind of the inputs. Code makes decisions by it.
        inputs: Array `(samples, ...)` for each of the model's inputs, in its order.
        batch: Number of samples in each run.
        scale: Factor on random inputs.
        sealed: Whether the inputs are stored in the seal.
        sizes: Sizes of the open axes by name.
    """

    kind: Kind
    inputs: list[np.ndarray]
    batch: int
    scale: float = 1.0
    sealed: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.inputs[0])

    @property
    def key(self) -> SuiteKey:
        """The key of the suite, without its arrays."""
        sizes = " x ".join(map(str, self.sizes.values()))
        return SuiteKey(self.kind, self.batch, self.samples, self.scale, self.sealed, sizes)

    def is_run_like(self, other: "Suite") -> bool:
        """Returns whether another suite has the same inputs in the same batches."""
        pairs = zip(self.inputs, other.inputs, strict=True)
        return self.batch == other.batch and all(np.array_equal(*pair) for pair in pairs)

    def around(self, sample: int | None) -> "Suite":
        """Returns the batch of a sample, or all samples for `None`."""
        if sample is None:
            return self
        start = sample // self.batch * self.batch
        return replace(self, inputs=[array[start : start + self.batch] for array in self.inputs])


@dataclass(frozen=True)
class SuiteSet:
    """All inputs of one export.

    Attributes:
        ordinary: Suites that are compared in every setting.
        sealed: Suites whose inputs are stored in the seal. They are compared in every setting too.
        all_real: All real inputs if `ordinary` has only some of them, else `None`.
        probe: Random inputs on which layers are compared.
        axes: The open axes, and the sizes at which the model is compared.
    """

    ordinary: list[Suite]
    sealed: list[Suite]
    all_real: Suite | None
    probe: Suite
    axes: OpenAxes

    @property
    def compared(self) -> list[Suite]:
        """The suites that are compared in every setting."""
        return self.ordinary + self.sealed

    def find(self, key: SuiteKey) -> Suite:
        """Returns the suite of a key."""
        suites = [*self.compared, *([self.all_real] if self.all_real else [])]
        return next(suite for suite in suites if suite.key == key)


def is_large(model: keras.Model) -> bool:
    """Returns whether a model makes so many values of a sample that a few samples must do."""
    return keras_model.values_of_sample(model) > _LARGE


def suite_set(
    model: keras.Model,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
    batch: int | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
) -> SuiteSet:
    """Returns the inputs to compare a model on, the same in each process.

    Args:
        model: The Keras model.
        input_range: Pair of floats between which inputs usually lie.
        data: Real inputs by name, all of one length, or `None`. If there are more than `REAL`
            samples, `REAL` of them are drawn.
        batch: The only size of batches, or `None` for any.
        sizes: Sizes of open axes by name, see `open_axes.choose_open_axes`.
    """
    axes = choose_open_axes(model, sizes)
    ordinary = _ordinary(model, axes, input_range, data, batch)
    whole = None
    if data and _count(model, data) > REAL:
        whole = _real(Kind.ALL_REAL, model, data, batch, slice(None))
    probe = ordinary[0 if batch else 2]
    return SuiteSet(ordinary, sealed_suites(ordinary), whole, probe, axes)


def _ordinary(model, axes, input_range, data, batch):
    """Returns the suites that are compared in every setting, but for the sealed ones."""
    generator = np.random.default_rng(0)

    def suite(kind, make, samples, size, number=1, scale=1.0):
        sizes = axes.sizes[number % len(axes.sizes)]
        shapes = axes.shapes(model, sizes)
        inputs = random_inputs(model, shapes, samples, input_range, make)
        return Suite(kind, inputs, size, scale, sizes=sizes)

    def random(samples, size, number, kind=Kind.RANDOM, scale=1.0):
        def make(shape, low, high):
            return generator.uniform(low, high, shape) * scale

        return suite(kind, make, samples, size, number, scale)

    if batch is None:
        made = [random(size, size, number) for number, size in enumerate(_batches(model))]
        made.append(replace(made[2], batch=1))
    else:
        made = [random(size, batch, number) for number, size in enumerate((batch, 3 * batch))]
    few, largest = batch or (1 if is_large(model) else 2), batch or _batches(model)[-1]
    first = 2 if batch else len(_batches(model))
    made += [random(few, largest, number) for number in range(first, len(axes.sizes))]
    if data:
        count = _count(model, data)
        drawn = np.random.default_rng(0).choice(count, min(count, REAL), replace=False)
        made.append(_real(Kind.REAL, model, data, batch, np.sort(drawn)))
    made.append(suite(Kind.ZEROS, lambda shape, low, high: np.zeros(shape), few, largest))
    made.append(suite(Kind.CONSTANT, lambda shape, low, high: np.full(shape, high), few, largest))
    numbers = accepted(model, input_range)
    if any(not entry.whole for entry in numbers):
        made += [random(few, largest, 1, kind, scale) for kind, scale in _EXTREMES]
    return [*made, *_beyond(model, axes, numbers, batch)]


def _beyond(model, axes, numbers, batch):
    """Yields inputs that reach the parts which ordinary ones may not: signs, and rows of tables."""
    sizes = axes.sizes[-1]
    shapes = axes.shapes(model, sizes)
    signed = signed_inputs(model, shapes, numbers, samples=2 if is_large(model) else SIGNED)
    if signed is not None:
        yield replace(in_suite(model, Kind.SIGNED, signed, batch), sizes=sizes)
    if any(entry.rows for entry in numbers):
        rows = rows_of_tables(model, shapes, numbers)
        yield replace(in_suite(model, Kind.EVERY_ROW, rows, batch), sizes=sizes)


def _batches(model):
    return BATCHES_OF_LARGE if is_large(model) else BATCHES


def sealed_suites(ordinary: list[Suite]) -> list[Suite]:
    """Returns the inputs to seal. Large ones repeat their beginning."""
    random = [suite for suite in ordinary if suite.kind is Kind.RANDOM]
    # A file for batches of one size gets one such batch instead of two random samples.
    first = next((s for s in random if s.samples == s.batch == _SEALED_BATCH), random[0])
    chosen = [
        suite
        for suite in ordinary
        if suite is first
        or suite.kind in (Kind.ZEROS, Kind.CONSTANT)
        or (suite.kind, suite.scale) in _SEALED_EXTREMES
    ]
    return [
        replace(
            suite,
            inputs=[np.resize(beginning(array), array.shape) for array in suite.inputs],
            sealed=True,
        )
        for suite in chosen
    ]


def beginning(array: np.ndarray) -> np.ndarray:
    """Returns the values of an input that the seal stores: one if constant, else `VALUES`."""
    return array.ravel()[: 1 if (array == array.flat[0]).all() else VALUES]


def _count(model, data):
    return len(data[keras_model.input_names(model)[0]])


def _real(kind, model, data, batch, drawn):
    """Returns the drawn real inputs. The first ones are repeated to fill the last batch."""
    inputs = zip(keras_model.input_names(model), model.inputs, strict=True)
    arrays = [np.asarray(data[name], tensor.dtype)[drawn] for name, tensor in inputs]
    return in_suite(model, kind, arrays, batch)


def in_suite(
    model: keras.Model, kind: Kind, inputs: Sequence[np.ndarray], batch: int | None
) -> Suite:
    """Returns inputs as a suite, filled up to complete batches if only one size is possible."""
    arrays = list(inputs) if batch is None else _filled_batches(inputs, batch)
    return Suite(kind, arrays, batch or _batches(model)[-1])


def _filled_batches(arrays, batch):
    """Repeats samples, from the first one on, until the last batch is full."""
    samples = -(-len(arrays[0]) // batch) * batch
    return [np.resize(array, (samples, *array.shape[1:])) for array in arrays]


def last_bits_changed(suite: Suite, seed: int) -> Suite:
    """Returns a suite in which each real number is replaced by the next one above or below."""
    generator = np.random.default_rng(seed)

    def neighbours(array):
        if not np.issubdtype(array.dtype, np.floating):
            return array
        upwards = generator.integers(0, 2, array.shape, dtype="bool")
        return np.nextafter(array, np.where(upwards, np.inf, -np.inf).astype(array.dtype))

    return replace(suite, inputs=[neighbours(array) for array in suite.inputs])

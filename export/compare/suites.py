"""Makes the ordinary, real and extreme inputs on which a model and its file are compared."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from export import keras_model
from export.results import Kind, SuiteKey
from export.verify import VALUES

PROBE_BATCH = 7
"""Batch of the random suite on which layers are compared."""
BATCHES = (1, 2, PROBE_BATCH, 32)
REAL = 256
"""Number of real inputs that are compared in each setting. Others are compared once, by score."""

_SEALED_BATCH = 2
_EXTREMES = ((Kind.HUGE, 1e4), (Kind.TINY, 1e-8), (Kind.TINY, 1e-30))
_SEALED_EXTREMES = ((Kind.HUGE, 1e4), (Kind.TINY, 1e-30))
_LARGEST_BATCH = max(BATCHES)


@dataclass(frozen=True)
class Suite:
    """Inputs of one kind.

    Attributes:
        kind: Kind of the inputs. Code makes decisions by it.
        inputs: Array `(samples, ...)` for each of the model's inputs, in its order.
        batch: Number of samples in each run.
        scale: Factor on random inputs.
        sealed: Whether the inputs are stored in the seal.
    """

    kind: Kind
    inputs: list[np.ndarray]
    batch: int
    scale: float = 1.0
    sealed: bool = False

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.inputs[0])

    @property
    def key(self) -> SuiteKey:
        """The key of the suite, without its arrays."""
        return SuiteKey(self.kind, self.batch, self.samples, self.scale, self.sealed)

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
    """

    ordinary: list[Suite]
    sealed: list[Suite]
    all_real: Suite | None
    probe: Suite

    @property
    def compared(self) -> list[Suite]:
        """The suites that are compared in every setting."""
        return self.ordinary + self.sealed

    def find(self, key: SuiteKey) -> Suite:
        """Returns the suite of a key."""
        suites = [*self.compared, *([self.all_real] if self.all_real else [])]
        return next(suite for suite in suites if suite.key == key)


def suite_set(
    model: keras.Model,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
    batch: int | None = None,
) -> SuiteSet:
    """Returns the inputs to compare a model on, the same in each process.

    Args:
        model: The Keras model.
        input_range: Pair of floats between which inputs usually lie.
        data: Real inputs by name, all of one length, or `None`. If there are more than `REAL`
            samples, `REAL` of them are drawn.
        batch: The only size of batches, or `None` for any.
    """
    ordinary = suites(model, input_range, data, batch)
    whole = None
    if data and _count(model, data) > REAL:
        whole = _real(Kind.ALL_REAL, model, data, batch, slice(None))
    probe = next(s for s in ordinary if s.kind is Kind.RANDOM and s.batch == (batch or PROBE_BATCH))
    return SuiteSet(ordinary, sealed_suites(ordinary), whole, probe)


def suites(
    model: keras.Model,
    input_range: tuple[float, float] = (0.0, 1.0),
    data: dict[str, np.ndarray] | None = None,
    batch: int | None = None,
) -> list[Suite]:
    """Returns the ordinary suites of `suite_set`."""
    generator = np.random.default_rng(0)
    make = functools.partial(made_inputs, model, input_range)

    def random(samples, scale=1.0):
        return make(samples, lambda shape, low, high: generator.uniform(low, high, shape) * scale)

    if batch is None:
        made = [Suite(Kind.RANDOM, random(size), size) for size in BATCHES]
        probe = made[BATCHES.index(PROBE_BATCH)]
        made.append(replace(probe, batch=1))
    else:
        made = [Suite(Kind.RANDOM, random(size), batch) for size in (batch, 3 * batch)]
    few, largest = batch or 2, batch or _LARGEST_BATCH
    if data:
        count = _count(model, data)
        drawn = np.random.default_rng(0).choice(count, min(count, REAL), replace=False)
        made.append(_real(Kind.REAL, model, data, batch, np.sort(drawn)))
    zeros = make(few, lambda shape, low, high: np.zeros(shape))
    constant = make(few, lambda shape, low, high: np.full(shape, high))
    made += [Suite(Kind.ZEROS, zeros, largest), Suite(Kind.CONSTANT, constant, largest)]
    if any("float" in tensor.dtype for tensor in model.inputs):
        made += [Suite(kind, random(few, scale), largest, scale) for kind, scale in _EXTREMES]
    return made


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
    return array.ravel()[: 1 if np.ptp(array) == 0 else VALUES]


def _count(model, data):
    return len(data[keras_model.input_names(model)[0]])


def _real(kind, model, data, batch, drawn):
    """Returns the drawn real inputs. The first ones are repeated to fill the last batch."""
    inputs = zip(keras_model.input_names(model), model.inputs, strict=True)
    return in_suite(
        kind, [np.asarray(data[name], tensor.dtype)[drawn] for name, tensor in inputs], batch
    )


def in_suite(kind: Kind, inputs: Sequence[np.ndarray], batch: int | None) -> Suite:
    """Returns inputs as a suite, filled up to complete batches if only one size is possible."""
    arrays = list(inputs) if batch is None else _filled_batches(inputs, batch)
    return Suite(kind, arrays, batch or _LARGEST_BATCH)


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
        if "int" in tensor.dtype:  # Numbers of words or classes, which always include 0 and 1.
            array = np.clip(np.round(array), 0, 255 if is_pixels else 1)
        arrays.append(array.astype(tensor.dtype))
    return arrays


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
        towards = generator.choice([-np.inf, np.inf], array.shape).astype(array.dtype)
        return np.nextafter(array, towards)

    return replace(suite, inputs=[neighbours(array) for array in suite.inputs])

"""Names the axes that Keras leaves open, and chooses the sizes to compare a model at."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from export import keras_model
from export.compare.accepted import random_inputs
from export.errors import ConversionError, UsageError

SIZES = 5
"""Number of sizes at which a model is compared."""

_SPATIAL = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
_SMALLEST = (1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32, 48, 64, 75, 96, 128, 160, 192, 224, 256)


@dataclass(frozen=True)
class OpenAxes:
    """The open axes of a model, without the batch axis.

    Attributes:
        names: Names of the open axes of each input, by index. Axes of one name have one size.
        sizes: Sizes by name, at which the model is compared. `[{}]` if no axis is open.
    """

    names: list[dict[int, str]]
    sizes: list[dict[str, int]]

    @property
    def known(self) -> list[str]:
        """The names, each once."""
        return list(dict.fromkeys(name for names in self.names for name in names.values()))

    def shapes(self, model: keras.Model, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
        """Returns the shape of one sample of each input at these sizes."""
        return [
            tuple(
                sizes[names[axis]] if axis in names else size
                for axis, size in enumerate(tensor.shape)
                if axis > 0
            )
            for tensor, names in zip(model.inputs, self.names, strict=True)
        ]

    def input_shapes(self, model: keras.Model, batch: int | None) -> list[tuple]:
        """Returns the shapes of the inputs, with this batch axis and names for open axes."""
        return [
            (batch, *(names.get(axis, size) for axis, size in enumerate(x.shape) if axis > 0))
            for x, names in zip(model.inputs, self.names, strict=True)
        ]

    def output_shapes(
        self,
        model: keras.Model,
        batch: int | None,
        results: list[tuple[Mapping[str, int], list[tuple]]],
    ) -> list[tuple]:
        """Returns the shapes of the outputs, with this batch axis and names for open axes.

        An axis has the name of an input's axis if both have the same size in each result.

        Args:
            model: The Keras model.
            batch: Size of the batch axis, or `None` if it is open.
            results: Pairs of the sizes of a run, and the shapes of its outputs.
        """
        names = keras_model.output_names(model)

        def name_of(output, axis):
            if axis == 0:
                return batch
            same = (
                name
                for name in self.known
                if all(shapes[output][axis] == sizes[name] for sizes, shapes in results)
            )
            return next(same, f"{names[output]}_{axis}")

        def measured(output, axis, size):
            # Keras' shape is wrong for a Bidirectional of layers with different units.
            return results[0][1][output][axis] if axis and results else size

        return [
            tuple(
                name_of(index, axis) if size is None else measured(index, axis, size)
                for axis, size in enumerate(tensor.shape)
            )
            for index, tensor in enumerate(model.outputs)
        ]


def choose_open_axes(
    model: keras.Model, given: Mapping[str, Sequence[int]] | None = None
) -> OpenAxes:
    """Names the open axes of a model, and chooses sizes at which it runs.

    Args:
        model: The Keras model.
        given: Sizes by the name of the axis, or `None`. Of several lists, the first sizes belong
            together, then the second ones. Missing sizes are chosen: the smallest one at which the
            model runs, the two after it, and larger ones.

    Raises:
        UsageError: If the names or the sizes are wrong.
        ConversionError: If no size was found.
    """
    axes = OpenAxes(_names(model), [])
    known = axes.known
    if unknown := sorted(set(given or ()) - set(known)):
        raise UsageError(
            f"Sizes are given for open axes, which are {', '.join(known) or 'none'} here. "
            f"Received: sizes for {', '.join(unknown)}"
        )
    if not known:
        return OpenAxes(axes.names, [{}])
    axes.sizes.extend(_given_sizes(model, axes, given or {}))
    for alternatives in _candidates(model, axes):
        if len(axes.sizes) == SIZES:
            break
        runs = (sizes for sizes in alternatives if _runs(model, axes, sizes))
        axes.sizes.extend(sizes for sizes in itertools.islice(runs, 1) if sizes not in axes.sizes)
    return axes


def _names(model):
    """Returns the names of the open axes of each input, by index.

    Axes of several inputs share a name, unless the model runs with different sizes.
    """
    inputs = keras_model.input_names(model)
    shared = [_spatial_names(*pair) for pair in zip(inputs, model.inputs, strict=True)]
    if sum(map(bool, shared)) < 2:
        return shared
    separate = [
        {axis: name if name.startswith(own) else f"{own}_{name}" for axis, name in names.items()}
        for own, names in zip(inputs, shared, strict=True)
    ]
    axes = OpenAxes(separate, [])
    different = {name: 24 + 8 * number for number, name in enumerate(axes.known)}
    return separate if _runs(model, axes, different) else shared


def _spatial_names(name, tensor):
    shape = tensor.shape
    axes = [axis for axis, size in enumerate(shape) if size is None and axis > 0]
    count = max(len(shape) - 2, 1)
    channels_first = len(shape) > 2 and shape[1] is not None and shape[-1] is None
    first = 2 if channels_first else 1
    spatial = dict(zip(range(first, first + count), _SPATIAL.get(count, ()), strict=False))
    return {axis: spatial.get(axis, f"{name}_{axis}") for axis in axes}


def _given_sizes(model, axes, given: Mapping[str, Sequence[int]]) -> Iterator[dict[str, int]]:
    """Yields the sizes that the user gave, where a shorter list repeats its last size."""
    longest = max(map(len, given.values()), default=0)
    for index in range(longest):
        sizes = {name: values[min(index, len(values) - 1)] for name, values in given.items()}
        chosen = {name: sizes.get(name, next(iter(sizes.values()))) for name in axes.known}
        if not _runs(model, axes, chosen):
            raise UsageError(f"The model does not run at these sizes. Received: {chosen}")
        yield chosen


def _candidates(model, axes) -> Iterator[list[dict[str, int]]]:
    """Yields sizes to try: the smallest that runs, its neighbours, and larger ones.

    Of several alternatives the first that runs is enough: not square, or else square.
    """
    known = axes.known
    alike = ({name: size for name in known} for size in _SMALLEST)
    smallest = next((sizes for sizes in alike if _runs(model, axes, sizes)), None)
    if smallest is None:
        raise ConversionError(
            f"The model runs at none of the sizes {', '.join(map(str, _SMALLEST))} of its open "
            f"axes {', '.join(known)}. Pass sizes at which it runs: --sizes "
            f"{' '.join(f'{name}=32,48' for name in known)}."
        )
    yield [smallest]
    least = smallest[known[0]]
    step = max(least, 8)
    larger = [least + 1, least + 2, 2 * step + 1, 4 * step, 2 * step, 3 * step, 5 * step, 6 * step]
    for size, other in zip(larger, larger[1:] + larger[:1], strict=True):
        yield [
            dict(zip(known, itertools.cycle((size, different)), strict=False))
            for different in (other, size)
        ]


def _runs(model, axes, sizes):
    """Returns whether Keras computes numbers at these sizes."""
    inputs = random_inputs(model, axes.shapes(model, sizes))
    try:
        # First the shapes: TensorFlow runs a convolution whose output should be empty, and returns
        # something, or even ends the process.
        if not all(map(math.prod, keras_model.output_shapes(model, inputs))):
            return False
        tensors = [keras.ops.convert_to_tensor(array) for array in inputs]
        outputs = [keras.ops.convert_to_numpy(x) for x in keras_model.call(model, tensors)]
        return all(np.isfinite(array).all() for array in outputs)
    except Exception:  # What a layer raises for a size that is too small, or does not fit.
        return False

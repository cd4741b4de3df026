"""Implements transposed convolutional capsules, which make a larger grid from a smaller one."""

from typing import Any

import keras
from keras import ops

from keras_capsules._shapes import sizes_of
from keras_capsules._transposed_fields import TransposedFields, positions_before, transposed_cells
from keras_capsules.layers._convolution import ConvCapsule
from keras_capsules.layers.voting import first_mask


class ConvCapsuleTranspose(ConvCapsule):
    """Implements `ConvCapsule1DTranspose` and `ConvCapsule2DTranspose`."""

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        mask = first_mask(mask)
        if mask is None:
            return None
        fields = self.fields
        if fields is None or fields.grid != tuple(mask.shape[1:]):
            fields = self._fields(sizes_of(mask))
        present = ops.reshape(ops.cast(mask, "float32"), (-1, fields.grid_size))
        seen = ops.reshape(fields.gather(present), (-1, *fields.cells, fields.window_size))
        cells = ops.max(seen, axis=-1) > 0.5
        return (cells, cells) if self.routing.explicit_activations else cells

    def _fields(self, grid):
        return TransposedFields(grid, self.kernel_size, self.strides, self.padding)

    def _cells(self, input_shape):
        grid = self._check_shape(input_shape)[1:-2]
        return transposed_cells(grid, self.kernel_size, self.strides, self.padding)

    def _convolve(self, features, kernel):
        axes = range(self.rank)
        kernel = ops.transpose(kernel, (*axes, self.rank + 1, self.rank))
        votes = ops.conv_transpose(
            features, kernel, self.strides, "valid", data_format="channels_last"
        )
        # Cut here, because the backends cut "same" at different edges.
        cells = transposed_cells(
            sizes_of(features)[:-1], self.kernel_size, self.strides, self.padding
        )
        before = positions_before(self.kernel_size, self.strides, self.padding)
        cut = (slice(first, first + size) for first, size in zip(before, cells, strict=True))
        return votes[(slice(None), *cut)]


@keras.saving.register_keras_serializable(package="keras_capsules")
class ConvCapsule2DTranspose(ConvCapsuleTranspose):
    """Lets the capsules of a grid vote for the cells of a larger grid, as `Conv2DTranspose` does.

    Tap t of the kernel turns the child at position p into votes for the cell
    `p * strides + t - before`, and each cell routes the votes for it, as in
    `keras_capsules.ConvCapsule2D`, with the same weights in each cell. `before` is 0 with
    `padding="valid"` and `max(kernel_size - strides, 0) // 2` with `"same"`.

    With strides of 2 or more, a cell has votes from only one in `strides**2` positions of its
    window, and the other children of the window are absent. With `"dense"` and `"matrix"` they
    still cost memory and time. `"convolution"` does not have this cost.

    Args:
        num_capsules, capsule_dim, kernel_size, strides, routing, transform, coordinate_addition,
            share_weights, use_bias, kernel_initializer, kernel_regularizer, kernel_constraint,
            bias_initializer: As in `ConvCapsule2D`. A coordinate is the position of the tap.
        padding: `"same"` makes `strides` cells from each position, `"valid"` adds
            `max(kernel_size - strides, 0)`. Defaults to `"valid"`.

    Call arguments:
        inputs, mask, return_coupling: As in `ConvCapsule2D`.

    Output shape:
        As in `ConvCapsule2D`, with the sizes of `keras.layers.Conv2DTranspose`.

    Weights:
        `kernel`, `bias`: As in `ConvCapsule2D`.

    Raises:
        ValueError: If an argument is out of range, or an input has a rank that does not fit, or an
            unknown number of types or size of poses.

    Example:

    >>> layer = keras_capsules.ConvCapsule2DTranspose(8, 16, kernel_size=4, strides=2,
    ...                                               padding="same")
    >>> layer(keras.random.normal((1, 5, 6, 2, 8))).shape
    (1, 10, 12, 8, 16)

    Reference:
        LaLonde, Bagci, 2018, "Capsules for Object Segmentation", arXiv 1804.04241.
    """

    rank = 2


@keras.saving.register_keras_serializable(package="keras_capsules")
class ConvCapsule1DTranspose(ConvCapsuleTranspose):
    """Lets the capsules of a sequence vote for the cells of a longer one.

    It works like `keras_capsules.ConvCapsule2DTranspose`, on one axis.

    Args:
        num_capsules, capsule_dim, kernel_size, strides, padding, routing, transform,
            coordinate_addition, share_weights, use_bias, kernel_initializer, kernel_regularizer,
            kernel_constraint, bias_initializer: As in `ConvCapsule2DTranspose`.

    Call arguments:
        inputs, mask, return_coupling: As in `ConvCapsule1D`.

    Output shape:
        `(batch, new_length, num_capsules, capsule_dim)`, with activations and coupling as in
        `ConvCapsule2DTranspose`.

    Weights:
        `kernel`: `(kernel_size, num_in, num_capsules, in_dim, capsule_dim)`.

    Raises:
        ValueError: As `ConvCapsule2DTranspose`.

    Example:

    >>> layer = keras_capsules.ConvCapsule1DTranspose(4, 8, kernel_size=5, strides=2)
    >>> layer(keras.random.normal((1, 7, 4, 8))).shape
    (1, 17, 4, 8)
    """

    rank = 1
